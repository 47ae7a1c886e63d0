/*
 * To DENIED by io_uring, without its library: uring FLAGS DENIED TAG. FLAGS: "-", "async", "sqpoll".
 * A connection (socket made by the ring too), then datagrams by SENDMSG, SEND with an address, SEND_ZC with one.
 * uring held DENIED TAG: a UDP socket, a connected UDP socket and a connection that only the ring holds; READY, waits for a
 * line, then sends from each.
 */
#include "address.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int ring, flags;
static unsigned *sq_tail, *sq_mask, *sq_array, *sq_flags, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;

static int open_ring(void)
{
	struct io_uring_params p = {.flags = flags, .sq_thread_idle = 1000};
	char *sq, *cq;

	ring = syscall(SYS_io_uring_setup, 16, &p);
	if (ring < 0)
		return -1;
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(*cqes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_CQ_RING);
	sqes = mmap(NULL, p.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	sq_tail = (void *)(sq + p.sq_off.tail), sq_mask = (void *)(sq + p.sq_off.ring_mask), sq_array = (void *)(sq + p.sq_off.array);
	sq_flags = (void *)(sq + p.sq_off.flags);
	cq_head = (void *)(cq + p.cq_off.head), cq_tail = (void *)(cq + p.cq_off.tail), cq_mask = (void *)(cq + p.cq_off.ring_mask);
	cqes = (void *)(cq + p.cq_off.cqes);
	return 0;
}

/* Result of one request; a notification that follows a zero-copy send is passed over. */
static int submit(const struct io_uring_sqe *what)
{
	unsigned tail = *sq_tail, at = tail & *sq_mask;
	int result = -ETIMEDOUT;

	sqes[at] = *what;
	sq_array[at] = at;
	__atomic_store_n(sq_tail, tail + 1, __ATOMIC_RELEASE);
	if (!(flags & IORING_SETUP_SQPOLL))
		syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0);
	else if (__atomic_load_n(sq_flags, __ATOMIC_ACQUIRE) & IORING_SQ_NEED_WAKEUP)
		syscall(SYS_io_uring_enter, ring, 0, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0);
	for (int i = 0; i < 500; i++) {
		unsigned head = *cq_head;

		if (head == __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE)) {
			usleep(1000);
			continue;
		}
		if (!(cqes[head & *cq_mask].flags & IORING_CQE_F_NOTIF))
			result = cqes[head & *cq_mask].res, i = 500;
		__atomic_store_n(cq_head, head + 1, __ATOMIC_RELEASE);
	}
	return result;
}

static void held(struct sockaddr_storage *d, socklen_t size, const char *tag)
{
	int fds[3] = {socket(d->ss_family, SOCK_DGRAM, 0), socket(d->ss_family, SOCK_DGRAM, 0), socket(d->ss_family, SOCK_STREAM, 0)};
	char line;

	connect(fds[1], (void *)d, size);
	if (connect(fds[2], (void *)d, size))
		perror("connect"), exit(1);
	say("register", syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, fds, 3));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	puts("READY");
	read(0, &line, 1);
	for (int i = 0; i < 3; i++) {
		struct io_uring_sqe s = {.opcode = IORING_OP_SEND, .fd = i, .flags = IOSQE_FIXED_FILE, .addr = (unsigned long)tag, .len = strlen(tag), .msg_flags = MSG_NOSIGNAL};

		if (i == 0)
			s.addr2 = (unsigned long)d, s.addr_len = size;
		say("send", submit(&s));
	}
	puts("SENT");
}

int main(int argc, char **argv)
{
	int async = !strcmp(argv[1], "async") ? IOSQE_ASYNC : 0, fd, udp;
	struct sockaddr_storage d;
	socklen_t size = address(argv[2], 7000, &d);
	const char *tag = argv[3];
	struct iovec io = {(void *)tag, strlen(tag)};
	struct msghdr m = {.msg_name = &d, .msg_namelen = size, .msg_iov = &io, .msg_iovlen = 1};
	struct io_uring_sqe s = {.opcode = IORING_OP_SOCKET, .flags = async, .fd = d.ss_family, .off = SOCK_STREAM};

	setvbuf(stdout, NULL, _IOLBF, 0);
	flags = !strcmp(argv[1], "sqpoll") ? IORING_SETUP_SQPOLL : 0;
	if (open_ring())
		return perror("ring"), 1;
	if (!strcmp(argv[1], "held"))
		return held(&d, size, tag), 0;
	fd = submit(&s);
	say("socket", fd);
	if (fd < 0)
		fd = socket(d.ss_family, SOCK_STREAM, 0);
	s = (struct io_uring_sqe){.opcode = IORING_OP_CONNECT, .flags = async, .fd = fd, .addr = (unsigned long)&d, .off = size};
	say("connect", submit(&s));
	udp = socket(d.ss_family, SOCK_DGRAM, 0);
	s = (struct io_uring_sqe){.opcode = IORING_OP_SENDMSG, .flags = async, .fd = udp, .addr = (unsigned long)&m, .len = 1};
	say("sendmsg", submit(&s));
	s = (struct io_uring_sqe){.opcode = IORING_OP_SEND, .flags = async, .fd = udp, .addr = (unsigned long)tag, .len = strlen(tag), .addr2 = (unsigned long)&d, .addr_len = size};
	say("send", submit(&s));
	s.opcode = IORING_OP_SEND_ZC;
	say("send_zc", submit(&s));
	return 0;
}
