/* dm-point-qemu: holds a point in time of a running guest's disks.
 *
 * Two processes, so that whichever is killed, the other cleans up: the child
 * makes the point and watches over it, the parent only waits. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "guest/point.h"

#define NAME_CAP 80u	/* a workload and where it goes */

static volatile sig_atomic_t life = -1;

/* The child sees the end of this pipe and lets go of the guest. */
static void let_go(int sig)
{
	(void)sig;
	if (life >= 0)
		close(life);
	life = -1;
}

static bool is_name(const char *s, size_t len)
{
	static const char first[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
	char copy[NAME_CAP + 1];

	if (len == 0 || len > NAME_CAP)
		return false;
	memcpy(copy, s, len);
	copy[len] = 0;
	return strchr(first, *s) && strspn(copy + 1, first) + 1 <= len &&
	    strspn(copy, "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz") == len;
}

static void check_disks(char **disk, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = strcspn(disk[i], "=");

		if (!disk[i][len] || !disk[i][len + 1] || !is_name(disk[i], len))
			opt_die("%s: write NAME=DEVICE", disk[i]);
		for (size_t k = 0; k < i; k++)
			if (!strncmp(disk[k], disk[i], len + 1))
				opt_die("%s: the name appears twice", disk[i]);
	}
}

static enum freeze freeze_parse(const char *s)
{
	if (!strcmp(s, "auto"))
		return FREEZE_AUTO;
	if (!strcmp(s, "never"))
		return FREEZE_NEVER;
	if (!strcmp(s, "require"))
		return FREEZE_REQUIRE;
	opt_die("--freeze: auto, never or require, not %s", s);
}

/* The child: a session of its own, so that a signal to the group passes by. */
_Noreturn static void guard(const struct point_how *how, int watch)
{
	struct err e = { 0 };

	setsid();
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	_exit(point_hold(how, STDIN_FILENO, STDOUT_FILENO, watch, &e) ? err_report(&e) : DM_OK);
}

static int hold(const struct point_how *how)
{
	struct sigaction act = { .sa_handler = let_go };
	struct err e = { 0 };
	int pipe_fd[2], status;
	pid_t pid;

	if (pipe2(pipe_fd, O_CLOEXEC) != 0 || (pid = fork()) < 0) {
		err_sys(&e, DM_ENV, errno, "start");
		return err_report(&e);
	}
	if (pid == 0) {
		close(pipe_fd[1]);
		guard(how, pipe_fd[0]);
	}
	close(pipe_fd[0]);
	life = pipe_fd[1];
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return DM_ENV;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (point_clean(how, false, &e) == 0)
		err_set(&e, DM_ENV, "the point is lost: its process was killed by signal %d", WTERMSIG(status));
	return err_report(&e);
}

static int clean(const struct point_how *how, bool all)
{
	struct err e = { 0 };

	return point_clean(how, all, &e) ? err_report(&e) : DM_OK;
}

int main(int argc, char **argv)
{
	struct point_how how = { .scratch = "/var/tmp", .limit = GIB(8) };
	const char *freeze = "auto";
	bool all = false;
	char **args;
	size_t n;
	const struct opt opts[] = {
		{ "qmp", 0, OPT_STR, &how.qmp, "SOCKET", "QEMU's monitor (QMP)", 0, 0 },
		{ "agent", 0, OPT_STR, &how.agent, "SOCKET", "the guest agent, to freeze file systems", 0, 0 },
		{ "freeze", 0, OPT_STR, &freeze, "WHEN", "auto, never or require (auto)", 0, 0 },
		{ "owner", 0, OPT_STR, &how.owner, "NAME", "whose point it is, such as the workload", 0, 0 },
		{ "base", 0, OPT_STR, &how.base, "POINT", "the point changes are wanted from", 0, 0 },
		{ "scratch", 0, OPT_STR, &how.scratch, "DIR", "where scratch images go (/var/tmp)", 0, 0 },
		{ "limit", 0, OPT_SIZE, &how.limit, "SIZE", "how large each of them may grow (8G)", MIB(1), 0 },
		{ "all", 0, OPT_FLAG, &all, NULL, "clean: forget all of the owner's points too", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-point-qemu", "hold|clean NAME=DEVICE ...",
		"Hold a point in time of the disks of a running QEMU guest.",
		opts, 2, (size_t)-1,
	};
	bool holds;

	fd_startup();
	opt_parse(&prog, argc, argv, &args, &n, NULL);
	holds = !strcmp(args[0], "hold");
	if (!holds && strcmp(args[0], "clean") != 0)
		opt_die("unknown command: %s (see dm-point-qemu --help)", args[0]);
	if (!how.qmp || !how.owner)
		opt_die("%s is needed (see dm-point-qemu --help)", how.qmp ? "--owner" : "--qmp");
	if (!is_name(how.owner, strlen(how.owner)))
		opt_die("--owner: not a name: %s", how.owner);
	if (all && (holds || how.base))
		opt_die("--all is for clean, without --base");
	how.freeze = freeze_parse(freeze);
	if (how.freeze == FREEZE_REQUIRE && !how.agent)
		opt_die("--freeze require needs --agent");
	how.disk = args + 1;
	how.ndisks = n - 1;
	check_disks(how.disk, how.ndisks);
	return holds ? hold(&how) : clean(&how, all);
}
