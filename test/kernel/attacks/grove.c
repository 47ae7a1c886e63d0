/*
 * grove.c: a tree of processes that grows as told. grove FOLDER NAME [ARG...]: reads lines from the FIFO FOLDER/NAME and
 * says what became of them on fd 3, which all share. Each process listens on a port of 127.0.0.1 of its own.
 *   fork CHILD                                a child that is this program still
 *   start CHILD EXE UID [ARG...]              a child that executes EXE FOLDER CHILD ARG...
 *   place CHILD EXE UID [ARG...]              the same, but it says "wait CHILD PID" first and goes on when it is told to
 *   move CGROUP                               goes there by itself
 *   again                                     executes itself anew, with the same words
 *   bind                                      a new port in place of the one it listens on
 * "up NAME PID PORT": runs, listens; "done NAME": the line was followed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder, *name;
static int listener = -1, commands = -1;

static void fifo(void)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	mkfifo(path, 0666);
	if (commands >= 0)
		close(commands);
	commands = open(path, O_RDWR | O_CLOEXEC);
	if (commands < 0)
		_exit(110);
}

static int listening(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);

	if (listener >= 0)
		close(listener);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (void *)&at, size) || listen(listener, 1) || getsockname(listener, (void *)&at, &size))
		_exit(111);
	return ntohs(at.sin_port);
}

static void up(void)
{
	int port = listening();

	dprintf(3, "up %s %d %d\n", name, getpid(), port);
}

/* One line, without its end. */
static char *hear(void)
{
	static char line[4096];
	size_t n = 0;

	while (n < sizeof(line) - 1 && read(commands, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = 0;
	return line;
}

static void child(int placed, char **words)
{
	int uid = atoi(words[2]);
	char *argv[32] = {words[1], (char *)folder, words[0]}, *none[] = {NULL};

	name = words[0];
	if (placed) {
		fifo();
		dprintf(3, "wait %s %d\n", name, getpid());
		hear();
	}
	for (int i = 3; words[i]; i++)
		argv[i] = words[i];
	if (uid && uid != (int)getuid() && (setgroups(0, NULL) || setgid(uid) || setuid(uid)))
		_exit(112);
	execve(words[1], argv, none);
	_exit(113);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	folder = argv[1];
	name = strdup(argv[2]);
	signal(SIGCHLD, SIG_IGN);
	umask(0);
	fifo();
	up();
	for (;;) {
		char *line = hear(), *words[32] = {}, *at = NULL;
		int n = 0;

		for (char *word = strtok_r(line, " ", &at); word && n < 30; word = strtok_r(NULL, " ", &at))
			words[n++] = word;
		if (n == 0)
			return 0;
		if (!strcmp(words[0], "fork")) {
			if (fork() == 0) {
				name = argv[2] = strdup(words[1]);
				fifo();
				up();
			}
		} else if (!strcmp(words[0], "start") || !strcmp(words[0], "place")) {
			if (fork() == 0)
				child(*words[0] == 'p', words + 1);
		} else if (!strcmp(words[0], "move")) {
			char procs[512];
			int fd;

			snprintf(procs, sizeof(procs), "%s/cgroup.procs", words[1]);
			fd = open(procs, O_WRONLY | O_CLOEXEC);
			if (write(fd, "0", 1) != 1)
				return 114;
			close(fd);
			dprintf(3, "done %s\n", name);
		} else if (!strcmp(words[0], "again")) {
			execv("/proc/self/exe", argv);
		} else if (!strcmp(words[0], "bind")) {
			up();
		}
	}
}
