/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* postern.bpf.c: one object of all program families, so that they share one set of maps. */
#include "process.bpf.c"
#include "socket.bpf.c"
#include "packet.bpf.c"
#include "tcp.bpf.c"
#include "guard.bpf.c"
#include "iterate.bpf.c"
#include "probe.bpf.c"

/* Types reach the BTF only through a global that names them; the TypeScript side is generated from there. */
const struct flow_event *abi_flow_event __attribute__((unused));
const struct exec_event *abi_exec_event __attribute__((unused));
const struct exit_event *abi_exit_event __attribute__((unused));
const struct cgroup_event *abi_cgroup_event __attribute__((unused));
const struct listen_event *abi_listen_event __attribute__((unused));
const struct revoked *abi_revoked __attribute__((unused));
const struct verdict_probe *abi_verdict_probe __attribute__((unused));
const enum counter *abi_counter __attribute__((unused));
const enum drop_reason *abi_drop_reason __attribute__((unused));
const enum label_origin *abi_label_origin __attribute__((unused));
const enum flow_kind *abi_flow_kind __attribute__((unused));
const enum flow_flag *abi_flow_flag __attribute__((unused));
const enum event_type *abi_event_type __attribute__((unused));
const enum proc_flag *abi_proc_flag __attribute__((unused));
const enum launch_flag *abi_launch_flag __attribute__((unused));
const enum exe_flag *abi_exe_flag __attribute__((unused));
const enum interpreter *abi_interpreter __attribute__((unused));
const enum option_action *abi_option_action __attribute__((unused));

char _license[] SEC("license") = "Dual BSD/GPL";
