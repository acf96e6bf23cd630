#include <stdlib.h>

#include "base/bytes.h"
#include "job/describe.h"

#define PIECES_MAX 4096		/* kept of one chunk before near ones are joined */

/* What is known of one disk so far. */
struct disk_state {
	uint64_t next;		/* no extent may begin before this */
	bool full;		/* no base: what is not named is zero */

	uint64_t run_off, run_len;	/* whole chunks, not given out yet */
	enum extent_kind run_kind;

	/* The chunk of which only parts came, when chunk_len is not 0. */
	uint64_t chunk_off;
	uint32_t chunk_len;
	uint64_t zero;		/* bytes of it named as zero */
	struct frag *piece;	/* what is meant by it: data, and in an
				 * incremental iteration zeros too */
	size_t npieces;
};

struct describe {
	const struct hello *hello;
	describe_sink *sink;
	void *arg;
	struct disk_state *disk;
};

struct describe *describe_new(const struct hello *h, describe_sink *sink, void *arg)
{
	struct describe *d = x_alloc(sizeof(*d));

	d->hello = h;
	d->sink = sink;
	d->arg = arg;
	d->disk = x_array(h->ndisks, sizeof(*d->disk));
	for (uint32_t i = 0; i < h->ndisks; i++)
		d->disk[i].full = !(h->disk[i].flags & DF_BASE_ROOT) && !*h->disk[i].base_point;
	return d;
}

void describe_free(struct describe *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; i < d->hello->ndisks; i++)
		free(d->disk[i].piece);
	free(d->disk);
	free(d);
}

static int gap_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t gap_before(const struct frag *f, size_t i)
{
	return f[i].off - (f[i - 1].off + f[i - 1].len);
}

size_t frags_merge(struct frag *f, size_t n, size_t max)
{
	size_t drop = n > max ? n - max : 0, below = 0, kept = 1;
	uint32_t *gap, limit;

	if (!drop)
		return n;
	gap = x_array(n - 1, sizeof(*gap));
	for (size_t i = 1; i < n; i++)
		gap[i - 1] = gap_before(f, i);
	qsort(gap, n - 1, sizeof(*gap), gap_order);
	limit = gap[drop - 1];
	/* all gaps below the limit go, and as many of its size as are needed */
	while (below < drop && gap[below] < limit)
		below++;
	drop -= below;
	free(gap);
	for (size_t i = 1; i < n; i++) {
		uint32_t g = f[i].off - (f[kept - 1].off + f[kept - 1].len);

		if (g < limit || (g == limit && drop > 0)) {
			drop -= g == limit;
			f[kept - 1].len = f[i].off + f[i].len - f[kept - 1].off;
		} else {
			f[kept++] = f[i];
		}
	}
	return kept;
}

static int give_run(struct describe *d, uint32_t disk, struct err *e)
{
	struct disk_state *s = &d->disk[disk];
	struct entry en = { .off = s->run_off, .len = s->run_len };

	if (!s->run_len)
		return 0;
	en.flags = s->run_kind == EXT_ZERO ? EF_ZERO : 0;
	if (en.len > d->hello->chunk_size)
		en.flags |= EF_RUN;
	s->run_len = 0;
	return d->sink(d->arg, disk, &en, e);
}

static int run_add(struct describe *d, uint32_t disk, uint64_t off, uint64_t len,
    enum extent_kind kind, struct err *e)
{
	struct disk_state *s = &d->disk[disk];

	if (s->run_len && (s->run_kind != kind || s->run_off + s->run_len != off) &&
	    give_run(d, disk, e) != 0)
		return -1;
	if (!s->run_len) {
		s->run_off = off;
		s->run_kind = kind;
	}
	s->run_len += len;
	return 0;
}

static int give_pieces(struct describe *d, uint32_t disk, struct err *e)
{
	struct disk_state *s = &d->disk[disk];
	struct entry en = { .off = s->chunk_off, .len = s->chunk_len };

	if (give_run(d, disk, e) != 0)
		return -1;
	s->npieces = frags_merge(s->piece, s->npieces, ENTRY_FRAGS_MAX);
	en.flags = EF_FRAGS | (s->full ? EF_REST_ZERO : 0);
	en.nfrags = (uint16_t)s->npieces;
	memcpy(en.frag, s->piece, s->npieces * sizeof(*en.frag));
	return d->sink(d->arg, disk, &en, e);
}

/* The chunk under way is over. */
static int chunk_done(struct describe *d, uint32_t disk, struct err *e)
{
	struct disk_state *s = &d->disk[disk];
	uint64_t meant = frags_bytes(s->piece, s->npieces);
	int r = 0;

	if (!s->chunk_len)
		return 0;
	if (s->zero == s->chunk_len || (s->full && !meant))
		r = run_add(d, disk, s->chunk_off, s->chunk_len, EXT_ZERO, e);
	else if (meant == s->chunk_len)
		r = run_add(d, disk, s->chunk_off, s->chunk_len, EXT_DATA, e);
	else
		r = give_pieces(d, disk, e);
	s->chunk_len = 0;
	return r;
}

static void piece_add(struct disk_state *s, uint32_t off, uint32_t len, enum extent_kind kind)
{
	struct frag *last = s->npieces ? &s->piece[s->npieces - 1] : NULL;

	s->zero += kind == EXT_ZERO ? len : 0;
	if (kind == EXT_ZERO && s->full)
		return;
	if (last && last->off + last->len == off) {
		last->len += len;
		return;
	}
	if (!s->piece)
		s->piece = x_array(PIECES_MAX, sizeof(*s->piece));
	if (s->npieces == PIECES_MAX)
		s->npieces = frags_merge(s->piece, s->npieces, PIECES_MAX / 2);
	s->piece[s->npieces++] = (struct frag){ off, len };
}

/* Part of one chunk. */
static int part_add(struct describe *d, uint32_t disk, const struct extent *x, struct err *e)
{
	struct disk_state *s = &d->disk[disk];
	uint64_t chunk = x->off & ~(uint64_t)(d->hello->chunk_size - 1);

	if (!s->chunk_len) {
		s->chunk_off = chunk;
		s->chunk_len = (uint32_t)min64(d->hello->chunk_size, d->hello->disk[disk].size - chunk);
		s->npieces = 0;
		s->zero = 0;
	}
	piece_add(s, (uint32_t)(x->off - chunk), (uint32_t)x->len, x->kind);
	return x->off + x->len == chunk + s->chunk_len ? chunk_done(d, disk, e) : 0;
}

int describe_extent(struct describe *d, uint32_t disk, const struct extent *x, struct err *e)
{
	struct disk_state *s = &d->disk[disk];
	uint64_t size = d->hello->disk[disk].size, grid = d->hello->chunk_size;
	uint64_t off = x->off, end = x->off + x->len;
	int r = 0;

	if (off < s->next)
		return err_set(e, DM_BAD, "extents of disk %s are out of order at %llu",
		    d->hello->disk[disk].name, (unsigned long long)off);
	s->next = end;
	if (x->kind == EXT_SAME)
		return 0;
	if (s->chunk_len && off >= s->chunk_off + s->chunk_len)
		r = chunk_done(d, disk, e);
	while (r == 0 && off < end) {
		uint64_t whole = end == size ? end - off : (end - off) / grid * grid;
		struct extent part = { off, min64(end - off, grid - off % grid), x->kind };

		if (off % grid == 0 && whole) {
			r = run_add(d, disk, off, whole, x->kind, e);
			off += whole;
		} else {
			r = part_add(d, disk, &part, e);
			off += part.len;
		}
	}
	return r;
}

int describe_flush(struct describe *d, struct err *e)
{
	for (uint32_t i = 0; i < d->hello->ndisks; i++)
		if (give_run(d, i, e) != 0)
			return -1;
	return 0;
}

int describe_end(struct describe *d, struct err *e)
{
	for (uint32_t i = 0; i < d->hello->ndisks; i++)
		if (chunk_done(d, i, e) != 0)
			return -1;
	return describe_flush(d, e);
}
