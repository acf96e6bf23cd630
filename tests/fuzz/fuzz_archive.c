/* An archive for dm-checkpoint import.  The first byte: 0 mod 2 the rest is the
 * archive; else it is manifest and pieces of disks, which libarchive puts into
 * an archive with right sums, so that what is behind them is reached.  Whatever
 * comes, what was refused left no checkpoint and no session. */
#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "job/portable.h"
#include "repo/session.h"

#define RUNS 500u	/* on one site: it grows */

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static char dir[] = "/dev/shm/dm-fuzz-archive-XXXXXX";
static struct site *site;

static void clean(void)
{
	char line[96];

	site_close(site);
	site = NULL;
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	if (system(line))
		abort();
}

/* A site of its own, in memory; a new one when it has grown. */
static void fresh(void)
{
	const struct site_options o = { .chunk_size = 4096, .level = 1 };
	static unsigned runs;
	static bool before;
	struct err e = { 0 };

	if (site && ++runs % RUNS)
		return;
	if (before) {
		clean();
		strcpy(strrchr(dir, '-'), "-XXXXXX");
	} else {
		atexit(clean);
	}
	before = true;
	assert(mkdtemp(dir) && site_init(dir, &o, &e) == 0);
	site = site_open(dir, &e);
	assert(site);
}

static void put(struct archive *a, const char *name, const void *p, size_t len, bool holes)
{
	struct archive_entry *en = archive_entry_new();

	archive_entry_set_pathname(en, name);
	archive_entry_set_filetype(en, AE_IFREG);
	archive_entry_set_perm(en, 0600);
	archive_entry_set_size(en, (la_int64_t)len);
	if (holes && len > 8192)
		archive_entry_sparse_add_entry(en, 4096, (la_int64_t)len - 4096);
	archive_write_header(a, en);
	archive_write_data(a, p, len);
	archive_entry_free(en);
}

/* Pieces: their length in two bytes, then they; the first is the manifest, the
 * others disks a, b, ... */
static void make(int fd, const uint8_t *p, size_t len)
{
	struct archive *a = archive_write_new();
	struct buf sums = { 0 };
	char name[16] = ARCHIVE_MANIFEST;

	archive_write_set_bytes_in_last_block(a, 1);
	archive_write_set_format_pax_restricted(a);
	assert(archive_write_open_fd(a, fd) == ARCHIVE_OK);
	for (unsigned i = 0; len >= 2 && i < 4; i++) {
		size_t n = get16(p) % (len - 1);

		if (i)
			snprintf(name, sizeof(name), "%c.raw", 'a' + i - 1);
		put(a, name, p + 2, n, i == 2);
		portable_sum(&sums, name, p + 2, n);
		p += 2 + n;
		len -= 2 + n;
	}
	put(a, ARCHIVE_SUMS, sums.p, sums.len, false);
	archive_write_close(a);
	archive_write_free(a);
	buf_free(&sums);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct import_how how = { .workload = "w", .recovery = true };
	struct checkpoint *c = NULL, *latest;
	struct session **v;
	struct err e = { 0 };
	bool *alive;
	size_t n;

	assert(fd >= 0);
	fresh();
	if (len && p[0] % 2)
		make(fd, p + 1, len - 1);
	else if (len)
		assert(!fd_write_full(fd, p + 1, len - 1));
	lseek(fd, 0, SEEK_SET);
	if (portable_import(site, fd, &how, &c, &e) == 0) {
		latest = catalog_latest(site, "w", &e);
		assert(latest && latest->seq == c->seq && !strcmp(latest->session, c->session));
		checkpoint_free(latest);
	} else {
		assert(e.code && !c);
	}
	checkpoint_free(c);
	close(fd);
	e = (struct err){ 0 };
	assert(session_list(site, &v, &alive, &n, &e) == 0);
	for (size_t i = 0; i < n; i++) {
		assert(!alive[i] && !session_abandon(site, v[i]->name, &e));
		session_close(v[i]);
	}
	free(v);
	free(alive);
	return 0;
}
