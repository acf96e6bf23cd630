/* The level of compression follows what is waited for. */
#include "job/adapt.h"

#include "../lib/unit.h"

#define STEP 10000000	/* ns of work in one turn */

/* A link that takes `link' ns for a raw chunk; a CPU that takes `cpu' ns for
 * level 1, half as much again for each level, and little for none.  Each level
 * up to 4 makes chunks smaller.  The two work side by side: whoever is slower
 * is waited for. */
static int settle(int64_t link, int64_t cpu)
{
	static const int size[ADAPT_MAX + 1] = { 100, 50, 47, 45, 44, 44, 44, 44, 44, 44 };
	struct adapt a;

	adapt_init(&a);
	for (int i = 0; i < 3000; i++) {
		int level = adapt_level(&a);
		int64_t makes = level ? cpu : cpu / 20, writes = link * size[level] / 100;

		for (int k = 1; k < level; k++)
			makes += makes / 2;
		adapt_wrote(&a, writes);
		if (makes > writes)
			adapt_waited(&a, makes - writes);
	}
	return adapt_level(&a);
}

static void slow_link(void)
{
	CHECK(settle(100 * STEP, STEP) == ADAPT_MAX);
}

static void fast_link(void)
{
	CHECK(settle(STEP / 10, 10 * STEP) <= 1);
}

static void in_between(void)
{
	int level = settle(10 * STEP, STEP);

	CHECK(level > 1 && level < ADAPT_MAX);
}

int main(void)
{
	RUN(slow_link);
	RUN(fast_link);
	RUN(in_between);
	return 0;
}
