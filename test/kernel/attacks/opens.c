/*
 * opens FAMILY TYPE PROTOCOL       socket(); prints 0 or the error number
 * opens device PATH                open(PATH, O_RDWR), likewise
 * opens vrrp SOURCE DESTINATION TAG [PROTOCOL]   an advertisement as keepalived sends it, on a raw socket of protocol 112; with
 *                                  PROTOCOL under a header of its own (IP_HDRINCL) that names that protocol
 * opens hear SOURCE                a raw socket of protocol 112: prints "ready", then the tag of each advertisement
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VRRP 112

static int tell(int result)
{
	printf("%d\n", result < 0 ? errno : 0);
	return 0;
}

static int send_vrrp(char **argv, int argc)
{
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
	char packet[128] = {};
	struct iphdr *ip = (void *)packet;
	char *vrrp = packet;
	int fd = socket(AF_INET, SOCK_RAW, VRRP), length = strlen(argv[4]);

	if (fd < 0)
		return tell(fd);
	inet_pton(AF_INET, argv[2], &from.sin_addr);
	inet_pton(AF_INET, argv[3], &to.sin_addr);
	setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &from.sin_addr, sizeof(from.sin_addr));
	if (argc > 5) {
		setsockopt(fd, IPPROTO_IP, IP_HDRINCL, &(int){1}, sizeof(int));
		*ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 255, .protocol = atoi(argv[5]),
				     .saddr = from.sin_addr.s_addr, .daddr = to.sin_addr.s_addr,
				     .tot_len = htons(20 + 8 + length)};
		vrrp += sizeof(*ip);
	}
	vrrp[0] = 0x21; /* version 2, advertisement */
	vrrp[1] = 51;
	vrrp[2] = 100;
	memcpy(vrrp + 8, argv[4], length);
	return tell(sendto(fd, packet, vrrp - packet + 8 + length, 0, (void *)&to, sizeof(to)));
}

static int hear_vrrp(void)
{
	int fd = socket(AF_INET, SOCK_RAW, VRRP);
	char packet[256];
	ssize_t got;

	if (fd < 0)
		return tell(fd);
	puts("ready");
	while ((got = recv(fd, packet, sizeof(packet) - 1, 0)) > 28) {
		packet[got] = 0;
		puts(packet + 28);
	}
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(argv[1], "device"))
		return tell(open(argv[2], O_RDWR));
	if (!strcmp(argv[1], "vrrp"))
		return send_vrrp(argv, argc);
	if (!strcmp(argv[1], "hear"))
		return hear_vrrp();
	return tell(socket(atoi(argv[1]), atoi(argv[2]), atoi(argv[3])));
}
