/* nbd: volumes, block status: holes by base:allocation, changes by
 * qemu:dirty-bitmap:NAME.  What a server leaves unsaid is data. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "volume/drv_nbd.h"

#define DIRTY 1u		/* NBD_STATE_DIRTY of qemu's bitmaps */
#define ASK GIB(1)		/* at a time: a length has 32 bits */

/* One answer, in the words of extents; each list starts at off. */
struct answer {
	const char *bitmap;	/* its context's name, or NULL */
	uint64_t off, end;	/* what was asked */
	struct extents holes, dirty;
};

static enum extent_kind kind_of(bool bitmap, uint32_t flags)
{
	if (bitmap)
		return flags ? EXT_DATA : EXT_SAME;
	return flags & LIBNBD_STATE_ZERO ? EXT_ZERO : EXT_DATA;
}

/* Runs in the connection's thread.  Servers may say less than was asked, or
 * more, and contexts need not be of the same length. */
static int on_status(void *arg, const char *context, uint64_t offset, uint32_t *entry, size_t n,
    int *error)
{
	struct answer *a = arg;
	bool bitmap = a->bitmap && !strcmp(context, a->bitmap);
	struct extents *x = bitmap ? &a->dirty : &a->holes;
	uint64_t at = offset;

	(void)error;
	if ((!bitmap && strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0) || offset != a->off || x->n)
		return 0;
	for (size_t i = 0; i + 1 < n && at < a->end && entry[i]; i += 2) {
		uint64_t len = min64(entry[i], a->end - at);

		extents_add(x, at, len, kind_of(bitmap, entry[i + 1]));
		at += len;
	}
	return 0;
}

static uint64_t reach(const struct extents *x, uint64_t off)
{
	return x->n ? x->v[x->n - 1].off + x->v[x->n - 1].len : off;
}

/* The extent of x that holds `at', whose index is *i or later, or NULL. */
static const struct extent *at_place(const struct extents *x, size_t *i, uint64_t at)
{
	while (*i < x->n && x->v[*i].off + x->v[*i].len <= at)
		++*i;
	return *i < x->n && x->v[*i].off <= at ? &x->v[*i] : NULL;
}

/* Both answers as one, clipped to [from, to): dirty and zero is ZERO. */
static void merge(const struct answer *a, uint64_t from, uint64_t to, struct extents *out)
{
	uint64_t at = from, end;
	size_t h = 0, d = 0;

	for (; at < to; at = end) {
		const struct extent *hole = at_place(&a->holes, &h, at);
		const struct extent *dirty = at_place(&a->dirty, &d, at);
		enum extent_kind kind = hole ? hole->kind : EXT_DATA;

		end = to;
		if (hole)
			end = min64(end, hole->off + hole->len);
		if (dirty)
			end = min64(end, dirty->off + dirty->len);
		if (a->bitmap && dirty && dirty->kind == EXT_SAME)
			kind = EXT_SAME;
		extents_add(out, at, end - at, kind);
	}
}

/* Ask about [a->off, a->end), which lies on the server's blocks. */
static int ask(struct volume *v, struct answer *a)
{
	struct nbdv_vol *n = v->priv;
	nbd_extent_callback status = { .callback = on_status, .user_data = a };
	struct nbdv_patience patience = { 0 };
	struct nbdv_conn *conn;
	struct nbdv_part part;
	struct nbdv_call c;
	int r;

	do {
		extents_clear(&a->holes);
		extents_clear(&a->dirty);
		nbdv_call_begin(&c, n);
		conn = nbdv_part_begin(&c, &part, a->off, false);
		if (conn)
			nbdv_part_sent(&part, conn, nbd_aio_block_status(conn->h, a->end - a->off,
			    a->off, status, nbdv_part_end(&part), 0));
		nbdv_call_wait(&c);
	} while (nbdv_again(&c, &patience, true));
	r = nbdv_call_result(&c, v, "block status");
	return r == -ENOTSUP ? volume_fail(v, EIO, "block status: the server does not support it") : r;
}

static int map(struct volume *v, const char *bitmap, uint64_t off, uint64_t end, struct extents *out)
{
	struct nbdv_vol *n = v->priv;
	struct answer a = { .bitmap = bitmap };
	uint64_t to;
	int r = 0;

	while (r == 0 && off < end) {
		a.off = off / n->min * n->min;
		a.end = min64(div_up(min64(end, a.off + ASK), n->min) * n->min, n->size);
		r = ask(v, &a);
		if (r != 0)
			break;
		/* As far as all of them reach; where that is nowhere, all is data. */
		to = a.end;
		if (n->knows_holes)
			to = min64(to, reach(&a.holes, a.off));
		if (bitmap)
			to = min64(to, reach(&a.dirty, a.off));
		if (to <= off) {
			to = a.end;
			extents_clear(&a.holes);
			extents_clear(&a.dirty);
		}
		merge(&a, off, min64(to, end), out);
		off = min64(to, end);
	}
	extents_free(&a.holes);
	extents_free(&a.dirty);
	return r;
}

char *nbdv_bitmap_context(const struct nbdv_where *w, const char *since)
{
	if (!since)
		return NULL;
	return x_printf("qemu:dirty-bitmap:%s", w->bitmap ? w->bitmap : since);
}

/* Is this the point asked about at open, and does the server know it? */
static int check_since(struct volume *v, const char *since)
{
	struct nbdv_vol *n = v->priv;
	char *context = nbdv_bitmap_context(&n->where, since);
	bool same = n->bitmap && !strcmp(n->bitmap, context);

	free(context);
	if (same && n->knows_bitmap)
		return 0;
	return volume_fail(v, ESTALE, "the server offers no dirty bitmap \"%s\" (lost, inconsistent, "
	    "or not exported with the disk): use --fallback scan or full, or export it",
	    n->where.bitmap ? n->where.bitmap : since);
}

/* Also asks for the first piece, so that a bitmap that cannot be read is known
 * before anything was sent. */
char *nbdv_base_point(struct volume *v, const char *since)
{
	struct nbdv_vol *n = v->priv;
	struct extents x = { 0 };
	int r = check_since(v, since);

	if (r == 0 && v->size)
		r = map(v, n->bitmap, 0, min64(v->size, n->min), &x);
	extents_free(&x);
	return r == 0 ? x_strdup(since) : NULL;
}

int nbdv_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out)
{
	struct nbdv_vol *n = v->priv;

	if (since && check_since(v, since) != 0)
		return -ESTALE;
	if (since || n->knows_holes)
		return map(v, since ? n->bitmap : NULL, off, off + len, out);
	extents_add(out, off, len, EXT_DATA);
	return 0;
}
