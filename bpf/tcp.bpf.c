/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp.bpf.c: sockops: listeners into `local`, and the life of a connection as events (connect, accept, fail, close).
 * It decides nothing.
 */
#include "label.h"
#include "event.h"

struct ends {
	struct addr local, remote;
	__u16 local_port, remote_port;
};

static __always_inline void ends_of(struct bpf_sock_ops *ops, struct ends *e)
{
	__u32 local = ops->local_ip4, remote = ops->remote_ip4;

	barrier_var(local); /* clang would merge the loads of both branches into one of a modified pointer, which the verifier refuses */
	barrier_var(remote);
	if (ops->family == AF_INET) {
		e->local = addr_v4(local);
		e->remote = addr_v4(remote);
	} else {
		e->local.w[0] = ops->local_ip6[0];
		e->local.w[1] = ops->local_ip6[1];
		e->local.w[2] = ops->local_ip6[2];
		e->local.w[3] = ops->local_ip6[3];
		e->remote.w[0] = ops->remote_ip6[0];
		e->remote.w[1] = ops->remote_ip6[1];
		e->remote.w[2] = ops->remote_ip6[2];
		e->remote.w[3] = ops->remote_ip6[3];
	}
	e->local_port = ops->local_port;
	e->remote_port = bpf_ntohl(ops->remote_port);
}

static __always_inline struct flow_event *connection_event(__u8 kind, const struct connection *c, const struct ends *e)
{
	struct flow_event *f = flow_begin(kind);
	bool client = c->direction != DIR_INGRESS;

	if (!f)
		return NULL;
	f->verdict = VERDICT_FORWARDED;
	f->direction = c->direction;
	f->protocol = IPPROTO_TCP;
	f->rule = c->rule;
	f->gen = c->gen;
	f->netns = c->netns;
	if (client) {
		f->source_id = c->local_id ?: RESERVED_HOST;
		f->source_tgid = c->tgid;
		f->destination_id = c->remote_id ?: RESERVED_HOST;
		f->destination_tgid = c->peer_tgid;
		f->sport = e->local_port;
		f->dport = e->remote_port;
		__builtin_memcpy(f->saddr, &e->local, 16);
		__builtin_memcpy(f->daddr, &e->remote, 16);
	} else {
		f->destination_id = c->local_id ?: RESERVED_HOST;
		f->destination_tgid = c->tgid;
		f->source_id = c->remote_id ?: RESERVED_HOST;
		f->source_tgid = c->peer_tgid;
		f->dport = e->local_port;
		f->sport = e->remote_port;
		__builtin_memcpy(f->daddr, &e->local, 16);
		__builtin_memcpy(f->saddr, &e->remote, 16);
	}
	return f;
}

static __always_inline void keep(struct bpf_sock *sk, __u64 cookie, const struct connection *c)
{
	struct sk_info *info;

	if (!bpf_map_update_elem(&connection, &cookie, c, BPF_ANY))
		return;
	count(COUNT_CONNECTION_FULL);
	info = bpf_sk_storage_get(&sk_info, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (info)
		info->c = *c;
}

static __always_inline void established(__u8 kind, struct connection *c, const struct ends *e)
{
	struct flow_event *f = connection_event(kind, c, e);

	c->flags |= SK_ESTABLISHED;
	if (!f) {
		c->latest = bpf_ktime_get_boot_ns();
		return;
	}
	c->latest = f->header.time_ns;
	event_submit(f);
}

/* The task that calls listen(). */
static __always_inline void label_by_listener(struct connection *c)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 tgid = BPF_CORE_READ(task, tgid);
	struct label l = label_of(tgid, BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id));

	sk_label(c, &l);
}

static __always_inline void on_listen(struct bpf_sock_ops *ops, struct sk_info *info, struct ends *e)
{
	struct listen_event *event;

	if (!info->c.tgid) /* listen() without bind() */
		label_by_listener(&info->c);
	/* sshd and the like: the listener and the sessions that it accepts */
	if (info->c.tgid) {
		struct proc *p = bpf_map_lookup_elem(&proc, &info->c.tgid);

		if (p && (p->flags & (PROC_FAILSAFE | PROC_SELF)))
			info->c.flags |= SK_FAILSAFE;
	}
	sk_label_listen(&info->c, &e->local, IPPROTO_TCP, e->local_port);
	local_add(info, &e->local, IPPROTO_TCP, e->local_port);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNT_EVENT_LOST);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	header_init(&event->header, EVENT_LISTEN, sizeof(*event));
	__builtin_memcpy(event->addr, &e->local, 16);
	event->netns = info->c.netns;
	event->tgid = info->c.tgid;
	event->identity = info->c.local_id;
	event->port = e->local_port;
	event->protocol = IPPROTO_TCP;
	event_submit(event);
}

/* The listener let this connection's packet through on this CPU a moment ago. */
static __always_inline bool handshake_of(const struct handshake *h, const struct connection *c, const struct ends *e)
{
	return h->netns == c->netns && h->sport == e->remote_port && h->dport == e->local_port &&
	       addr_equal((struct addr *)h->saddr, &e->remote) && addr_equal((struct addr *)h->daddr, &e->local);
}

/* Not met by the packet hook: whoever listens there owns it, else its cgroup; the peer is known by its address. */
static __always_inline void accept_by_address(struct connection *c, struct bpf_sock *sk, const struct ends *e)
{
	struct local_val *v = local_find(c->netns, &e->local, IPPROTO_TCP, e->local_port);
	struct ident_cfg cfg;

	if (v) {
		c->local_id = v->identity;
		c->tgid = v->tgid;
		c->flags |= v->failsafe & SK_FAILSAFE;
	} else {
		struct sock *kernel_sk = (struct sock *)bpf_skc_to_tcp_sock(sk);

		if (kernel_sk)
			c->local_id = sock_cgroup_identity(kernel_sk);
	}
	cfg = ident_cfg_read(c->local_id);
	c->gen = cfg.gen;
	if (own_address(c->netns, &e->remote)) {
		c->remote_id = RESERVED_HOST;
	} else {
		struct judged j;

		c->remote_id = address_identity(&e->remote, cfg.ip_slot);
		j = judge(cfg, c->local_id, c->remote_id, DIR_INGRESS, IPPROTO_TCP, e->local_port);
		if (j.allow && !(c->flags & SK_FAILSAFE)) /* else a flip came after the SYN: revocation ends it */
			c->rule = j.rule;
	}
}

static __always_inline void on_accept(struct bpf_sock_ops *ops, struct bpf_sock *sk, const struct ends *e)
{
	struct connection c = {.netns = bpf_get_netns_cookie(ops), .direction = DIR_INGRESS, .port = e->local_port};
	__u64 cookie = bpf_get_socket_cookie(ops);
	__u32 zero = 0;
	struct handshake *h = bpf_map_lookup_elem(&handshake, &zero);

	if (h && handshake_of(h, &c, e)) {
		c.local_id = h->local_id;
		c.remote_id = h->remote_id;
		c.rule = h->rule;
		c.gen = h->gen;
		c.tgid = h->tgid;
		c.peer_tgid = h->peer_tgid;
		c.flags = h->flags;
		c.origin = h->origin;
	} else {
		accept_by_address(&c, sk, e);
	}
	established(FLOW_ACCEPT, &c, e);
	keep(sk, cookie, &c);
}

/*
 * The kernel's byte counts include sequence numbers that carry no payload: of who connected its SYN, and each FIN once it
 * is acknowledged (sent) or has come (received).
 */
static __always_inline bool fin_acked(__u32 old_state)
{
	return old_state == TCP_LAST_ACK || old_state == TCP_FIN_WAIT2 || old_state == TCP_CLOSING;
}

static __always_inline bool fin_received(struct bpf_sock *sk)
{
	struct sock *kernel_sk = (struct sock *)bpf_skc_to_tcp_sock(sk);

	return kernel_sk && (BPF_CORE_READ(kernel_sk, __sk_common.skc_flags) & SOCK_DONE_BIT);
}

static __always_inline __u64 less(__u64 bytes, __u32 flags)
{
	return bytes > flags ? bytes - flags : 0;
}

static __always_inline void on_close(struct bpf_sock_ops *ops, struct bpf_sock *sk, struct connection *c, struct ends *e)
{
	struct flow_event *f;

	if (!(c->flags & SK_ESTABLISHED)) {
		if (ops->args[0] == TCP_SYN_SENT) {
			f = connection_event(FLOW_FAIL, c, e);
			if (f)
				event_submit(f);
		}
		return;
	}
	c->flags &= ~SK_ESTABLISHED;
	f = connection_event(FLOW_CLOSE, c, e);
	if (!f)
		return;
	f->bytes_sent = less(ops->bytes_acked, (c->direction == DIR_EGRESS) + fin_acked(ops->args[0]));
	f->bytes_received = less(ops->bytes_received, fin_received(sk));
	f->duration_ns = f->header.time_ns - c->latest;
	f->rtt_us = ops->srtt_us >> 3;
	f->retransmits = ops->total_retrans;
	event_submit(f);
}

/* Of this host's making, but connect() was not met: an MPTCP subflow, or older than the hooks. */
static __always_inline void on_unmet(struct bpf_sock_ops *ops, struct bpf_sock *sk, __u64 cookie, const struct ends *e)
{
	struct connection c = {.netns = bpf_get_netns_cookie(ops), .direction = DIR_EGRESS};
	struct sock *kernel_sk = (struct sock *)bpf_skc_to_tcp_sock(sk);

	if (kernel_sk)
		c.local_id = sock_cgroup_identity(kernel_sk);
	established(FLOW_CONNECT, &c, e);
	keep(sk, cookie, &c);
}

static __always_inline struct connection *connection_of(struct bpf_sock *sk, __u64 cookie)
{
	struct connection *c = bpf_map_lookup_elem(&connection, &cookie);
	struct sk_info *info;

	if (c)
		return c;
	info = bpf_sk_storage_get(&sk_info, sk, 0, 0);
	return info ? &info->c : NULL;
}

SEC("sockops")
int on_sockops(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct connection *c;
	struct sk_info *info;
	struct ends e;
	__u64 cookie;

	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		return 1;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[1] != TCP_CLOSE && ops->args[0] != TCP_LISTEN)
			return 1;
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		break;
	default:
		return 1;
	}
	if (!sk)
		return 1;
	ends_of(ops, &e);
	if (ops->op == BPF_SOCK_OPS_TCP_LISTEN_CB || (ops->op == BPF_SOCK_OPS_STATE_CB && ops->args[0] == TCP_LISTEN)) {
		info = bpf_sk_storage_get(&sk_info, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!info)
			return 1;
		if (ops->op == BPF_SOCK_OPS_STATE_CB) {
			local_remove(info, IPPROTO_TCP);
			return 1;
		}
		if (!info->c.netns)
			info->c.netns = bpf_get_netns_cookie(ops);
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		on_listen(ops, info, &e);
		return 1;
	}
	if (ops->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		on_accept(ops, sk, &e);
		return 1;
	}
	cookie = bpf_get_socket_cookie(ops);
	c = connection_of(sk, cookie);
	if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		if (c && c->direction == DIR_EGRESS)
			established(FLOW_CONNECT, c, &e);
		else
			on_unmet(ops, sk, cookie, &e);
		return 1;
	}
	if (c)
		on_close(ops, sk, c, &e);
	bpf_map_delete_elem(&connection, &cookie);
	return 1;
}
