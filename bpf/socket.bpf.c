/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * socket.bpf.c: cgroup hooks in the context of the calling process.
 *   sock_create       labels the socket (TCP waits for its bind, listen or connect); an enforced workload gets TCP and UDP,
 *                     and what its registration or policy opens
 *   bind              the caller owns the socket; a registered port belongs to its workload
 *   post_bind         a bound datagram socket can be reached: `local`
 *   sock_release      takes it out of `local` and `connection`
 *   connect, sendmsg  judge egress and, for a destination on this host, its ingress: for either EPERM, ECONNREFUSED or, by the
 *                     packet hooks, silence, as the policy that decided has it; one event
 */
#include "label.h"
#include "connection.h"
#include "event.h"
#include "icmp.h"

static __always_inline struct sk_info *sk_info_of(struct bpf_sock *sk)
{
	return bpf_sk_storage_get(&sk_info, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
}

/* TCP and UDP need no leave; of the others only what is declared or what policy allows to somebody (enum open_flag). */
static __always_inline bool may_create(struct bpf_sock *sk, __u32 identity)
{
	struct raw_key key = {.identity = identity, .protocol = sk->protocol};
	struct ident_cfg cfg;

	if (sk->type == SOCK_DGRAM && sk->protocol == IPPROTO_UDP)
		return true;
	cfg = ident_cfg_read(identity);
	if (!(cfg.flags & (IDENT_INGRESS | IDENT_EGRESS)) || (cfg.opens & OPEN_SOCKETS))
		return true;
	if (sk->type == SOCK_STREAM)
		return sk->protocol == IPPROTO_MPTCP && (cfg.opens & OPEN_MPTCP);
	if (sk->type != SOCK_DGRAM && sk->type != SOCK_RAW)
		return false;
	if (is_icmp(sk->protocol) && (cfg.opens & OPEN_ICMP))
		return true;
	if (sk->type == SOCK_DGRAM)
		return sk->protocol == IPPROTO_UDPLITE && (cfg.opens & OPEN_UDPLITE);
	return (cfg.opens & OPEN_RAW) && bpf_map_lookup_elem(&raw_open, &key);
}

SEC("cgroup/sock_create")
int on_sock_create(struct bpf_sock *sk)
{
	struct sk_info *info, fresh = {};
	struct label l;

	if (sk->family != AF_INET && sk->family != AF_INET6)
		return 1;
	if (sk->type == SOCK_STREAM && sk->protocol == IPPROTO_TCP)
		return 1;
	l = current_label();
	fresh.c.netns = bpf_get_netns_cookie(sk);
	sk_label(&fresh.c, &l);
	/* a raw socket hears already: there is no moment in which its storage is there and says nothing */
	info = bpf_sk_storage_get(&sk_info, sk, &fresh, BPF_SK_STORAGE_GET_F_CREATE);
	if (!info)
		return l.identity ? 0 : 1; /* no memory: a workload's socket must not be the host's */
	if (l.identity && !may_create(sk, l.identity)) {
		struct flow_event *e = flow_begin(FLOW_DENY);

		if (e) {
			e->verdict = VERDICT_DROPPED;
			e->direction = DIR_EGRESS;
			e->reason = REASON_SOCKET_TYPE;
			e->protocol = sk->protocol == IPPROTO_MPTCP ? IPPROTO_TCP : sk->protocol;
			e->source_id = l.identity;
			e->source_tgid = l.tgid;
			e->netns = info->c.netns;
			event_submit(e);
		}
		/* as on a host without it: who asks for MPTCP goes on with TCP then */
		if (sk->protocol == IPPROTO_MPTCP)
			bpf_set_retval(-EPROTONOSUPPORT);
		return 0;
	}
	return 1;
}

static __always_inline int on_bind(struct bpf_sock_addr *ctx, struct addr *a)
{
	struct config *c = config_get();
	struct listen_key key = {.port = bpf_ntohs(ctx->user_port), .protocol = ctx->protocol};
	struct listen_val *owner;
	struct sk_info *info;
	struct bpf_sock *sk = ctx->sk;
	struct label l;

	if (!sk)
		return 1;
	info = sk_info_of(sk);
	if (!info)
		return 0;
	if (current_is_kernel_thread()) {
		count(COUNT_KTHREAD);
		return 1;
	}
	l = current_label();
	if (!info->c.netns)
		info->c.netns = bpf_get_netns_cookie(ctx);
	sk_label(&info->c, &l);
	if (!key.port || !l.identity)
		return 1;
	key.slot = c ? c->match_slot : 0;
	__builtin_memcpy(key.addr, a, 16);
	owner = bpf_map_lookup_elem(&listen_match, &key);
	if (!owner) {
		__builtin_memset(key.addr, 0, 16);
		owner = bpf_map_lookup_elem(&listen_match, &key);
	}
	/* A stronger claim than the port's is never refused: that would let a port claim break a workload. */
	if (owner && owner->identity != l.identity && owner->rank > l.rank) {
		struct flow_event *e = flow_begin(FLOW_DENY);

		if (e) {
			e->verdict = VERDICT_DROPPED;
			e->direction = DIR_INGRESS;
			e->reason = REASON_PORT_OWNED;
			e->protocol = ctx->protocol;
			e->source_id = owner->identity;
			e->destination_id = l.identity;
			e->destination_tgid = l.tgid;
			e->dport = key.port;
			__builtin_memcpy(e->daddr, a, 16);
			e->netns = info->c.netns;
			event_submit(e);
		}
		return 0;
	}
	return 1;
}

SEC("cgroup/bind4")
int on_bind4(struct bpf_sock_addr *ctx)
{
	struct addr a = addr_v4(ctx->user_ip4);

	return on_bind(ctx, &a);
}

SEC("cgroup/bind6")
int on_bind6(struct bpf_sock_addr *ctx)
{
	struct addr a = {{ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}};

	return on_bind(ctx, &a);
}

static __always_inline void listen_report(struct sk_info *info, const struct addr *a, __u8 protocol, __u16 port)
{
	struct listen_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count(COUNT_EVENT_LOST);
		return;
	}
	__builtin_memset(e, 0, sizeof(*e));
	header_init(&e->header, EVENT_LISTEN, sizeof(*e));
	__builtin_memcpy(e->addr, a, 16);
	e->netns = info->c.netns;
	e->tgid = info->c.tgid;
	e->identity = info->c.local_id;
	e->port = port;
	e->protocol = protocol;
	event_submit(e);
}

static __always_inline int on_post_bind(struct bpf_sock *sk, struct addr *a)
{
	struct sk_info *info;
	__u16 port = sk->src_port;

	if (sk->type != SOCK_DGRAM || !port || (sk->protocol != IPPROTO_UDP && sk->protocol != IPPROTO_UDPLITE))
		return 1;
	info = bpf_sk_storage_get(&sk_info, sk, 0, 0);
	if (!info)
		return 1;
	if (sk->protocol == IPPROTO_UDP)
		sk_dhcp_client(&info->c, port);
	sk_label_listen(&info->c, a, sk->protocol, port);
	local_remove(info, sk->protocol); /* bound before, and let go by connect() to AF_UNSPEC */
	local_add(info, a, sk->protocol, port);
	listen_report(info, a, sk->protocol, port);
	return 1;
}

SEC("cgroup/post_bind4")
int on_post_bind4(struct bpf_sock *sk)
{
	struct addr a = addr_v4(sk->src_ip4);

	return on_post_bind(sk, &a);
}

SEC("cgroup/post_bind6")
int on_post_bind6(struct bpf_sock *sk)
{
	struct addr a = {{sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3]}};

	return on_post_bind(sk, &a);
}

SEC("cgroup/sock_release")
int on_sock_release(struct bpf_sock *sk)
{
	struct sk_info *info;

	if (sk->type == SOCK_STREAM) {
		__u64 cookie;

		if (sk->protocol == IPPROTO_TCP && sk->state != TCP_CLOSE)
			return 1; /* on_state sees its end */
		cookie = bpf_get_socket_cookie(sk);
		connection_drop(cookie);
		return 1;
	}
	if (sk->type != SOCK_DGRAM)
		return 1;
	info = bpf_sk_storage_get(&sk_info, sk, 0, 0);
	if (info)
		local_remove(info, sk->protocol);
	return 1;
}

static __always_inline void deny_report(const struct connection *c, const struct judged *j, const struct peer *p,
					const struct addr *dst, __u16 dport, __u16 sport, __u8 protocol)
{
	struct flow_event *e = flow_begin(j->allow ? FLOW_AUDIT : FLOW_DENY);

	if (!e)
		return;
	e->verdict = j->allow ? VERDICT_AUDIT : VERDICT_DROPPED;
	e->direction = j->direction;
	e->reason = j->reason;
	e->protocol = protocol;
	e->source_id = c->local_id ?: RESERVED_HOST;
	e->destination_id = p->id;
	e->source_tgid = c->tgid;
	e->destination_tgid = p->tgid;
	e->rule = j->rule;
	e->gen = j->gen;
	e->sport = sport;
	e->dport = dport;
	e->netns = c->netns;
	__builtin_memcpy(e->daddr, dst, 16);
	event_submit(e);
}

/*
 * Egress of the sender and, for a socket of this host, its ingress, which is left in `in`. `answers`: the peer began, its right is
 * not asked.
 */
static __always_inline struct judged judge_send(const struct connection *c, struct ident_cfg cfg, const struct peer *p,
						__u8 protocol, __u16 port, bool answers, struct judged *in)
{
	struct judged j;

	if (c->flags & SK_FAILSAFE)
		return (struct judged){.allow = 1, .gen = cfg.gen, .direction = DIR_EGRESS};
	j = judge(cfg, c->local_id, p->id, DIR_EGRESS, protocol, port);
	if (!j.allow || !p->local || p->failsafe || answers)
		return j;
	*in = judge(ident_cfg_read(p->id == RESERVED_HOST ? 0 : p->id), p->id, c->local_id ?: RESERVED_HOST, DIR_INGRESS, protocol, port);
	if (!in->allow)
		return *in;
	if (!j.rule && !in->audit) /* what ingress only audits is reported where it arrives */
		return (struct judged){.rule = in->rule, .gen = in->gen ?: j.gen, .allow = 1, .direction = DIR_EGRESS};
	if (!j.gen) /* no generation says that neither of the two is enforced */
		j.gen = in->gen;
	return j;
}

/* Relabels by the caller, unless that is a kernel thread. */
static __always_inline void label_by_caller(struct connection *c, bool kernel_thread)
{
	if (kernel_thread) {
		count(COUNT_KTHREAD);
	} else {
		struct label l = current_label();

		sk_label(c, &l);
	}
}

/*
 * A subflow that MPTCP opens by itself, in a kernel thread, belongs to who connected or listened; any other connection of a
 * kernel thread to the cgroup that its socket was made in.
 */
static __always_inline void label_subflow(struct connection *c, struct bpf_sock *sk, bool kernel_thread)
{
	struct mptcp_sock *msk = bpf_skc_to_mptcp_sock(sk);
	struct sk_info *whole = msk ? bpf_sk_storage_get(&sk_info, msk, 0, 0) : NULL;

	if (!kernel_thread) {
		if (whole)
			whole->c.local_id = c->local_id;
	} else if (!c->local_id) {
		struct sock *kernel_sk = (struct sock *)bpf_skc_to_tcp_sock(sk);

		if (whole)
			c->local_id = whole->c.local_id;
		else if (kernel_sk)
			c->local_id = cgroup_identity(BPF_CORE_READ(kernel_sk, sk_cgrp_data.cgroup, kn, id));
	}
}

/* What the caller of a denied connect() or sendmsg() gets at once. */
static __always_inline int denied(const struct judged *j)
{
	if (j->denial == POLICY_REFUSED)
		bpf_set_retval(-ECONNREFUSED);
	return 0;
}

/* connect() of a stream. 1 = go on, 0 = EPERM, or as `denied` says. */
static __always_inline int on_connect(struct bpf_sock_addr *ctx, struct bpf_sock *sk, struct addr *dst)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct connection c = {.direction = DIR_EGRESS, .port = bpf_ntohs(ctx->user_port)};
	__u8 protocol = ctx->protocol;
	bool kernel_thread = current_is_kernel_thread();
	struct ident_cfg cfg;
	struct sk_info *info;
	struct judged j, in = {};
	struct peer p;

	if (kernel_thread) { /* connects again for who connected first */
		struct connection *before = connection_find(cookie);

		if (before)
			c.local_id = before->local_id;
	}
	label_by_caller(&c, kernel_thread);
	label_subflow(&c, sk, kernel_thread);
	c.netns = bpf_get_netns_cookie(ctx);
	addr_specify(dst);
	cfg = ident_cfg_read(c.local_id);
	p = peer_at(c.netns, dst, protocol, c.port, cfg.ip_slot);
	j = judge_send(&c, cfg, &p, protocol, c.port, false, &in);
	if (!j.allow || j.audit)
		deny_report(&c, &j, &p, dst, c.port, sk->src_port, protocol);
	if (!j.allow) {
		if (j.denial != POLICY_TIMEOUT)
			return denied(&j);
		c.flags = SK_LOST;
	}
	c.remote_id = p.id;
	c.peer_tgid = p.tgid;
	c.rule = j.audit ? 0 : j.rule;
	c.gen = j.gen;
	if (in.allow && !in.audit)
		c.latest = admission(in.gen, in.rule);
	if (p.local)
		c.flags |= SK_REMOTE_LOCAL;
	if (!connection_put(cookie, &c))
		return 1;
	count(COUNT_CONNECTION_FULL);
	info = sk_info_of(sk);
	if (!info)
		return 0;
	info->c = c;
	return 1;
}

/* connect() of a datagram socket, and sendmsg() with an address. 1 = go on, 0 = EPERM, or as `denied` says. */
static __always_inline int on_datagram(struct bpf_sock_addr *ctx, struct bpf_sock *sk, struct addr *dst, bool connecting)
{
	__u16 port = bpf_ntohs(ctx->user_port);
	__u8 protocol = ctx->protocol;
	struct conv_key key = {};
	struct conv_val *known, fresh = {};
	struct ident_cfg cfg;
	struct sk_info *info;
	struct judged j, in;
	struct peer p;
	bool answers;

	info = sk_info_of(sk);
	if (!info)
		return 0;
	label_by_caller(&info->c, current_is_kernel_thread());
	if (!info->c.netns)
		info->c.netns = bpf_get_netns_cookie(ctx);
	if (!connecting && ctx->user_family == 0 && port == 0) {
		/* a connected datagram with control messages: no address is given, the peer is the socket's own */
		__builtin_memcpy(dst, info->peer, 16);
		port = info->peer_port;
	}
	addr_specify(dst);
	if (is_icmp(protocol)) { /* judged by its type, which only the packet has */
		port = 0;
		goto allowed;
	}
	cfg = ident_cfg_read(info->c.local_id);
	if (protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE)
		port = 0;
	if (conv_is_latest(&info->c, conv_word(dst, port, cfg.gen), cfg.gen))
		goto allowed;
	key.cookie = bpf_get_socket_cookie(ctx);
	key.port = port;
	key.protocol = protocol;
	__builtin_memcpy(key.addr, dst, 16);
	known = bpf_map_lookup_elem(&conversation, &key);
	if (known && known->gen == cfg.gen)
		goto allowed;
	p = peer_at(info->c.netns, dst, protocol, port, cfg.ip_slot);
	answers = known && known->direction == DIR_INGRESS;
	j = judge_send(&info->c, cfg, &p, protocol, port, answers, &in);
	/* an answer to who may talk to us needs no rule of ours */
	if (!j.allow && answers &&
	    judge(cfg, info->c.local_id, p.local ? known->remote_id : p.id, DIR_INGRESS, protocol, sk->src_port).allow) {
		known->gen = cfg.gen;
		goto allowed;
	}
	if (!j.allow && j.denial == POLICY_TIMEOUT)
		goto allowed; /* as far as the packet hooks, which drop it here or where it arrives, and say so */
	if (!j.allow || j.audit)
		deny_report(&info->c, &j, &p, dst, port, sk->src_port, protocol);
	if (!j.allow)
		return denied(&j);
	if (known) {
		known->gen = cfg.gen;
		known->remote_id = p.id;
		known->rule = j.audit ? 0 : j.rule;
		known->rule_gen = j.gen;
		known->both = p.local ? FLOW_BOTH : 0;
	} else {
		fresh.gen = cfg.gen;
		fresh.remote_id = p.id;
		fresh.rule = j.audit ? 0 : j.rule;
		fresh.rule_gen = j.gen;
		fresh.direction = DIR_EGRESS;
		fresh.untold = 1;
		fresh.both = p.local ? FLOW_BOTH : 0;
		bpf_map_update_elem(&conversation, &key, &fresh, BPF_ANY);
	}
allowed:
	if (connecting) {
		__builtin_memcpy(info->peer, dst, 16);
		info->peer_port = port;
	}
	return 1;
}

static __always_inline int on_send(struct bpf_sock_addr *ctx, struct addr *dst, bool connecting)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return 1;
	if (sk->type == SOCK_STREAM)
		return connecting ? on_connect(ctx, sk, dst) : 1;
	return on_datagram(ctx, sk, dst, connecting);
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr *ctx)
{
	struct addr a = addr_v4(ctx->user_ip4);

	return on_send(ctx, &a, true);
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr *ctx)
{
	struct addr a = {{ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}};

	return on_send(ctx, &a, true);
}

SEC("cgroup/sendmsg4")
int on_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct addr a = addr_v4(ctx->user_ip4);

	return on_send(ctx, &a, false);
}

SEC("cgroup/sendmsg6")
int on_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct addr a = {{ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}};

	return on_send(ctx, &a, false);
}
