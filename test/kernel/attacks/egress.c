/* Ways to get a packet to DENIED: egress MODE DENIED ALLOWED TAG [wait]. What comes back says nothing: the peer's sniffer does. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/in6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PORT 7000
static const char *tag;
static int waits;

static socklen_t address(const char *text, int port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	inet_pton(AF_INET6, text, &v6->sin6_addr);
	return sizeof(*v6);
}

static void say(const char *what, long result)
{
	printf("%s %ld\n", what, result < 0 ? 0 : result);
	if (result < 0)
		perror(what);
}

static int tcp_connect(int fd, struct sockaddr_storage *to, socklen_t size)
{
	struct pollfd p = {fd, POLLOUT};
	int error = 0;
	socklen_t n = sizeof(error);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (void *)to, size) == 0)
		return 0;
	poll(&p, 1, 500);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
	return error;
}

/* With a fifth argument the socket is older than what is done with it: READY, then a line is read. */
static int wait_with(int fd)
{
	char line[8];

	say("socket", fd);
	if (!waits)
		return fd;
	puts("READY");
	if (!fgets(line, sizeof(line), stdin))
		exit(1);
	return fd;
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];
	struct sockaddr_storage d, a, unspec = {.ss_family = AF_UNSPEC};
	socklen_t nd = address(argv[2], PORT, &d), na = address(argv[3], PORT, &a);
	int family = d.ss_family, fd, length;

	tag = argv[4];
	waits = argc > 5;
	length = strlen(tag);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(mode, "tcp")) {
		say(mode, tcp_connect(socket(family, SOCK_STREAM, 0), &d, nd));
	} else if (!strcmp(mode, "mptcp")) { /* the subflow that leaves is a socket of the kernel */
		say(mode, tcp_connect(socket(family, SOCK_STREAM, 262), &d, nd));
	} else if (!strcmp(mode, "mptcp-tfo")) {
		fd = socket(family, SOCK_STREAM, 262);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		say(mode, sendto(fd, tag, length, MSG_FASTOPEN, (void *)&d, nd));
	} else if (!strcmp(mode, "broadcast")) { /* multicast needs no leave */
		fd = socket(family, SOCK_DGRAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &(int){1}, 4);
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "pt0", 4);
		say(mode, sendto(fd, tag, length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "device")) {
		fd = socket(family, SOCK_DGRAM, 0);
		say("device", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "pt0", 4));
		setsockopt(fd, SOL_SOCKET, SO_MARK, &(int){7}, 4);
		say("sendto", sendto(fd, tag, length, 0, (void *)&d, nd));
		fd = socket(family, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "pt0", 4);
		say("connect", tcp_connect(fd, &d, nd));
	} else if (!strcmp(mode, "transparent")) { /* from an address that the host does not have */
		struct sockaddr_storage from;
		socklen_t n = address(family == AF_INET ? "10.98.7.77" : "fd98:7::77", 0, &from);

		fd = socket(family, SOCK_DGRAM, 0);
		say(mode, setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family == AF_INET ? 19 : 75, &(int){1}, 4));
		say("bind", bind(fd, (void *)&from, n));
		say("sendto", sendto(fd, tag, length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "dhcp")) { /* from the port of its clients */
		struct sockaddr_storage from;
		socklen_t n = address(family == AF_INET ? "0.0.0.0" : "::", family == AF_INET ? 68 : 546, &from);

		fd = socket(family, SOCK_DGRAM, 0);
		say("bind", bind(fd, (void *)&from, n));
		say(mode, sendto(fd, tag, length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "sctp") || !strcmp(mode, "sctp-packet")) {
		fd = wait_with(socket(family, !strcmp(mode, "sctp") ? SOCK_STREAM : SOCK_SEQPACKET, 132));
		say(mode, tcp_connect(fd, &d, nd));
	} else if (!strcmp(mode, "smc")) { /* begins as TCP, by a socket of the kernel */
		fd = wait_with(socket(43, SOCK_STREAM, family == AF_INET ? 0 : 1));
		say(mode, tcp_connect(fd, &d, nd));
	} else if (!strcmp(mode, "smc-tfo")) {
		fd = wait_with(socket(43, SOCK_STREAM, family == AF_INET ? 0 : 1));
		fcntl(fd, F_SETFL, O_NONBLOCK);
		say(mode, sendto(fd, tag, length, MSG_FASTOPEN, (void *)&d, nd));
	} else if (!strcmp(mode, "l2tp")) {
		fd = wait_with(socket(family, SOCK_DGRAM, 115));
		say(mode, sendto(fd, tag, length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "dccp")) {
		fd = wait_with(socket(family, 6, 33));
		setsockopt(fd, 269, 2 /* service code */, &(int){7}, 4);
		say(mode, tcp_connect(fd, &d, nd));
	} else if (!strcmp(mode, "udp")) {
		say(mode, sendto(socket(family, SOCK_DGRAM, 0), tag, length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "ping")) {
		unsigned char echo[64] = {family == AF_INET ? 8 : 128};

		memcpy(echo + 8, tag, length);
		fd = socket(family, SOCK_DGRAM, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
		say(mode, sendto(fd, echo, 8 + length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "udplite")) {
		fd = socket(family, SOCK_DGRAM, 136);
		say("connect", connect(fd, (void *)&d, nd));
		say("send", send(fd, tag, length, 0));
	} else if (!strcmp(mode, "rthdr-tcp") || !strcmp(mode, "rthdr-udp")) {
		unsigned char srh[40] = {0, 4, 4, 1, 1, 0, 0, 0}; /* segments in reverse: [final, next] */

		memcpy(srh + 8, &((struct sockaddr_in6 *)&a)->sin6_addr, 16);
		memcpy(srh + 24, &((struct sockaddr_in6 *)&d)->sin6_addr, 16);
		fd = socket(AF_INET6, !strcmp(mode, "rthdr-tcp") ? SOCK_STREAM : SOCK_DGRAM, 0);
		say("setsockopt", setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, srh, sizeof(srh)));
		if (!strcmp(mode, "rthdr-tcp"))
			say("connect", tcp_connect(fd, &a, na));
		else
			say("sendto", sendto(fd, tag, length, 0, (void *)&a, na));
	} else if (!strncmp(mode, "mobile", 6)) { /* type 2, mobile IPv6: the packet goes to its address */
		unsigned char rh[24] = {0, 2, 2, 1};

		memcpy(rh + 8, &((struct sockaddr_in6 *)&d)->sin6_addr, 16);
		fd = socket(AF_INET6, !strcmp(mode, "mobile-tcp") ? SOCK_STREAM : SOCK_DGRAM, 0);
		say("setsockopt", setsockopt(fd, IPPROTO_IPV6, IPV6_RTHDR, rh, sizeof(rh)));
		if (!strcmp(mode, "mobile-tcp"))
			say("connect", tcp_connect(fd, &a, na));
		else
			say("sendto", sendto(fd, tag, length, 0, (void *)&a, na));
	} else if (!strcmp(mode, "flowlabel")) { /* a flow label brings options with it, here a routing header */
		struct {
			struct in6_flowlabel_req r;
			struct cmsghdr c;
			unsigned char rh[24];
		} f = {.r = {.flr_action = IPV6_FL_A_GET, .flr_share = IPV6_FL_S_EXCL, .flr_flags = IPV6_FL_F_CREATE},
		       .c = {.cmsg_len = CMSG_LEN(24), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_RTHDR},
		       .rh = {0, 2, 2, 1}};

		memcpy(&f.r.flr_dst, &((struct sockaddr_in6 *)&a)->sin6_addr, 16);
		memcpy(f.rh + 8, &((struct sockaddr_in6 *)&d)->sin6_addr, 16);
		fd = socket(AF_INET6, SOCK_DGRAM, 0);
		say("setsockopt", setsockopt(fd, IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, &f, sizeof(f)));
		length = setsockopt(fd, IPPROTO_IPV6, IPV6_FLOWINFO_SEND, &(int){1}, 4), length = strlen(tag);
		((struct sockaddr_in6 *)&a)->sin6_flowinfo = f.r.flr_label;
		say("sendto", sendto(fd, tag, length, 0, (void *)&a, na));
	} else if (!strcmp(mode, "corked")) { /* the first part names A, the last part D */
		fd = socket(family, SOCK_DGRAM, 0);
		say("first", sendto(fd, tag, length, MSG_MORE, (void *)&a, na));
		say("last", sendto(fd, tag, length, 0, (void *)&d, nd));
		say("again", sendto(fd, tag, length, MSG_MORE, (void *)&d, nd));
		say("last", sendto(fd, tag, length, 0, (void *)&a, na));
	} else if (!strcmp(mode, "gso")) { /* one call, many packets */
		char big[2000];

		for (int i = 0; i < 2000; i++)
			big[i] = tag[i % length];
		fd = socket(family, SOCK_DGRAM, 0);
		say("segment", setsockopt(fd, IPPROTO_UDP, 103, &(int){500}, 4));
		say("sendto", sendto(fd, big, sizeof(big), 0, (void *)&d, nd));
	} else if (!strcmp(mode, "cmsg")) { /* connected, with control messages; must pass where DENIED is allowed */
		char control[CMSG_SPACE(sizeof(int))] = {};
		struct iovec io = {(void *)tag, length};
		struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);

		c->cmsg_level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
		c->cmsg_type = family == AF_INET ? IP_TOS : IPV6_TCLASS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		*(int *)CMSG_DATA(c) = 16;
		fd = socket(family, SOCK_DGRAM, 0);
		say("connect", connect(fd, (void *)&d, nd));
		say("sendmsg", sendmsg(fd, &m, 0));
	} else if (!strcmp(mode, "family0")) {
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		d.ss_family = AF_UNSPEC;
		say(mode, sendto(fd, tag, length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "mapped-tcp") || !strcmp(mode, "mapped-udp") || !strcmp(mode, "mapped-mptcp") || !strcmp(mode, "sockaddr-in")) {
		char text[64];
		struct sockaddr_storage mapped;
		socklen_t n;

		snprintf(text, sizeof(text), "::ffff:%s", argv[2]);
		n = address(text, PORT, &mapped);
		if (!strcmp(mode, "mapped-tcp"))
			say(mode, tcp_connect(socket(AF_INET6, SOCK_STREAM, 0), &mapped, n));
		else if (!strcmp(mode, "mapped-mptcp"))
			say(mode, tcp_connect(socket(AF_INET6, SOCK_STREAM, 262), &mapped, n));
		else if (!strcmp(mode, "mapped-udp"))
			say(mode, sendto(socket(AF_INET6, SOCK_DGRAM, 0), tag, length, 0, (void *)&mapped, n));
		else
			say(mode, sendto(socket(AF_INET6, SOCK_DGRAM, 0), tag, length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "tfo-sendto")) {
		fd = socket(family, SOCK_STREAM, 0);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		say(mode, sendto(fd, tag, length, MSG_FASTOPEN, (void *)&d, nd));
	} else if (!strcmp(mode, "tfo-connect")) {
		int on = 1;

		fd = socket(family, SOCK_STREAM, 0);
		setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on));
		say("connect", tcp_connect(fd, &d, nd));
		say("send", send(fd, tag, length, 0));
	} else if (!strcmp(mode, "reconnect-tcp") || !strcmp(mode, "reconnect-udp")) {
		int tcp = !strcmp(mode, "reconnect-tcp");

		fd = socket(family, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
		say("allowed", tcp_connect(fd, &a, na));
		say("unspec", connect(fd, (void *)&unspec, sizeof(unspec)));
		say("denied", tcp_connect(fd, &d, nd));
		say("send", send(fd, tag, length, MSG_NOSIGNAL));
	} else if (!strcmp(mode, "connected-sendto")) {
		fd = socket(family, SOCK_DGRAM, 0);
		say("connect", connect(fd, (void *)&a, na));
		say("sendto", sendto(fd, tag, length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "sendmmsg")) {
		struct iovec io = {(void *)tag, length};
		struct mmsghdr m[2] = {
			{.msg_hdr = {.msg_iov = &io, .msg_iovlen = 1, .msg_name = &a, .msg_namelen = na}},
			{.msg_hdr = {.msg_iov = &io, .msg_iovlen = 1, .msg_name = &d, .msg_namelen = nd}},
		};

		say(mode, sendmmsg(socket(family, SOCK_DGRAM, 0), m, 2, 0));
	} else if (!strcmp(mode, "raw-icmp")) {
		unsigned char echo[64] = {family == AF_INET ? 8 : 128};

		memcpy(echo + 8, tag, length);
		fd = socket(family, SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
		((struct sockaddr_in6 *)&d)->sin6_port = 0;
		say(mode, sendto(fd, echo, 8 + length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "raw-discovery") || !strcmp(mode, "raw-groups")) { /* as the kernel asks for a neighbour; as it reports a group */
		int groups = !strcmp(mode, "raw-groups");
		unsigned char message[64] = {groups ? 143 : 135};
		unsigned char alert[8] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};

		memcpy(message + 24, tag, length);
		fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
		setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &(int){255}, sizeof(int));
		if (groups)
			setsockopt(fd, IPPROTO_IPV6, IPV6_HOPOPTS, alert, sizeof(alert));
		((struct sockaddr_in6 *)&d)->sin6_port = 0;
		say(mode, sendto(fd, message, 24 + length, 0, (void *)&d, nd));
	} else if (!strcmp(mode, "raw-connected")) {
		unsigned char segment[64] = {0x1b, 0x58, 0x1b, 0x58};

		memcpy(segment + 20, tag, length);
		fd = socket(family, SOCK_RAW, IPPROTO_TCP);
		((struct sockaddr_in6 *)&d)->sin6_port = 0;
		say("connect", connect(fd, (void *)&d, nd));
		say("send", send(fd, segment, sizeof(segment), 0));
	} else if (!strcmp(mode, "raw-header")) { /* the header names D, the socket address A */
		struct {
			struct iphdr ip;
			char text[40];
		} p = {.ip = {.version = 4, .ihl = 5, .ttl = 9, .protocol = 200, .daddr = ((struct sockaddr_in *)&d)->sin_addr.s_addr}};

		memcpy(p.text, tag, length);
		say(mode, sendto(socket(AF_INET, SOCK_RAW, IPPROTO_RAW), &p, sizeof(p), 0, (void *)&a, na));
	} else {
		return 2;
	}
	return 0;
}
