/* accept PORTFILE COMMAND [ARG ...]: what inetd does, for tests.  Listens on a
 * loopback port the system chooses, writes its number to PORTFILE, and runs
 * COMMAND once for each connection with the socket as its standard input and
 * output.  Runs until it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "accept: %s: %s\n", what, strerror(errno));
	exit(4);
}

static int listen_somewhere(unsigned *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(s, 64) != 0 ||
	    getsockname(s, (struct sockaddr *)&a, &len) != 0)
		die("listen");
	*port = ntohs(a.sin_port);
	return s;
}

/* Written beside and renamed: whoever waits for the file finds it whole. */
static void tell_port(const char *path, unsigned port)
{
	char tmp[4096];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	f = fopen(tmp, "w");
	if (!f || fprintf(f, "%u\n", port) < 0 || fclose(f) != 0 || rename(tmp, path) != 0)
		die(path);
}

static void serve(int conn, char **argv)
{
	if (dup2(conn, 0) < 0 || dup2(conn, 1) < 0)
		die("dup2");
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execvp(argv[0], argv);
	die(argv[0]);
}

int main(int argc, char **argv)
{
	unsigned port;
	int s, conn;

	if (argc < 3) {
		fprintf(stderr, "usage: accept PORTFILE COMMAND [ARG ...]\n");
		return 2;
	}
	s = listen_somewhere(&port);
	tell_port(argv[1], port);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		conn = accept4(s, NULL, NULL, SOCK_CLOEXEC);
		if (conn < 0 && errno != EINTR && errno != ECONNABORTED)
			die("accept");
		if (conn < 0)
			continue;
		if (fork() == 0)
			serve(conn, argv + 2);
		close(conn);
	}
}
