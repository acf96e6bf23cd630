/* Any bytes as a file of ids, and as the record of a target: refused, or
 * consistent. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fdio.h"
#include "job/idfile.h"
#include "volume/target_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	int fd = memfd_create("state", MFD_CLOEXEC);
	struct target_record r;
	struct err e = { 0 };
	struct idfile *f;
	char path[64];
	struct id root;

	assert(fd >= 0 && fd_pwrite_full(fd, p, len, 0) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	f = idfile_open(path, &e);
	assert(f ? !e.code : e.code == DM_NO);
	if (f)
		assert(idfile_root(f, &root, &e) == 0 && id_equal(&root, &f->root));
	idfile_close(f);
	e = (struct err){ 0 };
	if (target_record_load(path, &r, &e) == 0) {
		assert(r.state != RECORD_NONE && r.base.point && r.target.point && r.identity);
		target_record_free(&r);
	} else {
		assert(e.code);
	}
	close(fd);
	return 0;
}
