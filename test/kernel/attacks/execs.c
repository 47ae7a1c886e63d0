/*
 * Execs that race with each other and with forks: execs MODE PROGRAM OTHER DENIED TAG. PROGRAM is run as "PROGRAM plain OTHER DENIED TAG".
 *   double  four threads execute it at once while children are forked
 *   vfork   a child of vfork() executes it while its parent's other thread does
 *   exec    executes it (a set-user-id program, say)
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char **arguments;

static void *run(void *unused)
{
	execl(arguments[2], arguments[2], "plain", arguments[3], arguments[4], arguments[5], NULL);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	arguments = argv;
	if (!strcmp(argv[1], "double")) {
		for (int i = 0; i < 4; i++)
			if (fork() == 0)
				return run(NULL), 1;
		for (int i = 0; i < 4; i++)
			pthread_create(&thread, NULL, run, NULL);
		pause();
	} else if (!strcmp(argv[1], "vfork")) {
		pthread_create(&thread, NULL, run, NULL);
		if (vfork() == 0) {
			execl(argv[2], argv[2], "plain", argv[3], argv[4], argv[5], NULL);
			_exit(1);
		}
		pause();
	}
	run(NULL);
	return 1;
}
