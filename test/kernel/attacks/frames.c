/*
 * First packets of a connection or datagram, as no kernel would write them, from an address that nobody has:
 * frames INTERFACE OWN_MAC THEIR_MAC SOURCE DESTINATION PORT FORM
 * Prints "ANSWER flags" for each TCP answer. FORM "half-open": SYN, wait for the answer and for a line, then ACK with data.
 * "crossed": waits for a SYN to SOURCE, says SYN, waits for a line, then answers it by a SYN of its own and data.
 * "late": the same, but answers it as a server. Before FORM may stand how it is carried: "q+", "ad+", "qq+" (VLAN 0), "split+".
 */
#include "packet.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <unistd.h>

static unsigned char frame[2048];
static int fd, is_v4, length;
static unsigned char source[16], destination[16];
static unsigned short sport, dport;

static void put32(unsigned char *p, unsigned int v)
{
	put16(p, v >> 16), put16(p + 2, v);
}

static const char *carrier = "";

static void emit(const unsigned char *bytes, int n)
{
	if (send(fd, bytes, n, 0) != n)
		perror("send"), exit(1);
}

/* The IP packet in `frame` in pieces of 8 bytes; IPv6 wants the header of what is inside in the first, for UDP that is one. */
static void emit_split(int n)
{
	int head = is_v4 ? 20 : 40, protocol = frame[14 + (is_v4 ? 9 : 6)];
	unsigned char piece[128], *ip = piece + 14;

	n -= 14 + head;
	for (int at = 0; at < n; at += 8) {
		int size = n - at < 8 ? n - at : 8, more = at + 8 < n, extra = is_v4 ? 0 : 8;

		memcpy(piece, frame, 14 + head);
		if (is_v4) {
			put16(ip + 2, head + size), put16(ip + 4, getpid()), put16(ip + 6, at / 8 | (more ? 0x2000 : 0));
			put16(ip + 10, 0), put16(ip + 10, packet_fold(packet_sum(ip, 20)));
		} else {
			put16(ip + 4, 8 + size), ip[6] = 44;
			ip[40] = protocol, ip[41] = 0, put16(ip + 42, at | more), put32(ip + 44, getpid());
		}
		memcpy(ip + head + extra, frame + 14 + head + at, size);
		emit(piece, 14 + head + extra + size);
	}
}

/* As `carrier` says. */
static void carry(int n)
{
	unsigned char tagged[2048];
	int tags = !strcmp(carrier, "qq") ? 2 : *carrier == 'q' || *carrier == 'a';

	if (!strcmp(carrier, "split"))
		return emit_split(n);
	memcpy(tagged, frame, 12);
	for (int i = 0; i < tags; i++)
		put16(tagged + 12 + 4 * i, *carrier == 'a' ? 0x88a8 : 0x8100), put16(tagged + 14 + 4 * i, 0);
	memcpy(tagged + 12 + 4 * tags, frame + 12, n - 12);
	emit(tagged, n + 4 * tags);
}

/* IP header with `options` (IPv4) or extension headers (IPv6, `first` = the type of the first), then the segment. */
static void send_packet(int protocol, unsigned char *segment, int n, const unsigned char *extra, int n_extra, int first)
{
	unsigned char *ip = frame + 14, *l4;
	int at = protocol == 6 ? 16 : protocol == 17 ? 6 : 2;
	unsigned int pseudo = protocol == 1 ? 0 : packet_sum(source, is_v4 ? 4 : 16) + packet_sum(destination, is_v4 ? 4 : 16) + protocol + n;

	put16(segment + at, 0);
	put16(segment + at, packet_fold(pseudo + packet_sum(segment, n)));
	if (is_v4) {
		memset(ip, 0, 20);
		ip[0] = 0x45 + n_extra / 4;
		put16(ip + 2, 20 + n_extra + n);
		ip[8] = 64, ip[9] = protocol;
		memcpy(ip + 12, source, 4), memcpy(ip + 16, destination, 4);
		memcpy(ip + 20, extra, n_extra);
		put16(ip + 10, packet_fold(packet_sum(ip, 20 + n_extra)));
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
	carry(length);
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

/* An echo request, or a protocol that nobody has. */
static void other(int protocol, const char *data)
{
	unsigned char o[64] = {is_v4 ? 8 : 128};

	memcpy(o + 8, data, strlen(data));
	send_packet(protocol, o, 8 + strlen(data), NULL, 0, 0);
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

/* Sequence number of the first SYN to SOURCE; its ports become ours. */
static unsigned int wait_syn(void)
{
	unsigned char in[2048];
	struct pollfd p = {fd, POLLIN};

	while (poll(&p, 1, 5000) > 0) {
		int n = recv(fd, in, sizeof(in), 0), l3 = is_v4 ? (in[14] & 15) * 4 : 40;
		unsigned char *t = in + 14 + l3;

		if (n < 14 + l3 + 20 || in[14 + (is_v4 ? 9 : 6)] != 6 || (t[13] & 0x12) != 2)
			continue;
		if (memcmp(in + 14 + (is_v4 ? 16 : 24), source, is_v4 ? 4 : 16))
			continue;
		sport = t[2] << 8 | t[3], dport = t[0] << 8 | t[1];
		return (unsigned int)t[4] << 24 | t[5] << 16 | t[6] << 8 | t[7];
	}
	exit(1);
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
	struct {
		const char *form;
		int flags;
	} flagged[] = {{"synack", 0x12}, {"ack", 0x10}, {"synfin", 0x03}, {"synrst", 0x06}, {"synecn", 0xc2}, {"synpsh", 0x2a}, {"syndata", 0x02}};
	const char *form = argv[7];
	unsigned int seq;
	char line[8];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (strchr(form, '+')) {
		carrier = strndup(form, strchr(form, '+') - form);
		form = strchr(form, '+') + 1;
	}
	mac(argv[3], frame), mac(argv[2], frame + 6);
	is_v4 = inet_pton(AF_INET, argv[4], source) == 1;
	inet_pton(is_v4 ? AF_INET : AF_INET6, argv[4], source);
	inet_pton(is_v4 ? AF_INET : AF_INET6, argv[5], destination);
	put16(frame + 12, is_v4 ? 0x0800 : 0x86dd);
	dport = atoi(argv[6]), sport = 20000 + getpid() % 20000;
	fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	if (bind(fd, (void *)&ll, sizeof(ll)))
		return perror("bind"), 1;
	if (!strcmp(form, "crossed") || !strcmp(form, "late")) {
		puts("READY");
		seq = wait_syn();
		puts("SYN");
		fgets(line, sizeof(line), stdin);
		if (!strcmp(form, "crossed")) {
			tcp(0x02, 1000, 0, "", nops, 0, 0);
			answer(300);
			tcp(0x12, 1000, seq + 1, "", nops, 0, 0);
		} else {
			tcp(0x12, 1000, seq + 1, "", nops, 0, 0);
		}
		answer(300);
		tcp(0x18, 1001, seq + 1, "TAG-crossed", nops, 0, 0);
		answer(100);
		return 0;
	}
	if (!strcmp(form, "echo"))
		return other(is_v4 ? 1 : 58, "TAG-frame"), 0;
	if (!strcmp(form, "strange"))
		return other(200, "TAG-frame"), 0;
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
	for (unsigned int i = 0; i < sizeof(flagged) / sizeof(flagged[0]); i++) {
		if (strcmp(form, flagged[i].form))
			continue;
		tcp(flagged[i].flags, 1000, 5, !strcmp(form, "syndata") ? "TAG-frame" : "", nops, 0, 0);
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
