/* The broker: a process of ours that starts, ends and reaps children, so that
 * we can give up the right to.  We ask it over a socket; pipes come back. */
#include "base/child_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdio.h"

enum what { SPAWN, WAIT, KILL };

struct question {
	enum what what;
	size_t command;		/* SPAWN */
	pid_t pid;		/* WAIT, KILL */
};
struct answer {
	pid_t pid;		/* SPAWN: 0 failed */
	int status;		/* WAIT */
	struct err e;		/* SPAWN: why it failed */
};

static struct {
	char ***command;
	size_t n;
	int fd;			/* to the broker; -1 without one, and in it */
} broker = { .fd = -1 };

bool broker_on(void)
{
	return broker.fd >= 0;
}

/* --- the broker's side -------------------------------------------------- */

/* Only its own children, and only those that are not reaped yet. */
static bool ours(pid_t pid)
{
	siginfo_t info;

	return pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* An answer, and the pipes of a child. */
static int answer_send(int fd, const struct answer *a, const struct child *c)
{
	union {
		char room[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} u = { { 0 } };
	struct iovec v = { (void *)a, sizeof(*a) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	struct cmsghdr *h;

	if (c) {
		m.msg_control = u.room;
		m.msg_controllen = sizeof(u.room);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(h), (int[]){ c->in, c->out }, 2 * sizeof(int));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)sizeof(*a) ? 0 : -1;
}

static int spawn_for(int fd, size_t command)
{
	struct answer a = { 0 };
	struct child c;
	int rc;

	if (command >= broker.n)
		return -1;
	if (child_run(&c, broker.command[command], &a.e) < 0)
		return answer_send(fd, &a, NULL);
	a.pid = c.pid;
	rc = answer_send(fd, &a, &c);
	fd_close(c.in);
	fd_close(c.out);
	return rc;
}

static int serve(int fd, const struct question *q)
{
	struct answer a = { 0 };

	if (q->what == SPAWN)
		return spawn_for(fd, q->command);
	if (!ours(q->pid))
		return answer_send(fd, &a, NULL);
	if (q->what == KILL)
		kill(q->pid, SIGKILL);
	a.status = child_wait(&(struct child){ .pid = q->pid, .in = -1, .out = -1 });
	return answer_send(fd, &a, NULL);
}

/* Until nobody asks any more; children that are left die with it. */
_Noreturn static void broker_main(int fd, pid_t parent)
{
	struct question q;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "dm-broker");
	/* Nobody shall wait for the end of what we do not use. */
	if (getppid() != parent || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		_exit(DM_ENV);
	fd_close(null);
	while (recv(fd, &q, sizeof(q), 0) == (ssize_t)sizeof(q) && serve(fd, &q) == 0)
		;
	_exit(0);
}

/* --- our side ----------------------------------------------------------- */

int child_broker(char ***command, size_t n, struct err *e)
{
	pid_t pid, parent = getpid();
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		return err_sys(e, DM_ENV, errno, "socketpair");
	broker.command = command;
	broker.n = n;
	pid = fork();
	if (pid == 0) {
		fd_close(fd[0]);
		broker_main(fd[1], parent);
	}
	fd_close(fd[1]);
	if (pid < 0) {
		fd_close(fd[0]);
		return err_sys(e, DM_ENV, errno, "fork");
	}
	broker.fd = fd[0];
	return 0;
}

/* Ask, and take the answer with its pipes, if it has any.  0 or -1. */
static int ask(const struct question *q, struct answer *a, int pipes[2])
{
	union {
		char room[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} u;
	struct iovec v = { a, sizeof(*a) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = u.room,
		.msg_controllen = sizeof(u.room) };
	struct cmsghdr *h;
	ssize_t got;

	pipes[0] = pipes[1] = -1;
	if (write(broker.fd, q, sizeof(*q)) != (ssize_t)sizeof(*q))
		return -1;
	do
		got = recvmsg(broker.fd, &m, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	h = got > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (h && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(2 * sizeof(int)))
		memcpy(pipes, CMSG_DATA(h), 2 * sizeof(int));
	return got == (ssize_t)sizeof(*a) ? 0 : -1;
}

int broker_spawn(struct child *c, char *const argv[], struct err *e)
{
	struct question q = { .what = SPAWN };
	struct answer a = { 0 };
	int pipes[2];

	*c = (struct child){ .in = -1, .out = -1 };
	while (q.command < broker.n && broker.command[q.command] != argv)
		q.command++;
	if (ask(&q, &a, pipes) < 0)
		return err_set(e, DM_ENV, "%s: the process that starts it is gone", argv[0]);
	if (!a.pid) {
		*e = a.e;
		return -1;
	}
	if (pipes[0] < 0 || pipes[1] < 0) {
		broker_kill(a.pid);
		return err_sys(e, DM_ENV, EMFILE, "%s", argv[0]);
	}
	*c = (struct child){ .pid = a.pid, .in = pipes[0], .out = pipes[1] };
	return 0;
}

static int end(enum what what, pid_t pid)
{
	struct question q = { .what = what, .pid = pid };
	struct answer a = { 0 };
	int pipes[2];

	return ask(&q, &a, pipes) < 0 ? 128 + SIGKILL : a.status;
}

int broker_wait(pid_t pid)
{
	return end(WAIT, pid);
}

void broker_kill(pid_t pid)
{
	end(KILL, pid);
}
