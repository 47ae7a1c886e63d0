/*
 * Ways to DENIED that need privileges: wire MODE INTERFACE PEER_MAC OWN DENIED ALLOWED TAG.
 * What comes back says nothing: the peer's sniffer does.
 */
#include "packet.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned char frame[2048];
static int length, family, ifindex;
static const char *tag;

static struct sockaddr_ll link_address(int protocol)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = ifindex, .sll_halen = 6};

	memcpy(ll.sll_addr, frame, 6);
	return ll;
}

static void packet_send(int type, int bypass)
{
	int fd = socket(AF_PACKET, type, 0), skip = type == SOCK_DGRAM ? 14 : 0;
	struct sockaddr_ll ll = link_address(family == AF_INET ? ETH_P_IP : ETH_P_IPV6);

	say("socket", fd);
	if (bypass)
		say("qdisc bypass", setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof(bypass)));
	say("sendto", sendto(fd, frame + skip, length - skip, 0, (void *)&ll, sizeof(ll)));
}

static void packet_ring(void)
{
	struct tpacket_req r = {.tp_block_size = 4096, .tp_block_nr = 1, .tp_frame_size = 4096, .tp_frame_nr = 1};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), version = TPACKET_V2;
	struct sockaddr_ll ll = link_address(ETH_P_IP);
	struct tpacket2_hdr *slot;

	setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version));
	say("ring", setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &r, sizeof(r)));
	slot = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (slot == MAP_FAILED)
		return;
	bind(fd, (void *)&ll, sizeof(ll));
	memcpy((char *)slot + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), frame, length);
	slot->tp_len = length;
	__atomic_store_n(&slot->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
	say("send", send(fd, NULL, 0, 0));
}

static void xdp_send(void)
{
	int fd = socket(AF_XDP, SOCK_RAW, 0), n = 64;
	void *area = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct xdp_umem_reg umem = {.addr = (unsigned long)area, .len = 64 * 4096, .chunk_size = 4096};
	struct sockaddr_xdp a = {.sxdp_family = AF_XDP, .sxdp_ifindex = ifindex, .sxdp_flags = XDP_COPY};
	struct xdp_mmap_offsets o;
	socklen_t size = sizeof(o);
	struct xdp_desc *slot;
	char *ring;

	say("umem", setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &umem, sizeof(umem)));
	setsockopt(fd, SOL_XDP, XDP_UMEM_FILL_RING, &n, sizeof(n));
	setsockopt(fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &n, sizeof(n));
	setsockopt(fd, SOL_XDP, XDP_TX_RING, &n, sizeof(n));
	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &o, &size))
		return say("offsets", -1);
	ring = mmap(NULL, o.tx.desc + n * sizeof(*slot), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, XDP_PGOFF_TX_RING);
	if (ring == MAP_FAILED)
		return say("mmap", -1);
	for (n = 0; bind(fd, (void *)&a, sizeof(a)); n++) /* the socket of the attempt before may not be gone yet */
		if (n == 1000 || errno != EBUSY)
			return say("bind", -1);
		else
			usleep(1000);
	memcpy(area, frame, length);
	slot = (void *)(ring + o.tx.desc);
	slot->addr = 0, slot->len = length, slot->options = 0;
	__atomic_store_n((unsigned int *)(ring + o.tx.producer), 1, __ATOMIC_RELEASE);
	say("sendto", sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0));
}

/* A packet that comes out of a tun device is forwarded by the host: no socket has sent it. */
static void tun_send(void)
{
	struct ifreq r = {.ifr_name = "ptun", .ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR), up = socket(AF_INET, SOCK_DGRAM, 0);
	const char *forward[] = {"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"};

	say("open", fd);
	if (fd < 0)
		return;
	say("attach", ioctl(fd, TUNSETIFF, &r));
	for (int i = 0; i < 2; i++) {
		int f = open(forward[i], O_WRONLY);

		if (write(f, "1", 1) != 1)
			perror(forward[i]);
		close(f);
	}
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	say("up", ioctl(up, SIOCSIFFLAGS, &r));
	say("write", write(fd, frame + 14, length - 14));
}

static void source_route(const char *mode, struct sockaddr_storage *d, struct sockaddr_storage *a, socklen_t size)
{
	unsigned char route[8] = {131, 7, 4, 0, 0, 0, 0, 1};
	char control[CMSG_SPACE(sizeof(route))] = {};
	struct iovec io = {(void *)tag, strlen(tag)};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_name = a, .msg_namelen = size, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int tcp = !strcmp(mode, "lsrr-tcp"), fd = socket(AF_INET, tcp ? SOCK_STREAM | SOCK_NONBLOCK : SOCK_DGRAM, 0);
	struct pollfd p = {fd, POLLOUT};

	memcpy(route + 3, &((struct sockaddr_in *)d)->sin_addr, 4);
	if (!strcmp(mode, "lsrr-cmsg")) {
		c->cmsg_level = IPPROTO_IP, c->cmsg_type = IP_RETOPTS, c->cmsg_len = CMSG_LEN(sizeof(route));
		memcpy(CMSG_DATA(c), route, sizeof(route));
		say("sendmsg", sendmsg(fd, &m, 0));
		return;
	}
	say("options", setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, sizeof(route)));
	if (tcp)
		connect(fd, (void *)a, size), poll(&p, 1, 300);
	else
		say("sendto", sendto(fd, tag, strlen(tag), 0, (void *)a, size));
}

/* A connection that nobody made: in repair mode connect() sends nothing and the socket is established. */
static void repair(struct sockaddr_storage *d, socklen_t size)
{
	int fd = socket(family, SOCK_STREAM, 0), on = 1, off = 0;

	say("repair", setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)));
	say("connect", connect(fd, (void *)d, size));
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
	say("send", send(fd, tag, strlen(tag), MSG_NOSIGNAL | MSG_DONTWAIT));
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];
	struct sockaddr_storage own, d, a;
	socklen_t size = address(argv[5], 7000, &d);
	unsigned char *ip = frame + 14;
	int fd;

	address(argv[4], 0, &own), address(argv[6], 7000, &a);
	tag = argv[7], family = d.ss_family, ifindex = if_nametoindex(argv[2]);
	for (int i = 0; i < 6; i++)
		frame[i] = strtol(argv[3] + 3 * i, NULL, 16);
	frame[6] = 2, frame[11] = 9;
	put16(frame + 12, family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
	length = 14 + udp_packet(ip, &own, &d, tag);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(mode, "packet")) {
		packet_send(SOCK_RAW, 0);
	} else if (!strcmp(mode, "packet-dgram")) {
		packet_send(SOCK_DGRAM, 0);
	} else if (!strcmp(mode, "packet-bypass")) {
		packet_send(SOCK_RAW, 1);
	} else if (!strcmp(mode, "packet-ring")) {
		packet_ring();
	} else if (!strcmp(mode, "packet-old")) { /* socket(AF_INET, SOCK_PACKET) of Linux 2.0 */
		struct sockaddr to = {.sa_family = AF_INET};

		strcpy(to.sa_data, argv[2]);
		fd = socket(AF_INET, 10, htons(ETH_P_ALL));
		say("sendto", sendto(fd, frame, length, 0, &to, sizeof(to)));
	} else if (!strcmp(mode, "xdp")) {
		xdp_send();
	} else if (!strcmp(mode, "tun")) {
		tun_send();
	} else if (!strncmp(mode, "lsrr", 4)) {
		source_route(mode, &d, &a, size);
	} else if (!strcmp(mode, "repair")) {
		repair(&d, size);
	} else if (!strcmp(mode, "raw-udp")) {
		fd = socket(family, SOCK_RAW, IPPROTO_UDP);
		((struct sockaddr_in6 *)&d)->sin6_port = 0;
		say("sendto", sendto(fd, ip + (family == AF_INET ? 20 : 40), length - 14 - (family == AF_INET ? 20 : 40), 0, (void *)&d, size));
	} else if (!strcmp(mode, "raw-own-header")) { /* the header names D, the socket address A */
		int on = 1;

		fd = socket(family, SOCK_RAW, family == AF_INET ? IPPROTO_UDP : IPPROTO_RAW);
		setsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family == AF_INET ? IP_HDRINCL : 36 /* IPV6_HDRINCL */, &on, sizeof(on));
		((struct sockaddr_in6 *)&a)->sin6_port = 0;
		say("sendto", sendto(fd, ip, length - 14, 0, (void *)&a, size));
	} else {
		return 2;
	}
	return 0;
}
