/* Who answers a monitor's or an agent's questions may say anything. */
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest/qmp.h"
#include "../lib/unit.h"

/* An agent that says this line without end is given up when its time is over. */
static void flood(const char *text)
{
	static char many[60000];
	struct err e = { 0 };
	int fd[2];
	pid_t pid;

	for (size_t n = 0; n < sizeof(many); n++)
		many[n] = text[n % strlen(text)];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		close(fd[0]);
		while (send(fd[1], many, sizeof(many), MSG_NOSIGNAL) > 0)
			continue;
		_exit(0);
	}
	close(fd[1]);
	alarm(120);
	CHECK(!qmp_over(QMP_AGENT, fd[0], 300, &e));
	alarm(0);
	CHECK_ERR(e.code == DM_ENV && strstr(e.text, "no answer"), &e);
	CHECK(waitpid(pid, NULL, 0) == pid);
}

static void test_flood(void)
{
	flood("{}\n");
	flood("{]\n");
}

int main(void)
{
	RUN(test_flood);
	return 0;
}
