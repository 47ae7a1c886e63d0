/*
 * Frames that no kernel would write: shower SEED COUNT INTERFACE OWN_MAC THEIR_MAC SOURCE4 SOURCE6 DESTINATION4 DESTINATION6 FRIEND4 PORT.
 * Any protocol, flags, options, extension headers, VLAN tags; in pieces that overlap, lack or come twice; with bytes turned over.
 * Each says "TAG-frame". The source stays what was given, or is a forged own or mapped address.
 */
#include "packet.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <unistd.h>

static unsigned long long state;
static int fd;
static unsigned char mac[12];

static unsigned int any(unsigned int below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (state >> 33) % below;
}

static void emit(const unsigned char *ip, int n, int v4)
{
	unsigned char frame[2048];
	int at = 12, tags = any(6) ? 0 : 1 + any(2);

	memcpy(frame, mac, 12);
	if (any(10) == 0)
		memset(frame, 0xff, 6);
	for (; tags; tags--, at += 4)
		put16(frame + at, any(2) ? 0x8100 : 0x88a8), put16(frame + at + 2, any(4) ? 0 : any(65536));
	put16(frame + at, v4 ? ETH_P_IP : ETH_P_IPV6);
	memcpy(frame + at + 2, ip, n);
	send(fd, frame, at + 2 + n, MSG_DONTWAIT);
}

static void checksum4(unsigned char *ip)
{
	put16(ip + 10, 0);
	put16(ip + 10, packet_fold(packet_sum(ip, (ip[0] & 15) * 4)));
}

/* In pieces of 8 to 40 bytes, in any order, some lacking, some twice, some over others. */
static void emit_pieces(const unsigned char *ip, int head, int n, int v4)
{
	unsigned char piece[2048];
	int body = n - head, extra = v4 ? 0 : 8, id = any(65536), step = 8 * (1 + any(5)), order[64], count = 0;

	for (int at = 0; at < body && count < 60; at += step) {
		order[count++] = at;
		if (any(12) == 0)
			order[count++] = at;
		if (any(12) == 0)
			order[count++] = at >= 8 ? at - 8 : at;
		if (any(20) == 0)
			count--;
	}
	for (int i = count - 1; i > 0 && any(2); i--) {
		int j = any(i + 1), t = order[i];

		order[i] = order[j], order[j] = t;
	}
	for (int i = 0; i < count; i++) {
		int at = order[i], size = body - at < step ? body - at : step, more = at + size < body;

		memcpy(piece, ip, head);
		if (v4) {
			put16(piece + 2, head + size), put16(piece + 4, id), put16(piece + 6, at / 8 | (more ? 0x2000 : 0));
			checksum4(piece);
		} else {
			piece[head] = piece[6], piece[head + 1] = 0, put16(piece + head + 2, at | more), put16(piece + head + 4, id), put16(piece + head + 6, 7);
			piece[6] = 44, put16(piece + 4, head - 40 + 8 + size);
		}
		memcpy(piece + head + extra, ip + head + at, size);
		emit(piece, head + extra + size, v4);
	}
}

int main(int argc, char **argv)
{
	static const unsigned char protocols[] = {6, 6, 6, 17, 17, 17, 17, 136, 1, 58, 200, 4, 41, 47, 132, 50, 255}, types[] = {8, 0, 3, 128, 129, 1, 13, 135, 5};
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = 0, .sll_ifindex = if_nametoindex(argv[3])};
	unsigned char addresses[2][2][16] = {};
	int count = atoi(argv[2]), port = atoi(argv[11]);

	state = strtoull(argv[1], NULL, 10) * 2654435761ULL + 1;
	for (int i = 0; i < 6; i++)
		mac[i] = strtol(argv[5] + 3 * i, NULL, 16), mac[6 + i] = strtol(argv[4] + 3 * i, NULL, 16);
	for (int i = 0; i < 4; i++)
		inet_pton(i & 1 ? AF_INET6 : AF_INET, argv[6 + i], addresses[i / 2][i & 1]);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (bind(fd, (void *)&ll, sizeof(ll)))
		return perror("bind"), 1;
	while (count--) {
		unsigned char ip[1024] = {}, *l4, source[16], *where;
		int v4 = any(2), size = v4 ? 4 : 16, head = v4 ? 20 : 40, n = 28, tcp, udp;
		int protocol = protocols[any(sizeof(protocols))];

		memcpy(source, addresses[0][!v4], 16);
		if (any(10) == 0)
			memcpy(source, addresses[1][!v4], 16); /* forged: the victim itself */
		else if (!v4 && any(10) == 0)
			memset(source, 0, 10), memset(source + 10, 0xff, 2), inet_pton(AF_INET, argv[10], source + 12); /* a friend, mapped */
		where = addresses[1][!v4];
		if (v4) {
			ip[0] = 0x45, ip[8] = 64, ip[9] = protocol;
			for (int options = any(4) ? 0 : any(10); options; options--, head += 4, ip[0]++)
				memcpy(ip + head, (unsigned char[4]){any(3) ? 1 : any(256), any(3) ? 1 : any(12), any(3) ? 1 : 4, 1}, 4);
			memcpy(ip + 16, where, 4);
			if (any(12) == 0)
				inet_pton(AF_INET, any(2) ? "224.0.0.1" : "255.255.255.255", ip + 16);
		} else {
			unsigned char *next = ip + 6;

			ip[0] = 0x60, ip[7] = 64;
			for (int extensions = any(3) ? 0 : 1 + any(4); extensions; extensions--, head += 8) {
				static const unsigned char kinds[] = {0, 60, 43, 44, 60};

				*next = kinds[any(sizeof(kinds))], next = ip + head;
				memcpy(ip + head + 1, (unsigned char[7]){0, any(3) ? 1 : any(256), any(3) ? 4 : any(256), 0, 0, 0, any(2)}, 7);
				if (any(3)) /* a fragment that is whole */
					ip[head + 2] = 0, ip[head + 3] = 0;
			}
			*next = protocol;
			memcpy(ip + 24, where, 16);
			if (any(12) == 0)
				inet_pton(AF_INET6, "ff02::1", ip + 24);
		}
		memcpy(ip + (v4 ? 12 : 8), source, size);
		l4 = ip + head, tcp = protocol == 6, udp = protocol == 17 || protocol == 136;
		put16(l4, any(3) ? 7002 : any(65536)), put16(l4 + 2, any(8) ? port + any(2) : any(65536));
		if (tcp)
			l4[12] = 0x50 + (any(5) ? 0 : any(11) << 4), l4[13] = any(3) ? 2 : any(256), l4[14] = 250, n = 20;
		else if (udp)
			n = 8;
		else
			l4[0] = types[any(sizeof(types))], l4[1] = 0, n = 8;
		memcpy(l4 + n, "TAG-frame some more words to be cut into pieces", 48);
		n += 48;
		if (udp)
			put16(l4 + 4, any(6) ? n : any(80));
		if (any(6)) {
			int at = tcp ? 16 : udp ? 6 : 2;
			unsigned int pseudo = protocol == 1 ? 0 : packet_sum(source, size) + packet_sum(ip + (v4 ? 16 : 24), size) + protocol + n;

			put16(l4 + at, 0), put16(l4 + at, packet_fold(pseudo + packet_sum(l4, n)));
		}
		if (v4)
			put16(ip + 2, head + n);
		else
			put16(ip + 4, head - 40 + n);
		for (int turned = any(3) ? 0 : any(4); turned; turned--)
			ip[any(head + 20)] ^= 1 << any(8);
		memcpy(ip + (v4 ? 12 : 8), source, size);
		ip[0] = (ip[0] & 15) | (v4 ? 0x40 : 0x60);
		if (v4 && any(10))
			checksum4(ip);
		if (any(3) == 0)
			emit_pieces(ip, head, head + n, v4);
		else
			emit(ip, head + n, v4);
	}
	return 0;
}
