#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child_broker.h"
#include "base/fdio.h"

/* In the child: only async-signal-safe calls until exec. */
_Noreturn static void become(char *const argv[], int in, int out, int status, pid_t parent)
{
	int errnum;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(4);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0)
		execvp(argv[0], argv);
	errnum = errno;
	if (write(status, &errnum, sizeof errnum) < 0)
		_exit(126);
	_exit(127);
}

int child_run(struct child *c, char *const argv[], struct err *e)
{
	int in[2], out[2], status[2], errnum;
	pid_t parent = getpid();

	*c = (struct child){ .in = -1, .out = -1 };
	if (pipe2(in, O_CLOEXEC) < 0)
		return err_sys(e, DM_ENV, errno, "pipe");
	if (pipe2(out, O_CLOEXEC) < 0)
		goto err0;
	if (pipe2(status, O_CLOEXEC) < 0)
		goto err1;
	c->pid = fork();
	if (c->pid < 0) {
		c->pid = 0;
		goto err2;
	}
	if (c->pid == 0)
		become(argv, in[0], out[1], status[1], parent);
	close(in[0]);
	close(out[1]);
	close(status[1]);
	c->in = in[1];
	c->out = out[0];
	if (fd_read_full(status[0], &errnum, sizeof errnum) == sizeof errnum) {
		close(status[0]);
		child_kill(c);
		return err_sys(e, DM_ENV, errnum, "%s", argv[0]);
	}
	close(status[0]);
	return 0;
err2:
	fd_close(status[0]);
	fd_close(status[1]);
err1:
	fd_close(out[0]);
	fd_close(out[1]);
err0:
	fd_close(in[0]);
	fd_close(in[1]);
	return err_sys(e, DM_ENV, errno, "%s", argv[0]);
}

int child_spawn(struct child *c, char *const argv[], struct err *e)
{
	return broker_on() ? broker_spawn(c, argv, e) : child_run(c, argv, e);
}

static int reap(pid_t pid)
{
	int status = 0;
	pid_t r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_wait(struct child *c)
{
	pid_t pid = c->pid;

	c->pid = 0;
	if (pid <= 0)
		return 0;
	return broker_on() ? broker_wait(pid) : reap(pid);
}

void child_kill(struct child *c)
{
	fd_close(c->in);
	fd_close(c->out);
	c->in = c->out = -1;
	if (c->pid > 0 && broker_on()) {
		broker_kill(c->pid);
	} else if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		reap(c->pid);
	}
	c->pid = 0;
}
