/*
 * Asks until standard input ends: atomic-client WORKERS PERIOD_US TARGET…, each worker a process of its own.
 * TARGET is PROTOCOL,SOURCE,ADDRESS,PORT with PROTOCOL tcp, udp or udpc (connected); SOURCE "-" is any address.
 * One line for each attempt: PROTOCOL ADDRESS PORT SOURCE_PORT BEGIN_US END_US RESULT, times in microseconds since 1970.
 * serve ADDRESS,PORT… echoes on TCP and UDP of each; prints "ready".
 * RESULT: ok = the echo came; EPERM; silence = no connection or no answer in time; mute = connected, no answer in time;
 * reset = the connection was ended; else the error's number.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 600 /* below a second: a SYN that was dropped is not sent again in the time of its attempt */

struct target {
	char protocol[8], address[64];
	int stream, connected, port;
	struct sockaddr_storage to, from;
	socklen_t size;
};

static socklen_t parse(const char *text, int port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET, v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		fprintf(stderr, "no address: %s\n", text), exit(2);
	v6->sin6_family = AF_INET6, v6->sin6_port = htons(port);
	return sizeof(*v6);
}

static struct target read_target(char *word)
{
	struct target t = {0};
	char *protocol = strtok(word, ","), *source = strtok(NULL, ","), *address = strtok(NULL, ","), *port = strtok(NULL, ",");

	snprintf(t.protocol, sizeof(t.protocol), "%s", protocol);
	snprintf(t.address, sizeof(t.address), "%s", address);
	t.stream = !strcmp(protocol, "tcp");
	t.connected = t.stream || !strcmp(protocol, "udpc");
	t.port = atoi(port);
	t.size = parse(address, t.port, &t.to);
	parse(*source != '-' ? source : t.to.ss_family == AF_INET ? "0.0.0.0" : "::", 0, &t.from);
	return t;
}

static long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}

static int ready(int fd, short events, long long until)
{
	for (;;) {
		long long left = (until - now_us()) / 1000;
		int n = poll(&(struct pollfd){fd, events, 0}, 1, left < 0 ? 0 : left);

		if (n >= 0 || errno != EINTR)
			return n > 0;
	}
}

static const char *word(int error)
{
	static char number[16];

	if (error == EPERM)
		return "EPERM";
	if (error == ECONNRESET || error == ECONNABORTED || error == EPIPE)
		return "reset";
	if (error == EAGAIN)
		return "mute";
	snprintf(number, sizeof(number), "errno%d", error);
	return number;
}

static const char *attempt(const struct target *t, int fd, long long until)
{
	int error = 0, sent;
	socklen_t size = sizeof(error);
	char byte = 'x';

	if (t->connected && connect(fd, (void *)&t->to, t->size)) {
		if (errno != EINPROGRESS)
			return word(errno);
		if (!ready(fd, POLLOUT, until))
			return "silence";
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error)
			return word(error);
	}
	sent = t->connected ? send(fd, &byte, 1, MSG_NOSIGNAL) : sendto(fd, &byte, 1, 0, (void *)&t->to, t->size);
	if (sent < 0)
		return word(errno);
	ready(fd, POLLIN, until);
	switch (recv(fd, &byte, 1, MSG_DONTWAIT)) {
	case 1:
		return "ok";
	case 0:
		return "reset";
	default:
		return !t->stream && errno == EAGAIN ? "silence" : word(errno);
	}
}

static void ask(const struct target *t)
{
	int fd = socket(t->to.ss_family, (t->stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
	struct linger hard = {1, 0};
	struct sockaddr_storage own;
	socklen_t size = sizeof(own);
	long long begin, end;
	const char *result;
	char line[192];
	int length;

	if (fd < 0 || bind(fd, (void *)&t->from, t->size) || getsockname(fd, (void *)&own, &size))
		perror("bind"), exit(1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	begin = now_us();
	result = attempt(t, fd, begin + LIMIT_MS * 1000);
	end = now_us();
	close(fd);
	length = snprintf(line, sizeof(line), "%s %s %d %d %lld %lld %s\n", t->protocol, t->address, t->port,
			  ntohs(((struct sockaddr_in *)&own)->sin_port), begin, end, result);
	if (write(1, line, length) != length) /* one write: lines of several workers do not mix */
		exit(1);
}

static int listener(const char *address, int port, int type)
{
	struct sockaddr_storage at;
	socklen_t size = parse(address, port, &at);
	int fd = socket(at.ss_family, type | SOCK_NONBLOCK, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (void *)&at, size) || (type == SOCK_STREAM && listen(fd, 512)))
		perror(address), exit(1);
	return fd;
}

static void answer(int fd, struct pollfd *free_slot)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	char text[64];
	int type, got;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &(socklen_t){sizeof(type)});
	if (type == SOCK_STREAM) {
		if (free_slot)
			*free_slot = (struct pollfd){accept4(fd, NULL, NULL, SOCK_NONBLOCK), POLLIN, 0};
		return;
	}
	got = recvfrom(fd, text, sizeof(text), 0, (void *)&from, &size);
	if (got > 0)
		sendto(fd, text, got, 0, (void *)&from, size);
}

static _Noreturn void serve(int n, char **words)
{
	static struct pollfd fds[1024];
	int listeners = 0;
	char text[64];

	for (int i = 0; i < n; i++) {
		char *address = strtok(words[i], ",");
		int port = atoi(strtok(NULL, ","));

		fds[listeners++] = (struct pollfd){listener(address, port, SOCK_STREAM), POLLIN, 0};
		fds[listeners++] = (struct pollfd){listener(address, port, SOCK_DGRAM), POLLIN, 0};
	}
	for (int i = listeners; i < 1024; i++)
		fds[i].fd = -1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		poll(fds, 1024, -1);
		for (int i = 0; i < 1024; i++) {
			int got, spare = listeners;

			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			if (i >= listeners) {
				got = recv(fds[i].fd, text, sizeof(text), 0);
				if (got > 0)
					send(fds[i].fd, text, got, MSG_NOSIGNAL);
				else if (got == 0 || errno != EAGAIN)
					close(fds[i].fd), fds[i].fd = -1;
				continue;
			}
			while (spare < 1024 && fds[spare].fd >= 0)
				spare++;
			answer(fds[i].fd, spare < 1024 ? &fds[spare] : NULL);
		}
	}
}

static volatile sig_atomic_t over;

static void stop(int signal)
{
	over = 1;
}

static void work(int worker, int period, const struct target *targets, int n)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, stop);
	srand(getpid());
	for (unsigned at = worker * 7; !over; at += 1 + rand() % 3) {
		long long next = now_us() + period, left;

		ask(&targets[at % n]);
		left = next - now_us();
		if (left > 0 && !over)
			usleep(left);
	}
	exit(0);
}

int main(int argc, char **argv)
{
	int workers = atoi(argv[1]), period = atoi(argv[2]), n = argc - 3;
	struct target *targets = calloc(argc, sizeof(*targets));
	pid_t pids[64];
	char byte;

	if (!strcmp(argv[1], "serve"))
		serve(argc - 2, argv + 2);
	for (int i = 0; i < n; i++)
		targets[i] = read_target(argv[3 + i]);
	for (int i = 0; i < workers && i < 64; i++) {
		pids[i] = fork();
		if (!pids[i])
			work(i, period, targets, n);
	}
	while (read(0, &byte, 1) > 0)
		;
	for (int i = 0; i < workers; i++)
		kill(pids[i], SIGTERM);
	while (wait(NULL) > 0)
		;
	return 0;
}
