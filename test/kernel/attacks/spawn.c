/*
 * Starts programs as told. Each request on stdin: its length (4 bytes, little-endian), then NUL-terminated fields:
 * how ("exec", "memfd", "descriptor", "open:FILE"), cgroup folder ("" = stay), uid, folder to be in, root folder ("" = stay), path, argv...
 * Answers "PID STATUS" when the program has ended.
 */
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(char **fields)
{
	char *none[] = {NULL};

	if (*fields[1]) {
		char procs[4096];
		int fd;

		snprintf(procs, sizeof(procs), "%s/cgroup.procs", fields[1]);
		fd = open(procs, O_WRONLY);
		if (write(fd, "0", 1) != 1)
			_exit(101);
	}
	if (*fields[4] && chroot(fields[4]))
		_exit(102);
	if (chdir(fields[3]))
		_exit(103);
	if (atoi(fields[2]) && (setgroups(0, NULL) || setgid(atoi(fields[2])) || setuid(atoi(fields[2]))))
		_exit(104);
	if (!strcmp(fields[0], "memfd")) {
		int from = open(fields[5], O_RDONLY), to = memfd_create(fields[5], MFD_CLOEXEC);
		struct stat s;

		fstat(from, &s);
		if (sendfile(to, from, NULL, s.st_size) != s.st_size)
			_exit(105);
		fexecve(to, fields + 6, none);
	} else if (!strcmp(fields[0], "descriptor")) {
		fexecve(open(fields[5], O_RDONLY), fields + 6, none);
	} else {
		if (!strncmp(fields[0], "open:", 5) && open(fields[0] + 5, O_RDONLY | O_CLOEXEC) < 0)
			_exit(107);
		execve(fields[5], fields + 6, none);
	}
	_exit(106);
}

int main(void)
{
	uint32_t size;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("READY");
	while (fread(&size, 4, 1, stdin) == 1) {
		char *buffer = malloc(size), **fields = calloc(size + 1, sizeof(char *));
		int n = 0, status;
		pid_t pid;

		if (fread(buffer, size, 1, stdin) != 1)
			return 1;
		for (uint32_t at = 0; at < size; at += strlen(buffer + at) + 1)
			fields[n++] = buffer + at;
		pid = fork();
		if (pid == 0)
			child(fields);
		waitpid(pid, &status, 0);
		printf("%d %d\n", pid, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		free(buffer), free(fields);
	}
	return 0;
}
