/* Memory that runs out, by interposition (LD_PRELOAD):
 *
 *   DM_MEMORY=PROGRAM:N
 *
 * The Nth (from 1) allocation of that program fails.  With DM_MEMORY_COUNT=FILE
 * each program appends "PROGRAM N" at its end: how many it made.  Not for
 * programs that bring an allocator of their own (sanitizers). */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The C library's own names for what is covered here. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);

static atomic_ulong made;

static int none(void)
{
	const char *w = getenv("DM_MEMORY"), *name = program_invocation_short_name;
	unsigned long n = atomic_fetch_add(&made, 1) + 1;
	size_t len = strlen(name);

	if (!w || strncmp(w, name, len) || w[len] != ':' || strtoul(w + len + 1, NULL, 10) != n)
		return 0;
	errno = ENOMEM;
	return 1;
}

/* Opened before a program may give up the right to. */
static int count_fd = -1;

__attribute__((constructor)) static void count_open(void)
{
	const char *path = getenv("DM_MEMORY_COUNT");

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
