/* dm-send --all: whole volumes, described here and asked for at once. */
#include "job/emit_impl.h"

#include "job/describe.h"

#define STEP MIB(1024)		/* of a volume, asked for at a time */

struct whole {
	struct emit *m;
	uint64_t index;		/* of the next entry */
};

/* An entry of the description becomes a request. */
static int ask(void *arg, uint32_t disk, const struct entry *given, struct err *e)
{
	struct whole *w = arg;
	struct entry en = *given;

	en.index = w->index;
	w->index += entry_count(&en, w->m->hello.chunk_size);
	return emit_ask(w->m, disk, 1, &en) < 0 ? cause_take(&w->m->cause, e) : 0;
}

static int describe_step(struct emit *m, struct describe *d, uint32_t disk, uint64_t off,
    uint64_t len, struct extents *x, struct err *e)
{
	struct volume *v = m->disk[disk].vol;
	int rc = 0;

	if (volume_extents(v, NULL, off, len, x) < 0)
		return volume_error(v, e);
	for (size_t i = 0; rc == 0 && i < x->n; i++)
		rc = describe_extent(d, disk, &x->v[i], e);
	return rc;
}

int emit_ask_whole(struct emit *m, void *arg, struct err *e)
{
	struct whole w = { .m = m };
	struct describe *d = describe_new(&m->hello, ask, &w);
	struct extents x = {0};
	int rc = 0;

	(void)arg;
	for (uint32_t i = 0; i < m->hello.ndisks; i++) {
		uint64_t size = m->hello.disk[i].size;

		for (uint64_t off = 0; rc == 0 && off < size; off += STEP)
			rc = describe_step(m, d, i, off, min64(STEP, size - off), &x, e);
	}
	if (rc == 0)
		rc = describe_end(d, e);
	extents_free(&x);
	describe_free(d);
	return rc;
}
