#include "base/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bytes.h"

void confine_privileges(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Sanitizers open files and make processes of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFINE_CALLS 0
#elif defined(__x86_64__)
#define CONFINE_CALLS 1
#define CONFINE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define CONFINE_CALLS 1
#define CONFINE_ARCH AUDIT_ARCH_AARCH64
#else
#define CONFINE_CALLS 0
#endif

#if CONFINE_CALLS
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE(errnum) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (errnum))
/* Refuse this call. */
#define NOT(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), REFUSE(EPERM)

static struct sock_filter calls[] = {
	/* Calls of another architecture have other numbers. */
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CONFINE_ARCH, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	LOAD(nr),
#ifdef __x86_64__
	/* The x32 forms. */
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), REFUSE(EPERM),
	NOT(__NR_fork), NOT(__NR_vfork), NOT(__NR_open), NOT(__NR_creat), NOT(__NR_unlink),
	NOT(__NR_rename), NOT(__NR_link), NOT(__NR_symlink), NOT(__NR_chmod), NOT(__NR_mkdir),
#endif
	NOT(__NR_execve), NOT(__NR_execveat), NOT(__NR_openat), NOT(__NR_openat2),
	NOT(__NR_open_by_handle_at), NOT(__NR_unlinkat), NOT(__NR_renameat2), NOT(__NR_linkat),
	NOT(__NR_symlinkat), NOT(__NR_mkdirat), NOT(__NR_fchmodat), NOT(__NR_mount), NOT(__NR_chroot),
	NOT(__NR_socket), NOT(__NR_connect), NOT(__NR_bind), NOT(__NR_accept4), NOT(__NR_sendto),
	NOT(__NR_ptrace), NOT(__NR_process_vm_readv), NOT(__NR_process_vm_writev),
	NOT(__NR_pidfd_getfd), NOT(__NR_kill), NOT(__NR_tkill), NOT(__NR_bpf),
	NOT(__NR_io_uring_setup), NOT(__NR_userfaultfd), NOT(__NR_unshare), NOT(__NR_setns),
	NOT(__NR_keyctl), NOT(__NR_add_key), NOT(__NR_perf_event_open), NOT(__NR_memfd_create),
	/* The C library tries this, and then clone. */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 0, 1), REFUSE(ENOSYS),
	/* Threads, no processes. */
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 1, 0), ALLOW,
	LOAD(args[0]),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1), ALLOW,
	REFUSE(EPERM),
};

void confine(void)
{
	const struct sock_fprog program = { .len = LEN(calls), .filter = calls };

	confine_privileges();
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
#else
void confine(void)
{
	confine_privileges();
}
#endif
