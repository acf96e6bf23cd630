/* A checkpoint into an archive: manifest, disks with their holes, sums. */
#include "job/portable.h"

#include <archive.h>
#include <archive_entry.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/extent.h"
#include "repo/catalog_record.h"
#include "repo/tree.h"

#define NS 1000000000
#define STRETCHES_MAX (1u << 18)	/* of data in one disk */

struct export {
	struct site *site;
	struct store *st;
	const struct checkpoint *c;
	struct archive *a;
	struct buf sums;
	uint8_t *chunk, *zero;
};

static int failed(const struct export *x, struct err *e)
{
	int errnum = archive_errno(x->a);

	err_set(e, DM_ENV, "archive: %s", archive_error_string(x->a) ? archive_error_string(x->a) : "?");
	e->quiet = errnum == 32;	/* EPIPE: our reader went away */
	return -1;
}

static struct archive_entry *entry_new(const struct export *x, const char *name, uint64_t size)
{
	struct archive_entry *en = archive_entry_new();

	if (!en)
		return NULL;
	archive_entry_set_pathname(en, name);
	archive_entry_set_filetype(en, AE_IFREG);
	archive_entry_set_perm(en, 0600);
	archive_entry_set_size(en, (la_int64_t)size);
	archive_entry_set_mtime(en, x->c->time / NS, 0);
	return en;
}

static int put_header(struct export *x, struct archive_entry *en, struct err *e)
{
	int rc;

	if (!en)
		return err_set(e, DM_ENV, "archive: out of memory");
	rc = archive_write_header(x->a, en);
	archive_entry_free(en);
	return rc == ARCHIVE_OK ? 0 : failed(x, e);	/* a warning: not all of it is there */
}

/* Of bytes in a hole at the end of a file it takes none. */
static int put_data(struct export *x, const void *p, size_t len, bool hole, struct err *e)
{
	la_ssize_t n = len ? archive_write_data(x->a, p, len) : 0;

	if (n < 0)
		return failed(x, e);
	return hole || (size_t)n == len ? 0 : err_set(e, DM_ENV, "archive: out of memory");
}

static int put_text(struct export *x, const char *name, const void *p, size_t len, struct err *e)
{
	return put_header(x, entry_new(x, name, len), e) || put_data(x, p, len, false, e) ? -1 : 0;
}

static int put_manifest(struct export *x, struct err *e)
{
	json_t *j = json_pack("{s:i, s:I, s:o}", "dm_export", ARCHIVE_FORMAT, "chunk_size",
	    (json_int_t)x->site->chunk_size, "checkpoint", checkpoint_record(x->c));
	char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
	int rc = text ? put_text(x, ARCHIVE_MANIFEST, text, strlen(text), e) :
	    err_set(e, DM_ENV, "out of memory");

	if (rc == 0)
		portable_sum(&x->sums, ARCHIVE_MANIFEST, text, strlen(text));
	free(text);
	json_decref(j);
	return rc;
}

/* Where there is data: chunks that touch are one stretch.  Shorter holes are
 * data where there are more of them than memory, here and of who reads the
 * archive, should hold. */
static int find_data(struct export *x, struct tree *t, uint64_t size, struct extents *data, struct err *e)
{
	uint64_t cs = x->site->chunk_size;
	struct id id;
	int rc;

	for (uint64_t n = 0; (rc = tree_next(t, &n, &id, e)) == 1; n++) {
		extents_add(data, n * cs, min64(cs, size - n * cs), EXT_DATA);
		if (data->n > STRETCHES_MAX)
			extents_join(data, STRETCHES_MAX / 2);
	}
	return rc;
}

static int put_sparse(struct archive_entry *en, const struct extents *data, uint64_t size, struct err *e)
{
	for (size_t i = 0; i < data->n; i++)
		archive_entry_sparse_add_entry(en, (la_int64_t)data->v[i].off, (la_int64_t)data->v[i].len);
	if (!data->n && size)	/* no data at all is a hole of the whole size */
		archive_entry_sparse_add_entry(en, (la_int64_t)size, 0);
	/* It does not say when it had no memory for one; without any all is data. */
	if (data->n > 1 && (size_t)archive_entry_sparse_count(en) != data->n)
		return err_set(e, DM_ENV, "archive: out of memory");
	return 0;
}

/* All bytes in their order; libarchive leaves out those in holes. */
static int put_chunks(struct export *x, struct tree *t, uint64_t size,
    crypto_generichash_state *sum, struct err *e)
{
	uint64_t cs = x->site->chunk_size;

	for (uint64_t off = 0; off < size; off += cs) {
		uint32_t len = (uint32_t)min64(cs, size - off);
		const uint8_t *p = x->zero;
		struct id id;

		if (tree_chunk(t, off / cs, &id, e) < 0)
			return -1;
		if (!id_zero(&id)) {
			p = x->chunk;
			if (store_read(x->st, &id, len, 0, len, x->chunk, e) < 0)
				return -1;
		}
		crypto_generichash_update(sum, p, len);
		if (put_data(x, p, len, p == x->zero, e) < 0)
			return -1;
	}
	return 0;
}

static int put_disk(struct export *x, const struct checkpoint_disk *d, struct err *e)
{
	char *name = x_printf("%s.raw", d->name), hex[2 * 64 + 1];
	struct archive_entry *en = entry_new(x, name, d->size);
	struct tree *t = tree_open(x->st, &d->root, e);
	struct extents data = { 0 };
	crypto_generichash_state sum;
	uint8_t hash[64];
	int rc = -1;

	crypto_generichash_init(&sum, NULL, 0, sizeof(hash));
	if (t && !en)
		err_set(e, DM_ENV, "archive: out of memory");
	if (t && en && find_data(x, t, d->size, &data, e) == 0 && put_sparse(en, &data, d->size, e) == 0) {
		extents_free(&data);
		rc = put_header(x, en, e) || put_chunks(x, t, d->size, &sum, e) ? -1 : 0;
		en = NULL;
	}
	crypto_generichash_final(&sum, hash, sizeof(hash));
	hex_put(hex, hash, sizeof(hash));
	buf_printf(&x->sums, "%s  %s\n", hex, name);
	extents_free(&data);
	archive_entry_free(en);
	tree_close(t);
	free(name);
	return rc;
}

void portable_sum(struct buf *sums, const char *name, const void *p, size_t len)
{
	char hex[2 * 64 + 1];
	uint8_t hash[64];

	crypto_generichash(hash, sizeof(hash), p, len, NULL, 0);
	hex_put(hex, hash, sizeof(hash));
	buf_printf(sums, "%s  %s\n", hex, name);
}

static int check(const struct export *x, struct err *e)
{
	for (size_t i = 0; i < x->c->ndisks; i++)
		if (!checkpoint_disk_stored(&x->c->disk[i]) || x->c->disk[i].partial)
			return err_set(e, DM_NO, "disk %s of this checkpoint is not in the chunk store",
			    x->c->disk[i].name);
	return 0;
}

static int put_all(struct export *x, int fd, int level, struct err *e)
{
	if (level) {
		char text[16];

		snprintf(text, sizeof(text), "%d", level);
		if (archive_write_add_filter_zstd(x->a) != ARCHIVE_OK ||
		    archive_write_set_filter_option(x->a, "zstd", "compression-level", text) != ARCHIVE_OK)
			return failed(x, e);
	}
	/* What follows a zstd frame would have to be one. */
	archive_write_set_bytes_in_last_block(x->a, 1);
	if (archive_write_set_format_pax_restricted(x->a) != ARCHIVE_OK || archive_write_open_fd(x->a, fd) != ARCHIVE_OK)
		return failed(x, e);
	if (put_manifest(x, e) < 0)
		return -1;
	for (size_t i = 0; i < x->c->ndisks; i++)
		if (put_disk(x, &x->c->disk[i], e) < 0)
			return err_prefix(e, "disk %s", x->c->disk[i].name);
	if (put_text(x, ARCHIVE_SUMS, x->sums.p, x->sums.len, e) < 0)
		return -1;
	return archive_write_close(x->a) != ARCHIVE_OK ? failed(x, e) : 0;
}

static bool busy;

static void end_of_program(void)
{
	if (busy)
		_exit(DM_ENV);
}

void portable_begin(void)
{
	static bool known;

	if (!known)
		atexit(end_of_program);
	known = busy = true;
}

void portable_end(void)
{
	busy = false;
}

int portable_export(struct site *s, const struct checkpoint *c, int fd, int level, struct err *e)
{
	struct export x = { .site = s, .c = c };
	int rc = -1;

	if (check(&x, e) < 0 || !(x.st = store_open(s, STORE_READ, e)))
		return -1;
	portable_begin();
	x.a = archive_write_new();
	x.chunk = x_pages(s->chunk_size, e);
	x.zero = x_alloc(s->chunk_size);
	if (x.a && x.chunk)
		rc = put_all(&x, fd, level, e);
	else
		err_set(e, DM_ENV, "out of memory");
	if (x.a && rc < 0)
		archive_write_fail(x.a);	/* no end is written behind what failed */
	archive_write_free(x.a);
	portable_end();
	buf_free(&x.sums);
	free(x.chunk);
	free(x.zero);
	store_close(x.st);
	return rc;
}
