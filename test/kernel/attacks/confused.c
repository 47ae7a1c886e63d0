/*
 * A right to speak is no right to be spoken to: confused MODE ALLOWED PORT.
 *   tcp  connect to ALLOWED, undo it by AF_UNSPEC, listen on PORT with the same socket
 *   udp  one datagram to ALLOWED from PORT, then read
 * Prints READY, then what comes.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(7000)}, own = a, unspec = {.sin_family = AF_UNSPEC};
	int tcp = !strcmp(argv[1], "tcp"), fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0), on = 1;
	char text[256];
	ssize_t got;

	setvbuf(stdout, NULL, _IOLBF, 0);
	inet_pton(AF_INET, argv[2], &a.sin_addr);
	own.sin_port = htons(atoi(argv[3])), own.sin_addr.s_addr = 0;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (tcp) {
		if (connect(fd, (void *)&a, sizeof(a)))
			return perror("connect"), 1;
		connect(fd, (void *)&unspec, sizeof(unspec));
		if (bind(fd, (void *)&own, sizeof(own)) || listen(fd, 8))
			return perror("listen"), 1;
		puts("READY");
		for (;;) {
			fd = accept(fd, NULL, NULL);
			puts("GOT");
		}
	}
	if (bind(fd, (void *)&own, sizeof(own)) || sendto(fd, "hello", 5, 0, (void *)&a, sizeof(a)) < 0)
		return perror("sendto"), 1;
	puts("READY");
	while ((got = recv(fd, text, sizeof(text) - 1, 0)) >= 0)
		text[got] = 0, printf("GOT %s\n", text);
	return 0;
}
