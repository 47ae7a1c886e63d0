/*
 * load.c: traffic for traffic.bench.ts, process starts for exec.bench.ts, denied datagrams for ring.bench.ts.
 *
 *   load serve   CPU IP PORT            echo on TCP and UDP PORT, sink on TCP PORT+1; prints "ready"
 *   load connect CPU IP PORT SECONDS    connections per second: connect, one byte there and back, reset
 *   load tcp_rr  CPU IP PORT SECONDS    median of one byte there and back, µs
 *   load udp_rr  CPU IP PORT SECONDS
 *   load stream  CPU IP PORT SECONDS    Gbit/s into the sink
 *   load flood   CPU IP PORT SECONDS    sendto() that is refused; prints "calls refused"
 *   load exec    CPU ARGC ROUNDS        µs of fork, exec of /bin/true with ARGC arguments, wait; best of 5 batches
 *
 * CPU -1 = any. A failure ends with exit code 1 and its reason.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 64
#define MAX_SAMPLES 1000000

extern char **environ;
static double samples[MAX_SAMPLES];
static char buffer[128 * 1024];
static const int on = 1;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static int fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in address(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
		fail(ip);
	return a;
}

static int open_socket(int type)
{
	int fd = socket(AF_INET, type, 0);

	if (fd < 0)
		fail("socket");
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return fd;
}

static int listening(int type, struct sockaddr_in a)
{
	int fd = open_socket(type);

	if (bind(fd, (void *)&a, sizeof(a)) || (type == SOCK_STREAM && listen(fd, 4096)))
		fail("listen");
	return fd;
}

static int connected(int type, struct sockaddr_in a)
{
	int fd = open_socket(type);

	if (connect(fd, (void *)&a, sizeof(a)))
		fail("connect");
	return fd;
}

static void serve(const char *ip, int port)
{
	struct pollfd fds[MAX_CONNECTIONS + 3] = {
		{.fd = listening(SOCK_STREAM, address(ip, port)), .events = POLLIN},
		{.fd = listening(SOCK_STREAM, address(ip, port + 1)), .events = POLLIN},
		{.fd = listening(SOCK_DGRAM, address(ip, port)), .events = POLLIN},
	};
	char echoes[MAX_CONNECTIONS + 3] = {0};
	int n = 3, i;

	signal(SIGPIPE, SIG_IGN);
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(fds, n, -1) <= 0)
			continue;
		for (i = n - 1; i >= 3; i--) {
			ssize_t got;

			if (!fds[i].revents)
				continue;
			got = recv(fds[i].fd, buffer, sizeof(buffer), 0);
			if (got > 0 && echoes[i])
				send(fds[i].fd, buffer, got, 0);
			if (got <= 0) {
				close(fds[i].fd);
				n--;
				fds[i] = fds[n];
				echoes[i] = echoes[n];
			}
		}
		if (fds[2].revents) {
			struct sockaddr_in from;
			socklen_t size = sizeof(from);
			ssize_t got = recvfrom(fds[2].fd, buffer, sizeof(buffer), 0, (void *)&from, &size);

			if (got >= 0)
				sendto(fds[2].fd, buffer, got, 0, (void *)&from, size);
		}
		for (i = 0; i < 2; i++) {
			if (fds[i].revents && n < MAX_CONNECTIONS + 3) {
				int fd = accept(fds[i].fd, NULL, NULL);

				if (fd < 0)
					continue;
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
				fds[n] = (struct pollfd){.fd = fd, .events = POLLIN};
				echoes[n] = i == 0;
				n++;
			}
		}
	}
}

static void measure_connect(struct sockaddr_in a, double seconds)
{
	struct linger reset = {1, 0};
	double start = now(), end = start + seconds;
	long n = 0;
	char byte = 1;

	for (; now() < end; n++) {
		int fd = open_socket(SOCK_STREAM);

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (connect(fd, (void *)&a, sizeof(a)) || send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1)
			fail("connection");
		close(fd);
	}
	printf("%.0f\n", n / (now() - start));
}

static int by_size(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return d < 0 ? -1 : d > 0;
}

static void measure_round_trip(struct sockaddr_in a, double seconds, int type)
{
	int fd = connected(type, a);
	double end = now() + seconds, before, after = now();
	long n = 0;
	char byte = 1;

	while (after < end && n < MAX_SAMPLES) {
		before = after;
		if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1)
			fail("round trip");
		after = now();
		samples[n++] = after - before;
	}
	qsort(samples, n, sizeof(samples[0]), by_size);
	printf("%.3f\n", samples[n / 2] * 1e6);
}

static void measure_stream(struct sockaddr_in a, double seconds)
{
	int fd = connected(SOCK_STREAM, a);
	double start = now(), end = start + seconds;
	double bytes = 0;

	while (now() < end) {
		ssize_t sent = send(fd, buffer, sizeof(buffer), 0);

		if (sent < 0)
			fail("send");
		bytes += sent;
	}
	printf("%.3f\n", bytes * 8 / (now() - start) / 1e9);
}

static void flood(struct sockaddr_in a, double seconds)
{
	int fd = open_socket(SOCK_DGRAM);
	double end = now() + seconds;
	long calls = 0, refused = 0;
	int i;

	while (now() < end) {
		for (i = 0; i < 256; i++, calls++)
			if (sendto(fd, buffer, 1, 0, (void *)&a, sizeof(a)) < 0 && errno == EPERM)
				refused++;
	}
	printf("%ld %ld\n", calls, refused);
}

static void measure_exec(int argc, int rounds)
{
	char *argv[64] = {"/bin/true"};
	double best = 1e9;
	int i, batch;

	for (i = 1; i < argc && i < 63; i++)
		if (asprintf(&argv[i], "--option-%d=value", i) < 0)
			fail("asprintf");
	for (batch = 0; batch < 5; batch++) {
		double start = now(), each;

		for (i = 0; i < rounds; i++) {
			pid_t pid;

			if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ))
				fail("posix_spawn");
			waitpid(pid, NULL, 0);
		}
		each = (now() - start) / rounds * 1e6;
		if (each < best)
			best = each;
	}
	printf("%.1f\n", best);
}

int main(int argc, char **argv)
{
	const char *what = argc > 4 ? argv[1] : "";
	int cpu = argc > 2 ? atoi(argv[2]) : -1;
	double seconds = argc > 5 ? atof(argv[5]) : 1;

	if (cpu >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			fail("sched_setaffinity");
	}
	if (!strcmp(what, "serve"))
		serve(argv[3], atoi(argv[4]));
	else if (!strcmp(what, "connect"))
		measure_connect(address(argv[3], atoi(argv[4])), seconds);
	else if (!strcmp(what, "tcp_rr"))
		measure_round_trip(address(argv[3], atoi(argv[4])), seconds, SOCK_STREAM);
	else if (!strcmp(what, "udp_rr"))
		measure_round_trip(address(argv[3], atoi(argv[4])), seconds, SOCK_DGRAM);
	else if (!strcmp(what, "stream"))
		measure_stream(address(argv[3], atoi(argv[4]) + 1), seconds);
	else if (!strcmp(what, "flood"))
		flood(address(argv[3], atoi(argv[4])), seconds);
	else if (!strcmp(what, "exec"))
		measure_exec(atoi(argv[3]), atoi(argv[4]));
	else
		return fprintf(stderr, "see load.c\n"), 2;
	return 0;
}
