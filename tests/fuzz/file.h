/* What harnesses give to those who read from a descriptor: one file in memory,
 * whose pages are there from one input to the next. */
#ifndef DM_FUZZ_FILE_H
#define DM_FUZZ_FILE_H

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fdio.h"

/* Large pieces of memory are had anew for each input: to map and unmap what the
 * sanitizer notes of them would take longer than all else. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "clear_shadow_mmap_threshold=4194304:quarantine_size_mb=16";
}

/* That holds these bytes, at its beginning.  Not to be closed. */
static inline int fuzz_file(const void *p, size_t len)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	assert(fd >= 0 && !ftruncate(fd, (off_t)len) && !fd_pwrite_full(fd, p, len, 0) && !lseek(fd, 0, SEEK_SET));
	return fd;
}

/* Another one, to be written to from its beginning, */
static inline int fuzz_sink(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("sink", MFD_CLOEXEC);
	assert(fd >= 0 && !lseek(fd, 0, SEEK_SET));
	return fd;
}

/* and then to be read from there to where it was written to. */
static inline void fuzz_sink_read(int fd)
{
	assert(!ftruncate(fd, lseek(fd, 0, SEEK_CUR)) && !lseek(fd, 0, SEEK_SET));
}

/* The first one's name, for who opens it himself. */
static inline const char *fuzz_path(const void *p, size_t len)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fuzz_file(p, len));
	return path;
}

#endif
