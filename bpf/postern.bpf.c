/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* postern.bpf.c: one object of all program families, so that they share one set of maps. */
#include "process.bpf.c"
#include "socket.bpf.c"
#include "packet.bpf.c"
#include "tcp.bpf.c"
#include "iterate.bpf.c"

char _license[] SEC("license") = "Dual BSD/GPL";
