/* An ordinary client with a chosen source address: knock tcp|udp|udplite SOURCE DESTINATION PORT TEXT. TCP waits 300 ms for the connection. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
	struct sockaddr_storage from, to;
	socklen_t nf = address(argv[2], 0, &from), nt = address(argv[3], atoi(argv[4]), &to);
	int tcp = !strcmp(argv[1], "tcp"), error = 0;
	int fd = socket(from.ss_family, tcp ? SOCK_STREAM : SOCK_DGRAM, !strcmp(argv[1], "udplite") ? 136 : 0);
	struct pollfd p = {fd, POLLOUT};
	socklen_t n = sizeof(error);

	if (bind(fd, (void *)&from, nf))
		return perror("bind"), 1;
	if (tcp)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	connect(fd, (void *)&to, nt);
	if (tcp) {
		if (poll(&p, 1, 300) != 1)
			return 3;
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
		if (error)
			return 4;
	}
	return send(fd, argv[5], strlen(argv[5]), 0) < 0;
}
