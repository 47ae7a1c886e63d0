/*
 * Workloads on one host:
 *   neighbour hears ADDRESS PORT                    listens by TCP and UDP; prints READY, then what comes
 *   neighbour tcp|udp SOURCE TO PORT DEVICE TEXT    from SOURCE:0, bound to DEVICE; "-" = neither
 *   neighbour spoof SOURCE TO PORT AS TEXT          a datagram of a socket at SOURCE that names AS as its source (IP_PKTINFO)
 *   neighbour again SOURCE TO PORT TEXT             a datagram, and for each line of the input another by the same socket
 *   neighbour stale ADDRESS                         binds, lets go by AF_UNSPEC; prints the port that it had
 *   neighbour binds N                               the same N times with one socket, each time at another address
 */
#include "address.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

static int hears(const char *where, int port)
{
	struct sockaddr_storage own;
	socklen_t size = address(where, port, &own);
	struct pollfd fds[16] = {{socket(own.ss_family, SOCK_STREAM, 0), POLLIN}, {socket(own.ss_family, SOCK_DGRAM, 0), POLLIN}};
	char text[256];
	int n = 2;

	setsockopt(fds[0].fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, 4), setsockopt(fds[1].fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, 4);
	if (bind(fds[0].fd, (void *)&own, size) || listen(fds[0].fd, 8) || bind(fds[1].fd, (void *)&own, size))
		return perror("bind"), 1;
	puts("READY");
	for (;;) {
		poll(fds, n, -1);
		if (fds[0].revents && n < 16)
			puts("ACCEPT"), fds[n++] = (struct pollfd){accept(fds[0].fd, NULL, NULL), POLLIN};
		for (int i = 1; i < n; i++) {
			ssize_t got = fds[i].revents ? recv(fds[i].fd, text, sizeof(text) - 1, MSG_DONTWAIT) : -1;

			if (got > 0)
				text[got] = 0, printf("GOT %s\n", text);
			else if (got == 0 && i > 1)
				close(fds[i].fd), fds[i].fd = -1;
		}
	}
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];
	struct sockaddr_storage own, to, unspec = {.ss_family = AF_UNSPEC};
	char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {}, line[256];
	struct msghdr m = {.msg_name = &to, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	struct iovec io;
	socklen_t size, n;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(mode, "hears"))
		return hears(argv[2], atoi(argv[3]));
	if (!strcmp(mode, "stale")) {
		n = address(argv[2], 0, &own), fd = socket(own.ss_family, SOCK_DGRAM, 0);
		bind(fd, (void *)&own, n), getsockname(fd, (void *)&own, &n);
		address(argv[2], 9, &to);
		say("connect", connect(fd, (void *)&to, n)), say("unspec", connect(fd, (void *)&unspec, sizeof(unspec)));
		printf("PORT %d\n", ntohs(((struct sockaddr_in *)&own)->sin_port));
		return read(0, line, 1);
	}
	if (!strcmp(mode, "binds")) {
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		for (int i = 1; i <= atoi(argv[2]); i++) {
			if (i > 1)
				connect(fd, (void *)&to, n), connect(fd, (void *)&unspec, sizeof(unspec));
			snprintf(line, sizeof(line), "127.0.%d.%d", i / 250 + 1, i % 250 + 1);
			n = address(line, 9, &to), address(line, 0, &own);
			if (bind(fd, (void *)&own, n))
				return perror("bind"), 1;
		}
		printf("BOUND %s\n", argv[2]);
		return read(0, line, 1);
	}
	size = address(argv[3], atoi(argv[4]), &to);
	fd = socket(strcmp(argv[2], "-") && strchr(argv[2], ':') ? AF_INET6 : to.ss_family, strcmp(mode, "tcp") ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (strcmp(argv[2], "-") && bind(fd, (void *)&own, address(argv[2], 0, &own)))
		return perror("bind"), 1;
	if (!strcmp(mode, "spoof")) {
		io = (struct iovec){argv[6], strlen(argv[6])}, m.msg_iov = &io, m.msg_namelen = size;
		c->cmsg_level = IPPROTO_IP, c->cmsg_type = IP_PKTINFO, c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
		inet_pton(AF_INET, argv[5], &((struct in_pktinfo *)CMSG_DATA(c))->ipi_spec_dst);
		return say(mode, sendmsg(fd, &m, 0)), 0;
	}
	if (!strcmp(mode, "again")) {
		say(mode, sendto(fd, argv[5], strlen(argv[5]), 0, (void *)&to, size));
		for (puts("READY"); fgets(line, sizeof(line), stdin); puts("DONE"))
			say(mode, sendto(fd, line, strlen(line) - 1, 0, (void *)&to, size));
		return 0;
	}
	if (strcmp(argv[5], "-"))
		say("device", setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, argv[5], strlen(argv[5]) + 1));
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &(int){1}, 4);
	if (!strcmp(mode, "udp"))
		return say(mode, sendto(fd, argv[6], strlen(argv[6]), 0, (void *)&to, size)), 0;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (void *)&to, size))
		perror("connect"), poll(&(struct pollfd){fd, POLLOUT}, 1, 300);
	say("send", send(fd, argv[6], strlen(argv[6]), MSG_NOSIGNAL));
	return 0;
}
