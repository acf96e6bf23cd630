/* dm-send --all: the extents of whole volumes cut on the chunk grid. */
#include "job/emit_impl.h"

#include <errno.h>
#include <stdlib.h>

#define STEP MIB(1024)		/* of a volume, asked for at a time */

/* The chunk being gathered, and the zero run before it. */
struct grid {
	struct emit *m;
	uint32_t disk, chunk;
	uint64_t size;
	uint64_t index;		/* of the next entry */
	struct entry cur, zero;	/* len 0: none */
};

static int zero_put(struct grid *g)
{
	if (!g->zero.len)
		return 0;
	g->zero.index = g->index;
	g->zero.flags = EF_ZERO | (g->zero.len > g->chunk ? EF_RUN : 0);
	g->index += entry_count(&g->zero, g->chunk);
	if (emit_ask_entry(g->m, FT_ZERO, g->disk, 1, &g->zero) < 0)
		return -1;
	g->zero.len = 0;
	return 0;
}

/* The chunk under way is complete. */
static int cur_put(struct grid *g)
{
	struct entry *en = &g->cur;

	if (!en->len)
		return 0;
	if (zero_put(g) < 0)
		return -1;
	if (en->nfrags == 1 && en->frag[0].len == en->len)
		en->nfrags = 0;
	en->flags = en->nfrags ? EF_FRAGS | EF_REST_ZERO : 0;
	en->index = g->index++;
	if (emit_ask_chunk(g->m, g->disk, 1, en) < 0)
		return -1;
	en->len = 0;
	return 0;
}

static void zero_add(struct grid *g, uint64_t off, uint64_t len)
{
	if (!g->zero.len)
		g->zero.off = off;
	g->zero.len += len;
}

/* Data inside one chunk; the pieces come in order. */
static void frag_add(struct grid *g, uint32_t off, uint32_t len)
{
	struct entry *en = &g->cur;
	struct frag *last = en->nfrags ? &en->frag[en->nfrags - 1] : NULL;

	/* Pieces that touch are one; so are the last ones of too many. */
	if (last && (last->off + last->len == off || en->nfrags == ENTRY_FRAGS_MAX)) {
		last->len = off + len - last->off;
		return;
	}
	en->frag[en->nfrags++] = (struct frag){ off, len };
}

static int grid_add(struct grid *g, const struct extent *x)
{
	uint64_t off = x->off, end = x->off + x->len;

	while (off < end) {
		uint64_t base = off - off % g->chunk;
		uint64_t next = min64(base + g->chunk, g->size);
		uint64_t upto = min64(next, end);

		if (g->cur.len && g->cur.off != base && cur_put(g) < 0)
			return -1;
		if (x->kind != EXT_ZERO) {
			if (!g->cur.len) {
				g->cur.off = base;
				g->cur.len = next - base;
				g->cur.nfrags = 0;
			}
			frag_add(g, (uint32_t)(off - base), (uint32_t)(upto - off));
		} else if (!g->cur.len && upto == next) {
			/* No data in this chunk: a zero chunk, and as many
			 * more as the extent covers. */
			uint64_t stop = end == g->size ? end : end - end % g->chunk;

			upto = max64(upto, stop);
			zero_add(g, base, upto - base);
		}
		off = upto;
	}
	return 0;
}

static int disk_walk(struct grid *g, struct err *e)
{
	struct volume *v = g->m->disk[g->disk].vol;
	struct extents x = {0};
	int rc = 0;

	for (uint64_t off = 0; rc == 0 && off < g->size; off += STEP) {
		extents_clear(&x);
		rc = volume_extents(v, NULL, off, min64(STEP, g->size - off), &x);
		if (rc < 0) {
			volume_error(v, e);
			break;
		}
		for (size_t i = 0; rc == 0 && i < x.n; i++)
			if (grid_add(g, &x.v[i]) < 0)
				rc = cause_take(&g->m->cause, e);
	}
	extents_free(&x);
	if (rc == 0 && (cur_put(g) < 0 || zero_put(g) < 0))
		rc = cause_take(&g->m->cause, e);
	return rc < 0 ? -1 : 0;
}

int emit_ask_whole(struct emit *m, void *arg, struct err *e)
{
	struct grid g = { .m = m, .chunk = m->hello.chunk_size };

	(void)arg;
	for (g.disk = 0; g.disk < m->hello.ndisks; g.disk++) {
		g.size = m->hello.disk[g.disk].size;
		if (disk_walk(&g, e) < 0)
			return -1;
	}
	return 0;
}
