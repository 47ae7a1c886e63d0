/* A question and its answer by UDP: ask SOURCE DESTINATION PORT TEXT; prints "ANSWER text". ask serve ADDRESS PORT answers with the same. */
#include "address.h"
#include <sys/time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_storage from, to;
	socklen_t size;
	char text[2048];
	ssize_t got;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(argv[1], "serve")) {
		size = address(argv[2], atoi(argv[3]), &to);
		fd = socket(to.ss_family, SOCK_DGRAM, 0);
		if (bind(fd, (void *)&to, size))
			return perror("bind"), 1;
		puts("READY");
		for (;;) {
			size = sizeof(from);
			got = recvfrom(fd, text, sizeof(text), 0, (void *)&from, &size);
			if (got >= 0)
				sendto(fd, text, got, 0, (void *)&from, size);
		}
	}
	size = address(argv[1], 0, &from);
	address(argv[2], atoi(argv[3]), &to);
	fd = socket(to.ss_family, SOCK_DGRAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){2, 0}, sizeof(struct timeval));
	if (bind(fd, (void *)&from, size) || sendto(fd, argv[4], strlen(argv[4]), 0, (void *)&to, size) < 0)
		return perror("ask"), 1;
	got = recv(fd, text, sizeof(text) - 1, 0);
	if (got < 0)
		return perror("answer"), 1;
	text[got] = 0;
	printf("ANSWER %s\n", text);
	return 0;
}
