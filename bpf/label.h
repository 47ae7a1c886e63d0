/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * label.h: process → identity and socket → identity.
 *
 *  1. A process's own label is sticky (`proc`); without one the effective label of its cgroup counts.
 *  2. A socket carries the label of who made it, and of whoever binds, connects or sends with it later; never a kernel thread's.
 *  3. A stream is labelled by who connects it, what it accepts by its listener: `connection`, or storage where that is full.
 *  4. A socket without either is judged by its own cgroup; "no label" is the host.
 *  5. A registered port names the socket that listens on it unless its caller has a name: RESERVED_INIT is none.
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
	struct cgroup_label *c;
	__u64 cgroup;

	if (p) {
		l.flags = p->flags;
		l.identity = p->identity;
		l.rank = p->rank;
		l.origin = p->origin;
		if (p->identity || (p->flags & (PROC_SELF | PROC_PINNED)))
			return l;
	}
	cgroup = bpf_get_current_cgroup_id();
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

static __always_inline bool is_name(__u32 identity)
{
	return identity && identity != RESERVED_INIT;
}

static __always_inline void sk_label(struct connection *c, const struct label *l)
{
	/* A port claim names the socket only while nothing stronger names the caller. */
	if (!(c->flags & SK_PINNED) || is_name(l->identity)) {
		c->local_id = l->identity;
		c->origin = l->origin;
		c->flags &= ~SK_PINNED;
	}
	c->tgid = l->tgid;
	if (l->flags & PROC_SELF)
		c->flags |= SK_FAILSAFE;
}

/* The cookie of a socket that some hook has met; bpf_get_socket_cookie takes only the hook's own socket. */
static __always_inline __u64 sock_cookie(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
}

static __always_inline __u32 sock_cgroup_identity(struct sock *sk)
{
	return cgroup_identity(BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id));
}

/* Several agents on one machine (a fleet under test) each name what is below their own cgroup. */
static __always_inline bool in_scope(const struct config *c)
{
	return !c->scope || bpf_get_current_ancestor_cgroup_id(c->scope_level) == c->scope;
}

static __always_inline bool sock_in_scope(struct sock *sk)
{
	struct config *c = config_get();
	struct cgroup *cgrp;
	int i;

	if (!c || !c->scope)
		return c;
	cgrp = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	for (i = 0; i < CGROUP_DEPTH_MAX && cgrp; i++) {
		if (BPF_CORE_READ(cgrp, kn, id) == c->scope)
			return true;
		cgrp = BPF_CORE_READ(cgrp, self.parent, cgroup);
	}
	return false;
}

/* The host's DHCP client: without its lease no policy matters. */
static __always_inline void sk_dhcp_client(struct connection *c, __u16 port)
{
	struct proc *p;

	if (port != 68 && port != 546)
		return;
	p = bpf_map_lookup_elem(&proc, &c->tgid);
	if (p && (p->flags & PROC_FAILSAFE))
		c->flags |= SK_FAILSAFE;
}

/* A registered port names the socket that listens on it, when nothing stronger does. */
static __always_inline void sk_label_listen(struct connection *c, const struct addr *a, __u8 protocol, __u16 port)
{
	struct config *cfg = config_get();
	struct listen_key key = {.port = port, .protocol = protocol};
	struct listen_val *v;

	if (is_name(c->local_id) && !(c->flags & SK_PINNED))
		return;
	key.slot = cfg ? cfg->match_slot : 0;
	__builtin_memcpy(key.addr, a, 16);
	v = bpf_map_lookup_elem(&listen_match, &key);
	if (!v) {
		__builtin_memset(key.addr, 0, 16);
		v = bpf_map_lookup_elem(&listen_match, &key);
	}
	if (v) {
		c->local_id = v->identity;
		c->origin = ORIGIN_LISTEN;
		c->flags |= SK_PINNED;
	} else if (c->flags & SK_PINNED) {
		c->local_id = 0;
		c->origin = ORIGIN_NONE;
		c->flags &= ~SK_PINNED;
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

static __always_inline bool conv_is_latest(const struct connection *c, __u64 word, __u32 gen)
{
	return word && c->latest == word && c->gen == gen;
}

static __always_inline void conv_remember(struct connection *c, __u64 word, __u32 gen)
{
	c->gen = gen;
	c->latest = word;
}

/* Enters the socket under (address, port); the entry's label follows the newest socket. */
static __always_inline void local_add(struct sk_info *info, const struct addr *a, __u8 protocol, __u16 port)
{
	struct local_key key = {.netns = info->c.netns, .port = port, .protocol = protocol};
	struct local_val fresh = {.identity = info->c.local_id, .tgid = info->c.tgid, .sockets = 1, .failsafe = info->c.flags & SK_FAILSAFE};
	struct local_val *v;

	__builtin_memcpy(key.addr, a, 16);
	v = bpf_map_lookup_elem(&local, &key);
	if (v) {
		v->identity = info->c.local_id;
		v->tgid = info->c.tgid;
		v->failsafe = info->c.flags & SK_FAILSAFE;
		if (!(info->c.flags & SK_LISTED))
			__sync_fetch_and_add(&v->sockets, 1);
	} else if (bpf_map_update_elem(&local, &key, &fresh, BPF_ANY)) {
		count(COUNT_LOCAL_FULL);
		return;
	}
	__builtin_memcpy(info->bound, a, 16);
	info->c.port = port;
	info->c.flags |= SK_LISTED;
}

static __always_inline void local_remove(struct sk_info *info, __u8 protocol)
{
	struct local_key key = {.netns = info->c.netns, .port = info->c.port, .protocol = protocol};
	struct local_val *v;

	if (!(info->c.flags & SK_LISTED))
		return;
	info->c.flags &= ~SK_LISTED;
	__builtin_memcpy(key.addr, info->bound, 16);
	v = bpf_map_lookup_elem(&local, &key);
	if (v && __sync_fetch_and_add(&v->sockets, -1) <= 1)
		bpf_map_delete_elem(&local, &key);
}

#endif
