/* A server that ends each connection before its client does: hangup PORT. Prints READY, then what it reads. */
#include "address.h"
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_storage any;
	socklen_t size = address("::", atoi(argv[1]), &any);
	int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1, one;
	char text[256];
	ssize_t got;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (void *)&any, size) || listen(fd, 8))
		return perror("listen"), 1;
	puts("READY");
	while ((one = accept(fd, NULL, NULL)) >= 0) {
		shutdown(one, SHUT_WR);
		while ((got = recv(one, text, sizeof(text) - 1, 0)) > 0)
			text[got] = 0, puts(text);
		close(one);
	}
	return 1;
}
