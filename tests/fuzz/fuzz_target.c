/* The record beside a file that is written to: target_record_load takes it, or
 * says why not. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "volume/target_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct target_record r = { 0 };
	struct err e = { 0 };
	char path[64];
	int fd = memfd_create("record", 0);

	if (fd < 0 || write(fd, p, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	target_record_load(path, &r, &e);
	target_record_free(&r);
	close(fd);
	return 0;
}
