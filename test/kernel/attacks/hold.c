/* Holds connections: hold COUNT ADDRESS PORT SOURCE INTERFACE ("-" and "": any). Prints READY; for each line that it reads "ALIVE n ABORTED n RESET n". */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static socklen_t address(const char *text, int port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;

	memset(out, 0, sizeof(*out));
	v4->sin_family = AF_INET, v4->sin_port = htons(port);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		return sizeof(*v4);
	v6->sin6_family = AF_INET6;
	inet_pton(AF_INET6, text, &v6->sin6_addr);
	return sizeof(*v6);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to, from;
	socklen_t size = address(argv[2], atoi(argv[3]), &to);
	int count = atoi(argv[1]), *fds = calloc(count, sizeof(int)), *errors = calloc(count, sizeof(int));
	char line[16], byte;

	setrlimit(RLIMIT_NOFILE, &(struct rlimit){20000, 20000});
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 0; i < count; i++) {
		fds[i] = socket(to.ss_family, SOCK_STREAM, 0);
		if (*argv[5] && setsockopt(fds[i], SOL_SOCKET, SO_BINDTODEVICE, argv[5], strlen(argv[5])))
			return perror("interface"), 1;
		if (*argv[4] != '-' && bind(fds[i], (void *)&from, address(argv[4], 0, &from)))
			return perror("bind"), 1;
		if (connect(fds[i], (void *)&to, size))
			return perror("connect"), 1;
	}
	puts("READY");
	while (fgets(line, sizeof(line), stdin)) {
		int alive = 0, aborted = 0, reset = 0;

		for (int i = 0; i < count; i++) {
			if (!errors[i] && recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno != EAGAIN)
				errors[i] = errno;
			alive += !errors[i], aborted += errors[i] == ECONNABORTED, reset += errors[i] == ECONNRESET;
		}
		printf("ALIVE %d ABORTED %d RESET %d\n", alive, aborted, reset);
	}
	return 0;
}
