/*
 * The peer: a TCP listener on port 7000, and a sniffer that prints "source destination protocol tag" of every IP frame ("SYN-port-sequence" for a first
 * one without). What kernels say of neighbours and groups is left out, unless tagged; with the word "discovery" it is printed ("ND-type", "MLD").
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int discovery;

static void print(const unsigned char *f, int n)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], tag[24] = "-";
	int v4 = f[12] == 8 && f[13] == 0, v6 = f[12] == 0x86 && f[13] == 0xdd, proto;
	const unsigned char *at, *at_l4;

	if (!v4 && !v6)
		return;
	inet_ntop(v4 ? AF_INET : AF_INET6, f + 14 + (v4 ? 12 : 8), src, sizeof(src));
	inet_ntop(v4 ? AF_INET : AF_INET6, f + 14 + (v4 ? 16 : 24), dst, sizeof(dst));
	proto = v4 ? f[14 + 9] : f[14 + 6];
	at = memmem(f, n, "TAG-", 4);
	if (!at && v6 && proto == 58 && f[14 + 40] >= 133 && f[14 + 40] <= 137) {
		if (!discovery)
			return;
		snprintf(tag, sizeof(tag), "ND-%d", f[14 + 40]);
	}
	if (!at && v6 && proto == 0 && dst[0] == 'f' && dst[1] == 'f') {
		if (!discovery)
			return;
		strcpy(tag, "MLD");
	}
	at_l4 = f + 14 + (v4 ? (f[14] & 15) * 4 : 40);
	if (at)
		for (int i = 0; i < 20 && at + i < f + n && at[i] > ' '; i++)
			tag[i] = at[i], tag[i + 1] = 0;
	else if (proto == 6 && (at_l4[13] & 0x12) == 2)
		snprintf(tag, sizeof(tag), "SYN-%d-%02x%02x%02x%02x", at_l4[0] << 8 | at_l4[1], at_l4[4], at_l4[5], at_l4[6], at_l4[7]);
	printf("%s %s %d %s\n", src, dst, proto, tag);
}

int main(int argc, char **argv)
{
	int sniff = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), tcp = socket(AF_INET6, SOCK_STREAM, 0), on = 1;
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = if_nametoindex(argv[1])};
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(7000)};
	struct pollfd fds[2] = {{sniff, POLLIN}, {tcp, POLLIN}};
	unsigned char frame[70000];

	discovery = argc > 2 && !strcmp(argv[2], "discovery");
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){20000, 20000});
	setvbuf(stdout, NULL, _IOLBF, 0);
	setsockopt(sniff, SOL_SOCKET, SO_RCVBUFFORCE, &(int){64 << 20}, sizeof(int));
	setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(sniff, (void *)&ll, sizeof(ll)) || bind(tcp, (void *)&any, sizeof(any)) || listen(tcp, 4096))
		return perror("peer"), 1;
	puts("READY");
	for (;;) {
		poll(fds, 2, -1);
		if (fds[0].revents) {
			struct sockaddr_ll from;
			socklen_t size = sizeof(from);
			int n = recvfrom(sniff, frame, sizeof(frame), 0, (void *)&from, &size);

			if (n > 34 && ((argc > 2 && !discovery) || from.sll_pkttype != PACKET_OUTGOING))
				print(frame, n);
		}
		if (fds[1].revents)
			accept(tcp, NULL, NULL); /* kept open */
	}
}
