/*
 * First packets of a connection or datagram, as no kernel would write them, from an address that nobody has:
 * frames INTERFACE OWN_MAC THEIR_MAC SOURCE DESTINATION PORT FORM
 * Prints "ANSWER flags" for each TCP answer. FORM "half-open": SYN, wait for the answer and for a line, then ACK with data.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned char frame[2048];
static int fd, is_v4, length;
static unsigned char source[16], destination[16];
static unsigned short sport, dport;

static unsigned int sum(const unsigned char *p, int n)
{
	unsigned int s = 0;

	for (int i = 0; i + 1 < n; i += 2)
		s += p[i] << 8 | p[i + 1];
	return n & 1 ? s + (p[n - 1] << 8) : s;
}

static unsigned short fold(unsigned int s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s;
}

static void put16(unsigned char *p, unsigned int v)
{
	p[0] = v >> 8, p[1] = v;
}

static void put32(unsigned char *p, unsigned int v)
{
	put16(p, v >> 16), put16(p + 2, v);
}

/* IP header with `options` (IPv4) or extension headers (IPv6, `first` = the type of the first), then the segment. */
static void send_packet(int protocol, unsigned char *segment, int n, const unsigned char *extra, int n_extra, int first)
{
	unsigned char *ip = frame + 14, *l4;
	int at = protocol == 6 ? 16 : 6;

	put16(segment + at, 0);
	put16(segment + at, fold(sum(source, is_v4 ? 4 : 16) + sum(destination, is_v4 ? 4 : 16) + protocol + n + sum(segment, n)));
	if (is_v4) {
		memset(ip, 0, 20);
		ip[0] = 0x45 + n_extra / 4;
		put16(ip + 2, 20 + n_extra + n);
		ip[8] = 64, ip[9] = protocol;
		memcpy(ip + 12, source, 4), memcpy(ip + 16, destination, 4);
		memcpy(ip + 20, extra, n_extra);
		put16(ip + 10, fold(sum(ip, 20 + n_extra)));
		l4 = ip + 20 + n_extra;
	} else {
		memset(ip, 0, 40);
		ip[0] = 0x60;
		put16(ip + 4, n_extra + n);
		ip[6] = n_extra ? first : protocol, ip[7] = 64;
		memcpy(ip + 8, source, 16), memcpy(ip + 24, destination, 16);
		memcpy(ip + 40, extra, n_extra);
		l4 = ip + 40 + n_extra;
	}
	memcpy(l4, segment, n);
	length = l4 + n - frame;
	if (send(fd, frame, length, 0) != length)
		perror("send"), exit(1);
}

static void tcp(int flags, unsigned int seq, unsigned int ack, const char *data, const unsigned char *extra, int n_extra, int first)
{
	unsigned char t[128] = {};

	put16(t, sport), put16(t + 2, dport), put32(t + 4, seq), put32(t + 8, ack);
	t[12] = 0x50, t[13] = flags;
	put16(t + 14, 64000);
	memcpy(t + 20, data, strlen(data));
	send_packet(6, t, 20 + strlen(data), extra, n_extra, first);
}

static void udp(const char *data, const unsigned char *extra, int n_extra, int first)
{
	unsigned char u[128] = {};
	int n = 8 + strlen(data);

	put16(u, sport), put16(u + 2, dport), put16(u + 4, n);
	memcpy(u + 8, data, strlen(data));
	send_packet(17, u, n, extra, n_extra, first);
}

/* Sequence number of the first TCP answer, 0 = none within the time. */
static unsigned int answer(int ms)
{
	unsigned char in[2048];
	struct pollfd p = {fd, POLLIN};

	while (poll(&p, 1, ms) > 0) {
		int n = recv(fd, in, sizeof(in), 0), l3 = is_v4 ? (in[14] & 15) * 4 : 40;
		unsigned char *t = in + 14 + l3;

		if (n < 14 + l3 + 20 || in[12] != (is_v4 ? 8 : 0x86) || in[14 + (is_v4 ? 9 : 6)] != 6)
			continue;
		if (memcmp(in + 14 + (is_v4 ? 16 : 24), source, is_v4 ? 4 : 16) || t[2] != sport >> 8 || t[3] != (sport & 255))
			continue;
		printf("ANSWER %02x\n", t[13]);
		return (unsigned int)t[4] << 24 | t[5] << 16 | t[6] << 8 | t[7];
	}
	return 0;
}

static void mac(const char *text, unsigned char *out)
{
	for (int i = 0; i < 6; i++)
		out[i] = strtol(text + 3 * i, NULL, 16);
}

int main(int argc, char **argv)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(argv[1])};
	/* IPv4 options: NOPs, record route. IPv6: an extension header, or three. */
	unsigned char nops[4] = {1, 1, 1, 1}, route[8] = {7, 7, 4, 0, 0, 0, 0, 1};
	unsigned char hop[8] = {0, 0, 1, 4}, fragment[8] = {0, 0, 0, 0, 0, 0, 0, 7}, routing[8] = {};
	unsigned char three[24] = {60, 0, 1, 4, 0, 0, 0, 0, 60, 0, 1, 4, 0, 0, 0, 0, 0, 0, 1, 4};
	struct {
		const char *form;
		unsigned char *extra;
		int n, first, last; /* `last`: where the protocol goes */
	} forms[] = {
		{"plain", nops, 0, 0, -1}, {"nops", nops, 4, 0, -1}, {"route", route, 8, 0, -1},
		{"hop", hop, 8, 0, 0}, {"destination", hop, 8, 60, 0}, {"fragment", fragment, 8, 44, 0},
		{"routing", routing, 8, 43, 0}, {"three", three, 24, 0, 16},
	};
	const char *form = argv[7];
	unsigned int seq;
	char line[8];

	setvbuf(stdout, NULL, _IOLBF, 0);
	mac(argv[3], frame), mac(argv[2], frame + 6);
	is_v4 = inet_pton(AF_INET, argv[4], source) == 1;
	inet_pton(is_v4 ? AF_INET : AF_INET6, argv[4], source);
	inet_pton(is_v4 ? AF_INET : AF_INET6, argv[5], destination);
	put16(frame + 12, is_v4 ? 0x0800 : 0x86dd);
	dport = atoi(argv[6]), sport = 20000 + getpid() % 20000;
	fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	if (bind(fd, (void *)&ll, sizeof(ll)))
		return perror("bind"), 1;
	if (!strcmp(form, "half-open")) {
		tcp(0x02, 1000, 0, "", nops, 0, 0);
		seq = answer(2000);
		if (!seq)
			return 1;
		fgets(line, sizeof(line), stdin);
		tcp(0x18, 1001, seq + 1, "TAG-half", nops, 0, 0);
		answer(300);
		return 0;
	}
	if (!strcmp(form, "synack") || !strcmp(form, "ack") || !strcmp(form, "synfin") || !strcmp(form, "synecn") || !strcmp(form, "synpsh")) {
		int flags = !strcmp(form, "synack") ? 0x12 : !strcmp(form, "ack") ? 0x10 : !strcmp(form, "synfin") ? 0x03 : !strcmp(form, "synecn") ? 0xc2 : 0x2a;

		tcp(flags, 1000, 5, "", nops, 0, 0);
		answer(150);
		return 0;
	}
	for (unsigned int i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		int is_udp = !strncmp(form, "udp-", 4);

		if (strcmp(form + (is_udp ? 4 : 0), forms[i].form))
			continue;
		if (forms[i].last >= 0)
			forms[i].extra[forms[i].last] = is_udp ? 17 : 6;
		if (is_udp) {
			udp("TAG-frame", forms[i].extra, forms[i].n, forms[i].first);
		} else {
			tcp(0x02, 1000, 0, "", forms[i].extra, forms[i].n, forms[i].first);
			answer(150);
		}
		return 0;
	}
	return 2;
}
