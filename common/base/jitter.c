#include "base/jitter.h"

#include <sys/random.h>

#include "base/timefmt.h"

#define LEAST INT64_C(50000000)
#define MOST INT64_C(20000000000)

int64_t jitter_next(int64_t last)
{
	int64_t top = 3 * (last > LEAST ? last < MOST ? last : MOST : LEAST), wait;
	uint64_t dice;

	if (getrandom(&dice, sizeof dice, GRND_NONBLOCK) != sizeof dice)
		dice = (uint64_t)time_mono();
	wait = LEAST + (int64_t)(dice % (uint64_t)(top - LEAST + 1));
	return wait < MOST ? wait : MOST;
}
