/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* address.h: one 128-bit address space for IPv4 and IPv6, in network order. */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H

#include "maps.h"

struct addr {
	__u32 w[4];
};

static __always_inline struct addr addr_v4(__u32 be)
{
	return (struct addr){{0, 0, bpf_htonl(0xffff), be}};
}

static __always_inline bool addr_is_v4(const struct addr *a)
{
	return a->w[0] == 0 && a->w[1] == 0 && a->w[2] == bpf_htonl(0xffff);
}

static __always_inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

static __always_inline bool addr_unspecified(const struct addr *a)
{
	return a->w[0] == 0 && a->w[1] == 0 && (a->w[2] == 0 || a->w[2] == bpf_htonl(0xffff)) && a->w[3] == 0;
}

/* connect() to the unspecified address reaches loopback: judge what it reaches. */
static __always_inline void addr_specify(struct addr *a)
{
	if (a->w[0] || a->w[1] || a->w[3])
		return;
	if (a->w[2] == bpf_htonl(0xffff))
		a->w[3] = bpf_htonl(0x7f000001);
	else if (a->w[2] == 0)
		a->w[3] = bpf_htonl(1);
}

static __always_inline bool addr_loopback(const struct addr *a)
{
	if (addr_is_v4(a))
		return (a->w[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return a->w[0] == 0 && a->w[1] == 0 && a->w[2] == 0 && a->w[3] == bpf_htonl(1);
}

/*
 * source_of(sk), destination_of(sk): by the socket's family, since an IPv6 socket that was connected to an IPv4 address before has its
 * remains in dst_ip4. The barrier keeps the compiler from one load at either of two places, which the verifier does not know for a field.
 */
#define SOCKET_END(NAME, END)                                                                                          \
	static __always_inline struct addr NAME(struct bpf_sock *sk)                                                   \
	{                                                                                                              \
		__u32 v4 = sk->END##_ip4;                                                                              \
                                                                                                                       \
		barrier_var(v4);                                                                                       \
		if (sk->family == AF_INET)                                                                             \
			return addr_v4(v4);                                                                            \
		return (struct addr){{sk->END##_ip6[0], sk->END##_ip6[1], sk->END##_ip6[2], sk->END##_ip6[3]}};        \
	}
SOCKET_END(source_of, src)
SOCKET_END(destination_of, dst)

/* The addresses of the fixed header; L4 is not parsed (extension headers and options are the sender's choice). */
static __always_inline int packet_addrs(struct __sk_buff *skb, struct addr *src, struct addr *dst)
{
	void *head = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 first;

	/* live packets have their header here; those of a test run did not before 6.14, hence the copies below */
	if (head + 20 <= end && *(__u8 *)head >> 4 == 4) {
		*src = addr_v4(*(__u32 *)(head + 12));
		*dst = addr_v4(*(__u32 *)(head + 16));
		return 0;
	}
	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return -1;
	if (first >> 4 == 4) {
		*src = addr_v4(0);
		*dst = addr_v4(0);
		if (bpf_skb_load_bytes(skb, 12, &src->w[3], 4) || bpf_skb_load_bytes(skb, 16, &dst->w[3], 4))
			return -1;
		return 0;
	}
	if (bpf_skb_load_bytes(skb, 8, src, 16) || bpf_skb_load_bytes(skb, 24, dst, 16))
		return -1;
	/* in an IPv6 header a mapped address is nobody's: it must not pass for the IPv4 address that it spells */
	if (addr_is_v4(src))
		src->w[2] = 0;
	if (addr_is_v4(dst))
		dst->w[2] = 0;
	return 0;
}

/* The protocol that the fixed header names. */
static __always_inline __u8 packet_protocol(struct __sk_buff *skb)
{
	__u8 head[10];

	if (bpf_skb_load_bytes(skb, 0, head, sizeof(head)))
		return 0;
	return head[0] >> 4 == 4 ? head[9] : head[6];
}

/*
 * Source and destination port (network order) where the protocol follows the fixed header directly; -1 elsewhere: the
 * caller then judges without a port, which only a rule without ports allows.
 */
static __always_inline int packet_ports(struct __sk_buff *skb, __u8 protocol, __u16 ports[2], __u32 *l4)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u8 head[10];

	if (data + 24 <= end && *(__u8 *)data == 0x45 && *(__u8 *)(data + 9) == protocol &&
	    !(*(__u16 *)(data + 6) & bpf_htons(0x1fff))) {
		*l4 = 20;
		ports[0] = *(__u16 *)(data + 20);
		ports[1] = *(__u16 *)(data + 22);
		return 0;
	}
	if (bpf_skb_load_bytes(skb, 0, head, sizeof(head)))
		return -1;
	if (head[0] >> 4 == 4) {
		*l4 = (head[0] & 0xf) * 4;
		if (head[9] != protocol || ((head[6] & 0x1f) | head[7])) /* not the first fragment */
			return -1;
	} else {
		*l4 = 40;
		if (head[6] != protocol)
			return -1;
	}
	return bpf_skb_load_bytes(skb, *l4, ports, 4) ? -1 : 0;
}

#endif
