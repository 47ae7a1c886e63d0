/*
 * A peer that wants in: pester OWN4 OWN6 THEIR4 THEIR6. Sends "TAG-Depoch" (see words()) to the ports 7600 to 7615 by TCP, UDP and UDP-Lite, to whoever
 * connects to its own 7000 (which another holds), 7002, 7600 to 7603, and back to whoever sends. Each line that it reads is
 * the epoch from then on; it prints it.
 */
#include "address.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define MAX 256
static struct pollfd fds[MAX];
static char kinds[MAX]; /* l listener, u datagram, s stream */
static int n = 1;
static char text[32];

/* "TAG-DN12 " in an even (denied) epoch, "TAG-DY13 " in an odd one: a segment's end cuts the number, and it is still told apart. */
static void words(int epoch)
{
	snprintf(text, sizeof(text), "TAG-D%c%d ", epoch % 2 ? 'Y' : 'N', epoch);
}

static int keep(int fd, char kind)
{
	if (fd < 0)
		return fd;
	if (n == MAX) { /* the oldest stream goes */
		for (int i = 1; i < n; i++)
			if (kinds[i] == 's') {
				close(fds[i].fd);
				memmove(fds + i, fds + i + 1, (n - i - 1) * sizeof(*fds)), memmove(kinds + i, kinds + i + 1, n - i - 1);
				n--;
				break;
			}
	}
	kinds[n] = kind;
	fds[n++] = (struct pollfd){fd, POLLIN};
	return fd;
}

static void open_ports(const char *own)
{
	static const int ports[] = {7002, 7600, 7601, 7602, 7603};

	for (int i = 0; i < 5; i++) {
		struct sockaddr_storage a;
		socklen_t size = address(own, ports[i], &a);
		int tcp = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), udp = socket(a.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1;

		setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), setsockopt(udp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(tcp, (void *)&a, size) || listen(tcp, 64) || bind(udp, (void *)&a, size))
			perror("open"), exit(1);
		keep(tcp, 'l'), keep(udp, 'u');
	}
}

static void try(const char *own, const char *their, unsigned int round)
{
	struct sockaddr_storage from, to;
	socklen_t size = address(own, 0, &from);
	int port = 7600 + round % 16, fd = socket(from.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	address(their, port, &to);
	if (bind(fd, (void *)&from, size))
		perror("bind"), exit(1);
	connect(fd, (void *)&to, size);
	keep(fd, 's');
	for (int protocol = 0; protocol <= 136; protocol += 136) {
		fd = socket(from.ss_family, SOCK_DGRAM, protocol);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		address(own, round % 3 ? 7002 : 0, &from);
		if (bind(fd, (void *)&from, size)) /* another source address would be another peer */
			perror("bind"), exit(1);
		sendto(fd, text, strlen(text), 0, (void *)&to, size);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	static char in[70000];
	char line[32];

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	words(0);
	fds[0] = (struct pollfd){0, POLLIN};
	open_ports(argv[1]), open_ports(argv[2]);
	puts("READY");
	for (unsigned int round = 0;; round++) {
		poll(fds, n, 5);
		if (fds[0].revents) {
			if (!fgets(line, sizeof(line), stdin))
				return 0;
			words(atoi(line));
			puts(line);
		}
		for (int i = 1; i < n; i++) {
			struct sockaddr_storage from;
			socklen_t size = sizeof(from);

			if (kinds[i] == 'l') {
				int one = accept(fds[i].fd, NULL, NULL);

				if (one >= 0)
					keep(one, 's');
			} else if (kinds[i] == 'u') {
				while (recvfrom(fds[i].fd, in, sizeof(in), MSG_DONTWAIT, (void *)&from, &size) >= 0)
					sendto(fds[i].fd, text, strlen(text), MSG_DONTWAIT, (void *)&from, size);
			} else if (round % 8 == 0 || fds[i].revents) {
				while (recv(fds[i].fd, in, sizeof(in), MSG_DONTWAIT) > 0)
					continue;
				if (send(fds[i].fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != ENOTCONN) {
					close(fds[i].fd);
					fds[i] = fds[--n], kinds[i] = kinds[n], i--;
				}
			}
		}
		try(argv[1], argv[3], round);
		try(argv[2], argv[4], round);
	}
}
