/*
 * Every kind of socket that can hear: ears FRIEND PORT [root]. Prints READY, then "KIND text of SENDER" for what comes with "TAG-" in it,
 * and ACCEPT for a connection. Stream, datagram, UDP-Lite and ping sockets of both families, a datagram socket that is connected
 * to FRIEND (from PORT + 1), a connection to FRIEND's port 7000; as root raw sockets of TCP, UDP, ICMP, ICMPv6 and a protocol that nobody has.
 * For each line that it reads it prints DRAINED after all that has come before.
 */
#include "address.h"
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define MAX 64
static struct pollfd fds[MAX + 1];
static char kinds[MAX][24];
static int n;

static int hear(int fd, const char *kind, int family)
{
	if (fd < 0)
		return say(kind, fd), fd;
	snprintf(kinds[n], sizeof(kinds[n]), "%s%c", kind, family == AF_INET ? '4' : '6');
	fds[n++] = (struct pollfd){fd, POLLIN};
	return fd;
}

static void bound(const char *kind, int family, int type, int protocol, int port)
{
	struct sockaddr_storage any;
	socklen_t size = address(family == AF_INET ? "0.0.0.0" : "::", port, &any);
	int fd = hear(socket(family, type | SOCK_NONBLOCK, protocol), kind, family), on = 1;

	if (fd < 0)
		return;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, 26 /* IPV6_V6ONLY */, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (void *)&any, size) || (type == SOCK_STREAM && listen(fd, 64)))
		say(kind, -1);
}

/* Everything that is there, from every socket. */
static void listen_to_all(void)
{
	static char text[70000];

	for (int i = 0; i < n; i++) {
		struct sockaddr_in6 from = {};
		socklen_t size;
		ssize_t got;
		int one;

		if (!strncmp(kinds[i], "LISTEN", 6)) {
			while ((one = accept4(fds[i].fd, NULL, NULL, 0)) >= 0) {
				puts("ACCEPT");
				if (n < MAX)
					hear(one, "ACCEPTED", kinds[i][6] == '4' ? AF_INET : AF_INET6);
				else
					close(one);
			}
			continue;
		}
		while (size = sizeof(from), (got = recvfrom(fds[i].fd, text, sizeof(text) - 1, MSG_DONTWAIT, (void *)&from, &size)) > 0) {
			char *tag = memmem(text, got, "TAG-", 4), name[64] = "";

			inet_ntop(from.sin6_family, from.sin6_family == AF_INET ? (void *)&from.sin6_flowinfo : &from.sin6_addr, name, sizeof(name));
			if (tag)
				printf("%s %.*s of %s\n", kinds[i], (int)strcspn(tag, " "), tag, size ? name : "a stream");
		}
		if ((got == 0 || errno != EAGAIN) && (!strncmp(kinds[i], "ACCEPTED", 8) || !strncmp(kinds[i], "STREAM", 6))) {
			close(fds[i].fd);
			fds[i] = fds[--n];
			memcpy(kinds[i--], kinds[n], sizeof(kinds[n]));
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_storage friend, there;
	int port = atoi(argv[2]), families[2] = {AF_INET, AF_INET6}, at;
	socklen_t size = address(argv[1], 7002, &friend), size_tcp = address(argv[1], 7000, &there);

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < 2; i++) {
		int f = families[i];

		bound("LISTEN", f, SOCK_STREAM, 0, port);
		bound("UDP", f, SOCK_DGRAM, 0, port);
		bound("UDPLITE", f, SOCK_DGRAM, 136, port);
		bound("PING", f, SOCK_DGRAM, f == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6, port);
		if (argc <= 3)
			continue;
		bound("RAW-TCP", f, SOCK_RAW, IPPROTO_TCP, 0);
		bound("RAW-UDP", f, SOCK_RAW, IPPROTO_UDP, 0);
		bound("RAW-ICMP", f, SOCK_RAW, f == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6, 0);
		bound("RAW-200", f, SOCK_RAW, 200, 0);
	}
	bound("CONNECTED", friend.ss_family, SOCK_DGRAM, 0, port + 1);
	at = fds[n - 1].fd;
	if (connect(at, (void *)&friend, size))
		say("connect", -1);
	at = hear(socket(friend.ss_family, SOCK_STREAM, 0), "STREAM", friend.ss_family);
	if (connect(at, (void *)&there, size_tcp))
		say("connect", -1);
	puts("READY");
	for (;;) {
		char line;

		fds[n] = (struct pollfd){0, POLLIN};
		poll(fds, n + 1, -1);
		at = fds[n].revents;
		listen_to_all();
		if (!at)
			continue;
		if (read(0, &line, 1) != 1)
			return 0;
		listen_to_all();
		puts("DRAINED");
	}
}
