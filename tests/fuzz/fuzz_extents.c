/* Any text as a map from another tool: refused, or extents that lie inside the
 * disk, in order, without overlap. */
#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "job/track.h"

#define SIZE 100000u

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct extents x = { 0 };
	struct err e = { 0 };
	struct tracker *t;
	uint64_t at = 0;
	FILE *f;
	int r;

	if (len < 2)
		return 0;
	f = fmemopen((void *)(uintptr_t)(p + 1), len - 1, "r");
	assert(f);
	t = track_map(f, "map", SIZE, (enum map_meaning)(p[0] % 3));
	while ((r = t->ops->next(t, &x, &e)) == 1)
		for (size_t i = 0; i < x.n; i++) {
			assert(x.v[i].len && x.v[i].off >= at && x.v[i].off + x.v[i].len <= SIZE);
			at = x.v[i].off + x.v[i].len;
		}
	assert(r == 0 ? at == SIZE && !e.code : e.code != 0);
	extents_free(&x);
	tracker_free(t);
	return 0;
}
