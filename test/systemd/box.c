/*
 * box.c: what runs in a container. box IP [PORT]: connects to IP:7000 five times a second; on PORT it listens, and says a
 * byte to who comes.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7000)}, here = {.sin_family = AF_INET};

	if (argc < 2 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	if (argc > 2 && fork() == 0) {
		int l = socket(AF_INET, SOCK_STREAM, 0);

		here.sin_port = htons(atoi(argv[2]));
		if (bind(l, (void *)&here, sizeof(here)) || listen(l, 8))
			return 1;
		for (;;) {
			int s = accept(l, NULL, NULL);

			if (write(s, "x", 1) == 1)
				close(s);
		}
	}
	for (;;) {
		int s = socket(AF_INET, SOCK_STREAM, 0);

		connect(s, (void *)&to, sizeof(to));
		close(s);
		usleep(200000);
	}
}
