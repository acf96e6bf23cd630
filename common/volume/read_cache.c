#include "volume/read_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define NONE UINT32_MAX

struct slot {
	const struct volume *v;		/* NULL: empty */
	uint64_t n;			/* which block of it */
	uint32_t next;			/* of the same bucket, or NONE */
	bool used;			/* since the hand passed last */
};

struct read_cache {
	pthread_mutex_t lock;		/* of all that follows */
	uint32_t slots, hand;
	struct slot *slot;
	uint32_t *bucket;		/* one for each slot */
	uint8_t *mem;			/* a block for each slot */
};

struct read_cache *read_cache_new(size_t bytes, struct err *e)
{
	struct read_cache *c = x_alloc(sizeof *c);
	uint64_t slots = max64(bytes, 2 * READ_RUN) / READ_BLOCK;

	pthread_mutex_init(&c->lock, NULL);
	c->slots = (uint32_t)min64(slots, NONE - 1);
	c->slot = x_try(c->slots, sizeof *c->slot, e);
	c->bucket = x_try(c->slots, sizeof *c->bucket, e);
	c->mem = x_pages((size_t)c->slots * READ_BLOCK, e);
	if (!c->slot || !c->bucket || !c->mem) {
		read_cache_free(c);
		return NULL;
	}
	for (uint32_t i = 0; i < c->slots; i++)
		c->bucket[i] = NONE;
	return c;
}

void read_cache_free(struct read_cache *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	free(c->slot);
	free(c->bucket);
	free(c->mem);
	free(c);
}

static uint32_t *bucket_of(struct read_cache *c, const struct volume *v, uint64_t n)
{
	uint64_t h = (n ^ (uintptr_t)v >> 4) * 0x9e3779b97f4a7c15u;

	return &c->bucket[(h >> 32) % c->slots];
}

/* The slot that holds block n, or NONE. */
static uint32_t find(struct read_cache *c, const struct volume *v, uint64_t n)
{
	uint32_t i = *bucket_of(c, v, n);

	while (i != NONE && (c->slot[i].v != v || c->slot[i].n != n))
		i = c->slot[i].next;
	return i;
}

static void unlink_slot(struct read_cache *c, uint32_t i)
{
	uint32_t *at = bucket_of(c, c->slot[i].v, c->slot[i].n);

	while (*at != i)
		at = &c->slot[*at].next;
	*at = c->slot[i].next;
}

/* The next slot that was not used while the hand went round. */
static uint32_t evict(struct read_cache *c)
{
	for (;;) {
		uint32_t i = c->hand;

		c->hand = (c->hand + 1) % c->slots;
		if (!c->slot[i].v)
			return i;
		if (!c->slot[i].used) {
			unlink_slot(c, i);
			return i;
		}
		c->slot[i].used = false;
	}
}

static void insert(struct read_cache *c, const struct volume *v, uint64_t n, const uint8_t *p, size_t len)
{
	uint32_t i, *bucket;

	pthread_mutex_lock(&c->lock);
	if (find(c, v, n) == NONE) {
		i = evict(c);
		bucket = bucket_of(c, v, n);
		c->slot[i] = (struct slot){ .v = v, .n = n, .next = *bucket };
		*bucket = i;
		memcpy(c->mem + (size_t)i * READ_BLOCK, p, len);
	}
	pthread_mutex_unlock(&c->lock);
}

/* Copy [in, in+len) of block n if it is here. */
static bool copy(struct read_cache *c, const struct volume *v, uint64_t n, uint32_t in, void *p, size_t len)
{
	uint32_t i;

	pthread_mutex_lock(&c->lock);
	i = find(c, v, n);
	if (i != NONE) {
		c->slot[i].used = true;
		memcpy(p, c->mem + (size_t)i * READ_BLOCK + in, len);
	}
	pthread_mutex_unlock(&c->lock);
	return i != NONE;
}

static bool has(struct read_cache *c, const struct volume *v, uint64_t n)
{
	uint32_t i;

	pthread_mutex_lock(&c->lock);
	i = find(c, v, n);
	pthread_mutex_unlock(&c->lock);
	return i != NONE;
}

/* Bytes of `blocks' blocks from n, as far as the volume goes. */
static size_t bytes_of(const struct volume *v, uint64_t n, uint64_t blocks)
{
	return (size_t)min64(blocks * READ_BLOCK, volume_size(v) - n * READ_BLOCK);
}

/* Read `blocks' blocks from n into buf and keep them. */
static int fill(struct read_cache *c, struct volume *v, uint64_t n, uint64_t blocks, uint8_t *buf)
{
	size_t len = bytes_of(v, n, blocks);
	int r = volume_read(v, buf, len, n * READ_BLOCK);

	for (size_t at = 0; !r && at < len; at += READ_BLOCK)
		insert(c, v, n + at / READ_BLOCK, buf + at, (size_t)min64(READ_BLOCK, len - at));
	return r;
}

/* How many blocks to read at n: where the one before was read, as many as a
 * run has up to its end. */
static uint64_t ahead(struct read_cache *c, const struct volume *v, uint64_t n)
{
	uint64_t per = READ_RUN / READ_BLOCK, left = div_up(volume_size(v), READ_BLOCK) - n;

	return n && has(c, v, n - 1) ? min64(per - n % per, left) : 1;
}

/* A part of block n. */
static int read_part(struct read_cache *c, struct volume *v, uint64_t n, uint32_t in, void *p, size_t len)
{
	uint64_t blocks;
	uint8_t *buf;
	int r;

	if (copy(c, v, n, in, p, len))
		return 0;
	blocks = ahead(c, v, n);
	buf = malloc((size_t)blocks * READ_BLOCK);
	if (!buf)
		return -ENOMEM;
	r = fill(c, v, n, blocks, buf);
	if (r && blocks > 1)	/* what was not asked for must not fail this */
		r = fill(c, v, n, 1, buf);
	if (!r)
		memcpy(p, buf + in, len);
	free(buf);
	return r;
}

/* Whole blocks from n: how many of at most `blocks' are not here. */
static uint64_t absent(struct read_cache *c, const struct volume *v, uint64_t n, uint64_t blocks)
{
	uint64_t i = 0;

	while (i < blocks && !has(c, v, n + i))
		i++;
	return i;
}

int read_cache_read(struct read_cache *c, struct volume *v, void *p, size_t len, uint64_t off)
{
	int r = 0;

	while (!r && len) {
		uint64_t n = off / READ_BLOCK, missing;
		uint32_t in = (uint32_t)(off % READ_BLOCK);
		size_t part = (size_t)min64(len, READ_BLOCK - in);

		missing = in ? 0 : absent(c, v, n, len / READ_BLOCK);
		if (missing) {
			part = (size_t)missing * READ_BLOCK;
			r = volume_read(v, p, part, off);
		} else {
			r = read_part(c, v, n, in, p, part);
		}
		p = (uint8_t *)p + part;
		off += part;
		len -= part;
	}
	return r;
}

void read_cache_fetch(struct read_cache *c, struct volume *v, uint64_t off, uint64_t len)
{
	uint64_t n = off / READ_BLOCK, end, per = READ_RUN / READ_BLOCK;
	uint8_t *buf = malloc(READ_RUN);

	end = div_up(min64(off + min64(len, (uint64_t)c->slots / 2 * READ_BLOCK), volume_size(v)), READ_BLOCK);
	while (buf && n < end) {
		uint64_t missing = absent(c, v, n, min64(per - n % per, end - n));

		if (missing && fill(c, v, n, missing, buf))
			break;
		n += missing ? missing : 1;
	}
	free(buf);
}
