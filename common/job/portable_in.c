/* An archive into a checkpoint.  Everything in it is hostile until it was
 * compared: the manifest says which files come, in which order and how long
 * they are, roots and sums say what must be in them. */
#include "job/portable.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "base/uri.h"
#include "repo/catalog_record.h"
#include "repo/session.h"
#include "repo/tree_check.h"

#define BATCH 65536u		/* chunks between updates of the tree */
#define READ_BLOCK 262144u

struct import {
	struct site *site;
	struct store *st;
	struct session *session;
	struct archive *a;
	struct archive_entry *entry;	/* ours: libarchive does not ask whether it has one */
	struct checkpoint *c;	/* as the manifest has it, later as it is made */
	bool same_ids;		/* chunk size and hash are those of the site */
	struct buf sums;
	struct chunk_update *up;
	size_t nup;
	uint8_t *chunk;		/* being put together */
};

/* The disk that is read. */
struct disk_in {
	struct import *x;
	uint64_t size, at;	/* bytes taken */
	struct id root;
	bool begun;		/* root is one */
	crypto_generichash_state sum;
};

static int bad(const struct import *x, const char *what, struct err *e)
{
	const char *why = archive_error_string(x->a);
	int errnum = archive_errno(x->a);

	/* Memory that was wanting in libarchive is not always said. */
	if (!why)
		return err_set(e, DM_ENV, "archive: out of memory");
	/* Not the archive is wrong then: libarchive's own codes are -1 and these. */
	if (errnum > 0 && errnum != EILSEQ && errnum != EINVAL)
		return err_sys(e, DM_ENV, errnum, "archive");
	return err_set(e, DM_BAD, "archive: %s: %s", what, why);
}

/* The next file must be this one, plain, of this size (UINT64_MAX: of some). */
static int next_file(struct import *x, const char *name, uint64_t size, uint64_t *is, struct err *e)
{
	struct archive_entry *en = x->entry;
	int rc = archive_read_next_header2(x->a, en);
	const char *got;

	if (rc == ARCHIVE_EOF)
		return err_set(e, DM_BAD, "archive: it ends where %s should come", name);
	if (rc != ARCHIVE_OK)
		return bad(x, "damaged, or no archive of this kind", e);
	got = archive_entry_pathname(en);
	if (!got || strcmp(got, name) || archive_entry_filetype(en) != AE_IFREG ||
	    archive_entry_hardlink(en) || archive_entry_symlink(en) || !archive_entry_size_is_set(en))
		return err_set(e, DM_BAD, "archive: something else where the file %s should come", name);
	*is = (uint64_t)archive_entry_size(en);
	if (archive_entry_size(en) < 0 || (size != UINT64_MAX && *is != size))
		return err_set(e, DM_BAD, "archive: %s has %lld bytes, which is not what the manifest says",
		    name, (long long)archive_entry_size(en));
	return 0;
}

static char *read_text(struct import *x, const char *name, size_t *len, struct err *e)
{
	uint64_t size;
	char *text;
	la_ssize_t n;

	if (next_file(x, name, UINT64_MAX, &size, e) < 0)
		return NULL;
	if (size > ARCHIVE_TEXT_MAX) {
		err_set(e, DM_BAD, "archive: %s is too long", name);
		return NULL;
	}
	text = x_alloc(size + 1);
	n = archive_read_data(x->a, text, size + 1);
	*len = (size_t)size;
	if (n == (la_ssize_t)size)
		return text;
	if (n < 0)
		bad(x, "cut short, or damaged", e);
	else
		err_set(e, DM_BAD, "archive: %s is cut short", name);
	free(text);
	return NULL;
}

static int take_manifest(struct import *x, struct err *e)
{
	json_t *j = NULL;
	char *text, *record = NULL;
	json_int_t cs;
	size_t len;

	text = read_text(x, ARCHIVE_MANIFEST, &len, e);
	if (!text)
		return -1;
	portable_sum(&x->sums, ARCHIVE_MANIFEST, text, len);
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	if (json_integer_value(json_object_get(j, "dm_export")) != ARCHIVE_FORMAT) {
		json_decref(j);
		return err_set(e, DM_BAD, "archive: its manifest is not of a kind known here");
	}
	cs = json_integer_value(json_object_get(j, "chunk_size"));
	record = json_dumps(json_object_get(j, "checkpoint"), 0);
	x->c = record ? checkpoint_parse(record, strlen(record), e) : NULL;
	free(record);
	json_decref(j);
	if (!x->c)
		return err_set(e, DM_BAD, "archive: no checkpoint in its manifest");
	for (size_t i = 0; i < x->c->ndisks; i++)
		if (!x->c->disk[i].has_root || x->c->disk[i].partial)
			return err_set(e, DM_BAD, "archive: disk %s has no root", x->c->disk[i].name);
	x->same_ids = cs == x->site->chunk_size && x->c->algo == x->site->algo;
	return 0;
}

/* ---- disks ---- */

static int tree_grow(struct disk_in *d, struct err *e)
{
	struct import *x = d->x;
	struct id before = d->root;

	if (tree_update(x->st, d->begun ? &before : NULL, d->size, x->up, x->nup, &d->root, e) < 0)
		return -1;
	d->begun = true;
	x->nup = 0;
	return 0;
}

/* The chunk that ends at d->at is complete. */
static int chunk_done(struct disk_in *d, uint64_t n, uint32_t len, struct err *e)
{
	struct import *x = d->x;
	struct id leaf[LEAVES_MAX], id;
	struct store_chunk c = { .leaf = leaf, .plain = x->chunk, .len = len, .chunk = n };
	uint64_t added;

	id_content(x->site->algo, x->site->chunk_size, x->chunk, len, leaf, &id);
	if (id_zero(&id))
		return 0;
	c.id = id;
	if (store_put_chunk(x->st, &c, &added, e) < 0)
		return -1;
	x->up[x->nup++] = (struct chunk_update){ .n = n, .count = 1, .id = id };
	return x->nup == BATCH ? tree_grow(d, e) : 0;
}

/* len bytes follow (p NULL: zeros). */
static int take_bytes(struct disk_in *d, const uint8_t *p, uint64_t len, struct err *e)
{
	struct import *x = d->x;
	uint64_t cs = x->site->chunk_size;

	while (len) {
		uint64_t n = d->at / cs, in = d->at % cs, end = min64((n + 1) * cs, d->size);
		uint64_t part = min64(len, end - d->at);

		if (p)
			memcpy(x->chunk + in, p, part);
		else
			memset(x->chunk + in, 0, part);
		crypto_generichash_update(&d->sum, x->chunk + in, part);
		d->at += part;
		len -= part;
		p = p ? p + part : NULL;
		if (d->at == end && chunk_done(d, n, (uint32_t)(end - n * cs), e) < 0)
			return -1;
	}
	return 0;
}

static int take_data(struct disk_in *d, struct err *e)
{
	const void *p;
	la_int64_t off;
	size_t len;
	int rc;

	while ((rc = archive_read_data_block(d->x->a, &p, &len, &off)) == ARCHIVE_OK) {
		if (off < 0 || (uint64_t)off < d->at || (uint64_t)off > d->size || len > d->size - (uint64_t)off)
			return err_set(e, DM_BAD, "archive: its pieces are out of order");
		if (take_bytes(d, NULL, (uint64_t)off - d->at, e) < 0 || take_bytes(d, p, len, e) < 0)
			return -1;
	}
	if (rc != ARCHIVE_EOF)
		return bad(d->x, "cut short, or damaged", e);
	return take_bytes(d, NULL, d->size - d->at, e);
}

static int take_disk(struct import *x, size_t i, struct err *e)
{
	struct checkpoint_disk *cd = &x->c->disk[i];
	struct disk_in d = { .x = x, .size = cd->size };
	char *name = x_printf("%s.raw", cd->name), hex[2 * 64 + 1], text[80];
	uint8_t hash[64];
	uint64_t size;
	int rc;

	crypto_generichash_init(&d.sum, NULL, 0, sizeof(hash));
	rc = next_file(x, name, cd->size, &size, e) || take_data(&d, e) || tree_grow(&d, e) ? -1 : 0;
	crypto_generichash_final(&d.sum, hash, sizeof(hash));
	hex_put(hex, hash, sizeof(hash));
	buf_printf(&x->sums, "%s  %s\n", hex, name);
	free(name);
	if (rc == 0 && x->same_ids && !id_equal(&d.root, &cd->root))
		rc = err_set(e, DM_BAD, "archive: its content is not what its root names");
	if (rc < 0)
		return err_prefix(e, "disk %s", cd->name);
	cd->root = d.root;
	/* By another tree it would pass for a state that it is not. */
	cd->has_tree = false;
	free(cd->point);
	cd->point = x_printf("root:%s", id_format(x->site->algo, &d.root, text));
	x->session->disk[i].final = d.root;
	x->session->disk[i].has_final = true;
	return 0;
}

static int take_sums(struct import *x, struct err *e)
{
	size_t len;
	char *text = read_text(x, ARCHIVE_SUMS, &len, e);
	bool same;
	int rc;

	if (!text)
		return -1;
	same = len == x->sums.len && !memcmp(text, x->sums.p, len);
	free(text);
	if (!same)
		return err_set(e, DM_BAD, "archive: what came is not what its sums say");
	rc = archive_read_next_header2(x->a, x->entry);
	if (rc == ARCHIVE_EOF)
		return 0;
	return rc == ARCHIVE_OK ? err_set(e, DM_BAD, "archive: more follows where it should end") :
	    bad(x, "no end where it should be", e);
}

/* ---- the checkpoint ---- */

static int begin(struct import *x, struct err *e)
{
	struct session want = { .workload = (char *)"", .ndisks = x->c->ndisks };
	uint8_t id[16];

	want.disk = x_array(want.ndisks, sizeof(*want.disk));
	for (size_t i = 0; i < want.ndisks; i++)
		want.disk[i] = (struct session_disk){ .name = x->c->disk[i].name,
			.size = x->c->disk[i].size, .block = x->c->disk[i].block, .full = true };
	randombytes_buf(id, sizeof(id));
	x->session = session_begin(x->site, id, &want, e);
	free(want.disk);
	if (!x->session)
		return -1;
	hex_put(x->c->session, id, sizeof(id));
	x->st = store_open(x->site, STORE_WRITE, e);
	x->up = x_array(BATCH, sizeof(*x->up));
	x->chunk = x_pages(x->site->chunk_size, e);
	return x->st && x->chunk ? 0 : -1;
}

static int check_roots(struct import *x, struct err *e)
{
	struct tree_check *t = tree_check_new(x->site, e);
	int rc = t ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < x->c->ndisks; i++)
		rc = tree_check_root(t, &x->c->disk[i].root, NULL, e);
	tree_check_free(t);
	return rc;
}

static int publish(struct import *x, struct err *e)
{
	struct checkpoint *latest, *c = x->c;

	if (store_flush(x->st, e) < 0 || session_save(x->site, x->session, e) < 0)
		return -1;
	latest = catalog_latest(x->site, c->workload, e);
	if (!latest && e->code)
		return -1;
	if (latest && catalog_trust(x->site, latest, e) < 0) {
		checkpoint_free(latest);
		return -1;
	}
	checkpoint_follow(x->site, c, latest);
	checkpoint_free(latest);
	if (session_decide(x->site, x->session, c->workload, c->seq, e) || check_roots(x, e))
		return -1;
	c->algo = x->site->algo;
	c->committed = time_now();
	c->stored = store_added(x->st);
	free(c->kind);
	c->kind = x_strdup("full");
	for (size_t i = 0; i < c->ndisks; i++) {
		/* No volume here is in the state that the source had then. */
		free(c->disk[i].source_point);
		c->disk[i].source_point = x_strdup("");
	}
	return catalog_commit(x->site, c, e);
}

static int open_archive(struct import *x, int fd, struct err *e)
{
	x->a = archive_read_new();
	x->entry = archive_entry_new();
	/* That there is room for the data of the call below, it does not ask. */
	if (!x->a || !x->entry || archive_read_set_callback_data(x->a, NULL) != ARCHIVE_OK ||
	    archive_read_support_filter_zstd(x->a) < ARCHIVE_WARN ||
	    archive_read_support_format_tar(x->a) < ARCHIVE_WARN)
		return err_set(e, DM_ENV, "archive: out of memory");
	return archive_read_open_fd(x->a, fd, READ_BLOCK) == ARCHIVE_OK ? 0 :
	    bad(x, "no archive of this kind", e);
}

static int import_all(struct import *x, struct import_how *how, struct err *e)
{
	if (how->workload) {
		free(x->c->workload);
		x->c->workload = x_strdup(how->workload);
	}
	if (!how->recovery && x->c->recovery) {
		json_decref(x->c->recovery);
		x->c->recovery = NULL;
		how->left_out = true;
	}
	if (begin(x, e) < 0)
		return -1;
	for (size_t i = 0; i < x->c->ndisks; i++)
		if (take_disk(x, i, e) < 0)
			return -1;
	return take_sums(x, e) < 0 ? -1 : publish(x, e);
}

int portable_import(struct site *s, int fd, struct import_how *how, struct checkpoint **out, struct err *e)
{
	struct import x = { .site = s };
	struct err left = { 0 };
	int lock = -1, rc = -1;

	portable_begin();
	if (open_archive(&x, fd, e) == 0 && take_manifest(&x, e) == 0) {
		lock = catalog_lock_workload(s, how->workload ? how->workload : x.c->workload, e);
		if (lock >= 0)
			rc = import_all(&x, how, e);
	}
	store_close(x.st);
	if (x.session && session_end(s, x.session, &left) < 0 && rc == 0) {
		*e = left;
		rc = err_prefix(e, "the checkpoint is made, but its session was left behind");
	}
	if (x.session)
		session_close(x.session);
	fd_close(lock);
	archive_read_free(x.a);
	archive_entry_free(x.entry);
	portable_end();
	buf_free(&x.sums);
	free(x.up);
	free(x.chunk);
	if (rc == 0)
		*out = x.c;
	else
		checkpoint_free(x.c);
	return rc;
}
