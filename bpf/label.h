/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * label.h: process → identity and socket → identity.
 *
 *  1. A process's own label is sticky (`proc`); without one the effective label of its cgroup counts.
 *  2. A socket carries the label of who made it, and of whoever binds, connects or sends with it later; never a kernel thread's.
 *  3. A socket without storage is judged by its own cgroup; "no label" is the host.
 */
#ifndef POSTERN_LABEL_H
#define POSTERN_LABEL_H

#include "policy.h"

struct label {
	__u32 identity;
	__u32 rank;
	__u32 tgid;
	__u8 flags; /* enum proc_flag */
	__u8 origin;
};

static __always_inline __u32 cgroup_identity(__u64 id)
{
	struct cgroup_label *c = bpf_map_lookup_elem(&cgroup_label, &id);

	return c ? c->identity : 0;
}

static __always_inline struct label current_label(void)
{
	struct label l = {.tgid = bpf_get_current_pid_tgid() >> 32};
	struct proc *p = bpf_map_lookup_elem(&proc, &l.tgid);
	__u64 cgroup = bpf_get_current_cgroup_id();
	struct cgroup_label *c;

	if (p) {
		l.flags = p->flags;
		l.identity = p->identity;
		l.rank = p->rank;
		l.origin = p->origin;
		if (p->identity || (p->flags & (PROC_SELF | PROC_PINNED)))
			return l;
	}
	c = bpf_map_lookup_elem(&cgroup_label, &cgroup);
	if (c && c->identity) {
		l.identity = c->identity;
		l.rank = c->rank;
		l.origin = ORIGIN_CGROUP;
	}
	return l;
}

static __always_inline bool current_is_kernel_thread(void)
{
	return bpf_get_current_task_btf()->flags & PF_KTHREAD;
}

static __always_inline void sk_label(struct sk_info *info, const struct label *l)
{
	/* A port claim names the socket only while nothing stronger names the caller. */
	if (!(info->flags & SK_PINNED) || l->identity) {
		info->local_id = l->identity;
		info->origin = l->origin;
		info->flags &= ~SK_PINNED;
	}
	info->tgid = l->tgid;
	if (l->flags & PROC_SELF)
		info->flags |= SK_FAILSAFE;
}

/* The host's DHCP client: without its lease no policy matters. */
static __always_inline void sk_dhcp_client(struct sk_info *info, __u16 port)
{
	struct proc *p;

	if (port != 68 && port != 546)
		return;
	p = bpf_map_lookup_elem(&proc, &info->tgid);
	if (p && (p->flags & PROC_FAILSAFE))
		info->flags |= SK_FAILSAFE;
}

/* A registered port names the socket that listens on it, when nothing stronger does. */
static __always_inline void sk_label_listen(struct sk_info *info, const struct addr *a, __u8 protocol, __u16 port)
{
	struct config *c = config_get();
	struct listen_key key = {.port = port, .protocol = protocol};
	struct listen_val *v;

	if (info->local_id && !(info->flags & SK_PINNED))
		return;
	key.slot = c ? c->match_slot : 0;
	__builtin_memcpy(key.addr, a, 16);
	v = bpf_map_lookup_elem(&listen_match, &key);
	if (!v) {
		__builtin_memset(key.addr, 0, 16);
		v = bpf_map_lookup_elem(&listen_match, &key);
	}
	if (v) {
		info->local_id = v->identity;
		info->origin = ORIGIN_LISTEN;
		info->flags |= SK_PINNED;
	} else if (info->flags & SK_PINNED) {
		info->local_id = 0;
		info->origin = ORIGIN_NONE;
		info->flags &= ~SK_PINNED;
	}
}

/*
 * The conversation that a datagram socket had last, so that the next packet of it needs no look-up in `conversation`.
 * IPv4 only: address, port and the generation's low half are one word, so that no reader sees half of two writes; the
 * whole generation is in `gen`. 0 = cannot be said in a word.
 */
static __always_inline __u64 conv_word(const struct addr *a, __u16 port, __u32 gen)
{
	return addr_is_v4(a) ? (__u64)a->w[3] << 32 | (__u32)port << 16 | (gen & 0xffff) : 0;
}

static __always_inline bool conv_is_latest(const struct sk_info *info, __u64 word, __u32 gen)
{
	return word && info->latest == word && info->gen == gen;
}

static __always_inline void conv_remember(struct sk_info *info, __u64 word, __u32 gen)
{
	info->gen = gen;
	info->latest = word;
}

/* Enters the socket under (address, port); the entry's label follows the newest socket. */
static __always_inline void local_add(struct sk_info *info, const struct addr *a, __u8 protocol, __u16 port)
{
	struct local_key key = {.netns = info->netns, .port = port, .protocol = protocol};
	struct local_val fresh = {.identity = info->local_id, .tgid = info->tgid, .sockets = 1, .failsafe = info->flags & SK_FAILSAFE};
	struct local_val *v;

	__builtin_memcpy(key.addr, a, 16);
	v = bpf_map_lookup_elem(&local, &key);
	if (v) {
		v->identity = info->local_id;
		v->tgid = info->tgid;
		v->failsafe = info->flags & SK_FAILSAFE;
		if (!(info->flags & SK_LISTED))
			__sync_fetch_and_add(&v->sockets, 1);
	} else if (bpf_map_update_elem(&local, &key, &fresh, BPF_ANY)) {
		count(COUNT_LOCAL_FULL);
		return;
	}
	__builtin_memcpy(info->bound, a, 16);
	info->port = port;
	info->flags |= SK_LISTED;
}

static __always_inline void local_remove(struct sk_info *info, __u8 protocol)
{
	struct local_key key = {.netns = info->netns, .port = info->port, .protocol = protocol};
	struct local_val *v;

	if (!(info->flags & SK_LISTED))
		return;
	info->flags &= ~SK_LISTED;
	__builtin_memcpy(key.addr, info->bound, 16);
	v = bpf_map_lookup_elem(&local, &key);
	if (v && __sync_fetch_and_add(&v->sockets, -1) <= 1)
		bpf_map_delete_elem(&local, &key);
}

#endif
