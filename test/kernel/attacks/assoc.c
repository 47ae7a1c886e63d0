/*
 * One connection of a protocol (sctp, smc, tcp), both ways: assoc serve KIND ADDRESS PORT | assoc connect KIND ADDRESS PORT SOURCE.
 * Prints READY (listening, connected), ACCEPT, and "GOT text"; it sends each line that it reads on every connection and prints
 * "SENT line". What came before is printed before that.
 */
#include "address.h"
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define MAX 16

int main(int argc, char **argv)
{
	int serves = !strcmp(argv[1], "serve"), sctp = !strcmp(argv[2], "sctp"), smc = !strcmp(argv[2], "smc"), n = 1, on = 1;
	struct pollfd fds[MAX] = {{0, POLLIN}};
	struct sockaddr_storage a, from;
	socklen_t size = address(argv[3], atoi(argv[4]), &a);
	int fd = smc ? socket(43, SOCK_STREAM, a.ss_family == AF_INET6) : socket(a.ss_family, SOCK_STREAM, sctp ? 132 : 0);
	char text[2048];
	ssize_t got;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!serves && bind(fd, (void *)&from, address(argv[5], 0, &from)))
		return perror("bind"), 1;
	if (fd < 0 || (serves ? bind(fd, (void *)&a, size) || listen(fd, 8) : connect(fd, (void *)&a, size)))
		return perror(argv[1]), 1;
	fds[n++] = (struct pollfd){fd, POLLIN};
	puts("READY");
	for (;;) {
		poll(fds, n, -1);
		for (int i = 1; i < n; i++) {
			if (!fds[i].revents)
				continue;
			if (serves && i == 1) {
				fd = accept(fds[1].fd, NULL, NULL);
				puts("ACCEPT");
				if (fd >= 0 && n < MAX)
					fds[n++] = (struct pollfd){fd, POLLIN};
				continue;
			}
			got = recv(fds[i].fd, text, sizeof(text) - 1, MSG_DONTWAIT);
			if (got > 0)
				text[got] = 0, printf("GOT %s\n", text);
			else
				puts("END"), close(fds[i].fd), fds[i].fd = -1;
		}
		if (!fds[0].revents)
			continue;
		if (!fgets(text, sizeof(text), stdin))
			return 0;
		for (int i = serves ? 2 : 1; i < n; i++)
			if (fds[i].fd >= 0 && send(fds[i].fd, text, strlen(text), MSG_DONTWAIT) < 0)
				perror("send");
		printf("SENT %s", text);
	}
}
