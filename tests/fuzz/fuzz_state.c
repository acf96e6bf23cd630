/* Any bytes as each file of state that is kept beside a disk: a file of ids,
 * the record of a target, the journal of one.  Refused, or consistent.  A file
 * of ids is given the root that its ids come to. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "file.h"
#include "job/idfile.h"
#include "volume/target_journal.h"
#include "volume/target_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#define IDS_HEADER 72u
#define JOURNAL_HEAD 4096u	/* all ids and digests lie behind it */

static char journal[] = "/tmp/dm-fuzz-XXXXXX";
static int journal_fd;

static void clean(void)
{
	unlink(journal);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	journal_fd = mkstemp(journal);
	assert(journal_fd >= 0);
	atexit(clean);
	return 0;
}

/* Of what has a header's fields in their ranges: with the right root. */
static void root_put(int fd, const uint8_t *p, size_t len)
{
	struct idfile f = { .fd = fd };
	struct err e = { 0 };
	struct id root;

	if (len < IDS_HEADER)
		return;
	f.algo = (int)get32(p + 12);
	f.chunk_size = get32(p + 16);
	f.size = get64(p + 24);
	if (id_algo_valid(f.algo) && is_pow2(f.chunk_size) && f.chunk_size >= CHUNK_MIN && f.chunk_size <= CHUNK_MAX &&
	    f.size <= len / ID_LEN * leaf_size(f.chunk_size) && idfile_root(&f, &root, &e) == 0)
		assert(!fd_pwrite_full(fd, root.b, ID_LEN, 32));
}

static void ids(const uint8_t *p, size_t len)
{
	int fd = fuzz_file(p, len);
	uint64_t mark[64], leaves;
	struct err e = { 0 };
	struct idfile *f;
	struct id root;
	char path[64];

	root_put(fd, p, len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	f = idfile_open(path, &e);
	assert(f ? !e.code : e.code == DM_NO);
	if (!f)
		return;
	assert(idfile_root(f, &root, &e) == 0 && id_equal(&root, &f->root));
	leaves = div_up(f->size, leaf_size(f->chunk_size));
	assert(idfile_marks(f) <= LEN(mark));
	for (uint64_t i = 0; i < leaves; i++) {
		assert(idfile_next(f, i) >= i && !idfile_get(f, i, &root, 1, &e));
		assert(!f->marked || !idfile_get_marks(f, i, mark, &e));
	}
	idfile_close(f);
}

static void record(const uint8_t *p, size_t len)
{
	struct target_record r;
	struct err e = { 0 };

	if (target_record_load(fuzz_path(p, len), &r, &e) == 0) {
		assert(r.state != RECORD_NONE && r.base.point && r.target.point && r.identity);
		target_record_free(&r);
	} else {
		assert(e.code);
	}
}

static void digest(void *arg, const uint8_t d[32])
{
	assert(!bytes_zero(d, 32));
	++*(uint64_t *)arg;
}

static void step(const uint8_t *p, size_t len)
{
	const struct journal_step s = { .base_point = "b", .target_point = "t", .frozen = true, .algo = ID_BLAKE3,
		.size = MIB(1), .chunk_size = KIB(64) };
	static const uint8_t none[32];
	struct target_journal *j;
	struct err e = { 0 };
	uint32_t block = 0;
	uint64_t n = 0;

	assert(!ftruncate(journal_fd, (off_t)len) && !fd_pwrite_full(journal_fd, p, len, 0));
	j = journal_open(journal, &e);
	assert(j);
	if (journal_resume(j, &s, &block)) {
		assert(block >= 512 && block <= CHUNK_MAX);
		for (uint64_t i = 0; i <= MIB(1) / KIB(64); i++)
			assert(journal_has_chunk(j, i, &e) >= 0 && journal_has(j, i, none, &e) >= 0);
		assert(!journal_each(j, digest, &n, &e) && n <= div_up(MIB(1), block));
	} else {
		assert(!journal_lasts(j));
	}
	journal_close(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	ids(p, len);
	record(p, len);
	if (len >= JOURNAL_HEAD)
		step(p, len);
	return 0;
}
