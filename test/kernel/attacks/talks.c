/*
 * A datagram socket that is told what to do: talks [bind ADDRESS PORT] TO PORT [connect]. Each line of the input is sent to the
 * peer, by send() if connected; prints READY, then what it hears.
 */
#include "address.h"
#include <poll.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int bound = !strcmp(argv[1], "bind"), at = bound ? 4 : 1, connected = argc > at + 2;
	struct sockaddr_storage own, to;
	socklen_t size = address(argv[at], atoi(argv[at + 1]), &to);
	int fd = socket(to.ss_family, SOCK_DGRAM, 0);
	struct pollfd p[2] = {{0, POLLIN}, {fd, POLLIN}};
	char text[256];
	ssize_t got;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (bound && bind(fd, (void *)&own, address(argv[2], atoi(argv[3]), &own)))
		return perror("bind"), 1;
	if (connected)
		say("connect", connect(fd, (void *)&to, size));
	puts("READY");
	for (;;) {
		poll(p, 2, -1);
		if (p[1].revents && (got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT)) >= 0)
			text[got] = 0, printf("GOT %s\n", text);
		if (!p[0].revents)
			continue;
		got = read(0, text, sizeof(text) - 1);
		if (got <= 0)
			return 0;
		say("SENT", sendto(fd, text, got - 1, 0, connected ? NULL : (void *)&to, connected ? 0 : size));
	}
}
