/*
 * Ways to be somebody else: identity MODE OTHER DENIED TAG, then "TAG" is sent to DENIED by UDP and a connection tried.
 *   migrate   moves itself into the cgroup OTHER
 *   reexec    the same, then executes itself anew
 *   child     moves itself, then forks
 *   clone     has a child made inside the cgroup OTHER (CLONE_INTO_CGROUP)
 *   give      opens the sockets, hands them to whoever connects to the unix socket OTHER
 *   take      sends with the sockets from the unix socket OTHER
 */
#include "address.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void reach(int udp, int tcp, const char *denied, const char *tag)
{
	struct sockaddr_storage d;
	socklen_t size = address(denied, 7000, &d);
	struct pollfd p = {tcp, POLLOUT};

	if (sendto(udp, tag, strlen(tag), 0, (void *)&d, size) < 0)
		perror("sendto");
	fcntl(tcp, F_SETFL, O_NONBLOCK);
	connect(tcp, (void *)&d, size);
	poll(&p, 1, 300);
}

static int move(const char *cgroup)
{
	char procs[512];
	int fd;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", cgroup);
	fd = open(procs, O_WRONLY);
	return write(fd, "0", 1) == 1;
}

int main(int argc, char **argv)
{
	const char *mode = argv[1], *other = argv[2], *denied = argv[3], *tag = argv[4];
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char control[CMSG_SPACE(2 * sizeof(int))] = {}, byte = 'x';
	struct iovec io = {&byte, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int fds[2], fd, family = strchr(denied, ':') ? AF_INET6 : AF_INET;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(mode, "clone")) {
		struct clone_args a = {.flags = CLONE_INTO_CGROUP, .exit_signal = 17, .cgroup = open(other, O_RDONLY | O_DIRECTORY)};

		if (syscall(SYS_clone3, &a, sizeof(a)) != 0)
			return wait(NULL), 0;
	} else if (!strcmp(mode, "give") || !strcmp(mode, "take")) {
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		strcpy(un.sun_path, other);
		if (!strcmp(mode, "give")) {
			fds[0] = socket(family, SOCK_DGRAM, 0), fds[1] = socket(family, SOCK_STREAM, 0);
			unlink(other);
			if (bind(fd, (void *)&un, sizeof(un)) || listen(fd, 1))
				return perror("bind"), 1;
			puts("READY");
			fd = accept(fd, NULL, NULL);
			c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(fds));
			memcpy(CMSG_DATA(c), fds, sizeof(fds));
			sendmsg(fd, &m, 0);
			return read(fd, &byte, 1);
		}
		if (connect(fd, (void *)&un, sizeof(un)) || recvmsg(fd, &m, 0) != 1)
			return perror("take"), 1;
		memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fds));
		reach(fds[0], fds[1], denied, tag);
		return 0;
	} else if (strcmp(mode, "plain")) {
		if (!move(other))
			return perror("move"), 1;
		if (!strcmp(mode, "reexec"))
			return execl(argv[0], argv[0], "plain", other, denied, tag, NULL);
		if (!strcmp(mode, "child") && fork())
			return wait(NULL), 0;
	}
	reach(socket(family, SOCK_DGRAM, 0), socket(family, SOCK_STREAM, 0), denied, tag);
	return 0;
}
