/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tcp.bpf.c: every change of a TCP socket's state: listeners into `local`, and the life of a connection as events (connect,
 * accept, fail, close). It decides nothing. A tracepoint, because sockops runs a dozen times for each connection.
 */
#include "label.h"
#include "connection.h"
#include "event.h"

/* A clock costs as much as all else of an event. What a packet has brought about has the time that TCP read for this packet. */
static __always_inline __u64 packet_time(const struct tcp_sock *tp)
{
	if (bpf_core_field_exists(tp->tcp_clock_cache))
		return tp->tcp_clock_cache;
	return bpf_ktime_get_ns();
}

struct ends {
	struct addr local, remote;
	__u16 local_port, remote_port;
};

static __always_inline void ends_of(const struct tcp_sock *tp, struct ends *e)
{
	const struct sock_common *sk = &tp->inet_conn.icsk_inet.sk.__sk_common;

	if (sk->skc_family == AF_INET) {
		e->local = addr_v4(sk->skc_rcv_saddr);
		e->remote = addr_v4(sk->skc_daddr);
	} else {
		__builtin_memcpy(&e->local, &sk->skc_v6_rcv_saddr, 16);
		__builtin_memcpy(&e->remote, &sk->skc_v6_daddr, 16);
	}
	e->local_port = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport); /* skc_num is gone when an unbound port closes */
	e->remote_port = bpf_ntohs(sk->skc_dport);
}

static __always_inline struct flow_event *connection_event(__u8 kind, const struct connection *c, const struct ends *e, __u64 now)
{
	struct flow_event *f = flow_begin_at(kind, now);
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
		f->flags = c->flags & SK_REMOTE_LOCAL ? FLOW_BOTH : 0;
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

static __always_inline void keep(struct tcp_sock *tp, __u64 cookie, const struct connection *c)
{
	struct sk_info *info;

	if (!connection_put(cookie, c))
		return;
	count(COUNT_CONNECTION_FULL);
	info = bpf_sk_storage_get(&sk_info, tp, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (info)
		info->c = *c;
}

static __always_inline void established(__u8 kind, struct connection *c, const struct tcp_sock *tp, const struct ends *e)
{
	struct flow_event *f;

	c->flags |= SK_ESTABLISHED;
	barrier(); /* see is_admitted */
	c->latest = packet_time(tp);
	f = connection_event(kind, c, e, c->latest);
	if (f)
		event_submit(f);
}

/* In the context of who calls listen(). */
static __always_inline void on_listen(struct tcp_sock *tp, struct sock *sk, __u64 netns)
{
	struct config *config = config_get();
	struct listen_event *event;
	struct ends ends, *e = &ends;
	struct sk_info *info;

	if (!config || !in_scope(config))
		return;
	info = bpf_sk_storage_get(&sk_info, tp, 0, 0);
	if (!info) { /* listen() without bind() */
		struct label l = current_label();

		info = bpf_sk_storage_get(&sk_info, tp, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!info) { /* its owner filled what it may hold (net.core.optmem_max) */
			struct connection c = {.netns = netns};

			sk_label(&c, &l);
			connection_put(bpf_get_socket_cookie(sk), &c);
			return;
		}
		sk_label(&info->c, &l);
	}
	ends_of(tp, e);
	info->c.netns = netns;
	/* sshd and the like: the listener and the sessions that it accepts */
	if (info->c.tgid) {
		struct proc *p = bpf_map_lookup_elem(&proc, &info->c.tgid);

		if (p && (p->flags & (PROC_FAILSAFE | PROC_SELF)))
			info->c.flags |= SK_FAILSAFE;
	}
	if (e->local_port) { /* else the kernel picks one only now: the agent, told by the event, finds it by `backfill` */
		sk_label_listen(&info->c, &e->local, IPPROTO_TCP, e->local_port);
		local_add(info, &e->local, IPPROTO_TCP, e->local_port);
	}
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
static __always_inline bool accept_by_address(struct connection *c, struct sock *sk, const struct ends *e)
{
	struct local_val *v;
	struct ident_cfg cfg;

	if (!sock_in_scope(sk))
		return false;
	v = local_find(c->netns, &e->local, IPPROTO_TCP, e->local_port);
	if (v) {
		c->local_id = v->identity;
		c->tgid = v->tgid;
		c->flags |= v->failsafe & SK_FAILSAFE;
	} else {
		c->local_id = sock_cgroup_identity(sk);
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
	return true;
}

static __always_inline void on_accept(struct tcp_sock *tp, struct sock *sk, __u64 cookie, __u64 netns)
{
	struct connection c = {.netns = netns, .direction = DIR_INGRESS};
	__u32 zero = 0;
	struct handshake *h = bpf_map_lookup_elem(&handshake, &zero);
	struct ends ends, *e = &ends;

	ends_of(tp, e);
	c.port = e->local_port;
	if (h && handshake_of(h, &c, e)) {
		c.local_id = h->local_id;
		c.remote_id = h->remote_id;
		c.rule = h->rule;
		c.gen = h->gen;
		c.tgid = h->tgid;
		c.peer_tgid = h->peer_tgid;
		c.flags = h->flags;
		c.origin = h->origin;
	} else if (!accept_by_address(&c, sk, e)) {
		return;
	}
	established(FLOW_ACCEPT, &c, tp, e);
	keep(tp, cookie, &c);
}

/*
 * The kernel's byte counts include sequence numbers that carry no payload: of who connected its SYN, and each FIN once it
 * is acknowledged (sent) or has come (received).
 */
static __always_inline bool fin_acked(__u32 old_state)
{
	return old_state == TCP_LAST_ACK || old_state == TCP_FIN_WAIT2 || old_state == TCP_CLOSING;
}

static __always_inline __u64 less(__u64 bytes, __u32 flags)
{
	return bytes > flags ? bytes - flags : 0;
}

static __always_inline void on_close(struct tcp_sock *tp, const struct sock_common *sk, struct connection *c, int old)
{
	struct flow_event *f;
	struct ends e;

	if (!(c->flags & SK_ESTABLISHED)) {
		if (old != TCP_SYN_SENT || (c->flags & SK_LOST)) /* lost: its denial was said at connect() */
			return;
		ends_of(tp, &e);
		f = connection_event(FLOW_FAIL, c, &e, bpf_ktime_get_ns());
		if (f)
			event_submit(f);
		return;
	}
	c->flags &= ~SK_ESTABLISHED;
	ends_of(tp, &e);
	/* by the other end's last packet, or a timer, which reads the clock as well */
	f = connection_event(FLOW_CLOSE, c, &e, fin_acked(old) ? packet_time(tp) : bpf_ktime_get_ns());
	if (!f)
		return;
	f->bytes_sent = less(tp->bytes_acked, (c->direction == DIR_EGRESS) + fin_acked(old));
	f->bytes_received = less(tp->bytes_received, !!(sk->skc_flags & SOCK_DONE_BIT));
	f->duration_ns = f->header.time_ns - c->latest;
	f->rtt_us = tp->srtt_us >> 3;
	f->retransmits = tp->total_retrans;
	event_submit(f);
}

static __always_inline struct connection *connection_of(struct tcp_sock *tp, __u64 cookie)
{
	struct connection *c = connection_find(cookie);
	struct sk_info *info;

	if (c)
		return c;
	info = bpf_sk_storage_get(&sk_info, tp, 0, 0);
	return info ? &info->c : NULL;
}

static __always_inline void on_connected(struct tcp_sock *tp, struct sock *sk, __u64 cookie, __u64 netns)
{
	struct connection *known = connection_of(tp, cookie), c = {.netns = netns, .direction = DIR_EGRESS};
	struct ends e;

	ends_of(tp, &e);
	if (known && known->direction == DIR_EGRESS) {
		if (!(known->flags & SK_ESTABLISHED))
			established(FLOW_CONNECT, known, tp, &e);
		return;
	}
	/* connect() was not met: an MPTCP subflow, or older than the hooks */
	if (!sock_in_scope(sk))
		return;
	c.local_id = sock_cgroup_identity(sk);
	established(FLOW_CONNECT, &c, tp, &e);
	keep(tp, cookie, &c);
}

/* As bpf_get_socket_cookie, without the call for who has one. */
static __always_inline __u64 cookie_of(struct sock *sk)
{
	return sk->__sk_common.skc_cookie.counter ?: bpf_get_socket_cookie(sk);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int old, int state)
{
	const struct sock_common *skc = &sk->__sk_common;
	struct connection *c;
	struct tcp_sock *tp;
	__u64 cookie;

	if ((state != TCP_ESTABLISHED && state != TCP_CLOSE && state != TCP_LISTEN) || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	if (state == TCP_LISTEN) {
		on_listen(tp, sk, skc->skc_net.net->net_cookie);
		return 0;
	}
	if (old == TCP_LISTEN) {
		struct sk_info *info = bpf_sk_storage_get(&sk_info, tp, 0, 0);

		if (info)
			local_remove(info, IPPROTO_TCP);
		else
			connection_drop(bpf_get_socket_cookie(sk));
		return 0;
	}
	cookie = cookie_of(sk);
	if (state == TCP_ESTABLISHED) {
		if (old == TCP_SYN_SENT)
			on_connected(tp, sk, cookie, skc->skc_net.net->net_cookie);
		else
			on_accept(tp, sk, cookie, skc->skc_net.net->net_cookie);
		return 0;
	}
	c = connection_of(tp, cookie);
	if (!c)
		return 0;
	on_close(tp, skc, c, old);
	connection_drop(cookie);
	return 0;
}
