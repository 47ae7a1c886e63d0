/* Takes a port in one of the ways that share it: theft MODE PORT. Prints BOUND or the error. */
#include "address.h"
#include <errno.h>

int main(int argc, char **argv)
{
	int udp = !strncmp(argv[1], "udp", 3), v6 = strstr(argv[1], "6") != NULL, on = 1, off = 0;
	int fd = socket(v6 ? AF_INET6 : AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	struct sockaddr_storage a;
	socklen_t size = address(strstr(argv[1], "specific") ? "127.0.0.1" : v6 ? "::" : "0.0.0.0", atoi(argv[2]), &a);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (strstr(argv[1], "reuseport"))
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, 26 /* IPV6_V6ONLY */, &off, sizeof(off));
	puts(bind(fd, (void *)&a, size) ? strerror(errno) : "BOUND");
	return 0;
}
