#include "job/disk_queue.h"

#include <stdlib.h>

struct disk_queue {
	const struct hello *h;
	uint32_t disk;
	struct spill *spill;
	bool has_cur, has_one;
	uint8_t type;		/* of `one' */
	struct entry cur;	/* being cut */
	struct entry one;	/* the first */
};

struct disk_queue *disk_queue_new(struct spill_file *file, size_t memory, const struct hello *h,
    uint32_t disk)
{
	struct disk_queue *q = x_alloc(sizeof *q);

	q->h = h;
	q->disk = disk;
	q->spill = spill_new(file, memory);
	return q;
}

void disk_queue_free(struct disk_queue *q)
{
	if (q)
		spill_free(q->spill);
	free(q);
}

int disk_queue_put(struct disk_queue *q, const struct entry *en, struct err *e)
{
	uint8_t enc[ENTRY_MAX];

	return spill_put(q->spill, enc, entry_encode(en, enc), e);
}

bool disk_queue_empty(const struct disk_queue *q)
{
	return !q->has_one && !q->has_cur && spill_empty(q->spill);
}

/* Make q->cur what came next: 1; 0 nothing; -1. */
static int load(struct disk_queue *q, struct err *e)
{
	uint8_t rec[SPILL_RECORD_MAX];
	struct cursor c = { .p = rec };
	size_t len;
	int r = q->has_cur ? 1 : spill_get(q->spill, rec, &len, e);

	if (r <= 0 || q->has_cur)
		return r;
	c.end = rec + len;
	if (entry_decode(&c, q->h, q->disk, &q->cur, e) < 0)
		return -1;
	q->has_cur = true;
	return 1;
}

int disk_queue_first(struct disk_queue *q,
    int (*classify)(void *arg, uint32_t disk, const struct entry *en, struct err *e), void *arg,
    const struct entry **en, uint8_t *type, struct err *e)
{
	int r = q->has_one ? 1 : load(q, e);

	if (r <= 0)
		return r;
	if (!q->has_one && q->cur.flags & EF_ZERO) {
		q->one = q->cur;
		q->has_cur = false;
		q->type = FT_ZERO;
	} else if (!q->has_one) {
		q->has_cur = entry_cut(&q->cur, q->h->chunk_size, &q->one);
		r = classify ? classify(arg, q->disk, &q->one, e) : FT_DESC;
		if (r < 0)
			return -1;
		q->type = (uint8_t)r;
	}
	q->has_one = true;
	*en = &q->one;
	*type = q->type;
	return 1;
}

void disk_queue_take(struct disk_queue *q)
{
	q->has_one = false;
}
