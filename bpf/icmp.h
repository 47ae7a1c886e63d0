/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * icmp.h: in policy an ICMP type stands where other protocols have a port.
 *  1. A type that cannot be read (not the first fragment, extension headers) meets only rules without ports.
 *  2. An echo reply, timestamp reply … belongs to the request that it answers. A conversation is one type of request in
 *     one direction: who may ask is answered, and nothing else is opened by it.
 */
#ifndef POSTERN_ICMP_H
#define POSTERN_ICMP_H

#include "address.h"

#define ICMP_TYPE_UNKNOWN 0xffff

static __always_inline bool is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

static __always_inline __u16 icmp_type(struct __sk_buff *skb, __u8 protocol, __u16 *code)
{
	__u16 head[2] = {};
	__u32 l4 = 0;

	if (packet_ports(skb, protocol, head, &l4))
		return ICMP_TYPE_UNKNOWN;
	*code = ((__u8 *)head)[1];
	return ((__u8 *)head)[0];
}

/* The type of the request that a type answers; the type itself if it answers none. */
static __always_inline __u16 icmp_request(__u8 protocol, __u16 type)
{
	if (protocol == IPPROTO_ICMP)
		return type == 0 ? 8 : type == 14 ? 13 : type == 43 ? 42 : type;
	return type == 129 ? 128 : type == 161 ? 160 : type;
}

/* What takes the place of the port in a conversation's key. */
static __always_inline __u16 icmp_conversation(__u16 type, __u8 asking)
{
	return (type == ICMP_TYPE_UNKNOWN ? 0x0f00 : type) | asking << 12;
}

/*
 * What a kernel says of its neighbours, routers and groups. It writes one of the types that cannot be read: the report of
 * groups, behind a hop-by-hop header.
 */
static __always_inline bool is_discovery(__u8 protocol, __u16 type)
{
	return protocol == IPPROTO_ICMPV6 && ((type >= 130 && type <= 137) || type == 143 || type == ICMP_TYPE_UNKNOWN);
}

#endif
