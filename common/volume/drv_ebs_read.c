/* ebs: volumes, blocks of a snapshot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "volume/drv_ebs.h"

#define PAGES 16u
#define PAGE_BLOCKS 1000u
#define DAMAGED_AGAIN 4
#define PAGE_OLD (3600ll * 1000000000)	/* tokens live much longer */

struct ebs_reader {
	struct ebs_api *api;
	char *snapshot;
	uint64_t volume;
	uint32_t block_size;
	pthread_mutex_t lock;		/* of the pages; held while one is got */
	struct {
		struct ebs_page page;
		int64_t got, used;	/* monotonic, 0: empty */
	} slot[PAGES];
	bool ahead;			/* somebody gets a page that will be needed */
};

struct ebs_reader *ebs_reader_new(struct ebs_api *a, const char *snapshot, struct err *e)
{
	struct ebs_reader *r = x_alloc(sizeof(*r));

	if (ebs_list(a, snapshot, NULL, PAGE_BLOCKS, &r->slot[0].page, e) < 0) {
		free(r);
		return NULL;
	}
	r->api = a;
	r->snapshot = x_strdup(snapshot);
	r->volume = r->slot[0].page.volume;
	r->block_size = r->slot[0].page.block_size;
	r->slot[0].got = r->slot[0].used = time_mono();
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void ebs_reader_free(struct ebs_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < PAGES; i++)
		ebs_page_free(&r->slot[i].page);
	pthread_mutex_destroy(&r->lock);
	free(r->snapshot);
	free(r);
}

uint64_t ebs_reader_volume(const struct ebs_reader *r)
{
	return r->volume;
}

uint32_t ebs_reader_block(const struct ebs_reader *r)
{
	return r->block_size;
}

/* The page that tells of `index', if there is one; NULL.  Locked. */
static const struct ebs_page *page_known(struct ebs_reader *r, uint64_t index, int64_t now)
{
	for (size_t i = 0; i < PAGES; i++) {
		const struct ebs_page *p = &r->slot[i].page;

		if (r->slot[i].got && now - r->slot[i].got < PAGE_OLD && p->from <= index && index < p->to) {
			r->slot[i].used = now;
			return p;
		}
	}
	return NULL;
}

int ebs_reader_known(struct ebs_reader *r, uint64_t from, struct ebs_page *out)
{
	const struct ebs_page *p;

	pthread_mutex_lock(&r->lock);
	p = page_known(r, from, time_mono());
	if (p) {
		*out = *p;
		out->block = x_array(p->n + 1, sizeof(*p->block));
		for (size_t i = 0; i < p->n; i++)
			out->block[i] = (struct ebs_block){ p->block[i].index, x_strdup(p->block[i].token) };
	}
	pthread_mutex_unlock(&r->lock);
	return p != NULL;
}

/* Takes the page over, in the place of the one longest not used.  Locked. */
static const struct ebs_page *page_keep(struct ebs_reader *r, const struct ebs_page *p, int64_t now)
{
	size_t oldest = 0;

	for (size_t i = 0; i < PAGES; i++)
		if (r->slot[i].used < r->slot[oldest].used)
			oldest = i;
	ebs_page_free(&r->slot[oldest].page);
	r->slot[oldest].page = *p;
	r->slot[oldest].got = r->slot[oldest].used = now;
	return &r->slot[oldest].page;
}

/* The same, got if need be. */
static const struct ebs_page *page_of(struct ebs_reader *r, uint64_t index, struct err *e)
{
	int64_t now = time_mono();
	const struct ebs_page *known = page_known(r, index, now);
	struct ebs_page page = { .from = index, .block_size = r->block_size };

	if (known)
		return known;
	if (ebs_list(r->api, r->snapshot, NULL, PAGE_BLOCKS, &page, e) < 0)
		return NULL;
	return page_keep(r, &page, now);
}

/* Where the next page begins, if `index' is behind the middle of one and nobody
 * has or gets the next, which is the caller's to get then; else UINT64_MAX. */
static uint64_t ahead_of(struct ebs_reader *r, uint64_t index)
{
	int64_t now = time_mono();
	uint64_t at = UINT64_MAX;
	const struct ebs_page *p;

	pthread_mutex_lock(&r->lock);
	p = r->ahead ? NULL : page_known(r, index, now);
	if (p && p->to != UINT64_MAX && index >= p->block[p->n / 2].index && !page_known(r, p->to, now)) {
		at = p->to;
		r->ahead = true;
	}
	pthread_mutex_unlock(&r->lock);
	return at;
}

/* All would wait for a page that nobody has asked for before its first block is
 * wanted.  What fails here is asked for again, then. */
static void page_ahead(struct ebs_reader *r, uint64_t index)
{
	uint64_t at = ahead_of(r, index);
	struct ebs_page page = { .from = at, .block_size = r->block_size };
	struct err e = { 0 };
	int rc;

	if (at == UINT64_MAX)
		return;
	rc = ebs_list(r->api, r->snapshot, NULL, PAGE_BLOCKS, &page, &e);
	pthread_mutex_lock(&r->lock);
	r->ahead = false;
	if (rc == 0 && !page_known(r, at, time_mono()))
		page_keep(r, &page, time_mono());
	else
		ebs_page_free(&page);
	pthread_mutex_unlock(&r->lock);
}

/* A copy of the block's token, "" without a request when it is not there. */
static char *token_of(struct ebs_reader *r, uint64_t index, struct err *e)
{
	const struct ebs_page *p;
	const struct ebs_block *b;
	char *token = NULL;

	pthread_mutex_lock(&r->lock);
	p = page_of(r, index, e);
	b = p ? ebs_page_find(p, index) : NULL;
	if (p)
		token = x_strdup(b && b->index == index ? b->token : "");
	pthread_mutex_unlock(&r->lock);
	return token;
}

int ebs_reader_next(struct ebs_reader *r, uint64_t from, uint64_t *index, struct err *e)
{
	int rc = -1;

	pthread_mutex_lock(&r->lock);
	while (rc < 0) {
		const struct ebs_page *p = page_of(r, from, e);
		const struct ebs_block *b = p ? ebs_page_find(p, from) : NULL;

		if (!p)
			break;
		if (b || p->to == UINT64_MAX) {
			rc = b != NULL;
			*index = b ? b->index : 0;
		}
		from = p->to;
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* Length and checksum as the headers tell them; DM_BAD: damaged on the way. */
static int check_block(const struct ebs_reader *r, uint64_t index, const struct http_reply *reply, struct err *e)
{
	const char *algorithm = reply->want[2].value, *sum = reply->want[3].value;
	uint8_t digest[32], claimed[32];
	size_t len;

	if (reply->body.len != r->block_size)
		return err_set(e, DM_BAD, "block %llu: %zu bytes came instead of %u",
		    (unsigned long long)index, reply->body.len, r->block_size);
	if (strcasecmp(algorithm, "SHA256") != 0 ||
	    sodium_base642bin(claimed, sizeof(claimed), sum, strlen(sum), NULL, &len, NULL,
	    sodium_base64_VARIANT_ORIGINAL) != 0 || len != sizeof(claimed))
		return err_set(e, DM_BAD, "block %llu: came without a SHA-256 checksum",
		    (unsigned long long)index);
	sha256_of(reply->body.p, reply->body.len, digest);
	if (memcmp(digest, claimed, sizeof(digest)) != 0)
		return err_set(e, DM_BAD, "block %llu: its bytes are not those of its checksum",
		    (unsigned long long)index);
	return 0;
}

/* Straight to p, whose content counts only once it was checked. */
static int get_once(struct ebs_reader *r, uint64_t index, const char *token, void *p, struct err *e)
{
	char *path = x_printf("/snapshots/%s/blocks/%llu", r->snapshot, (unsigned long long)index);
	struct http_want want[] = { EBS_WANTS, { "x-amz-checksum-algorithm", "" },
		{ "x-amz-checksum", "" } };
	struct http_pair query = { "blockToken", token };
	struct ebs_call c = { .method = "GET", .path = path, .query = &query, .nquery = 1 };
	struct http_reply reply = { .body.p = p, .max = r->block_size, .fixed = true, .want = want, .nwant = LEN(want) };
	int rc;

	rc = ebs_call(r->api, &c, &reply, e);
	if (rc == 0)
		rc = check_block(r, index, &reply, e);
	http_reply_free(&reply);
	free(path);
	return rc;
}

int ebs_reader_get(struct ebs_reader *r, uint64_t index, void *p, bool *has, struct err *e)
{
	char *token = token_of(r, index, e);
	int rc;

	if (!token)
		return -1;
	*has = *token;
	if (!*has)
		memset(p, 0, r->block_size);
	rc = *has ? get_once(r, index, token, p, e) : 0;
	for (int again = 0; rc < 0 && e->code == DM_BAD && again < DAMAGED_AGAIN; again++) {
		*e = (struct err){ 0 };
		rc = get_once(r, index, token, p, e);
	}
	if (rc < 0 && e->code == DM_BAD)
		e->code = DM_ENV;	/* the way here is bad, not our input */
	free(token);
	if (rc == 0)
		page_ahead(r, index);
	return rc;
}
