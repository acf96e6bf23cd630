#include "repo/blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"

#define BLOCK (1u << 20)
#define BLOCKS 64u
#define AHEAD 8u		/* blocks fetched before they are asked for */
#define FETCHERS 8u

struct block {
	struct blocks *in;
	uint8_t pack[PACK_ID];
	uint64_t n;		/* which of the pack */
	enum { EMPTY, LOADING, READY } state;
	unsigned refs;
	uint64_t used;
	uint8_t *p;
	size_t len;
};
struct blocks {
	struct objects *objects;
	pthread_mutex_t lock;
	pthread_cond_t change;
	struct block v[BLOCKS];
	uint64_t clock;
	struct pool *fetchers;	/* NULL until reading went forward */
	unsigned fetching;
};

char *pack_object(const uint8_t id[PACK_ID], char name[PACK_OBJECT])
{
	char hex[2 * PACK_ID + 1];

	hex_put(hex, id, PACK_ID);
	snprintf(name, PACK_OBJECT, "packs/%s.pack", hex);
	return name;
}

struct blocks *blocks_new(struct objects *o)
{
	struct blocks *b = x_alloc(sizeof(*b));

	b->objects = o;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->change, NULL);
	for (unsigned i = 0; i < BLOCKS; i++)
		b->v[i].in = b;
	return b;
}

void blocks_free(struct blocks *b)
{
	if (!b)
		return;
	if (b->fetchers)
		pool_free(b->fetchers);
	for (unsigned i = 0; i < BLOCKS; i++)
		free(b->v[i].p);
	pthread_cond_destroy(&b->change);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* --- with the lock held -------------------------------------------------- */

static struct block *find(struct blocks *b, const uint8_t pack[PACK_ID], uint64_t n)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		if (b->v[i].state != EMPTY && b->v[i].n == n && !memcmp(b->v[i].pack, pack, PACK_ID))
			return &b->v[i];
	return NULL;
}

/* A block to load, LOADING from now on; NULL: all are in use. */
static struct block *claim(struct blocks *b, const uint8_t pack[PACK_ID], uint64_t n)
{
	struct block *best = NULL;

	for (unsigned i = 0; i < BLOCKS; i++) {
		struct block *x = &b->v[i];

		if (x->state == LOADING || x->refs)
			continue;
		if (!best || x->state < best->state || (x->state == best->state && x->used < best->used))
			best = x;
	}
	if (!best)
		return NULL;
	memcpy(best->pack, pack, PACK_ID);
	best->n = n;
	best->state = LOADING;
	best->used = ++b->clock;
	return best;
}

/* --- loading ------------------------------------------------------------- */

/* Without the lock; the block is this thread's. */
static int load(struct block *x, struct err *e)
{
	struct buf got = { 0 };
	char name[PACK_OBJECT];
	int r;

	if (!x->p && !(x->p = x_pages(BLOCK, e)))
		return -1;
	r = object_get(x->in->objects, pack_object(x->pack, name), x->n * BLOCK, BLOCK, &got, NULL, e);
	if (r == 0)
		r = err_set(e, DM_NO, "%s/%s is gone", objects_name(x->in->objects), name);
	if (r > 0) {
		x->len = got.len < BLOCK ? got.len : BLOCK;
		memcpy(x->p, got.p ? got.p : (uint8_t *)"", x->len);
	}
	buf_free(&got);
	return r < 0 ? -1 : 0;
}

static int load_claimed(struct block *x, bool keep, struct err *e)
{
	struct blocks *b = x->in;
	int r = load(x, e);

	pthread_mutex_lock(&b->lock);
	x->state = r ? EMPTY : READY;
	x->refs += keep && !r;
	pthread_cond_broadcast(&b->change);
	pthread_mutex_unlock(&b->lock);
	return r;
}

/* What fails here is met again by who asks for the block. */
static void fetch_job(void *job, void *arg)
{
	struct blocks *b = arg;
	struct err ignored = { 0 };

	load_claimed(job, false, &ignored);
	pthread_mutex_lock(&b->lock);
	b->fetching--;
	pthread_mutex_unlock(&b->lock);
}

/* Reading that came from the block before goes on.  With the lock held, which
 * is let go in between. */
static void fetch_ahead(struct blocks *b, const uint8_t pack[PACK_ID], uint64_t n, uint64_t size)
{
	struct err ignored = { 0 };
	struct block *v[AHEAD];
	unsigned k = 0;

	if (!n || !find(b, pack, n - 1))
		return;
	if (!b->fetchers)
		b->fetchers = pool_new(FETCHERS, AHEAD * 2, fetch_job, b, &ignored);
	for (uint64_t i = n + 1; b->fetchers && i <= n + AHEAD && i * BLOCK < size && b->fetching < AHEAD * 2; i++) {
		struct block *x = find(b, pack, i) ? NULL : claim(b, pack, i);

		if (!x)
			continue;
		b->fetching++;
		v[k++] = x;
	}
	pthread_mutex_unlock(&b->lock);
	while (k)
		pool_give(b->fetchers, v[--k]);
	pthread_mutex_lock(&b->lock);
}

/* The block, held; NULL with *e. */
static struct block *block_get(struct blocks *b, const uint8_t pack[PACK_ID], uint64_t n, uint64_t size,
    struct err *e)
{
	struct block *x;

	pthread_mutex_lock(&b->lock);
	for (;;) {
		x = find(b, pack, n);
		if (x && x->state == READY) {
			x->refs++;
			x->used = ++b->clock;
			break;
		}
		if (!x && (x = claim(b, pack, n))) {
			fetch_ahead(b, pack, n, size);
			pthread_mutex_unlock(&b->lock);
			return load_claimed(x, true, e) ? NULL : x;
		}
		pthread_cond_wait(&b->change, &b->lock);
	}
	fetch_ahead(b, pack, n, size);
	pthread_mutex_unlock(&b->lock);
	return x;
}

static void block_put(struct block *x)
{
	struct blocks *b = x->in;

	pthread_mutex_lock(&b->lock);
	if (!--x->refs)
		pthread_cond_broadcast(&b->change);
	pthread_mutex_unlock(&b->lock);
}

void blocks_forget(struct blocks *b)
{
	pthread_mutex_lock(&b->lock);
	for (unsigned i = 0; i < BLOCKS; i++) {
		struct block *x = &b->v[i];

		if (x->state != READY)
			continue;
		if (x->refs)
			x->n = UINT64_MAX;	/* who reads it goes on, and nobody else finds it */
		else
			x->state = EMPTY;
	}
	pthread_cond_broadcast(&b->change);
	pthread_mutex_unlock(&b->lock);
}

int blocks_read(struct blocks *b, const uint8_t pack[PACK_ID], uint64_t size, void *p, size_t len, uint64_t off,
    struct err *e)
{
	uint8_t *to = p;

	while (len) {
		size_t at = (size_t)(off % BLOCK), n = (size_t)min64(len, BLOCK - at);
		struct block *x = block_get(b, pack, off / BLOCK, size, e);
		bool whole;

		if (!x)
			return -1;
		whole = x->len >= at + n;
		if (whole)
			memcpy(to, x->p + at, n);
		block_put(x);
		if (!whole)
			return err_set(e, DM_BAD, "it is cut short");
		to += n;
		off += n;
		len -= n;
	}
	return 0;
}
