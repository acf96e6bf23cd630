#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/extent.h"

void extents_add(struct extents *x, uint64_t off, uint64_t len, enum extent_kind kind)
{
	struct extent *last = x->n ? &x->v[x->n - 1] : NULL;

	if (!len)
		return;
	if (last && last->kind == kind && last->off + last->len == off) {
		last->len += len;
		return;
	}
	if (x->n == x->cap) {
		x->cap = x->cap ? x->cap * 2 : 64;
		x->v = x_grow(x->v, x->cap, sizeof *x->v);
	}
	x->v[x->n++] = (struct extent){ off, len, kind };
}

void extents_join(struct extents *x, size_t max)
{
	uint64_t most = 0;

	while (x->n > max) {
		uint64_t least = UINT64_MAX;
		size_t k = 0;

		for (size_t i = 1; i < x->n; i++) {
			struct extent *last = &x->v[k];
			uint64_t gap = x->v[i].off - (last->off + last->len);

			if (gap <= most) {
				last->len = x->v[i].off + x->v[i].len - last->off;
			} else {
				x->v[++k] = x->v[i];
				least = min64(least, gap);
			}
		}
		x->n = k + 1;
		most = least + least / 4;
	}
}

void extents_clear(struct extents *x)
{
	x->n = 0;
}

void extents_free(struct extents *x)
{
	free(x->v);
	*x = (struct extents){ 0 };
}

bool extents_tile(const struct extents *x, uint64_t off, uint64_t len)
{
	uint64_t at = off, end;

	if (!add64(off, len, &end))
		return false;
	for (size_t i = 0; i < x->n; i++) {
		if (x->v[i].off != at || !x->v[i].len || !add64(at, x->v[i].len, &at) || at > end)
			return false;
	}
	return at == end;
}

bool frags_valid(const struct frag *f, size_t n, uint32_t chunk_len)
{
	uint64_t at = 0;

	for (size_t i = 0; i < n; i++) {
		if (!f[i].len || (i && f[i].off <= at) || f[i].off < at)
			return false;
		at = (uint64_t)f[i].off + f[i].len;
		if (at > chunk_len)
			return false;
	}
	return true;
}

uint64_t frags_bytes(const struct frag *f, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += f[i].len;
	return sum;
}

struct span {
	uint64_t first, end;	/* [first, end) */
};

struct iset {
	struct span *v;		/* sorted, disjoint, not touching */
	size_t n, cap;
	uint64_t count;
};

struct iset *iset_new(void)
{
	return x_alloc(sizeof(struct iset));
}

void iset_free(struct iset *s)
{
	if (!s)
		return;
	free(s->v);
	free(s);
}

/* Number of spans that begin at or before v. */
static size_t spans_upto(const struct iset *s, uint64_t v)
{
	size_t lo = 0, hi = s->n;

	/* Members mostly come in rising order: look at the end first. */
	if (hi && s->v[hi - 1].first <= v)
		return hi;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid].first <= v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void insert_at(struct iset *s, size_t i, struct span sp)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 16;
		s->v = x_grow(s->v, s->cap, sizeof *s->v);
	}
	memmove(&s->v[i + 1], &s->v[i], (s->n - i) * sizeof *s->v);
	s->v[i] = sp;
	s->n++;
}

int iset_add(struct iset *s, uint64_t first, uint64_t n)
{
	size_t i = spans_upto(s, first);
	bool left, right;
	uint64_t end;

	if (!n)
		return 0;
	if (!add64(first, n, &end))
		return -1;
	if ((i && s->v[i - 1].end > first) || (i < s->n && s->v[i].first < end))
		return 1;
	left = i && s->v[i - 1].end == first;
	right = i < s->n && s->v[i].first == end;
	if (left && right) {
		s->v[i - 1].end = s->v[i].end;
		memmove(&s->v[i], &s->v[i + 1], (s->n - i - 1) * sizeof *s->v);
		s->n--;
	} else if (left) {
		s->v[i - 1].end = end;
	} else if (right) {
		s->v[i].first = first;
	} else {
		insert_at(s, i, (struct span){ first, end });
	}
	s->count += n;
	return 0;
}

int iset_cover(struct iset *s, uint64_t first, uint64_t n)
{
	int r = iset_add(s, first, n);

	if (r != 1 || n == 1)
		return r < 0 ? -1 : 0;
	return iset_cover(s, first, n / 2) | iset_cover(s, first + n / 2, n - n / 2);
}

bool iset_has(const struct iset *s, uint64_t v)
{
	size_t i = spans_upto(s, v);

	return i && s->v[i - 1].end > v;
}

bool iset_full(const struct iset *s, uint64_t n)
{
	return n == 0 ? s->n == 0 : s->n == 1 && s->v[0].first == 0 && s->v[0].end == n;
}

uint64_t iset_count(const struct iset *s)
{
	return s->count;
}

bool iset_gap(const struct iset *s, uint64_t from, uint64_t end, uint64_t *first, uint64_t *n)
{
	size_t i = spans_upto(s, from);

	if (i && s->v[i - 1].end > from)
		from = s->v[i - 1].end;
	if (from >= end)
		return false;
	/* spans do not touch: the one after, if any, begins later */
	*first = from;
	*n = (i < s->n && s->v[i].first < end ? s->v[i].first : end) - from;
	return true;
}
