/*
 * A right to speak is no right to be spoken to: confused MODE ALLOWED PORT.
 *   tcp  connect to ALLOWED, undo it by AF_UNSPEC, listen on PORT with the same socket
 *   udp  one datagram to ALLOWED from PORT, then read
 * Prints READY, then what comes.
 */
#include "address.h"
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_storage a, own, unspec = {.ss_family = AF_UNSPEC};
	socklen_t size = address(argv[2], 7000, &a);
	int tcp = !strcmp(argv[1], "tcp"), fd = socket(a.ss_family, tcp ? SOCK_STREAM : SOCK_DGRAM, 0), on = 1;
	char text[256];
	ssize_t got;

	setvbuf(stdout, NULL, _IOLBF, 0);
	address(a.ss_family == AF_INET ? "0.0.0.0" : "::", atoi(argv[3]), &own);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (tcp) {
		if (connect(fd, (void *)&a, size))
			return perror("connect"), 1;
		connect(fd, (void *)&unspec, sizeof(struct sockaddr_in));
		if (bind(fd, (void *)&own, size) || listen(fd, 8))
			return perror("listen"), 1;
		puts("READY");
		for (;;) {
			fd = accept(fd, NULL, NULL);
			puts("GOT");
		}
	}
	if (bind(fd, (void *)&own, size) || sendto(fd, "hello", 5, 0, (void *)&a, size) < 0)
		return perror("sendto"), 1;
	puts("READY");
	while ((got = recv(fd, text, sizeof(text) - 1, 0)) >= 0)
		text[got] = 0, printf("GOT %s\n", text);
	return 0;
}
