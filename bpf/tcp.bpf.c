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

static __always_inline struct flow_event *connection_event(__u8 kind, const struct sk_info *info, const struct ends *e)
{
	struct flow_event *f = flow_begin(kind);
	bool client = info->direction != DIR_INGRESS;

	if (!f)
		return NULL;
	f->verdict = VERDICT_FORWARDED;
	f->direction = info->direction;
	f->protocol = IPPROTO_TCP;
	f->rule = info->rule;
	f->gen = info->gen;
	f->netns = info->netns;
	if (client) {
		f->source_id = info->local_id ?: RESERVED_HOST;
		f->source_tgid = info->tgid;
		f->destination_id = info->remote_id ?: RESERVED_HOST;
		f->destination_tgid = info->peer_tgid;
		f->sport = e->local_port;
		f->dport = e->remote_port;
		__builtin_memcpy(f->saddr, &e->local, 16);
		__builtin_memcpy(f->daddr, &e->remote, 16);
	} else {
		f->destination_id = info->local_id ?: RESERVED_HOST;
		f->destination_tgid = info->tgid;
		f->source_id = info->remote_id ?: RESERVED_HOST;
		f->source_tgid = info->peer_tgid;
		f->dport = e->local_port;
		f->sport = e->remote_port;
		__builtin_memcpy(f->daddr, &e->local, 16);
		__builtin_memcpy(f->saddr, &e->remote, 16);
	}
	return f;
}

static __always_inline void established(__u8 kind, struct sk_info *info, const struct ends *e)
{
	struct flow_event *f = connection_event(kind, info, e);

	info->flags |= SK_ESTABLISHED;
	if (!f) {
		info->latest = bpf_ktime_get_boot_ns();
		return;
	}
	info->latest = f->header.time_ns;
	event_submit(f);
}

static __always_inline void on_listen(struct bpf_sock_ops *ops, struct sk_info *info, struct ends *e)
{
	struct listen_event *event;

	/* sshd and the like: the listener and, by BPF_F_CLONE, the sessions that it accepts */
	if (info->tgid) {
		struct proc *p = bpf_map_lookup_elem(&proc, &info->tgid);

		if (p && (p->flags & (PROC_FAILSAFE | PROC_SELF)))
			info->flags |= SK_FAILSAFE;
	}
	sk_label_listen(info, &e->local, IPPROTO_TCP, e->local_port);
	local_add(info, &e->local, IPPROTO_TCP, e->local_port);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNT_EVENT_LOST);
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	header_init(&event->header, EVENT_LISTEN, sizeof(*event));
	__builtin_memcpy(event->addr, &e->local, 16);
	event->netns = info->netns;
	event->tgid = info->tgid;
	event->identity = info->local_id;
	event->port = e->local_port;
	event->protocol = IPPROTO_TCP;
	event_submit(event);
}

static __always_inline void on_accept(struct sk_info *info, const struct ends *e)
{
	struct syn_key key = {.netns = info->netns, .sport = e->remote_port, .dport = e->local_port};
	struct syn_val *v;

	/* the storage is a copy of the listener's */
	info->flags &= ~(SK_LISTED | SK_REMOTE_LOCAL | SK_ESTABLISHED);
	info->direction = DIR_INGRESS;
	info->port = e->local_port;
	__builtin_memcpy(key.saddr, &e->remote, 16);
	__builtin_memcpy(key.daddr, &e->local, 16);
	v = bpf_map_lookup_elem(&syn, &key);
	if (v) {
		info->remote_id = v->remote_id;
		info->rule = v->rule;
		info->gen = v->gen;
		info->peer_tgid = v->peer_tgid;
		info->flags |= v->flags & SK_REMOTE_LOCAL;
		bpf_map_delete_elem(&syn, &key);
	} else {
		struct ident_cfg cfg = ident_cfg_read(info->local_id);

		info->rule = 0;
		info->gen = cfg.gen;
		info->peer_tgid = 0;
		if (own_address(info->netns, &e->remote)) {
			info->remote_id = RESERVED_HOST;
		} else {
			struct judged j;

			info->remote_id = address_identity(&e->remote, cfg.ip_slot);
			j = judge(cfg, info->local_id, info->remote_id, DIR_INGRESS, IPPROTO_TCP, e->local_port);
			if (j.allow && !(info->flags & SK_FAILSAFE)) /* else a flip came after the SYN: revocation ends it */
				info->rule = j.rule;
		}
	}
	established(FLOW_ACCEPT, info, e);
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

static __always_inline void on_state(struct bpf_sock_ops *ops, struct bpf_sock *sk, struct sk_info *info, struct ends *e)
{
	struct flow_event *f;

	if (ops->args[0] == TCP_LISTEN) {
		local_remove(info, IPPROTO_TCP);
		return;
	}
	if (!(info->flags & SK_ESTABLISHED)) {
		if (ops->args[0] == TCP_SYN_SENT) {
			f = connection_event(FLOW_FAIL, info, e);
			if (f)
				event_submit(f);
		}
		return;
	}
	info->flags &= ~SK_ESTABLISHED;
	f = connection_event(FLOW_CLOSE, info, e);
	if (!f)
		return;
	f->bytes_sent = less(ops->bytes_acked, (info->direction == DIR_EGRESS) + fin_acked(ops->args[0]));
	f->bytes_received = less(ops->bytes_received, fin_received(sk));
	f->duration_ns = f->header.time_ns - info->latest;
	f->rtt_us = ops->srtt_us >> 3;
	f->retransmits = ops->total_retrans;
	event_submit(f);
}

SEC("sockops")
int on_sockops(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct sk_info *info;
	struct ends e;

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
	info = bpf_sk_storage_get(&sk_info, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!info)
		return 1;
	if (!info->netns)
		info->netns = bpf_get_netns_cookie(ops);
	ends_of(ops, &e);
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		on_listen(ops, info, &e);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		if (info->direction != DIR_EGRESS) /* MPTCP subflow: no connect() of its own */
			info->direction = DIR_EGRESS;
		established(FLOW_CONNECT, info, &e);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
		on_accept(info, &e);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		on_state(ops, sk, info, &e);
		break;
	}
	return 1;
}
