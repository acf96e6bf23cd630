/* ebs: volumes, a new snapshot: its blocks are put, and it is completed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "volume/drv_ebs_target.h"

#define DONE_WITHIN (3600ll * 1000000000)

/* ---- blocks ---- */

static int put_block(struct ebs_target *t, uint64_t index, const void *p, struct err *e)
{
	char *path = x_printf("/snapshots/%s/blocks/%llu", t->snapshot, (unsigned long long)index);
	char sum[64], len[16];
	uint8_t digest[32];
	struct http_pair header[] = { { "x-amz-checksum", sum }, { "x-amz-checksum-algorithm", "SHA256" },
		{ "x-amz-data-length", len }, { "content-type", "application/octet-stream" } };
	struct ebs_call c = { .method = "PUT", .path = path, .header = header, .nheaders = LEN(header),
		.body = p, .len = t->block_size, .digest = digest, .missing_ok = true };
	struct http_reply r = { 0 };
	int rc;

	sha256_of(p, t->block_size, digest);
	rc = journal_has(t->journal, index, digest, e);
	if (rc) {	/* an interrupted run put it */
		free(path);
		return rc < 0 ? -1 : 0;
	}
	sodium_bin2base64(sum, sizeof(sum), digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL);
	snprintf(len, sizeof(len), "%u", t->block_size);
	rc = ebs_call(&t->api, &c, &r, e);
	if (rc == 0)
		rc = journal_put(t->journal, index, digest, e);
	http_reply_free(&r);
	free(path);
	return rc;
}

/* The pieces of a chunk that fall into [off, off + len), onto p (NULL: only
 * ask).  Were there any? */
static bool patch(const struct volume_chunk *c, uint64_t off, uint32_t len, uint8_t *p)
{
	const uint8_t *from = c->plain;
	bool any = false;

	for (size_t i = 0; i < c->nfrags; i++) {
		uint64_t at = c->off + c->frag[i].off, end = at + c->frag[i].len;
		uint64_t lo = max64(at, off), hi = min64(end, off + len);

		if (lo < hi && p)
			memcpy(p + (lo - off), from + (lo - at), hi - lo);
		any |= lo < hi;
		from += c->frag[i].len;
	}
	return any;
}

/* One block of a chunk of which only pieces came. */
static int put_pieces(struct ebs_target *t, const struct volume_chunk *c, uint64_t index, uint8_t *p, struct err *e)
{
	uint64_t off = index * t->block_size;
	bool has;

	if (!c->rest_zero && !patch(c, off, t->block_size, NULL))
		return 0;
	memset(p, 0, t->block_size);
	if (!c->rest_zero && t->parent && ebs_reader_get(t->parent, index, p, &has, e) < 0)
		return -1;
	patch(c, off, t->block_size, p);
	if (c->whole)
		memcpy(c->whole + (off - c->off), p, min64(t->block_size, c->off + c->len - off));
	return !t->parent && bytes_zero(p, t->block_size) ? 0 : put_block(t, index, p, e);
}

static int put_whole(struct ebs_target *t, const struct volume_chunk *c, uint64_t index, uint8_t *p, struct err *e)
{
	uint64_t skip = index * t->block_size - c->off;
	size_t n = min64(t->block_size, c->plain_len - skip);
	const uint8_t *from = (const uint8_t *)c->plain + skip;

	if (n < t->block_size) {
		memset(p, 0, t->block_size);
		from = memcpy(p, from, n);
	}
	return !t->parent && bytes_zero(from, n) ? 0 : put_block(t, index, from, e);
}

struct putting {
	struct ebs_target *t;
	const struct volume_chunk *c;
};

static int put_one(void *arg, uint64_t index, struct err *e)
{
	const struct putting *x = arg;
	uint8_t *p = x_pages(x->t->block_size, e);	/* touched only where needed */
	int rc = -1;

	if (p)
		rc = x->c->nfrags ? put_pieces(x->t, x->c, index, p, e) : put_whole(x->t, x->c, index, p, e);
	free(p);
	return rc;
}

/* The leaves of the blocks that were patched. */
static uint32_t leaves_known(const struct ebs_target *t, const struct volume_chunk *c)
{
	uint32_t step = leaf_size(t->chunk_size), known = 0;

	for (unsigned i = 0; i < leaf_count(t->chunk_size, c->len); i++) {
		uint64_t off = c->off + i * step;

		if (c->rest_zero || patch(c, off - off % t->block_size, t->block_size, NULL))
			known |= 1u << i;
	}
	return known;
}

int ebs_target_put(struct volume *v, struct volume_chunk *c)
{
	struct ebs_target *t = v->priv;
	struct putting x = { t, c };
	struct err e = { 0 };
	int rc = ebs_each(c->off / t->block_size, div_up(c->off + c->len, t->block_size), put_one, &x, &e);

	if (rc == 0)
		rc = journal_chunk(t->journal, c->off / t->chunk_size, &e);
	if (rc == 0)
		c->added = c->plain_len;
	if (rc == 0 && c->whole && c->nfrags)
		c->whole_leaves = leaves_known(t, c);
	return rc < 0 ? ebs_failed(v, &e) : 0;
}

/* A block that is not put keeps the parent's content. */
int ebs_target_put_zero(struct volume *v, uint64_t off, uint64_t len)
{
	struct ebs_target *t = v->priv;
	uint64_t at = off / t->block_size, end = div_up(off + len, t->block_size), index;
	struct err e = { 0 };
	uint8_t *zero = NULL;
	int rc = 0;

	while (t->parent && rc == 0 && at < end) {
		rc = ebs_reader_next(t->parent, at, &index, &e);
		if (rc <= 0 || index >= end)
			break;
		if (!zero)
			zero = x_pages(t->block_size, &e);
		if (zero)
			memset(zero, 0, t->block_size);
		rc = zero ? put_block(t, index, zero, &e) : -1;
		at = index + 1;
	}
	free(zero);
	return rc < 0 ? ebs_failed(v, &e) : 0;
}

/* ---- the end ---- */

/* SHA-256 over the digests of the blocks put, in the order of their indices. */
struct sum {
	crypto_hash_sha256_state h;
	uint64_t n;
};

static void add_digest(void *arg, const uint8_t digest[32])
{
	struct sum *s = arg;

	crypto_hash_sha256_update(&s->h, digest, 32);
	s->n++;
}

static int all_digests(const struct ebs_target *t, char sum[64], uint64_t *n, struct err *e)
{
	struct sum s = { .n = 0 };
	uint8_t digest[32];

	crypto_hash_sha256_init(&s.h);
	if (journal_each(t->journal, add_digest, &s, e) < 0)
		return -1;
	crypto_hash_sha256_final(&s.h, digest);
	sodium_bin2base64(sum, 64, digest, sizeof(digest), sodium_base64_VARIANT_ORIGINAL);
	*n = s.n;
	return 0;
}

static int complete(struct ebs_target *t, uint64_t *n, struct err *e)
{
	char *path = x_printf("/snapshots/completion/%s", t->snapshot), count[24], sum[64];
	struct http_pair header[] = { { "x-amz-changedblockscount", count }, { "x-amz-checksum", sum },
		{ "x-amz-checksum-algorithm", "SHA256" }, { "x-amz-checksum-aggregation-method", "LINEAR" } };
	struct ebs_call c = { .method = "POST", .path = path, .header = header,
		.missing_ok = true };
	struct http_reply r = { 0 };
	int rc = all_digests(t, sum, n, e);

	c.nheaders = *n ? LEN(header) : 1;
	snprintf(count, sizeof(count), "%llu", (unsigned long long)*n);
	if (rc == 0)
		rc = ebs_call(&t->api, &c, &r, e);
	http_reply_free(&r);
	free(path);
	return rc;
}

/* Completion goes on over there: "completed" is the word to wait for. */
static int wait_completed(struct ebs_target *t, struct err *e)
{
	int64_t end = time_mono() + DONE_WITHIN, pause = 100000000;

	for (;;) {
		struct timespec nap = { (time_t)(pause / 1000000000), (long)(pause % 1000000000) };
		struct ebs_snapshot s;
		bool done, failed;
		int rc = ebs_snapshot_find(&t->api, t->snapshot, true, &s, e);

		if (rc < 0)
			return -1;
		done = rc > 0 && !strcmp(s.state, "completed");
		failed = rc > 0 && !strcmp(s.state, "error");
		if (rc > 0)
			ebs_snapshot_free(&s);
		if (done)
			return 0;
		if (failed)
			return err_set(e, DM_ENV, "snapshot %s failed while being completed", t->snapshot);
		if (time_mono() > end)
			return err_set(e, DM_ENV, "snapshot %s is still not complete", t->snapshot);
		nanosleep(&nap, NULL);
		pause = pause < 10000000000 ? pause * 3 / 2 : pause;
	}
}

int ebs_target_held(struct volume *v, uint64_t off, uint32_t len)
{
	struct ebs_target *t = v->priv;
	struct err e = { 0 };
	int rc = journal_has_chunk(t->journal, off / t->chunk_size, &e);

	(void)len;
	return rc < 0 ? ebs_failed(v, &e) : rc;
}

/* What was put is Amazon's; only the journal has to follow. */
int ebs_target_flush(struct volume *v)
{
	struct ebs_target *t = v->priv;
	struct err e = { 0 };

	return journal_sync(t->journal, &e) < 0 ? ebs_failed(v, &e) : 0;
}

/* The root is a tag before the snapshot is complete: what fails until then is
 * deleted, and a complete one always says what it holds. */
int ebs_target_finalize(struct volume *v, const struct id *source_root, struct volume_final *f)
{
	struct ebs_target *t = v->priv;
	struct err e = { 0 };
	char root[80];
	uint64_t n = 0;
	int rc = 0;

	if (source_root) {
		id_format(t->algo, source_root, root);
		rc = ebs_snapshot_tag(&t->api, t->snapshot, EBS_TAG_ROOT, root, &e);
	}
	if (rc == 0)
		rc = complete(t, &n, &e);
	if (rc == 0)
		rc = wait_completed(t, &e);
	t->completed = rc == 0;
	/* What Amazon refuses at the end is not mended by going on with it. */
	if (rc == 0 || e.code == DM_NO) {
		struct err gone = { 0 };
		int ended = journal_end(t->journal, &gone);

		if (rc == 0 && ended < 0) {
			rc = -1;
			e = gone;
		}
	}
	if (rc < 0)
		return ebs_failed(v, &e);
	f->point = x_strdup(t->snapshot);
	f->stored = n * t->block_size;
	f->has_root = source_root != NULL;
	if (source_root)
		f->root = *source_root;
	return 0;
}
