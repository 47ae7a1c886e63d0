/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * other.h: of a packet that stays on this host, who is at its other end and whether that one may; and what a packet's verdict is
 * told as. Functions of their own to the verifier: Linux 6.1 follows every path into each place that they are called from.
 */
#ifndef POSTERN_OTHER_H
#define POSTERN_OTHER_H

#include "label.h"
#include "connection.h"
#include "event.h"

/* Multicast and broadcast come back to their own host from the interface that they went to. */
static __always_inline bool from_here(struct __sk_buff *skb)
{
	return skb->ifindex == LOOPBACK_IFINDEX || skb->pkt_type == PACKET_LOOPBACK;
}

/*
 * sender(), as a function of its own to the verifier, as report_into() is. `what`: stream << 32 | sport << 16 | dport. The answer is
 * for whom a stream's connect() was judged, 0 = not known.
 */
__noinline int sender_into(struct __sk_buff *skb, const struct addr *src, const struct addr *dst, __u64 what, struct peer *p)
{
	__u16 sport = what >> 16, dport = what;
	bool stream = what >> 32;
	__u32 meant = 0;
	struct bpf_sock_tuple t = {};
	struct connection *c;
	struct sk_info *info;
	struct bpf_sock *sk;
	__u32 size;

	if (!src || !dst || !p)
		return 0;
	p->id = RESERVED_HOST;
	p->tgid = 0;
	p->local = true;
	p->failsafe = false;
	if (addr_is_v4(src)) {
		t.ipv4.saddr = dst->w[3];
		t.ipv4.daddr = src->w[3];
		t.ipv4.sport = bpf_htons(dport);
		t.ipv4.dport = bpf_htons(sport);
		size = sizeof(t.ipv4);
	} else {
		__builtin_memcpy(t.ipv6.saddr, dst, 16);
		__builtin_memcpy(t.ipv6.daddr, src, 16);
		t.ipv6.sport = bpf_htons(dport);
		t.ipv6.dport = bpf_htons(sport);
		size = sizeof(t.ipv6);
	}
	sk = stream ? bpf_sk_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0) :
		      bpf_sk_lookup_udp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk) {
		count(COUNT_LOCAL_MISS);
		return 0;
	}
	info = bpf_sk_storage_get(&sk_info, sk, 0, 0);
	c = info ? &info->c : NULL;
	if (stream) {
		struct sock *kernel_sk = (struct sock *)bpf_skc_to_tcp_sock(sk);
		__u64 cookie = kernel_sk ? sock_cookie(kernel_sk) : 0;

		c = connection_find(cookie) ?: c;
	}
	if (c) {
		p->id = c->local_id ?: RESERVED_HOST;
		p->tgid = c->tgid;
		if (stream && c->direction == DIR_EGRESS)
			meant = c->remote_id;
	} else {
		p->id = cgroup_identity(bpf_sk_cgroup_id(sk)) ?: RESERVED_HOST;
	}
	bpf_sk_release(sk);
	return meant;
}

/* The socket of this host that sent a packet which came over loopback. `meant`: for whom its connect() was judged, 0 = not known. */
static __always_inline struct peer sender(struct __sk_buff *skb, const struct addr *src, const struct addr *dst,
					  __u16 sport, __u16 dport, bool stream, __u32 *meant)
{
	struct peer p = {};

	*meant = sender_into(skb, src, dst, (__u64)stream << 32 | (__u32)sport << 16 | dport, &p);
	return p;
}

/* A SYN goes out over loopback: the next thing this CPU does with it is to hand it to its listener. */
__noinline int own_syn_note(struct __sk_buff *skb, __u64 cookie, __u64 netns)
{
	struct bpf_sock *sk = skb->sk;
	struct own_syn *note;
	struct addr src, dst;
	__u32 zero = 0;

	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	note = bpf_map_lookup_elem(&own_syn, &zero);
	if (!sk || !note)
		return 0;
	src = source_of(sk);
	dst = destination_of(sk);
	note->cookie = cookie;
	note->netns = netns;
	__builtin_memcpy(note->saddr, &src, 16);
	__builtin_memcpy(note->daddr, &dst, 16);
	note->sport = sk->src_port;
	note->dport = bpf_ntohs(sk->dst_port);
	return 0;
}

/*
 * Who sent this packet over loopback, where this CPU saw its SYN go out: what sender() would find. A connection that is gone is not
 * found by its cookie; one that lives owns its addresses and ports.
 */
static __always_inline struct connection *own_syn_of(__u64 netns, const struct addr *src, const struct addr *dst, __u16 sport,
						     __u16 dport)
{
	struct connection *c;
	struct own_syn *note;
	__u32 zero = 0;
	__u64 cookie;

	note = bpf_map_lookup_elem(&own_syn, &zero);
	if (!note || !netns || note->netns != netns || note->sport != sport || note->dport != dport ||
	    !addr_equal((struct addr *)note->saddr, src) || !addr_equal((struct addr *)note->daddr, dst))
		return NULL;
	cookie = note->cookie;
	c = connection_find(cookie);
	return c && c->direction == DIR_EGRESS && c->port == dport ? c : NULL;
}

/* Did connect() judge that this receiver admits it, under the generation of now? `latest` is read first: it is written last. */
static __always_inline bool is_admitted(const struct connection *c, __u32 gen, __u32 *rule)
{
	__u64 latest = *(volatile __u64 *)&c->latest;

	if (!gen || latest >> 32 != gen || *(volatile __u8 *)&c->flags & SK_ESTABLISHED)
		return false;
	*rule = latest;
	return true;
}

struct parties {
	__u64 netns;
	__u32 source;
	__u32 source_tgid;
	__u32 destination;
	__u32 destination_tgid;
};

/*
 * packet_report(), as a function of its own to the verifier: while an event is reserved, Linux 6.1 takes no two paths for the
 * same, so none is to end in it twice. `what`: kind << 40 | protocol << 32 | sport << 16 | dport.
 */
__noinline int report_into(const struct judged *j, const struct parties *who, const struct addr *src, const struct addr *dst,
			   __u64 what)
{
	__u8 kind = what >> 40;
	struct flow_event *e;

	if (!j || !who || !src || !dst)
		return 0;
	e = flow_begin(kind);
	if (!e)
		return 0;
	e->verdict = kind == FLOW_DENY ? VERDICT_DROPPED : kind == FLOW_AUDIT ? VERDICT_AUDIT : VERDICT_FORWARDED;
	e->direction = j->direction;
	e->reason = j->reason;
	e->protocol = what >> 32;
	e->source_id = who->source ?: RESERVED_HOST;
	e->destination_id = who->destination ?: RESERVED_HOST;
	e->source_tgid = who->source_tgid;
	e->destination_tgid = who->destination_tgid;
	e->flags = j->denial & FLOW_BOTH;
	e->rule = j->rule;
	e->gen = j->gen;
	e->sport = what >> 16;
	e->dport = what;
	e->netns = who->netns;
	__builtin_memcpy(e->saddr, src, 16);
	__builtin_memcpy(e->daddr, dst, 16);
	event_submit(e);
	return 0;
}

static __always_inline void packet_report(__u8 kind, const struct judged *j, __u32 source, __u32 source_tgid,
					  __u32 destination, __u32 destination_tgid, const struct addr *src,
					  const struct addr *dst, __u16 sport, __u16 dport, __u8 protocol, __u64 netns)
{
	struct parties who = {netns, source, source_tgid, destination, destination_tgid};

	report_into(j, &who, src, dst, (__u64)kind << 40 | (__u64)protocol << 32 | (__u64)sport << 16 | dport);
}

/*
 * Over loopback the other end's side is judged too, by who really is there: `local` says only who should be (its port may have
 * gone to another, the unspecified address may have led elsewhere, what was sent to many was judged by its address).
 * `what`: direction << 24 | protocol << 16 | port.
 */
static __always_inline void judge_other_inline(struct judged *j, const struct peer *p, __u32 id, __u32 what)
{
	struct judged other;

	if (!j->allow || p->failsafe || p->id == RESERVED_HOST)
		return;
	other = judge(ident_cfg_read(p->id), p->id, id ?: RESERVED_HOST, what >> 24, what >> 16, what);
	if (!other.allow)
		*j = other;
}

/* The same, as a function of its own to the verifier. */
__noinline int judge_other_into(struct judged *j, const struct peer *p, __u32 id, __u32 what)
{
	if (j && p)
		judge_other_inline(j, p, id, what);
	return 0;
}

static __always_inline void judge_other(struct judged *j, const struct peer *p, __u32 id, __u8 direction, __u8 protocol, __u16 port)
{
	judge_other_into(j, p, id, (__u32)direction << 24 | (__u32)protocol << 16 | port);
}

#endif
