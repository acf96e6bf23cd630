/* Disk trees against flat arrays of ids, and against the roots that
 * id_builder computes. */
#include <string.h>

#include "../lib/site.h"
#include "base/bytes.h"
#include "repo/tree.h"

#define CS 4096u
#define MAX 5000u

struct model {
	uint64_t size;
	struct id id[MAX];
};

static struct id make_id(void)
{
	struct id x;

	for (unsigned i = 0; i < ID_LEN; i++)
		x.b[i] = (uint8_t)rnd_below(256);
	return x;
}

static uint64_t chunks_of(const struct model *m)
{
	return div_up(m->size, CS);
}

static void check_root(const struct model *m, const struct id *root)
{
	struct id_builder b;
	struct id want;

	id_builder_init(&b, ID_BLAKE3, CS, m->size);
	for (uint64_t n = 0; n < chunks_of(m); n++)
		if (!id_zero(&m->id[n]))
			id_builder_add(&b, n, &m->id[n]);
	id_builder_root(&b, &want);
	CHECK(id_equal(&want, root));
}

static void check_tree(struct store *st, const struct model *m, const struct id *root)
{
	struct err e = { 0 };
	struct tree *t = tree_open(st, root, &e);
	struct id id;
	uint64_t n = 0, at;
	int r;

	CHECK(t && tree_size(t) == m->size);
	for (uint64_t i = 0; i < chunks_of(m) + 3; i++) {
		OK(tree_chunk(t, i, &id, &e), e);
		CHECK(i < chunks_of(m) ? id_equal(&id, &m->id[i]) : id_zero(&id));
	}
	for (at = 0;; at++) {
		while (n < chunks_of(m) && id_zero(&m->id[n]))
			n++;
		r = tree_next(t, &at, &id, &e);
		CHECK(r == (n < chunks_of(m)));
		if (!r)
			break;
		CHECK(at == n && id_equal(&id, &m->id[n]));
		n++;
	}
	tree_close(t);
}

static void check_diff(struct store *st, const struct model *a, const struct id *ra, const struct model *b,
    const struct id *rb)
{
	struct err e = { 0 };
	struct tree *ta = tree_open(st, ra, &e), *tb = tree_open(st, rb, &e);
	static const struct id zero;
	struct id x, y;
	uint64_t n = 0, all = max64(chunks_of(a), chunks_of(b));

	CHECK(ta && tb);
	for (uint64_t i = 0; i < all; i++) {
		const struct id *p = i < chunks_of(a) ? &a->id[i] : &zero;
		const struct id *q = i < chunks_of(b) ? &b->id[i] : &zero;

		if (id_equal(p, q))
			continue;
		CHECK(tree_next_diff(ta, tb, &n, &x, &y, &e) == 1);
		CHECK(n == i && id_equal(&x, p) && id_equal(&y, q));
		n++;
	}
	CHECK(tree_next_diff(ta, tb, &n, &x, &y, &e) == 0);
	tree_close(ta);
	tree_close(tb);
}

/* Random updates to the model and the same as a sorted list. */
static size_t change(struct model *m, struct chunk_update *up, unsigned density)
{
	size_t k = 0;

	for (uint64_t n = 0; n < chunks_of(m); n++) {
		if (rnd_below(density))
			continue;
		up[k] = (struct chunk_update){ .n = n, .count = 1 };
		if (rnd_below(4) == 0) {
			up[k].count = 1 + rnd_below(rnd_below(2) ? 400 : 3);
			for (uint64_t i = n; i < min64(n + up[k].count, MAX); i++)
				memset(&m->id[i], 0, sizeof m->id[i]);
			n += up[k].count - 1;
		} else {
			up[k].id = m->id[n] = make_id();
		}
		k++;
	}
	return k;
}

static void resize(struct model *m, uint64_t size)
{
	uint64_t old = chunks_of(m);

	m->size = size;
	for (uint64_t n = min64(old, chunks_of(m)); n < MAX; n++)
		memset(&m->id[n], 0, sizeof m->id[n]);
}

static void random_updates(void)
{
	struct site *s = site_new_with(&(struct site_options){ .chunk_size = CS });
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	static struct model now, before;
	static struct chunk_update up[MAX];
	struct id root, old;
	size_t n;

	CHECK(st);
	for (int round = 0; round < 60; round++) {
		before = now;
		old = root;
		if (round % 6 == 0)
			resize(&now, rnd_below(3) ? 1 + rnd_below((uint64_t)MAX * CS) : rnd_below(40 * CS));
		n = change(&now, up, 1 + (unsigned)rnd_below(rnd_below(2) ? 4 : 600));
		OK(tree_update(st, round ? &old : NULL, now.size, up, n, &root, &e), e);
		check_root(&now, &root);
		check_tree(st, &now, &root);
		if (round)
			check_diff(st, &now, &root, &before, &old);
		if (round % 5 == 0)
			OK(store_flush(st, &e), e);
	}
	store_close(st);
	site_drop(s);
}

static void empty_and_huge(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	struct chunk_update up = { .n = (16ull << 40 >> 20) - 1, .count = 1 }, all = { .n = 0, .count = ~0ull };
	struct id root, again, id;
	uint64_t at = 0, added;
	struct tree *t;

	OK(tree_update(st, NULL, 0, NULL, 0, &root, &e), e);
	OK(tree_update(st, NULL, 16ull << 40, NULL, 0, &root, &e), e);
	t = tree_open(st, &root, &e);
	CHECK(t && tree_next(t, &at, &id, &e) == 0);
	tree_close(t);
	up.id = make_id();
	OK(tree_update(st, &root, 16ull << 40, &up, 1, &again, &e), e);
	added = store_added(st);
	CHECK(added < 4096);
	t = tree_open(st, &again, &e);
	CHECK(t && tree_next(t, &at, &id, &e) == 1 && at == up.n && id_equal(&id, &up.id));
	tree_close(t);
	OK(tree_update(st, &again, 16ull << 40, &all, 1, &again, &e), e);
	CHECK(id_equal(&again, &root));
	store_close(st);
	site_drop(s);
}

static void disorder_is_refused(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	struct chunk_update up[2] = { { .n = 3, .count = 2 }, { .n = 4, .count = 1 } };
	struct id root;

	CHECK(tree_update(st, NULL, 16u << 20, up, 2, &root, &e) == -1 && e.code == DM_BAD);
	store_close(st);
	site_drop(s);
}

/* Nothing known, then chunk by chunk all of it; the tail is shorter. */
static void what_is_not_known(void)
{
	struct site *s = site_new_with(&(struct site_options){ .chunk_size = CS });
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	static struct model m;
	struct id root, leaf[LEAVES_MAX], got[LEAVES_MAX];

	for (unsigned round = 0; round < 6; round++) {
		uint64_t n = 1 + rnd_below(round < 3 ? 40 : 700);
		struct tree *t;

		m.size = n * CS - rnd_below(CS - 1);
		for (uint64_t i = 0; i < n; i++) {
			uint32_t len = (uint32_t)min64(CS, m.size - i * CS);

			id_chunk_unknown(ID_BLAKE3, CS, len, NULL, &m.id[i]);
		}
		OK(tree_unknown(st, m.size, &root, &e), e);
		check_root(&m, &root);
		check_tree(st, &m, &root);
		for (uint64_t i = 0; i < n; i++) {
			struct chunk_update up = { .n = i, .count = 1 };

			t = tree_open(st, &root, &e);
			CHECK(t && tree_has_unknown(t, &e) == 1);
			tree_close(t);
			leaf[0] = make_id();
			OK(store_put_leaves(st, leaf, (uint32_t)min64(CS, m.size - i * CS), &up.id, &e), e);
			OK(tree_update(st, &root, m.size, &up, 1, &root, &e), e);
			m.id[i] = up.id;
		}
		check_root(&m, &root);
		t = tree_open(st, &root, &e);
		CHECK(t && tree_has_unknown(t, &e) == 0);
		tree_close(t);
		/* leaf ids come back, and are never taken for a chunk */
		OK(store_tree_leaves(st, &m.id[0], (uint32_t)min64(CS, m.size), got, &e), e);
		CHECK(store_has(st, &m.id[0], &e) == 0);
		CHECK(store_leaves(st, &m.id[0], (uint32_t)min64(CS, m.size), got, &e) && e.code == DM_NO);
		e = (struct err){ 0 };
	}
	OK(store_flush(st, &e), e);
	store_close(st);
	site_drop(s);
}

int main(void)
{
	RUN(what_is_not_known);
	RUN(random_updates);
	RUN(empty_and_huge);
	RUN(disorder_is_refused);
	return 0;
}
