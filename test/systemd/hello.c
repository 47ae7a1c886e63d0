/*
 * hello.c: the start storm.
 *   hello storm ROUNDS PORT PORT   starts itself ROUNDS times with --queue=mail and as often with --queue=image, 8 at
 *                                  once, each to its port; prints how many were answered
 *   hello PORT --queue=...         connects to 127.0.0.1 at once, says a byte and hears it; exit 0 = answered
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int hello(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 10}; /* who is refused hears so at once */
	int s = socket(AF_INET, SOCK_STREAM, 0);
	char byte = 'x';

	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(s, (void *)&to, sizeof(to)) || write(s, &byte, 1) != 1 || read(s, &byte, 1) != 1)
		return 1;
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const queues[] = {"--queue=mail", "--queue=image"};
	int answered = 0, running = 0, status, i;

	if (argc < 3)
		return 2;
	if (strcmp(argv[1], "storm"))
		return hello(atoi(argv[1]));
	for (i = 0; i < 2 * atoi(argv[2]) || running; i++) {
		if (i < 2 * atoi(argv[2])) {
			running++;
			if (fork() == 0) {
				execl("/proc/self/exe", argv[0], argv[3 + i % 2], queues[i % 2], (char *)NULL);
				_exit(2);
			}
		}
		if (running == 8 || i >= 2 * atoi(argv[2]) - 1) {
			wait(&status);
			running--;
			answered += WIFEXITED(status) && WEXITSTATUS(status) == 0;
		}
	}
	printf("%d\n", answered);
	return 0;
}
