/* A client that waits for its connection, then for data: waits ADDRESS PORT. Prints READY, what it reads, END. */
#include "address.h"
#include <sys/time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_storage to;
	socklen_t size = address(argv[1], atoi(argv[2]), &to);
	int fd = socket(to.ss_family, SOCK_STREAM, 0);
	char text[256];
	ssize_t got;

	setvbuf(stdout, NULL, _IOLBF, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){1, 0}, sizeof(struct timeval));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){1, 0}, sizeof(struct timeval));
	puts("READY");
	if (connect(fd, (void *)&to, size))
		perror("connect");
	got = recv(fd, text, sizeof(text) - 1, 0);
	if (got > 0)
		text[got] = 0, puts(text);
	puts("END");
	return 0;
}
