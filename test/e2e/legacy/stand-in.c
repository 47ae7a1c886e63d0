/*
 * stand-in.c: a process of the shape that STANDIN says, word by word; at the end it says READY and stays.
 *   connect:IP        to that address at port STANDIN_PORT, says a byte and stays connected
 *   listen:PORT       on 127.0.0.1
 *   raw:PROTOCOL      a raw socket of that IP protocol
 *   ready             says READY now
 *   accept            waits for one connection and says a byte on it
 *   user:UID          gives up root
 *   fork              goes on as a child
 *   env:NAME=VALUE    for what is executed next
 *   exec:PATH,ARG...  goes on as that program
 */
#include <arpa/inet.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int listener;

static void fail(const char *what)
{
	perror(what);
	_exit(1);
}

static struct sockaddr_in at(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}

static void follow(const char *what, char *value, char *rest)
{
	struct sockaddr_in a;
	int s, on = 1;

	if (!strcmp(what, "connect")) {
		a = at(value, atoi(getenv("STANDIN_PORT")));
		s = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(s, (void *)&a, sizeof(a)) || write(s, "x", 1) != 1)
			fail(value);
	} else if (!strcmp(what, "listen")) {
		a = at("127.0.0.1", atoi(value));
		listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		if (bind(listener, (void *)&a, sizeof(a)) || listen(listener, 8))
			fail("listen");
	} else if (!strcmp(what, "raw")) {
		if (socket(AF_INET, SOCK_RAW, atoi(value)) < 0)
			fail("raw");
	} else if (!strcmp(what, "ready")) {
		puts("READY");
	} else if (!strcmp(what, "accept")) {
		s = accept(listener, NULL, NULL);
		if (s < 0 || write(s, "x", 1) != 1)
			fail("accept");
	} else if (!strcmp(what, "user")) {
		if (setgroups(0, NULL) || setgid(atoi(value)) || setuid(atoi(value)))
			fail("user");
	} else if (!strcmp(what, "fork")) {
		if (fork())
			for (;;)
				pause();
	} else if (!strcmp(what, "env")) {
		putenv(strdup(value));
	} else if (!strcmp(what, "exec")) {
		char *argv[16] = {}, *place = NULL;
		int n = 0;

		for (char *word = strtok_r(value, ",", &place); word && n < 15; word = strtok_r(NULL, ",", &place))
			argv[n++] = word;
		setenv("STANDIN", rest, 1);
		execv(argv[0], argv);
		fail(argv[0]);
	}
}

int main(void)
{
	char *rest = strdup(getenv("STANDIN") ?: "");

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (rest && *rest) {
		char *word = strsep(&rest, " "), *value = strchr(word, ':');

		if (value)
			*value++ = 0;
		follow(word, value, rest ? rest : "");
	}
	puts("READY");
	for (;;)
		pause();
}
