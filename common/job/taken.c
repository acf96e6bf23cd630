#include "job/taken.h"

void taken_init(struct taken *t, const struct hello *h)
{
	*t = (struct taken){ .h = h, .seen = iset_new(), .refs = iset_new(), .redone = iset_new() };
	epochs_init(&t->epochs);
	tally_init(&t->tally, h);
}

void taken_free(struct taken *t)
{
	if (!t->seen)
		return;
	iset_free(t->seen);
	iset_free(t->refs);
	iset_free(t->redone);
	t->seen = NULL;
}

static int numbers_wrong(int r, uint64_t index, struct err *e)
{
	return err_set(e, DM_BAD, r > 0 ? "entry %llu came twice" : "entry %llu: numbers overflow",
	    (unsigned long long)index);
}

int taken_add(struct taken *t, uint8_t type, uint32_t disk, uint32_t epoch,
    const struct entry *en, struct err *e)
{
	uint64_t n = entry_count(en, t->h->chunk_size);
	int r = iset_add(t->seen, en->index, n);

	if (r > 0 && type != FT_REF && type != FT_HELD && iset_has(t->refs, en->index) && n == 1) {
		r = iset_add(t->redone, en->index, 1);
		if (r)
			return numbers_wrong(r, en->index, e);
		return epochs_check(&t->epochs, epoch, e) < 0 ? -1 : 1;
	}
	if (r)
		return numbers_wrong(r, en->index, e);
	if (type == FT_REF && iset_add(t->refs, en->index, n) < 0)
		return numbers_wrong(-1, en->index, e);
	tally_add(&t->tally, disk, en, t->h->chunk_size);
	return epochs_take(&t->epochs, epoch, n, entry_bytes(en), e);
}

int taken_end(const struct taken *t, const struct tally *end, const char *what, struct err *e)
{
	if (!tally_equal(end, &t->tally))
		return err_set(e, DM_BAD, "%s: its END stands for %llu chunks (%llu bytes), but "
		    "%llu (%llu bytes) came, or others", what, (unsigned long long)end->count,
		    (unsigned long long)end->bytes, (unsigned long long)t->tally.count,
		    (unsigned long long)t->tally.bytes);
	if (!iset_full(t->seen, t->tally.count))
		return err_set(e, DM_BAD, "%s: entries are missing", what);
	return 0;
}
