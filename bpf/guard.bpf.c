/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * guard.bpf.c: ways to the wire that pass by every hook for sockets, closed for identities whose egress is enforced
 * unless their registration opens them (OPEN_TUN, OPEN_PACKET) or their policy denies them nothing.
 *   on_device      no tun or tap device: what comes out of one is forwarded, no socket has sent it
 *   guard_egress   (tcx, before Linux 6.6 a filter of clsact, at interfaces of namespaces with a workload that holds
 *                  CAP_NET_RAW) no frame of a packet socket
 *   on_setsockopt  (at the cgroups of such workloads: it costs every setsockopt() there) nothing that gets around the one
 *                  above: PACKET_QDISC_BYPASS, AF_XDP
 */
#include "label.h"

#define CHAR_DEVICE 2
#define MISC_MAJOR 10
#define TUN_MINOR 200
#define VHOST_NET_MINOR 238
#define SOL_PACKET 263
#define SOL_XDP 283
#define PAGE 4096
/* TC_ACT_UNSPEC and TCX_NEXT: whoever else is attached there is asked too. */
#define GO_ON -1
#define DROP 2

/* `opening`: the open_flag that lets it pass, 0 = none does. */
static __always_inline bool is_closed(__u32 identity, __u8 opening)
{
	struct ident_cfg cfg;

	if (!identity)
		return false;
	cfg = ident_cfg_read(identity);
	return (cfg.flags & IDENT_EGRESS) && !(cfg.opens & opening);
}

SEC("cgroup/dev")
int on_device(struct bpf_cgroup_dev_ctx *ctx)
{
	if ((ctx->access_type & 0xffff) != CHAR_DEVICE || ctx->major != MISC_MAJOR ||
	    (ctx->minor != TUN_MINOR && ctx->minor != VHOST_NET_MINOR))
		return 1;
	return !is_closed(current_label().identity, OPEN_TUN);
}

SEC("cgroup/setsockopt")
int on_setsockopt(struct bpf_sockopt *ctx)
{
	if (ctx->level == SOL_PACKET || ctx->level == SOL_XDP)
		return !is_closed(current_label().identity, ctx->level == SOL_PACKET ? OPEN_PACKET : 0);
	if (ctx->optlen > PAGE)
		ctx->optlen = 0; /* longer than the kernel shows: it keeps the caller's */
	return 1;
}

/* A packet socket sends in the context of its caller. */
SEC("tc")
int guard_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct task_struct *task;
	struct proc *p;
	__u32 tgid;

	if (!sk)
		return GO_ON;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->family == AF_INET || sk->family == AF_INET6)
		return GO_ON;
	task = bpf_get_current_task_btf();
	tgid = task->tgid;
	p = bpf_map_lookup_elem(&proc, &tgid);
	if (is_closed(p ? p->identity : 0, OPEN_PACKET))
		return DROP;
	return is_closed(cgroup_identity(bpf_skb_cgroup_id(skb)), OPEN_PACKET) ? DROP : GO_ON;
}
