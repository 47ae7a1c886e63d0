/*
 * storm.c: starts that differ by one argument, for late-storm.test.ts and late.bench.ts.
 *
 *   storm RATE COUNT PORT_A PORT_B    COUNT starts of itself, RATE per second, by turns as TAG-a and TAG-b
 *
 * Each child asks connect(UDP) to the port of the other tag until that is refused: it has a label now. It prints "TAG µs
 * right" when its own port is not refused, else "TAG µs wrong", or "TAG 0 never" after 5 s. The µs are from its first
 * instruction to the label. What is let through makes no event.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static int may(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), ok = connect(fd, (void *)&a, sizeof(a)) == 0;

	if (!ok && errno != EPERM)
		perror("connect"), exit(1);
	close(fd);
	return ok;
}

static int child(const char *tag, int own, int other)
{
	long start = now_us(), took = 0;
	const char *how = "never";
	char line[64];

	while (now_us() - start < 5000000) {
		if (!may(other)) {
			took = now_us() - start;
			how = may(own) ? "right" : "wrong";
			break;
		}
		took = (now_us() - start) / 8; /* who waits long asks seldom: it must not starve the one that it waits for */
		usleep(took < 1000 ? 1000 : took);
	}
	if (write(1, line, snprintf(line, sizeof(line), "%s %ld %s\n", tag, *how == 'n' ? 0 : took, how)) < 0)
		return 1;
	return 0;
}

int main(int argc, char **argv)
{
	long rate, begun = now_us();
	int i, count;

	if (argc == 5 && !strncmp(argv[1], "TAG-", 4))
		return child(argv[1], atoi(argv[2]), atoi(argv[3]));
	if (argc != 5)
		return fprintf(stderr, "storm RATE COUNT PORT_A PORT_B\n"), 2;
	rate = atol(argv[1]);
	count = atoi(argv[2]);
	for (i = 0; i < count; i++) {
		char number[16], *tag = i & 1 ? "TAG-b" : "TAG-a";
		char *own = i & 1 ? argv[4] : argv[3], *other = i & 1 ? argv[3] : argv[4];
		long due = begun + i * 1000000L / rate, wait = due - now_us();

		if (wait > 0)
			usleep(wait);
		snprintf(number, sizeof(number), "%d", i);
		if (vfork() == 0) {
			execl("/proc/self/exe", "storm", tag, own, other, number, NULL);
			_exit(1);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
