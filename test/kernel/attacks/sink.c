/* A victim: listens on TCP and UDP 7000 of every address, UDP-Lite too; prints ACCEPT and what it reads. */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_socket(int type, int protocol, int port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, type, protocol), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (void *)&any, sizeof(any)) || (type == SOCK_STREAM && listen(fd, 64)))
		return perror("sink"), exit(1), -1;
	return fd;
}

int main(int argc, char **argv)
{
	int port = argc > 1 ? atoi(argv[1]) : 7000, n = 3;
	struct pollfd fds[64] = {{open_socket(SOCK_STREAM, 0, port), POLLIN},
				 {open_socket(SOCK_DGRAM, 0, port), POLLIN},
				 {open_socket(SOCK_DGRAM, 136, port), POLLIN}};
	char text[2049];

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("READY");
	for (;;) {
		poll(fds, n, -1);
		if (fds[0].revents && n < 64) {
			puts("ACCEPT");
			fds[n++] = (struct pollfd){accept(fds[0].fd, NULL, NULL), POLLIN};
		}
		for (int i = 1; i < n; i++) {
			ssize_t got;

			if (!fds[i].revents)
				continue;
			got = recv(fds[i].fd, text, sizeof(text) - 1, 0);
			if (got > 0)
				text[got] = 0, printf("%s %s\n", i == 1 ? "UDP" : i == 2 ? "UDPLITE" : "TCP", text);
			else if (i > 2)
				close(fds[i].fd), fds[i].fd = -1;
		}
	}
}
