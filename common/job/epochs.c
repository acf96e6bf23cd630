#include "job/epochs.h"

void epochs_init(struct epochs *x)
{
	*x = (struct epochs){ .now = 1 };
}

int epochs_check(const struct epochs *x, uint32_t epoch, struct err *e)
{
	if (epoch < x->now)
		return err_set(e, DM_BAD, "an entry of epoch %u came after the barrier of epoch %u",
		    epoch, x->now - 1);
	if (epoch - x->now >= EPOCHS_AHEAD)
		return err_set(e, DM_BAD, "an entry of epoch %u came while epoch %u is open",
		    epoch, x->now);
	return 0;
}

int epochs_take(struct epochs *x, uint32_t epoch, uint64_t count, uint64_t bytes, struct err *e)
{
	struct barrier *b = &x->open[epoch % EPOCHS_AHEAD];

	if (epochs_check(x, epoch, e) < 0)
		return -1;
	if (!add64(b->count, count, &b->count) || !add64(b->bytes, bytes, &b->bytes))
		return err_set(e, DM_BAD, "more entries than numbers");
	return 0;
}

int epochs_close(struct epochs *x, uint32_t epoch, const struct barrier *b, struct err *e)
{
	struct barrier *o = &x->open[epoch % EPOCHS_AHEAD];

	if (epoch != x->now)
		return err_set(e, DM_BAD, "the barrier of epoch %u came where that of epoch %u was due",
		    epoch, x->now);
	if (!add64(x->count, o->count, &x->count) || !add64(x->bytes, o->bytes, &x->bytes))
		return err_set(e, DM_BAD, "more entries than numbers");
	if (b->count != x->count || b->bytes != x->bytes)
		return err_set(e, DM_BAD, "the barrier of epoch %u stands for %llu chunks (%llu bytes), "
		    "but %llu (%llu bytes) came", epoch, (unsigned long long)b->count,
		    (unsigned long long)b->bytes, (unsigned long long)x->count,
		    (unsigned long long)x->bytes);
	*o = (struct barrier){ 0 };
	x->now++;
	return 0;
}
