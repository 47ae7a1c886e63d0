/*
 * MPTCP ends: mptcp serve PORT [LINGER]       a listener; prints READY, ACCEPT, and "GOT text" for what it reads
 *             mptcp connect SOURCE ADDRESS PORT TEXT   binds, connects, sends TEXT; prints CONNECTED; then sends TEXT again
 *                                             for each line that it reads
 */
#include "address.h"
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#define MPTCP 262

int main(int argc, char **argv)
{
	struct sockaddr_storage to, from;
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	char text[2048];
	int fd, on = 1;
	ssize_t got;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(argv[1], "serve")) {
		int one;

		fd = socket(AF_INET6, SOCK_STREAM, MPTCP);
		any.sin6_port = htons(atoi(argv[2]));
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (fd < 0 || bind(fd, (void *)&any, sizeof(any)) || listen(fd, 8))
			return perror("serve"), 1;
		puts("READY");
		while ((one = accept(fd, NULL, NULL)) >= 0) {
			puts("ACCEPT");
			if (fork())
				continue;
			while ((got = recv(one, text, sizeof(text) - 1, 0)) > 0) {
				text[got] = 0;
				printf("GOT %s\n", text);
				send(one, "ok", 2, MSG_NOSIGNAL);
			}
			puts("END");
			return 0;
		}
		return 1;
	}
	{
		socklen_t size = address(argv[3], atoi(argv[4]), &to), own = address(argv[2], 0, &from);
		const char *what = argv[5];

		fd = socket(to.ss_family, SOCK_STREAM, MPTCP);
		if (bind(fd, (void *)&from, own) || connect(fd, (void *)&to, size))
			return perror("connect"), 1;
		send(fd, what, strlen(what), MSG_NOSIGNAL);
		recv(fd, text, sizeof(text), 0);
		puts("CONNECTED");
		while (fgets(text, sizeof(text), stdin)) {
			send(fd, what, strlen(what), MSG_NOSIGNAL);
			got = recv(fd, text, sizeof(text), 0);
			puts(got > 0 ? "ANSWERED" : "SILENT");
		}
	}
	return 0;
}
