/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe.bpf.c: asks the kernel's own tables without traffic, by BPF_PROG_TEST_RUN; attached nowhere.
 *   probe_verdict  what policy answers to (identity, peer or address, direction, protocol, port)
 */
#include "policy.h"

#define PROBE_OFFSET 14 /* behind the Ethernet header that the test run wants */

SEC("tc")
int probe_verdict(struct __sk_buff *skb)
{
	struct verdict_probe p = {};
	struct ident_cfg cfg;
	struct judged j;

	if (bpf_skb_load_bytes(skb, PROBE_OFFSET, &p, sizeof(p)))
		return -1;
	cfg = ident_cfg_read(p.local);
	if (!p.remote)
		p.remote = address_identity((struct addr *)p.addr, cfg.ip_slot);
	j = judge(cfg, p.local, p.remote, p.direction, p.protocol, p.port);
	p.allow = j.allow;
	p.reason = j.reason;
	p.denial = j.denial;
	p.rule = j.rule;
	p.gen = j.gen;
	bpf_skb_store_bytes(skb, PROBE_OFFSET, &p, sizeof(p), 0);
	return 0;
}
