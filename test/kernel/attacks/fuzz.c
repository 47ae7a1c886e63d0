/*
 * Random sequences of socket calls: fuzz SEED OPERATIONS DENIED4 DENIED6 FRIEND4 FRIEND6 OWN_CGROUP OTHER_CGROUP.
 * Everything that is sent says "TAG-epoch-operation"; what comes in with "TAG-D" is printed as HEARD. After OPERATIONS it prints
 * PAUSE and waits for the number of the next epoch. The same seed makes the same calls; what they return differs.
 */
#include "address.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 24
static int slots[SLOTS], families[SLOTS], types[SLOTS], epoch, operation, pair[2];
static unsigned long long state;
static char **peers;
static const char *cgroups[2];
static char tag[32];

static unsigned int any(unsigned int below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (state >> 33) % below;
}

/* A destination for a socket of `family`: mostly the denied peer, in one of its spellings. */
static socklen_t target(int family, struct sockaddr_storage *to)
{
	static const int ports[] = {7000, 7002, 7600, 7601, 7602, 7603, 0};
	int port = ports[any(7)], v6 = family == AF_INET6;
	char text[64];
	socklen_t size;

	switch (any(12)) {
	case 0: case 1: case 2: case 3: case 4:
		size = address(peers[v6], port, to);
		break;
	case 5: case 6:
		size = address(peers[2 + v6], port, to);
		break;
	case 7:
		snprintf(text, sizeof(text), "::ffff:%s", peers[any(2) * 2]);
		size = address(v6 ? text : peers[0], port, to);
		break;
	case 8:
		size = address(peers[any(4)], port, to);
		break;
	case 9:
		size = address(v6 ? "::" : "0.0.0.0", port, to);
		break;
	case 10:
		size = address(v6 ? "::1" : "127.0.0.1", port, to);
		break;
	default:
		size = address(peers[v6], port, to);
		to->ss_family = AF_UNSPEC;
	}
	return size;
}

static void route_option(unsigned char lsrr[8])
{
	memcpy(lsrr, (unsigned char[8]){131, 7, 4, 0, 0, 0, 0, 1}, 8);
	inet_pton(AF_INET, peers[0], lsrr + 3);
}

static void segments(unsigned char srh[40])
{
	memcpy(srh, (unsigned char[8]){0, 4, 4, 1, 1}, 8);
	inet_pton(AF_INET6, peers[3], srh + 8);
	inet_pton(AF_INET6, peers[1], srh + 24);
}

static void option(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{SOL_SOCKET, SO_REUSEADDR, 1}, {SOL_SOCKET, SO_REUSEPORT, 1}, {SOL_SOCKET, SO_MARK, 7}, {SOL_SOCKET, SO_BROADCAST, 1},
		{IPPROTO_IP, 1 /* IP_TOS */, 16}, {IPPROTO_IP, 15 /* IP_FREEBIND */, 1}, {IPPROTO_IP, 19 /* IP_TRANSPARENT */, 1},
		{IPPROTO_IP, 3 /* IP_HDRINCL */, 1}, {IPPROTO_IP, 8 /* IP_PKTINFO */, 1}, {IPPROTO_IP, 10 /* IP_MTU_DISCOVER */, 0},
		{IPPROTO_IPV6, 26 /* IPV6_V6ONLY */, 0}, {IPPROTO_IPV6, 1 /* IPV6_ADDRFORM */, AF_INET}, {IPPROTO_IPV6, 67 /* IPV6_TCLASS */, 16},
		{IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1}, {IPPROTO_TCP, TCP_FASTOPEN, 5}, {IPPROTO_TCP, TCP_REPAIR, 1}, {IPPROTO_TCP, TCP_REPAIR, 0},
		{IPPROTO_TCP, TCP_NODELAY, 1}, {IPPROTO_TCP, TCP_DEFER_ACCEPT, 1}, {IPPROTO_TCP, TCP_CORK, 1},
		{17, 1 /* UDP_CORK */, 1}, {17, 1, 0}, {17, 103 /* UDP_SEGMENT */, 8}, {17, 104 /* UDP_GRO */, 1},
	};
	unsigned int at = any(sizeof(options) / sizeof(options[0]) + 5);
	unsigned char lsrr[8], srh[40];

	switch ((int)at - (int)(sizeof(options) / sizeof(options[0]))) {
	case 0: case 1:
		route_option(lsrr);
		setsockopt(fd, IPPROTO_IP, 4 /* IP_OPTIONS */, lsrr, any(3) ? sizeof(lsrr) : 0);
		return;
	case 2: case 3:
		segments(srh);
		setsockopt(fd, IPPROTO_IPV6, 57 /* IPV6_RTHDR */, srh, any(3) ? sizeof(srh) : 0);
		return;
	case 4:
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, any(2) ? "pt0" : "lo", 4);
		return;
	}
	setsockopt(fd, options[at].level, options[at].name, &options[at].value, sizeof(int));
}

/* One message in one of the ways to send it. */
static void send_somehow(int fd, int family, int type)
{
	unsigned char payload[64] = {family == AF_INET ? 8 : 128}, control[CMSG_SPACE(40)] = {};
	int head = type == SOCK_DGRAM || type == SOCK_STREAM ? 0 : 8, length, flags = MSG_NOSIGNAL | MSG_DONTWAIT;
	struct sockaddr_storage to;
	socklen_t size = target(family, &to);
	struct iovec io = {payload, 0};
	struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = &io, .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &io, .msg_iovlen = 1, .msg_name = &to, .msg_namelen = size}}};
	struct cmsghdr *c = (void *)control;

	snprintf(tag, sizeof(tag), "TAG-%d-%d ", epoch, operation);
	length = head + strlen(tag);
	memcpy(payload + head, tag, strlen(tag));
	io.iov_len = length;
	if (any(8) == 0)
		flags |= MSG_MORE;
	if (any(8) == 0)
		flags |= MSG_FASTOPEN;
	switch (any(6)) {
	case 0:
		send(fd, payload, length, flags);
		return;
	case 1: case 2:
		sendto(fd, payload, length, flags, (void *)&to, size);
		return;
	case 3:
		sendmmsg(fd, m, 2, flags);
		return;
	}
	c->cmsg_level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	switch (any(4)) {
	case 0:
		c->cmsg_type = family == AF_INET ? 1 : 67, c->cmsg_len = CMSG_LEN(4), *(int *)CMSG_DATA(c) = 16;
		break;
	case 1:
		c->cmsg_type = family == AF_INET ? 7 /* IP_RETOPTS */ : 57, c->cmsg_len = CMSG_LEN(family == AF_INET ? 8 : 40);
		if (family == AF_INET)
			route_option(CMSG_DATA(c));
		else
			segments(CMSG_DATA(c));
		break;
	case 2: /* IP_PKTINFO: leave by pt0 */
		c->cmsg_type = family == AF_INET ? 8 : 50, c->cmsg_len = CMSG_LEN(family == AF_INET ? 12 : 20);
		break;
	default:
		c->cmsg_level = SOL_SOCKET, c->cmsg_type = 36 /* SO_MARK */, c->cmsg_len = CMSG_LEN(4);
	}
	m[1].msg_hdr.msg_control = control, m[1].msg_hdr.msg_controllen = c->cmsg_len;
	if (any(2))
		m[1].msg_hdr.msg_name = NULL, m[1].msg_hdr.msg_namelen = 0;
	sendmsg(fd, &m[1].msg_hdr, flags);
}

static void describe(int fd, const char *what, int length, const unsigned char *head)
{
	struct sockaddr_in6 own = {}, peer = {};
	int protocol = 0, type = 0;
	socklen_t n = sizeof(own), m = sizeof(peer), four = 4;
	char names[2][64] = {"-", "-"};

	getsockname(fd, (void *)&own, &n), getpeername(fd, (void *)&peer, &m);
	getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &four), getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &four);
	inet_ntop(own.sin6_family, own.sin6_family == AF_INET ? (void *)&own.sin6_flowinfo : &own.sin6_addr, names[0], 64);
	inet_ntop(peer.sin6_family, peer.sin6_family == AF_INET ? (void *)&peer.sin6_flowinfo : &peer.sin6_addr, names[1], 64);
	printf("HEARD %.*s", length, what);
	for (int i = 0; i < 32; i++)
		printf("%s%02x", i % 4 ? "" : " ", head[i]);
	printf(" operation %d, type %d protocol %d, own %s %d, peer %s %d\n", operation, type, protocol, names[0], ntohs(own.sin6_port), names[1], ntohs(peer.sin6_port));
}

static void hear(int fd)
{
	static char text[70000];
	ssize_t got;
	char *at;

	for (int i = 0; i < 64 && (got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT)) > 0; i++) {
		text[got] = 0;
		for (at = text; (at = memmem(at, text + got - at, "TAG-D", 5)) != NULL; at += 5)
			describe(fd, at, strcspn(at, " \n"), (unsigned char *)text);
	}
}

static void move(const char *cgroup)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY);
	if (fd >= 0 && write(fd, "0", 1) != 1)
		errno = 0;
	close(fd);
}

static void pass(int at)
{
	char control[CMSG_SPACE(sizeof(int))] = {}, byte = 'x';
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &slots[at], sizeof(int));
	if (sendmsg(pair[0], &m, MSG_DONTWAIT) != 1)
		return;
	close(slots[at]), slots[at] = -1;
	if (recvmsg(pair[1], &m, MSG_DONTWAIT) == 1 && CMSG_FIRSTHDR(&m))
		memcpy(&slots[at], CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
}

static void open_socket(int at)
{
	static const struct {
		int type, protocol;
	} kinds[] = {
		{SOCK_STREAM, 0}, {SOCK_STREAM, 0}, {SOCK_STREAM, 262 /* MPTCP */}, {SOCK_DGRAM, 0}, {SOCK_DGRAM, 0}, {SOCK_DGRAM, 136 /* UDP-Lite */},
		{SOCK_DGRAM, 1}, {SOCK_DGRAM, 58}, {SOCK_RAW, 1}, {SOCK_RAW, 58}, {SOCK_RAW, 17}, {SOCK_RAW, 6}, {SOCK_RAW, 200}, {SOCK_RAW, 255},
	};
	unsigned int kind = any(sizeof(kinds) / sizeof(kinds[0]));

	if (slots[at] >= 0)
		close(slots[at]);
	families[at] = any(2) ? AF_INET : AF_INET6;
	types[at] = kinds[kind].protocol == 1 || kinds[kind].protocol == 58 ? 100 + kinds[kind].type : kinds[kind].type;
	slots[at] = socket(families[at], kinds[kind].type | SOCK_NONBLOCK, kinds[kind].protocol);
}

static void operate(int depth)
{
	int at = any(SLOTS), fd = slots[at], other;
	struct sockaddr_storage to;
	socklen_t size;

	operation++;
	if (fd < 0 || any(12) == 0)
		return open_socket(at);
	switch (any(16)) {
	case 0: case 1:
		option(fd);
		break;
	case 2:
		size = address(families[at] == AF_INET ? "0.0.0.0" : "::", 7600 + any(16), &to);
		bind(fd, (void *)&to, size);
		break;
	case 3:
		listen(fd, 4);
		break;
	case 4:
		other = any(SLOTS);
		fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
		if (fd >= 0)
			close(slots[other]), slots[other] = fd, families[other] = families[at], types[other] = SOCK_STREAM;
		break;
	case 5: case 6: case 7:
		size = target(families[at], &to);
		connect(fd, (void *)&to, size);
		if (any(4) == 0)
			poll(&(struct pollfd){fd, POLLOUT}, 1, 2);
		break;
	case 8: case 9: case 10: case 11:
		send_somehow(fd, families[at], types[at]);
		break;
	case 12:
		other = any(SLOTS);
		if (other != at)
			close(slots[other]), slots[other] = dup(fd), families[other] = families[at], types[other] = types[at];
		break;
	case 13:
		if (any(2))
			pass(at);
		else
			shutdown(fd, any(3));
		break;
	case 14:
		move(cgroups[any(2)]);
		break;
	default:
		if (depth == 0 && any(8) == 0) {
			pid_t child = fork();

			if (child == 0) {
				for (int i = 0; i < 20; i++)
					operate(1);
				fflush(stdout), _exit(0);
			}
			while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
				continue;
			for (int i = 0; i < 100; i++) /* the same numbers, whatever the child did */
				any(2);
		}
	}
	for (int i = 0; depth == 0 && i < SLOTS; i++)
		if (slots[i] >= 0)
			hear(slots[i]);
}

int main(int argc, char **argv)
{
	int operations = atoi(argv[2]);
	char line[32];

	state = strtoull(argv[1], NULL, 10) * 2654435761ULL + 1;
	peers = argv + 3, cgroups[0] = argv[7], cgroups[1] = argv[8];
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	memset(slots, 0xff, sizeof(slots));
	for (;;) {
		puts("PAUSE");
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		epoch = atoi(line);
		for (int i = 0; i < operations; i++)
			operate(0);
	}
}
