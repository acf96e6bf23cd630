/* store_patch: fragments laid over a base chunk. */
#include <string.h>

#include "base/bytes.h"
#include "repo/overlay.h"

static uint32_t end_of_leaf(uint32_t size, unsigned i, uint32_t len)
{
	return (uint32_t)min64((uint64_t)(i + 1) * size, len);
}

/* Leaves that fragments or a change of length touch. */
static void find_touched(const struct patch *p, uint32_t size, const struct frag *f, size_t n, bool touched[LEAVES_MAX])
{
	memset(touched, 0, LEAVES_MAX);
	for (size_t k = 0; k < n; k++)
		for (unsigned i = f[k].off / size; i <= (f[k].off + f[k].len - 1) / size; i++)
			touched[i] = true;
	for (unsigned i = 0; i < p->nleaf; i++)
		if (end_of_leaf(size, i, p->len) != end_of_leaf(size, i, p->base_len))
			touched[i] = true;
}

/* The base's leaf i into out, zeros beyond its end. */
static int base_leaf(struct patch *p, uint32_t size, unsigned i, uint8_t *out, struct err *e)
{
	uint32_t len;

	memset(out, 0, size);
	if (i >= p->base->nleaf || !p->base->n)
		return 0;
	if (chain_read(p->base, i, i, out, e))
		return -1;
	len = chain_leaf_len(p->base, i);
	memset(out + len, 0, size - len);
	return 0;
}

static void lay(const struct frag *f, size_t n, const uint8_t *plain, uint8_t *now)
{
	for (size_t k = 0; k < n; k++) {
		memcpy(now + f[k].off, plain, f[k].len);
		plain += f[k].len;
	}
}

/* New leaves, what differs, and the new id. */
static int build(struct patch *p, const struct frag *f, size_t n, const uint8_t *plain, struct id *out, struct err *e)
{
	const struct site *s = p->base->st->site;
	uint32_t size = leaf_size(s->chunk_size);
	uint8_t *old = p->base->w->old;
	bool touched[LEAVES_MAX];

	find_touched(p, size, f, n, touched);
	for (unsigned i = 0; i < p->nleaf; i++) {
		p->ready[i] = touched[i];
		if (!touched[i])
			p->leaf[i] = p->base->leaf[i];
		else if (base_leaf(p, size, i, old + i * size, e))
			return -1;
		else
			memcpy(p->now + i * size, old + i * size, size);
	}
	lay(f, n, plain, p->now);
	for (unsigned i = 0; i < p->nleaf; i++) {
		if (!touched[i])
			continue;
		id_leaf(s->algo, p->now + i * size, end_of_leaf(size, i, p->len) - i * size, &p->leaf[i]);
		patch_compare(p, i, old + i * size);
	}
	id_chunk(s->algo, p->leaf, p->nleaf, out);
	return 0;
}

static int check_args(struct store *st, const struct id *base, uint32_t base_len, uint32_t len,
    const struct frag *f, size_t n, struct err *e)
{
	if (!len || len > st->site->chunk_size || (!id_zero(base) && (!base_len || base_len > st->site->chunk_size)))
		return err_set(e, DM_BAD, "a chunk of %u bytes over one of %u", len, base_len);
	if (n && !frags_valid(f, n, len))
		return err_set(e, DM_BAD, "fragments are not in order inside their chunk");
	return 0;
}

static int patch_once(struct store *st, const struct id *base, uint32_t base_len, uint32_t len, uint64_t chunk,
    const struct frag *f, size_t n, const void *plain, const struct id *claimed, struct id *out, uint64_t *added,
    struct err *e)
{
	struct work *w;
	struct chain c;
	struct patch p = { .base = &c, .len = len, .chunk = chunk };
	bool doomed;
	int r;

	w = work_get(st, e);
	if (!w)
		return -1;
	p.base_len = id_zero(base) ? len : base_len;
	p.nleaf = leaf_count(st->site->chunk_size, len);
	p.now = w->now;
	if (chain_open(&c, st, w, base, p.base_len, e)) {
		work_put(st, w);
		return -1;
	}
	r = build(&p, f, n, plain, out, e);
	if (!r && claimed && !id_equal(claimed, out))
		r = err_set(e, DM_BAD, "chunk %llu: its content is not what its id says", (unsigned long long)chunk);
	if (!r && !id_zero(out)) {
		r = store_known(st, out, &doomed, e);
		if (!r)
			r = patch_store(&p, out, NULL, doomed, added, e);
		else if (r > 0)
			r = 0;
	}
	chain_close(&c);
	work_put(st, w);
	return r;
}

int store_patch(struct store *st, const struct id *base, uint32_t base_len, uint32_t len, uint64_t chunk,
    const struct frag *f, size_t n, const void *plain, const struct id *claimed, struct id *out, uint64_t *added,
    struct err *e)
{
	int r;

	*added = 0;
	if (check_args(st, base, base_len, len, f, n, e) || store_usable(st, e))
		return -1;
	r = patch_once(st, base, base_len, len, chunk, f, n, plain, claimed, out, added, e);
	if (r && store_again(st, e))
		r = patch_once(st, base, base_len, len, chunk, f, n, plain, claimed, out, added, e);
	return r;
}
