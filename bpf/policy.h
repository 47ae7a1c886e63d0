/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * policy.h: address → peer, and (identity, peer, direction, protocol, port) → verdict.
 *
 *  1. An identity is read once, as one 8-byte word: its slot, address slot, flags and generation belong to one revision.
 *  2. The compiler has merged everything into the most specific peer entry; a lookup is that peer, else peer 0.
 *  3. Enforced and nothing found fails closed and is counted.
 *  4. Identity 0 is a process of the host that is no workload: judged as the reserved identity host, if a host policy is.
 *  5. An address of this host is a socket of this host, or the host itself: never `world`, never another workload.
 *  6. What every hook asks is __noinline and global: the verifier checks it once instead of on every path to it, which makes
 *     loading two and a half times faster; the call is below what can be measured.
 */
#ifndef POSTERN_POLICY_H
#define POSTERN_POLICY_H

#include "address.h"

struct peer {
	__u32 id;
	__u32 tgid;
	bool local;
	bool failsafe; /* its socket is ahead of policy */
	__u8 pad[2];
};

struct judged {
	__u32 rule;
	__u32 gen;
	__u8 allow;
	__u8 audit; /* would be denied: the policy or the identity is only audited */
	__u8 reason;
	__u8 direction;
	__u8 denial; /* how it feels: POLICY_REFUSED, POLICY_TIMEOUT, 0 = EPERM; of what is allowed: 0, or FLOW_BOTH for its report */
	__u8 pad[3]; /* all of it is given to functions: Linux 6.1 wants every byte written */
};

static __always_inline struct ident_cfg ident_cfg_read(__u32 identity)
{
	union {
		__u64 word;
		struct ident_cfg cfg;
	} u = {};
	struct config *c = NULL;

	if (!identity) {
		c = config_get();
		if (c && c->host_policy)
			identity = RESERVED_HOST;
	}
	if (identity) {
		__u32 index = identity & (IDENT_PLACES - 1);
		struct ident_place *place = bpf_map_lookup_elem(&ident_cfg, &index);

		if (place && place->identity == identity)
			u.word = *(volatile __u64 *)&place->cfg;
	}
	if (!u.word) {
		if (!c)
			c = config_get();
		if (c)
			u.cfg.ip_slot = c->ip_slot;
	}
	return u.cfg;
}

static __always_inline bool own_address(__u64 netns, const struct addr *a)
{
	struct own_addr_key key = {.netns = netns};

	if (addr_loopback(a))
		return true;
	__builtin_memcpy(key.addr, a, 16);
	return bpf_map_lookup_elem(&own_addr, &key) != NULL;
}

static __always_inline struct local_val *local_find(__u64 netns, const struct addr *a, __u8 protocol, __u16 port)
{
	struct local_key key = {.netns = netns, .port = port, .protocol = protocol};
	struct addr any = addr_v4(0);
	struct local_val *v;

	__builtin_memcpy(key.addr, a, 16);
	v = bpf_map_lookup_elem(&local, &key);
	if (v)
		return v;
	if (addr_is_v4(a)) {
		__builtin_memcpy(key.addr, &any, 16);
		v = bpf_map_lookup_elem(&local, &key);
		if (v)
			return v;
	}
	__builtin_memset(key.addr, 0, 16);
	return bpf_map_lookup_elem(&local, &key);
}

/* One key after the other in the same memory: all frames of a hook share 512 bytes. */
__noinline __u32 address_identity(const struct addr *a, __u8 slot)
{
	union {
		struct ip_key host;
		struct cidr_key cidr;
	} key = {};
	__u32 *id;

	if (!a)
		return RESERVED_WORLD_IPV4;
	key.host.slot = slot;
	__builtin_memcpy(key.host.addr, a, 16);
	id = bpf_map_lookup_elem(&ip_host, &key.host);
	if (id)
		return *id;
	__builtin_memset(&key, 0, sizeof(key));
	key.cidr.prefixlen = 8 + 128;
	key.cidr.slot = slot;
	__builtin_memcpy(key.cidr.addr, a, 16);
	id = bpf_map_lookup_elem(&ip_cidr, &key.cidr);
	if (id)
		return *id;
	return addr_is_v4(a) ? RESERVED_WORLD_IPV4 : RESERVED_WORLD_IPV6;
}

/* Of peer_at(): who has an address of this host, as a function of its own to the verifier. `what`: protocol << 16 | port. */
__noinline int peer_into(__u64 netns, const struct addr *a, __u32 what, struct peer *p)
{
	if (!a || !p)
		return 0;
	p->tgid = 0;
	p->local = false;
	p->failsafe = false;
	if (own_address(netns, a)) {
		struct local_val *v = local_find(netns, a, what >> 16, what);

		p->local = true;
		p->id = RESERVED_HOST;
		if (v) {
			p->id = v->identity ?: RESERVED_HOST;
			p->tgid = v->tgid;
			p->failsafe = v->failsafe;
		} else {
			count(COUNT_LOCAL_MISS);
		}
	}
	return 0;
}

/* Who can be reached at (address, port). */
static __always_inline struct peer peer_at(__u64 netns, const struct addr *a, __u8 protocol, __u16 port, __u8 ip_slot)
{
	struct peer p = {};

	peer_into(netns, a, (__u32)protocol << 16 | port, &p);
	if (!p.local)
		p.id = address_identity(a, ip_slot);
	return p;
}

/*
 * A lookup for each length that the table has, one or two for most: a trie of all tables is a walk of fifteen steps, which
 * costs five times as much.
 */
static __always_inline struct l4_val *l4_find(const struct l3_val *l3, __u8 protocol, __u16 port)
{
	struct l4_key key = {.table = l3->table, .protocol = protocol};
	struct l4_key fallback = {.table = l3->table, .length = L4_FALLBACK};
	__u32 lengths = l3->lengths;
	struct l4_val *found;
	int shift;

	for (shift = 0; shift <= 16; shift++) {
		if (!(lengths & (1 << (16 - shift))))
			continue;
		key.port = port >> shift << shift;
		key.length = 16 - shift;
		found = bpf_map_lookup_elem(&policy_l4, &key);
		if (found)
			return found;
	}
	return bpf_map_lookup_elem(&policy_l4, &fallback);
}

/* judge(), as a function of its own to the verifier. `what`: direction << 24 | protocol << 16 | port. */
__noinline int judge_into(__u64 word, __u32 identity, __u32 remote, __u32 what, struct judged *j)
{
	union {
		__u64 word;
		struct ident_cfg cfg;
	} u = {.word = word};
	__u8 direction = what >> 24, verdict;
	struct l3_key key = {.local = identity ?: RESERVED_HOST, .remote = remote, .direction = direction, .slot = u.cfg.slot};
	struct l3_val *l3;

	if (!j)
		return 0;
	j->rule = 0;
	j->gen = u.cfg.gen;
	j->allow = 1;
	j->audit = 0;
	j->reason = 0;
	j->denial = 0;
	j->direction = direction;
	if (!(u.cfg.flags & (direction == DIR_INGRESS ? IDENT_INGRESS : IDENT_EGRESS)))
		return 0;
	if (key.local == RESERVED_HOST && remote == RESERVED_HOST) /* the host does not police itself */
		return 0;
	l3 = bpf_map_lookup_elem(&policy_l3, &key);
	if (!l3) {
		key.remote = 0;
		l3 = bpf_map_lookup_elem(&policy_l3, &key);
	}
	if (!l3) {
		count(COUNT_MAP_MISS);
		j->allow = 0;
		j->reason = REASON_MAP_MISS;
		return 0;
	}
	verdict = l3->verdict;
	j->rule = l3->rule;
	if (l3->port_protocol && l3->port_protocol == (__u8)(what >> 16) && l3->port == (__u16)what) {
		verdict = l3->port_verdict;
		j->rule = l3->port_rule;
	} else if (l3->table) {
		struct l4_val *l4 = l4_find(l3, what >> 16, what);

		if (!l4) {
			count(COUNT_MAP_MISS);
			j->allow = 0;
			j->reason = REASON_MAP_MISS;
			return 0;
		}
		verdict = l4->verdict;
		j->rule = l4->rule;
	}
	if (verdict == POLICY_ALLOW)
		return 0;
	j->denial = verdict & (POLICY_REFUSED | POLICY_TIMEOUT);
	j->reason = (verdict & POLICY_WORD) == POLICY_DENY ? REASON_POLICY_DENY : REASON_POLICY_DENIED;
	if ((verdict & POLICY_AUDIT) || (u.cfg.flags & IDENT_AUDIT))
		j->audit = 1;
	else
		j->allow = 0;
	return 0;
}

static __always_inline struct judged judge(struct ident_cfg cfg, __u32 identity, __u32 remote, __u8 direction,
					   __u8 protocol, __u16 port)
{
	union {
		struct ident_cfg cfg;
		__u64 word;
	} u = {.cfg = cfg};
	struct judged j = {};

	judge_into(u.word, identity, remote, (__u32)direction << 24 | (__u32)protocol << 16 | port, &j);
	return j;
}

#endif
