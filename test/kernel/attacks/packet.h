/* A whole IP packet with UDP inside, checksums and all; returns its length. */
#ifndef PACKET_H
#define PACKET_H
#include "address.h"

static inline unsigned int packet_sum(const unsigned char *p, int n)
{
	unsigned int s = 0;

	for (int i = 0; i + 1 < n; i += 2)
		s += p[i] << 8 | p[i + 1];
	return n & 1 ? s + (p[n - 1] << 8) : s;
}

static inline unsigned short packet_fold(unsigned int s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s;
}

static inline void put16(unsigned char *p, unsigned int v)
{
	p[0] = v >> 8, p[1] = v;
}

static inline int udp_packet(unsigned char *ip, const struct sockaddr_storage *from, const struct sockaddr_storage *to, const char *text)
{
	int v4 = to->ss_family == AF_INET, head = v4 ? 20 : 40, size = v4 ? 4 : 16, n = 8 + strlen(text);
	const void *src = v4 ? (void *)&((struct sockaddr_in *)from)->sin_addr : (void *)&((struct sockaddr_in6 *)from)->sin6_addr;
	const void *dst = v4 ? (void *)&((struct sockaddr_in *)to)->sin_addr : (void *)&((struct sockaddr_in6 *)to)->sin6_addr;
	unsigned char *udp = ip + head;

	memset(ip, 0, head + 8);
	if (v4)
		ip[0] = 0x45, put16(ip + 2, head + n), ip[8] = 64, ip[9] = 17;
	else
		ip[0] = 0x60, put16(ip + 4, n), ip[6] = 17, ip[7] = 64;
	memcpy(ip + (v4 ? 12 : 8), src, size), memcpy(ip + (v4 ? 16 : 24), dst, size);
	if (v4)
		put16(ip + 10, packet_fold(packet_sum(ip, 20)));
	put16(udp, 7009), put16(udp + 2, 7000), put16(udp + 4, n);
	memcpy(udp + 8, text, n - 8);
	put16(udp + 6, packet_fold(packet_sum(ip + (v4 ? 12 : 8), 2 * size) + 17 + n + packet_sum(udp, n)));
	return head + n;
}

#endif
