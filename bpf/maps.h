/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps.h: every map. All of them are pinned by the agent under <pin dir>/maps, so that enforcement outlives it.
 * Each comment says who writes, who reads, and what happens when it is full.
 */
#ifndef POSTERN_MAPS_H
#define POSTERN_MAPS_H

#include "abi.h"
#include "kernel.h"

#define MAP(NAME, TYPE, KEY, VALUE, ENTRIES, FLAGS)                                                                    \
	struct {                                                                                                       \
		__uint(type, TYPE);                                                                                    \
		__type(key, KEY);                                                                                      \
		__type(value, VALUE);                                                                                  \
		__uint(max_entries, ENTRIES);                                                                          \
		__uint(map_flags, FLAGS);                                                                              \
	} NAME SEC(".maps")

/* Agent writes, every hook reads. */
MAP(config, BPF_MAP_TYPE_ARRAY, __u32, struct config, 1, 0);

/*
 * Agent writes (one store per flip, in shared memory), hooks read. Absent = not enforced; place 0 is the agent's own note. Another identity
 * has the place: the agent refuses the revision before it writes.
 */
MAP(ident_cfg, BPF_MAP_TYPE_ARRAY, __u32, struct ident_place, IDENT_PLACES, BPF_F_MMAPABLE);
/* Agent adds before it sets OPEN_RAW and removes after; sock_create reads. Full: refused beforehand. */
MAP(raw_open, BPF_MAP_TYPE_HASH, struct raw_key, __u8, 16384, BPF_F_NO_PREALLOC);
/* Agent fills the idle slot, hooks read the active one. Full: refused beforehand; half is for the idle slots. */
MAP(policy_l3, BPF_MAP_TYPE_HASH, struct l3_key, struct l3_val, 262144, BPF_F_NO_PREALLOC);
/* Agent adds tables before a flip and removes unused ones after it; tables are immutable. Full: refused beforehand. */
MAP(policy_l4, BPF_MAP_TYPE_HASH, struct l4_key, struct l4_val, 262144, BPF_F_NO_PREALLOC);
/* Agent: single addresses and prefixes to identities, two slots. Full: refused beforehand. */
MAP(ip_host, BPF_MAP_TYPE_HASH, struct ip_key, __u32, 131072, BPF_F_NO_PREALLOC);
MAP(ip_cidr, BPF_MAP_TYPE_LPM_TRIE, struct cidr_key, __u32, 131072, BPF_F_NO_PREALLOC);
/* Agent: addresses of the host's own interfaces. Full: further ones count as outside. */
MAP(own_addr, BPF_MAP_TYPE_HASH, struct own_addr_key, __u8, 4096, BPF_F_NO_PREALLOC);

/* bind, listen, close and backfill write; connect and sendmsg read. Full: the peer counts as the host, COUNT_LOCAL_FULL. */
MAP(local, BPF_MAP_TYPE_HASH, struct local_key, struct local_val, 65536, BPF_F_NO_PREALLOC);

/* exec, fork, attach and the agent write; exit deletes. Full: the process falls back to its cgroup, COUNT_PROC_FULL. */
MAP(proc, BPF_MAP_TYPE_HASH, __u32, struct proc, 262144, BPF_F_NO_PREALLOC);
/* mkdir and the agent write, rmdir deletes. Full: COUNT_CGROUP_FULL, the agent repairs. */
MAP(cgroup_label, BPF_MAP_TYPE_HASH, __u64, struct cgroup_label, 65536, BPF_F_NO_PREALLOC);

/* Match tables, two slots; the agent fills the idle one and flips config.match_slot. Full: the registration is refused. */
MAP(clauses, BPF_MAP_TYPE_ARRAY, __u32, struct clause, 2 * CLAUSES_MAX, 0);
MAP(exe_match, BPF_MAP_TYPE_HASH, struct exe_key, struct exe_val, 32768, BPF_F_NO_PREALLOC);
MAP(arg_match, BPF_MAP_TYPE_HASH, struct arg_key, struct arg_val, 16384, BPF_F_NO_PREALLOC);
MAP(arg_prefix, BPF_MAP_TYPE_LPM_TRIE, struct arg_prefix_key, struct arg_prefix_val, 16384, BPF_F_NO_PREALLOC);
MAP(cgroup_match, BPF_MAP_TYPE_LPM_TRIE, struct cgroup_pattern_key, struct cgroup_pattern_val, 16384, BPF_F_NO_PREALLOC);
MAP(cgroup_pattern, BPF_MAP_TYPE_ARRAY, __u32, struct cgroup_pattern, 2 * CGROUP_PATTERN_MAX, 0);
MAP(listen_match, BPF_MAP_TYPE_HASH, struct listen_key, struct listen_val, 16384, BPF_F_NO_PREALLOC);

/* connect and accept write, revocation reads; free when the connection closes. A place that is taken: `connection` holds the other. */
MAP(connection_slot, BPF_MAP_TYPE_ARRAY, __u32, struct connection_slot, CONNECTION_SLOTS, BPF_F_MMAPABLE);
/* What found its place taken (connection.h). Full: the socket's storage holds it. */
MAP(connection, BPF_MAP_TYPE_HASH, __u64, struct connection, 262144, BPF_F_NO_PREALLOC);
/* Hooks write and read; freed with the socket. */
MAP(sk_info, BPF_MAP_TYPE_SK_STORAGE, int, struct sk_info, 0, BPF_F_NO_PREALLOC);

/* Hooks write and read. Full: the least recently used conversation is judged again as if it were new. */
MAP(conversation, BPF_MAP_TYPE_LRU_HASH, struct conv_key, struct conv_val, 131072, 0);
/* A listener's packet hook writes, the socket that the packet opens reads. Always one entry. */
MAP(handshake, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct handshake, 1, 0);

/* The SYN that this CPU sent over loopback last: the listener's packet hook finds its sender by it. Always one entry. */
MAP(own_syn, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct own_syn, 1, 0);

/* Hooks write, the agent reads. Full: the event is lost and counted (COUNT_EVENT_LOST). */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024); /* 300 ms at 100k events/s; mapped twice it counts double in the agent's memory */
} events SEC(".maps");

MAP(counters, BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, COUNT_MAX, 0);

static __always_inline void count(__u32 which)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &which);

	if (value)
		*value += 1;
}

static __always_inline struct config *config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}

#endif
