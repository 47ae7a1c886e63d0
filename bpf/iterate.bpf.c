/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * iterate.bpf.c: programs that the agent runs by reading an iterator.
 *   host_root     the file system of the agent's own root, for path.h, and the cookie of its network namespace
 *   backfill      every inet socket that a process holds: label, listener entry, direction (also sockets older than the agent)
 *   revoke_tcp    judges every connection again and destroys those that lost their right, or lists them
 */
#include "label.h"
#include "connection.h"
#include "event.h"

extern int bpf_sock_destroy(struct sock_common *sk) __ksym __weak;

SEC("iter/task")
int host_root(struct bpf_iter__task *ctx)
{
	struct task_struct *me = (void *)bpf_get_current_task();
	struct vfsmount *mnt = BPF_CORE_READ(me, fs, root.mnt);
	struct mount *m = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
	struct config *c = config_get();

	if (!c)
		return 0;
	c->netns = BPF_CORE_READ(me, nsproxy, net_ns, net_cookie);
	if (c->root_dev)
		return 0;
	c->root_is_top = BPF_CORE_READ(m, mnt_parent) == m;
	c->root_dev = BPF_CORE_READ(m, mnt.mnt_sb, s_dev);
	return 0;
}

static __always_inline void sock_local(struct sock *sk, struct addr *a)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
		*a = addr_v4(BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	else
		BPF_CORE_READ_INTO(a, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
}

static __always_inline void sock_remote(struct sock *sk, struct addr *a)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET)
		*a = addr_v4(BPF_CORE_READ(sk, __sk_common.skc_daddr));
	else
		BPF_CORE_READ_INTO(a, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
}

/* An old connection: whoever listens on its own port accepted it. */
static __always_inline bool connection_side(struct connection *c, struct sock *sk, const struct addr *local, __u16 port)
{
	bool accepted = local_find(c->netns, local, IPPROTO_TCP, port) != NULL;

	c->direction = accepted ? DIR_INGRESS : DIR_EGRESS;
	c->port = accepted ? port : bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	return accepted;
}

/* Several holders of one socket: a labelled one names it, the first of a round clears what was. Who is decided is no longer init. */
static __always_inline void relabel(struct connection *c, const struct label *l, __u8 round)
{
	if (l->identity || c->round != round || c->local_id == RESERVED_INIT)
		sk_label(c, l);
	c->round = round;
}

SEC("iter/task_file")
int backfill(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct config *c = config_get();
	struct sk_info *info;
	struct socket *socket;
	struct sock *sk;
	struct label l = {};
	struct proc *p;
	struct addr a;
	__u16 family, type, port;
	__u8 protocol, state;

	if (!file || !task || !c)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	family = sk->__sk_common.skc_family;
	if (family != AF_INET && family != AF_INET6)
		return 0;
	l.tgid = task->tgid;
	p = bpf_map_lookup_elem(&proc, &l.tgid);
	if (p) {
		l.identity = p->identity;
		l.rank = p->rank;
		l.flags = p->flags;
		l.origin = p->origin;
	}
	if (!l.identity && !(l.flags & (PROC_SELF | PROC_PINNED))) {
		__u64 id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
		struct cgroup_label *cg = bpf_map_lookup_elem(&cgroup_label, &id);

		/* systemd holds the listener of a socket unit, made in the unit's cgroup */
		if ((!cg || !cg->identity) && sk->__sk_common.skc_state == (sk->sk_type == SOCK_STREAM ? TCP_LISTEN : TCP_CLOSE)) {
			id = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
			cg = bpf_map_lookup_elem(&cgroup_label, &id);
		}
		if (cg && cg->identity) {
			l.identity = cg->identity;
			l.rank = cg->rank;
			l.origin = ORIGIN_CGROUP;
		}
	}
	type = BPF_CORE_READ(sk, sk_type);
	if (type == SOCK_STREAM) {
		__u64 cookie = sock_cookie(sk);
		struct connection *known = connection_find(cookie);

		if (known) {
			relabel(known, &l, c->round);
			return 0;
		}
	}
	info = bpf_sk_storage_get(&sk_info, sk, 0, 0);
	if (!info) {
		info = bpf_sk_storage_get(&sk_info, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!info)
			return 0;
		info->c.flags |= SK_OLD;
		count(COUNT_BACKFILLED);
	}
	if (!info->c.netns)
		info->c.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	relabel(&info->c, &l, c->round);

	protocol = BPF_CORE_READ(sk, sk_protocol);
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	port = BPF_CORE_READ(sk, __sk_common.skc_num);
	sock_local(sk, &a);
	if (type == SOCK_STREAM && state == TCP_LISTEN) {
		if (p && (p->flags & (PROC_FAILSAFE | PROC_SELF)))
			info->c.flags |= SK_FAILSAFE;
		sk_label_listen(&info->c, &a, IPPROTO_TCP, port);
		local_add(info, &a, IPPROTO_TCP, port);
	} else if (type == SOCK_DGRAM && port && (protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE)) {
		sk_label_listen(&info->c, &a, protocol, port);
		local_add(info, &a, protocol, port);
		if (state == TCP_ESTABLISHED) {
			sock_remote(sk, (struct addr *)info->peer);
			info->peer_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
		}
		if (protocol == IPPROTO_UDP)
			sk_dhcp_client(&info->c, port);
	} else if (type == SOCK_STREAM && state == TCP_ESTABLISHED && (info->c.flags & SK_OLD)) {
		/* second round: who listens is known */
		if (connection_side(&info->c, sk, &a, port)) {
			sk_label_listen(&info->c, &a, IPPROTO_TCP, port);
			if (p && (p->flags & PROC_FAILSAFE))
				info->c.flags |= SK_FAILSAFE;
		}
	}
	return 0;
}

/*
 * A connection older than the agent that no descriptor held (in flight in a unix socket, registered with io_uring) was
 * not met by the backfill: its cgroup names it. NULL = the host's.
 */
static __always_inline struct connection *hidden_connection(struct tcp_sock *tp, struct sock *sk)
{
	__u32 identity = sock_cgroup_identity(sk);
	struct sk_info *info;
	struct addr local;

	if (!identity)
		return NULL;
	info = bpf_sk_storage_get(&sk_info, tp, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!info)
		return NULL;
	info->c.local_id = identity;
	info->c.origin = ORIGIN_CGROUP;
	info->c.flags |= SK_OLD;
	info->c.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
	sock_local(sk, &local);
	connection_side(&info->c, sk, &local, BPF_CORE_READ(sk, __sk_common.skc_num));
	count(COUNT_BACKFILLED);
	return &info->c;
}

SEC("iter/tcp")
int revoke_tcp(struct bpf_iter__tcp *ctx)
{
	struct config *config = config_get();
	struct sock_common *skc = ctx->sk_common;
	struct flow_event *e;
	struct tcp_sock *tp;
	struct connection *c, was;
	__u64 cookie;
	struct addr local, remote;
	struct ident_cfg cfg;
	struct judged j;
	struct peer p = {};
	struct sock *sk;
	__u16 sport, dport;
	__u8 state;
	bool client;

	if (!skc)
		return 0;
	state = skc->skc_state;
	if (state == TCP_LISTEN || state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV || state == TCP_CLOSE)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp)
		return 0;
	sk = (struct sock *)tp;
	cookie = sock_cookie(sk);
	c = connection_find(cookie);
	if (!c) {
		struct sk_info *info = bpf_sk_storage_get(&sk_info, tp, 0, 0);

		c = info ? &info->c : hidden_connection(tp, sk);
	}
	if (!c || !c->direction || (c->flags & SK_FAILSAFE))
		return 0;
	sock_local(sk, &local);
	sock_remote(sk, &remote);
	client = c->direction == DIR_EGRESS;
	cfg = ident_cfg_read(c->local_id);
	if (client) {
		p = peer_at(c->netns, &remote, IPPROTO_TCP, c->port, cfg.ip_slot);
		j = judge(cfg, c->local_id, p.id, DIR_EGRESS, IPPROTO_TCP, c->port);
		if (j.allow && p.local && !p.failsafe) {
			struct judged in = judge(ident_cfg_read(p.id == RESERVED_HOST ? 0 : p.id), p.id, c->local_id ?: RESERVED_HOST,
						 DIR_INGRESS, IPPROTO_TCP, c->port);

			if (!in.allow || !j.rule)
				j = in;
		}
	} else if (own_address(c->netns, &remote)) {
		return 0; /* the other end of this connection is judged, both ways, as the client */
	} else {
		p.id = address_identity(&remote, cfg.ip_slot);
		j = judge(cfg, c->local_id, p.id, DIR_INGRESS, IPPROTO_TCP, c->port);
	}
	if (j.allow) {
		c->gen = j.gen;
		c->rule = j.rule;
		c->flags &= ~SK_LOST; /* the next SYN goes out */
		return 0;
	}
	if ((c->flags & SK_LOST) && state == TCP_SYN_SENT)
		return 0; /* denied before, and said then */
	was = *c; /* the entry goes with the connection */
	c = &was;
	sport = BPF_CORE_READ(sk, __sk_common.skc_num);
	dport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (!bpf_sock_destroy || (config && config->revoke_by_list)) {
		struct revoked r = {.local_port = sport, .remote_port = dport, .ifindex = skc->skc_bound_dev_if};

		__builtin_memcpy(r.local, &local, 16);
		__builtin_memcpy(r.remote, &remote, 16);
		if (bpf_seq_write(ctx->meta->seq, &r, sizeof(r)))
			return 0; /* full: asked again with an empty one */
	} else if (bpf_sock_destroy(skc)) {
		count(COUNT_REVOKE_FAILED);
		return 0;
	}
	count(COUNT_REVOKED);
	e = flow_begin(FLOW_DENY);
	if (!e)
		return 0;
	e->verdict = VERDICT_DROPPED;
	e->direction = j.direction;
	e->reason = j.reason;
	e->protocol = IPPROTO_TCP;
	e->flags = FLOW_REVOKED;
	e->rule = j.rule;
	e->gen = j.gen;
	e->netns = c->netns;
	e->source_id = (client ? c->local_id : p.id) ?: RESERVED_HOST;
	e->destination_id = (client ? p.id : c->local_id) ?: RESERVED_HOST;
	e->source_tgid = client ? c->tgid : 0;
	e->destination_tgid = client ? p.tgid : c->tgid;
	e->sport = client ? sport : dport;
	e->dport = client ? dport : sport;
	__builtin_memcpy(e->saddr, client ? &local : &remote, 16);
	__builtin_memcpy(e->daddr, client ? &remote : &local, 16);
	event_submit(e);
	return 0;
}
