/* One message from a given address: knock tcp|udp|udplite SOURCE DESTINATION PORT TEXT [SOURCE_PORT]. TCP waits 300 ms for the connection; with SOURCE_PORT the other end closes first. */
#include "address.h"
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_storage from, to;
	socklen_t nf = address(argv[2], argc > 6 ? atoi(argv[6]) : 0, &from), nt = address(argv[3], atoi(argv[4]), &to);
	int tcp = !strcmp(argv[1], "tcp"), error = 0, on = 1;
	int fd = socket(from.ss_family, tcp ? SOCK_STREAM : SOCK_DGRAM, !strcmp(argv[1], "udplite") ? 136 : 0);
	struct pollfd p = {fd, POLLOUT};
	socklen_t n = sizeof(error);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
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
	if (send(fd, argv[5], strlen(argv[5]), 0) < 0)
		return 1;
	if (tcp && argc > 6)
		poll(&(struct pollfd){fd, POLLRDHUP}, 1, 2000);
	return 0;
}
