#include "job/adapt.h"

/* A level is given a while to show. */
#define LOOK_EVERY INT64_C(300000000)

void adapt_init(struct adapt *a)
{
	atomic_init(&a->level, ADAPT_FIRST);
	a->making = a->writing = 0;
}

int adapt_level(const struct adapt *a)
{
	return atomic_load_explicit(&((struct adapt *)a)->level, memory_order_relaxed);
}

/* Between a third and two thirds both are kept busy: leave it. */
static void look(struct adapt *a)
{
	int64_t all = a->making + a->writing;
	int level = adapt_level(a);

	if (all < LOOK_EVERY)
		return;
	if (a->writing > all / 3 * 2 && level < ADAPT_MAX)
		level++;
	else if (a->writing < all / 3 && level > 0)
		level--;
	atomic_store_explicit(&a->level, level, memory_order_relaxed);
	a->making = a->writing = 0;
}

void adapt_waited(struct adapt *a, int64_t ns)
{
	a->making += ns;
	look(a);
}

void adapt_wrote(struct adapt *a, int64_t ns)
{
	a->writing += ns;
	look(a);
}
