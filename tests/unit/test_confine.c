/* common/base/confine, child_broker: rights given up are gone, what is needed
 * still works. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "base/child.h"
#include "base/confine.h"
#include "base/fdio.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INSTRUMENTED 1
#else
#define INSTRUMENTED 0
#endif

static char dir[] = "/tmp/dm-confine-XXXXXX";

/* What is confined stays so: each case has its own process. */
static void apart(void (*test)(void))
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		test();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static bool refused(long rc)
{
	return rc < 0 && (errno == EPERM || errno == EACCES);
}

static void *run_thread(void *arg)
{
	*(int *)arg = 1;
	return NULL;
}

static void nobody_else(void)
{
	char *argv[] = { (char *)"true", NULL };
	siginfo_t info = { .si_code = SI_QUEUE };
	struct rlimit limit;
	pthread_t t;
	int ran = 0, pair[2];

	CHECK(refused(fork()));
	CHECK(refused(vfork()));
	CHECK(refused(execvp(argv[0], argv)));
	CHECK(refused(socket(AF_INET, SOCK_STREAM, 0)));
	CHECK(refused(socket(AF_UNIX, SOCK_STREAM, 0)));
	CHECK(refused(kill(getppid(), 0)));
	CHECK(refused(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0)));
	CHECK(refused(syscall(SYS_tgkill, getppid(), getppid(), 0)) && !raise(0));
	CHECK(refused(syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info)));
	CHECK(refused(prlimit(getppid(), RLIMIT_CORE, NULL, &limit)) && !getrlimit(RLIMIT_CORE, &limit));
	CHECK(refused(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) && refused(sendmsg(-1, NULL, 0)));
	CHECK(refused(ioctl(-1, TIOCSTI, "x")) && refused(fcntl(0, F_SETOWN, getppid())));
	CHECK(refused(fcntl(0, F_SETSIG, SIGKILL)) && fcntl(0, F_GETFL) >= 0);
	CHECK(!pthread_create(&t, NULL, run_thread, &ran) && !pthread_join(t, NULL) && ran);
}

static void confined(void)
{
	int fd = open("open", O_RDWR | O_CREAT | O_CLOEXEC, 0600), p[2];
	char byte = 'x';

	CHECK(fd >= 0 && !pipe(p));
	confine();
	nobody_else();
	CHECK(refused(open("/etc/passwd", O_RDONLY)));
	CHECK(refused(open("new", O_WRONLY | O_CREAT, 0600)));
	CHECK(refused(mkdir("d", 0700)) && refused(unlink("open")) && refused(rename("open", "b")));
	CHECK(refused(truncate("open", 0)) && refused(chmod("open", 0644)));
	CHECK(refused(lchown("open", getuid(), getgid())) && refused(utimensat(AT_FDCWD, "open", NULL, 0)));
	CHECK(refused(removexattr("open", "user.x")) && refused(mq_open("/dm-confine", O_RDWR)));
	CHECK(syscall(452, AT_FDCWD, "open", 0644, 0) < 0);	/* fchmodat2 */
	/* What is open works. */
	CHECK(write(fd, &byte, 1) == 1 && pread(fd, &byte, 1, 0) == 1 && !ftruncate(fd, 0));
	CHECK(write(p[1], &byte, 1) == 1 && read(p[0], &byte, 1) == 1);
}

static void confined_to(void)
{
	const char *here[] = { "in" };

	CHECK(!mkdir("in", 0700) && !mkdir("in/sub", 0700) && !mkdir("out", 0700));
	confine_to(here, 1);
	nobody_else();
	CHECK(open("/etc/passwd", O_RDONLY) >= 0);
	CHECK(open("in/a", O_WRONLY | O_CREAT, 0600) >= 0);
	CHECK(!rename("in/a", "in/sub/b") && !link("in/sub/b", "in/c") && !truncate("in/c", 5));
	if (syscall(444, NULL, 0, 1) < 3)
		return;		/* this kernel has no Landlock, or an old one */
	CHECK(refused(open("out/a", O_WRONLY | O_CREAT, 0600)));
	CHECK(refused(open("open", O_WRONLY)) && refused(truncate("open", 0)));
	CHECK(refused(mkdir("out/d", 0700)) && refused(unlink("open")));
	CHECK(rename("in/c", "out/c") < 0);
}

/* A confined process has its children by the broker. */
static void brokered(void)
{
	char *cat[] = { (char *)"cat", NULL }, *no[] = { (char *)"/no/such/program", NULL };
	char *end[] = { (char *)"sh", (char *)"-c", (char *)"exit 7", NULL };
	char *priv[] = { (char *)"grep", (char *)"-c", (char *)"^NoNewPrivs:.0", (char *)"/proc/self/status", NULL };
	char *stranger[] = { (char *)"cat", NULL };
	char **all[] = { cat, no, end, priv };
	struct err e = { 0 };
	struct child c, d;
	char b[4] = "";

	CHECK(child_broker(all, LEN(all), &e) == 0);
	confine();
	CHECK(child_spawn(&c, cat, &e) == 0 && child_spawn(&d, cat, &e) == 0);
	CHECK(write(c.in, "ab", 2) == 2 && fd_read_full(c.out, b, 2) == 2 && !memcmp(b, "ab", 2));
	close(d.in);
	CHECK(fd_read_full(d.out, b, 1) == 0 && child_wait(&d) == 0 && d.pid == 0);
	close(d.out);
	child_kill(&c);
	CHECK(c.pid == 0 && c.in == -1);
	CHECK(child_spawn(&c, end, &e) == 0 && child_wait(&c) == 7);
	child_kill(&c);
	CHECK(child_spawn(&c, no, &e) < 0 && e.code == DM_ENV && e.errnum == ENOENT);
	/* Programs that are run keep their rights: ssh and sudo need them. */
	e = (struct err){ 0 };
	CHECK(child_spawn(&c, priv, &e) == 0 && fd_read_full(c.out, b, 1) == 1 && (INSTRUMENTED || b[0] == '1'));
	child_kill(&c);
	/* It kills no strangers, and runs nothing that it was not given. */
	c = (struct child){ .pid = getppid(), .in = -1, .out = -1 };
	child_kill(&c);
	CHECK(syscall(SYS_pidfd_open, getppid(), 0) >= 0);
	CHECK(child_spawn(&c, stranger, &e) < 0 && e.code == DM_ENV);
	/* That was too much for it. */
	CHECK(child_spawn(&c, cat, &e) < 0);
}

static void local(void)
{
	confine_local();
	nobody_else();
	CHECK(open("in/local", O_WRONLY | O_CREAT, 0600) >= 0);
}

int main(void)
{
	char clean[64];

	fd_startup();
	CHECK(mkdtemp(dir) && !chdir(dir));
	if (!INSTRUMENTED) {
		apart(confined);
		apart(confined_to);
		apart(local);
	}
	apart(brokered);
	snprintf(clean, sizeof(clean), "rm -r %s", dir);
	return chdir("/") || system(clean) != 0;
}
