/* dm-send --all: whole volumes, described here and asked for at once. */
#include "job/emit_impl.h"

#include "job/describe.h"
#include "job/resume.h"

#define STEP MIB(1024)		/* of a volume, asked for at a time */

struct whole {
	struct emit *m;
	uint64_t index;		/* of the next entry */
	struct resume *resume;	/* or NULL */
	uint32_t epoch;
	uint64_t since;		/* bytes asked for since the last barrier */
};

/* One chunk, unless an interrupted session has it. */
static int ask_chunk(struct whole *w, uint32_t disk, const struct entry *en, struct err *e)
{
	int type = w->resume ? resume_classify(w->resume, disk, en, e) : FT_DESC;

	if (type < 0)
		return -1;
	if (type == FT_HELD)
		return emit_ask_entry(w->m, FT_HELD, disk, w->epoch, en) < 0 ? cause_take(&w->m->cause, e) : 0;
	if (emit_ask_chunk(w->m, disk, w->epoch, en) < 0)
		return cause_take(&w->m->cause, e);
	w->since += entry_bytes(en);
	if (!w->m->how->interval || w->since < w->m->how->interval)
		return 0;
	w->since = 0;
	return emit_ask_barrier(w->m, w->epoch++) < 0 ? cause_take(&w->m->cause, e) : 0;
}

/* An entry of the description becomes a request. */
static int ask(void *arg, uint32_t disk, const struct entry *given, struct err *e)
{
	struct whole *w = arg;
	struct entry en = *given, one;
	bool more = true;

	en.index = w->index;
	w->index += entry_count(&en, w->m->hello.chunk_size);
	if (en.flags & EF_ZERO)
		return emit_ask(w->m, disk, w->epoch, &en) < 0 ? cause_take(&w->m->cause, e) : 0;
	while (more) {
		one = en;
		more = (en.flags & EF_RUN) && entry_cut(&en, w->m->hello.chunk_size, &one);
		if (ask_chunk(w, disk, &one, e) < 0)
			return -1;
	}
	return 0;
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
	struct whole w = { .m = m, .epoch = 1, .resume = arg };
	struct describe *d = describe_new(&m->hello, ask, &w);
	struct extents x = {0};
	int rc = 0;

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
