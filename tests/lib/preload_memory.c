/* Memory that runs out, by interposition (LD_PRELOAD):
 *
 *   DM_MEMORY=PROGRAM:N
 *
 * The Nth (from 1) allocation of that program fails.  With DM_MEMORY_COUNT=FILE
 * each program appends "PROGRAM N" at its end: how many it made.  Not for
 * programs that bring an allocator of their own (sanitizers).
 *
 * If it then crashes inside LIBRARY, in the very call of the program in which
 * the allocation failed, "LIBRARY did not look" is written to standard error:
 * nothing that the program could have done. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* The C library's own names for what is covered here. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);

static atomic_ulong made;
static bool ours;	/* not the program's allocations */

/* Where the program called from what is not its own, and whose file that is
 * (NULL: it called nobody). */
struct call {
	void *from;
	const char *object;
};
static struct call failed;

static struct call call_now(void)
{
	struct call c = { NULL, NULL };
	Dl_info program, is;
	void *v[64];
	int n = backtrace(v, 64);

	if (!dladdr((void *)getauxval(AT_ENTRY), &program))
		return c;
	for (int i = 0; i < n; i++) {
		if (!dladdr(v[i], &is))
			continue;
		if (is.dli_fbase == program.dli_fbase) {
			c.from = v[i];
			return c;
		}
		c.object = is.dli_fname;
	}
	return c;
}

static void crashed(int sig)
{
	struct call c = call_now();
	const char *base = c.object ? strrchr(c.object, '/') : NULL;

	if (base && c.from && c.from == failed.from &&
	    (write(2, base + 1, strlen(base + 1)) < 0 || write(2, " did not look\n", 14) < 0))
		_exit(99);
	signal(sig, SIG_DFL);
	raise(sig);
}

static int none(void)
{
	const char *w = getenv("DM_MEMORY"), *name = program_invocation_short_name;
	unsigned long n = ours ? 0 : atomic_fetch_add(&made, 1) + 1;
	size_t len = strlen(name);

	if (ours || !w || strncmp(w, name, len) || w[len] != ':' || strtoul(w + len + 1, NULL, 10) != n)
		return 0;
	failed = call_now();
	errno = ENOMEM;
	return 1;
}

/* Opened before a program may give up the right to. */
static int count_fd = -1;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("DM_MEMORY_COUNT");
	void *v[1];

	ours = true;
	backtrace(v, 1);	/* loads a library, once */
	ours = false;
	signal(SIGSEGV, crashed);
	if (path)
		count_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((destructor)) static void count(void)
{
	char line[96];
	int n = snprintf(line, sizeof line, "%s %lu\n", program_invocation_short_name, (unsigned long)made);

	if (count_fd >= 0 && write(count_fd, line, (size_t)n) != n)
		_exit(99);
}

void *malloc(size_t n)
{
	return none() ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t m)
{
	return none() ? NULL : __libc_calloc(n, m);
}
void *realloc(void *p, size_t n)
{
	return none() ? NULL : __libc_realloc(p, n);
}
int posix_memalign(void **p, size_t a, size_t n)
{
	if (none())
		return ENOMEM;
	*p = __libc_memalign(a, n);
	return *p ? 0 : ENOMEM;
}
void *aligned_alloc(size_t a, size_t n)
{
	return none() ? NULL : __libc_memalign(a, n);
}
