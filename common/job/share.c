#include <stdbool.h>

#include "base/bytes.h"
#include "job/share.h"

/* total * weight / weights, which may need 128 bits on its way. */
static uint64_t part(uint64_t total, uint64_t weight, uint64_t weights)
{
	return (uint64_t)((unsigned __int128)total * weight / weights);
}

void share_fill(struct share *s, size_t n, uint64_t total)
{
	uint64_t weights = 0, left = total, before;
	bool again = true;

	for (size_t i = 0; i < n; i++) {
		s[i].got = 0;
		s[i].done = !s[i].want;
		weights += s[i].done ? 0 : s[i].weight;
	}
	/* Those whose part is more than they want are content; what they leave
	 * makes the others' parts larger. */
	while (again && weights) {
		again = false;
		before = left;
		for (size_t i = 0; i < n; i++) {
			if (s[i].done || s[i].want > part(before, s[i].weight, weights))
				continue;
			s[i].got = s[i].want;
			s[i].done = 1;
			again = true;
		}
		weights = 0;
		left = total;
		for (size_t i = 0; i < n; i++) {
			left -= s[i].got;
			weights += s[i].done ? 0 : s[i].weight;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (!s[i].done)
			s[i].got = part(left, s[i].weight, weights);
}
