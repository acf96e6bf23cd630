#include "base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"

/* Sanitizers open files and make processes of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFINE 0
#else
#define CONFINE 1
#endif
#if CONFINE && defined(__x86_64__)
#define CONFINE_ARCH AUDIT_ARCH_X86_64
#elif CONFINE && defined(__aarch64__)
#define CONFINE_ARCH AUDIT_ARCH_AARCH64
#endif

void confine_privileges(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* --- calls (seccomp) ---------------------------------------------------- */

#ifdef CONFINE_ARCH
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE(errnum) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (errnum))
/* Refuse this call. */
#define NOT(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), REFUSE(EPERM)
/* This call is for oneself: its first argument must be `value'. */
#define OWN(call, value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 4), LOAD(args[0]), \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 1, 0), REFUSE(EPERM), ALLOW
/* This call does not do that, as its second argument says. */
#define NEVER(call, value) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 4), LOAD(args[1]), \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1), REFUSE(EPERM), LOAD(nr)
/* Calls from this number on are newer than what is weighed here; the C library
 * does without. */
#define NEWER 452
/* Calls of another architecture have other numbers; so have the x32 forms. */
#ifdef __x86_64__
#define NO_X32 BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), REFUSE(EPERM),
#else
#define NO_X32
#endif
#define BEGIN LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CONFINE_ARCH, 1, 0), \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS), LOAD(nr), NO_X32

/* Programs, processes, the network, and the insides of others. */
static struct sock_filter others[] = {
	BEGIN
#ifdef __x86_64__
	NOT(__NR_fork), NOT(__NR_vfork),
#endif
	NOT(__NR_execve), NOT(__NR_execveat), NOT(__NR_mount), NOT(__NR_umount2), NOT(__NR_chroot),
	NOT(__NR_pivot_root), NOT(__NR_socket), NOT(__NR_connect), NOT(__NR_bind), NOT(__NR_listen),
	NOT(__NR_accept), NOT(__NR_accept4), NOT(__NR_sendto), NOT(__NR_ptrace),
	NOT(__NR_process_vm_readv), NOT(__NR_process_vm_writev), NOT(__NR_pidfd_getfd),
	NOT(__NR_pidfd_send_signal), NOT(__NR_kill), NOT(__NR_tkill), NOT(__NR_bpf),
	NOT(__NR_io_uring_setup), NOT(__NR_userfaultfd), NOT(__NR_unshare), NOT(__NR_setns),
	NOT(__NR_keyctl), NOT(__NR_add_key), NOT(__NR_perf_event_open), NOT(__NR_init_module),
	NOT(__NR_finit_module), NOT(__NR_kexec_load), NOT(__NR_kexec_file_load), NOT(__NR_reboot),
	NOT(__NR_rt_sigqueueinfo), NOT(__NR_rt_tgsigqueueinfo), NOT(__NR_socketpair), NOT(__NR_sendmsg),
	NOT(__NR_sendmmsg), NOT(__NR_shmat), NOT(__NR_fsopen), NOT(__NR_open_tree), NOT(__NR_move_mount),
	NOT(__NR_mount_setattr), NOT(__NR_fanotify_init), NOT(__NR_acct), NOT(__NR_swapon),
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NEWER, 0, 1), REFUSE(ENOSYS),
	/* What is typed into the terminal its shell runs. */
	NEVER(__NR_ioctl, TIOCSTI), NEVER(__NR_ioctl, TIOCLINUX),
	/* A descriptor's owner is sent signals, of any kind. */
	NEVER(__NR_ioctl, FIOSETOWN), NEVER(__NR_ioctl, SIOCSPGRP), NEVER(__NR_fcntl, F_SETOWN),
	NEVER(__NR_fcntl, F_SETOWN_EX), NEVER(__NR_fcntl, F_SETSIG),
	/* The C library tries this, and then clone. */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 0, 1), REFUSE(ENOSYS),
	/* Threads, no processes. */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 1, 0), ALLOW,
	LOAD(args[0]),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1), ALLOW,
	REFUSE(EPERM),
};

/* Whatever names a file. */
static struct sock_filter files[] = {
	BEGIN
#ifdef __x86_64__
	NOT(__NR_open), NOT(__NR_creat), NOT(__NR_unlink), NOT(__NR_rename), NOT(__NR_link),
	NOT(__NR_symlink), NOT(__NR_chmod), NOT(__NR_chown), NOT(__NR_mkdir), NOT(__NR_rmdir),
	NOT(__NR_mknod), NOT(__NR_lchown), NOT(__NR_utime), NOT(__NR_utimes), NOT(__NR_futimesat),
#endif
#ifdef __NR_renameat
	NOT(__NR_renameat),
#endif
	NOT(__NR_openat), NOT(__NR_openat2), NOT(__NR_open_by_handle_at), NOT(__NR_unlinkat),
	NOT(__NR_renameat2), NOT(__NR_linkat), NOT(__NR_symlinkat), NOT(__NR_mkdirat),
	NOT(__NR_mknodat), NOT(__NR_fchmodat), NOT(__NR_fchownat), NOT(__NR_truncate),
	NOT(__NR_setxattr), NOT(__NR_lsetxattr), NOT(__NR_removexattr), NOT(__NR_lremovexattr),
	NOT(__NR_memfd_create), NOT(__NR_mq_open), NOT(__NR_utimensat),
	ALLOW,
};

static void filter(struct sock_filter *calls, unsigned short n)
{
	const struct sock_fprog program = { .len = n, .filter = calls };

	(void)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

/* What the C library does to this process: abort, and ask for a limit. */
static void filter_others(void)
{
	const uint32_t self = (uint32_t)getpid();
	struct sock_filter own[] = {
		BEGIN
		OWN(__NR_tgkill, self), OWN(__NR_prlimit64, 0), ALLOW,
	};

	filter(own, LEN(own));
	filter(others, LEN(others));
}
#endif

/* --- files (Landlock) --------------------------------------------------- */

#if CONFINE && defined(SYS_landlock_create_ruleset)
/* As far as kernels go, which is further than the headers this is built with;
 * Documentation/userspace-api/landlock.rst. */
struct ruleset {
	uint64_t files, ports, scopes;
};
#define FILES_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FILES_1 (((uint64_t)1 << 13) - 1)	/* version 1 */
#define FILES_REFER ((uint64_t)1 << 13)		/* 2 */
#define FILES_TRUNCATE ((uint64_t)1 << 14)	/* 3 */
#define PORTS ((uint64_t)3)			/* 4: bind, connect */
#define FILES_IOCTL ((uint64_t)1 << 15)		/* 5 */
#define SCOPES ((uint64_t)3)			/* 6: abstract sockets, signals */

/* All that this kernel can refuse; its version, or less than 1. */
static int ruleset_all(struct ruleset *r)
{
	int v = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	*r = (struct ruleset){ .files = FILES_1 };
	if (v >= 2)
		r->files |= FILES_REFER;
	if (v >= 3)
		r->files |= FILES_TRUNCATE;
	if (v >= 4)
		r->ports = PORTS;
	if (v >= 5)
		r->files |= FILES_IOCTL;
	if (v >= 6)
		r->scopes = SCOPES;
	return v;
}

static int ruleset_make(const struct ruleset *r, int version)
{
	size_t len = version >= 6 ? sizeof(*r) : version >= 4 ? offsetof(struct ruleset, scopes) :
	    sizeof(r->files);

	return (int)syscall(SYS_landlock_create_ruleset, r, len, 0);
}

static void allow(int rules, const char *path, uint64_t what)
{
	struct landlock_path_beneath_attr beneath = { .allowed_access = what };

	beneath.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (beneath.parent_fd >= 0) {
		(void)syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
		close(beneath.parent_fd);
	}
}

/* Nothing but what stands in write[0..n), and, if there is any, reading. */
static void landlock(const char *const *write, size_t n)
{
	struct ruleset all;
	int version = ruleset_all(&all), rules;

	/* Version 1 refuses moves from one directory to another always. */
	if (version < (n ? 2 : 1))
		return;
	rules = ruleset_make(&all, version);
	if (rules < 0)
		return;
	if (n)
		allow(rules, "/", FILES_READ);
	for (size_t i = 0; i < n; i++)
		allow(rules, write[i], all.files);
	(void)syscall(SYS_landlock_restrict_self, rules, 0);
	close(rules);
}
#else
static void landlock(const char *const *write, size_t n)
{
	(void)write;
	(void)n;
}
#endif

void confine(void)
{
	confine_privileges();
	landlock(NULL, 0);
#ifdef CONFINE_ARCH
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	filter_others();
	filter(files, LEN(files));
#endif
}

void confine_local(void)
{
	confine_privileges();
#ifdef CONFINE_ARCH
	filter_others();
#endif
}

void confine_to(const char *const *write, size_t n)
{
	confine_local();
	landlock(write, n);
}
