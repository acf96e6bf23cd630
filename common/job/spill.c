#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "job/spill.h"

/* Records are packed into blocks and never cross one.  A queue is a row of
 * blocks: the oldest is read from, the newest filled, and those between are
 * in memory or in the file. */
#define BLOCK 32768u

struct block {
	uint8_t *mem;		/* NULL: in the file at `slot' */
	uint32_t slot, len;
};

struct spill_file {
	int fd;			/* -1 until needed */
	uint32_t slots;
	uint32_t *free;		/* slots to be used again */
	size_t nfree, cap;
};

struct spill {
	struct spill_file *file;
	size_t resident, limit;	/* blocks in memory, and how many may be */
	struct block *block;
	size_t first, n, cap;	/* used: block[first .. first+n) */
	size_t pos;		/* in the oldest */
};

struct spill_file *spill_file_new(void)
{
	struct spill_file *f = x_alloc(sizeof *f);

	f->fd = -1;
	return f;
}

void spill_file_free(struct spill_file *f)
{
	if (!f)
		return;
	fd_close(f->fd);
	free(f->free);
	free(f);
}

uint64_t spill_file_size(const struct spill_file *f)
{
	return (uint64_t)f->slots * BLOCK;
}

static void slot_give(struct spill_file *f, uint32_t slot)
{
	if (f->nfree == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 64;
		f->free = x_grow(f->free, f->cap, sizeof *f->free);
	}
	f->free[f->nfree++] = slot;
}

struct spill *spill_new(struct spill_file *f, size_t memory)
{
	struct spill *q = x_alloc(sizeof *q);

	q->file = f;
	q->limit = memory / BLOCK < 2 ? 2 : memory / BLOCK;
	return q;
}

void spill_free(struct spill *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->n; i++)
		free(q->block[q->first + i].mem);
	free(q->block);
	free(q);
}

bool spill_empty(const struct spill *q)
{
	return q->n == 0;
}

/* Put the newest block, now full, into the file. */
static int block_out(struct spill *q, struct block *b, struct err *e)
{
	struct spill_file *f = q->file;
	uint32_t slot;

	if (f->fd < 0 && (f->fd = durable_tmp(e)) < 0)
		return -1;
	if (!f->nfree && f->slots == UINT32_MAX)
		return err_set(e, DM_ENV, "too many descriptors are waiting");
	slot = f->nfree ? f->free[--f->nfree] : f->slots++;
	if (fd_pwrite_full(f->fd, b->mem, b->len, (uint64_t)slot * BLOCK) < 0) {
		int errnum = errno;

		slot_give(f, slot);
		return err_sys(e, DM_ENV, errnum, "temporary file for descriptors");
	}
	free(b->mem);
	b->mem = NULL;
	b->slot = slot;
	q->resident--;
	return 0;
}

/* Bring the oldest block back. */
static int block_in(struct spill *q, struct block *b, struct err *e)
{
	ssize_t r;

	b->mem = x_try(1, BLOCK, e);
	if (!b->mem)
		return -1;
	q->resident++;
	r = fd_pread_full(q->file->fd, b->mem, b->len, (uint64_t)b->slot * BLOCK);
	if (r != (ssize_t)b->len)
		return err_sys(e, DM_ENV, r < 0 ? errno : EIO, "temporary file for descriptors");
	slot_give(q->file, b->slot);
	return 0;
}

static struct block *block_new(struct spill *q, struct err *e)
{
	uint8_t *mem = x_try(1, BLOCK, e);

	if (!mem)
		return NULL;
	if (q->first + q->n == q->cap) {
		if (q->first > q->n) {
			memmove(q->block, q->block + q->first, q->n * sizeof *q->block);
			q->first = 0;
		} else {
			q->cap = q->cap ? q->cap * 2 : 16;
			q->block = x_grow(q->block, q->cap, sizeof *q->block);
		}
	}
	q->resident++;
	q->block[q->first + q->n] = (struct block){ .mem = mem };
	return &q->block[q->first + q->n++];
}

int spill_put(struct spill *q, const void *p, size_t len, struct err *e)
{
	struct block *b = q->n ? &q->block[q->first + q->n - 1] : NULL;

	if (len > SPILL_RECORD_MAX)
		return err_set(e, DM_BAD, "a descriptor of %zu bytes", len);
	if (!b || b->len + 2 + len > BLOCK) {
		/* The oldest stays: it is being read. */
		if (b && q->n > 1 && q->resident >= q->limit && block_out(q, b, e) < 0)
			return -1;
		b = block_new(q, e);
		if (!b)
			return -1;
	}
	put16(b->mem + b->len, (uint16_t)len);
	memcpy(b->mem + b->len + 2, p, len);
	b->len += 2 + (uint32_t)len;
	return 0;
}

int spill_get(struct spill *q, void *p, size_t *len, struct err *e)
{
	struct block *b;

	if (!q->n)
		return 0;
	b = &q->block[q->first];
	if (!b->mem && block_in(q, b, e) < 0)
		return -1;
	*len = get16(b->mem + q->pos);
	memcpy(p, b->mem + q->pos + 2, *len);
	q->pos += 2 + *len;
	if (q->pos < b->len)
		return 1;
	free(b->mem);
	q->resident--;
	q->first++;
	q->pos = 0;
	if (--q->n == 0)
		q->first = 0;
	return 1;
}
