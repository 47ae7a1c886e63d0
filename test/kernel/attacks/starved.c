/*
 * A listener to which the kernel can attach nothing: starved CGROUP [fill]. Moves itself to CGROUP, fills what the socket may
 * hold besides data (net.core.optmem_max) with a filter that lets everything pass, listens without bind(). Prints PORT n, then
 * what it reads.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sock_filter code[BPF_MAXINSNS];

static int holds(int fd, int wide, int narrow)
{
	struct sock_fprog p = {wide + narrow + 1, code};

	if (wide + narrow + 1 > BPF_MAXINSNS)
		return 0;
	for (int i = 0; i < wide + narrow; i++)
		code[i] = i < wide ? (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0) : (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 1);
	code[wide + narrow] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
	setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){0}, 4);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)) == 0;
}

static void fill(int fd)
{
	int wide = 0, narrow = 0;

	for (int step = 2048; step; step /= 2)
		if (holds(fd, wide + step, 0))
			wide += step;
	for (int step = 64; step; step /= 2)
		if (holds(fd, wide, narrow + step))
			narrow += step;
	printf("FILLED %d %d %d\n", wide, narrow, holds(fd, wide, narrow));
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 own;
	socklen_t size = sizeof(own);
	char text[512];
	int fd, one;

	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(text, sizeof(text), "%s/cgroup.procs", argv[1]);
	fd = open(text, O_WRONLY);
	if (write(fd, "0", 1) != 1)
		return perror("move"), 1;
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (argc > 2)
		fill(fd);
	if (listen(fd, 8))
		return perror("listen"), 1;
	getsockname(fd, (void *)&own, &size);
	printf("PORT %d\n", ntohs(own.sin6_port));
	for (;;) {
		ssize_t got;

		one = accept(fd, NULL, NULL);
		puts("ACCEPT");
		while ((got = recv(one, text, sizeof(text) - 1, 0)) > 0)
			text[got] = 0, printf("GOT %s\n", text);
		close(one);
	}
}
