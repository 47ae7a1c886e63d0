/*
 * Sockets made before anybody watched: held MODE DENIED TAG. Prints READY, waits for a line, then sends from each.
 *   open      unbound UDP, connected UDP, UDP-Lite, ping, connected TCP, raw ICMP, each with a descriptor
 *   inflight  the same, but no descriptor: in flight in a unix socket until the line has come
 *   tcp       one TCP connection to port 7000; prints what became of it
 */

#include "address.h"
#include <errno.h>
#include <unistd.h>

#define COUNT 6

int main(int argc, char **argv)
{
	struct sockaddr_storage d;
	socklen_t size = address(argv[2], 7000, &d);
	int family = d.ss_family;
	const char *tag = argv[3];
	int length = strlen(tag), fds[COUNT], pair[2], inflight = !strcmp(argv[1], "inflight");
	unsigned char echo[64] = {family == AF_INET ? 8 : 128};
	char control[CMSG_SPACE(sizeof(fds))] = {}, byte = 'x';
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	setvbuf(stdout, NULL, _IOLBF, 0);
	memcpy(echo + 8, tag, length);
	fds[0] = socket(family, SOCK_DGRAM, 0);
	fds[1] = socket(family, SOCK_DGRAM, 0);
	fds[2] = socket(family, SOCK_DGRAM, 136);
	fds[3] = socket(family, SOCK_DGRAM, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	fds[4] = socket(family, SOCK_STREAM, 0);
	fds[5] = socket(family, SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	connect(fds[1], (void *)&d, size);
	connect(fds[2], (void *)&d, size);
	if (connect(fds[4], (void *)&d, size))
		return perror("connect"), 1;
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	if (inflight) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fds));
		memcpy(CMSG_DATA(c), fds, sizeof(fds));
		sendmsg(pair[0], &m, 0);
		for (int i = 0; i < COUNT; i++)
			close(fds[i]);
	}
	puts("READY");
	read(0, &byte, 1);
	if (inflight) {
		recvmsg(pair[1], &m, 0);
		memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fds));
	}
	sendto(fds[0], tag, length, 0, (void *)&d, size);
	send(fds[1], tag, length, 0);
	send(fds[2], tag, length, 0);
	sendto(fds[3], echo, 8 + length, 0, (void *)&d, size);
	send(fds[4], tag, length, MSG_NOSIGNAL);
	((struct sockaddr_in6 *)&d)->sin6_port = 0;
	sendto(fds[5], echo, 8 + length, 0, (void *)&d, size);
	puts("SENT");
	return 0;
}
