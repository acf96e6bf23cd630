/* A scan: read what is no hole, hash it in several threads, compare. */
#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "job/track.h"

#define JOB_BYTES MIB(4)	/* of the disk, for one job */
#define READ_BYTES MIB(1)
#define MAP_STEP GIB(1)
#define AHEAD 4u		/* jobs given, for each thread */
#define OUT_EXTENTS 1024u	/* enough for one stretch */
#define IDLE_MS 200

struct scan {
	struct tracker t;
	struct volume *v;
	struct idfile *old, *new;
	int algo;
	uint32_t chunk, leaf;
	unsigned marks;		/* of one leaf */
	uint64_t size;
	uint64_t forced;	/* from here on all is told, changed or not */
	uint64_t given;		/* jobs were given up to here */
	struct extents map;	/* of the volume, from map_off to map_end */
	size_t map_i;
	uint64_t map_end;
	struct id_builder builder;
	struct lane *lane;
	unsigned ahead;
	struct track_idle idle;
	bool over;
	pthread_mutex_t lock;	/* of the stack of buffers */
	struct buffer { struct buffer *next; } *buffers;
};

/* Jobs cover whole chunks, and perhaps the tail. */
struct scan_job {
	struct lane_job lane;
	struct scan *scan;
	uint64_t off, len;
	bool zero;		/* nothing to read: all of it is zero, and told */
	struct extents map, found;
	struct id *id;		/* of its leaves */
	struct id *was;
	uint64_t *mark;		/* of its blocks, NULL when nobody keeps marks */
	struct err err;
};

static void job_free(struct lane_job *lj)
{
	struct scan_job *j = (struct scan_job *)lj;

	extents_free(&j->map);
	extents_free(&j->found);
	free(j->id);
	free(j->was);
	free(j->mark);
	free(j);
}

static void *buffer_take(struct scan *s, struct err *e)
{
	struct buffer *b;

	pthread_mutex_lock(&s->lock);
	b = s->buffers;
	if (b)
		s->buffers = b->next;
	pthread_mutex_unlock(&s->lock);
	return b ? b : x_pages(READ_BYTES, e);
}

static void buffer_give(struct scan *s, void *p)
{
	struct buffer *b = p;

	pthread_mutex_lock(&s->lock);
	b->next = s->buffers;
	s->buffers = b;
	pthread_mutex_unlock(&s->lock);
}

/* Read and hash [lo, hi) of the disk, which begins on the leaf grid. */
static int hash_range(struct scan_job *j, uint64_t lo, uint64_t hi, void *buf)
{
	struct scan *s = j->scan;

	while (lo < hi) {
		size_t n = min64(READ_BYTES, hi - lo);

		if (volume_read(s->v, buf, n, lo) != 0)
			return volume_error(s->v, &j->err);
		for (size_t at = 0; at < n; at += s->leaf) {
			size_t i = (lo + at - j->off) / s->leaf, len = min64(s->leaf, n - at);

			id_leaf(s->algo, (uint8_t *)buf + at, len, &j->id[i]);
			if (j->mark)
				idfile_mark(s->new, (uint8_t *)buf + at, len, &j->mark[i * s->marks]);
		}
		lo += n;
	}
	return 0;
}

static int hash_data(struct scan_job *j)
{
	struct scan *s = j->scan;
	uint64_t done = j->off, end = j->off + j->len;
	void *buf;
	int r = 0;

	if (volume_extents(s->v, NULL, j->off, j->len, &j->map) != 0)
		return volume_error(s->v, &j->err);
	buf = buffer_take(s, &j->err);
	if (!buf)
		return -1;
	for (size_t i = 0; r == 0 && i < j->map.n; i++) {
		const struct extent *x = &j->map.v[i];
		uint64_t lo = max64(done, x->off / s->leaf * s->leaf);
		uint64_t hi = min64(div_up(x->off + x->len, s->leaf) * s->leaf, end);

		if (x->kind != EXT_DATA || lo >= hi)
			continue;
		r = hash_range(j, lo, hi, buf);
		done = hi;
	}
	buffer_give(s, buf);
	return r;
}

/* Leaf i changed: name the blocks of it that did, as far as marks tell. */
static int compare_blocks(struct scan_job *j, size_t i, uint64_t off, uint64_t len)
{
	struct scan *s = j->scan;
	uint64_t was[LEAF_MAX / MARK_BLOCK];
	const uint64_t *now = &j->mark[i * s->marks];
	bool any = false;

	if (idfile_get_marks(s->old, off / s->leaf, was, &j->err) != 0)
		return -1;
	for (unsigned b = 0; b < s->marks && b * MARK_BLOCK < len; b++) {
		if (now[b] == was[b])
			continue;
		extents_add(&j->found, off + b * MARK_BLOCK, min64(MARK_BLOCK, len - b * MARK_BLOCK),
		    now[b] ? EXT_DATA : EXT_ZERO);
		any = true;
	}
	if (!any)
		extents_add(&j->found, off, len, EXT_DATA);
	return 0;
}

/* Name the leaves that differ, and those that are told in any case. */
static int compare(struct scan_job *j, size_t n)
{
	struct scan *s = j->scan;
	bool blocks = j->mark && s->old && s->old->marked;

	for (size_t i = 0; i < n; i++) {
		uint64_t off = j->off + i * s->leaf;
		uint64_t len = min64(s->leaf, s->size - off);

		if (off < s->forced && id_equal(&j->id[i], &j->was[i]))
			continue;
		if (id_zero(&j->id[i]))
			extents_add(&j->found, off, len, EXT_ZERO);
		else if (!blocks || off >= s->forced)
			extents_add(&j->found, off, len, EXT_DATA);
		else if (compare_blocks(j, i, off, len) != 0)
			return -1;
	}
	return 0;
}

/* What was seen goes into the new state; what is zero is a hole there. */
static void keep(struct scan_job *j, size_t n)
{
	struct scan *s = j->scan;
	size_t lo = 0;
	uint64_t leaf;

	while (lo < n && id_zero(&j->id[lo]))
		lo++;
	while (n > lo && id_zero(&j->id[n - 1]))
		n--;
	leaf = j->off / s->leaf + lo;
	if (n > lo && idfile_put(s->new, leaf, j->id + lo, n - lo, &j->err) == 0)
		(void)idfile_put_marks(s->new, leaf, j->mark + lo * s->marks, n - lo, &j->err);
}

static void scan_run(struct lane_job *lj)
{
	struct scan_job *j = (struct scan_job *)lj;
	struct scan *s = j->scan;
	size_t n = div_up(j->len, s->leaf);

	if (j->zero) {
		extents_add(&j->found, j->off, j->len, EXT_ZERO);
		return;
	}
	j->id = x_array(n, sizeof(*j->id));
	j->was = x_array(n, sizeof(*j->was));
	if (s->new)
		j->mark = x_array(n * s->marks, sizeof(*j->mark));
	if (hash_data(j) != 0)
		return;
	if (s->old && idfile_get(s->old, j->off / s->leaf, j->was, n, &j->err) != 0)
		return;
	if (compare(j, n) == 0 && s->new)
		keep(j, n);
}

/* The first data of the volume at or after pos, or its size. */
static int seek_data(struct scan *s, uint64_t pos, uint64_t *at, struct err *e)
{
	for (;;) {
		for (; s->map_i < s->map.n; s->map_i++) {
			const struct extent *x = &s->map.v[s->map_i];

			if (x->kind == EXT_DATA && x->off + x->len > pos) {
				*at = max64(x->off, pos);
				return 0;
			}
		}
		*at = s->size;
		if (s->map_end >= s->size)
			return 0;
		pos = max64(pos, s->map_end);
		s->map_end = pos + min64(MAP_STEP, s->size - pos);
		s->map_i = 0;
		if (volume_extents(s->v, NULL, pos, s->map_end - pos, &s->map) != 0)
			return volume_error(s->v, e);
	}
}

static void give(struct scan *s, uint64_t off, uint64_t len, bool zero)
{
	struct scan_job *j = x_alloc(sizeof(*j));

	j->lane.run = scan_run;
	j->scan = s;
	j->off = off;
	j->len = len;
	j->zero = zero;
	lane_give(s->lane, &j->lane);
}

/* Give the next job: what is a hole now and was zero before is passed over. */
static int give_next(struct scan *s, struct err *e)
{
	uint64_t at, known;

	if (seek_data(s, s->given, &at, e) != 0)
		return -1;
	if (s->old) {
		known = idfile_next(s->old, s->given / s->leaf) * s->leaf;
		at = min64(at, max64(known, s->given));
	}
	at = at >= s->size ? s->size : at / s->chunk * s->chunk;
	if (at > s->given) {
		uint64_t lo = max64(s->given, s->forced);

		s->given = at;
		if (lo < at) {
			give(s, lo, at - lo, true);
			return 0;
		}
	}
	if (s->given < s->size) {
		uint64_t len = min64(max64(JOB_BYTES, s->chunk), s->size - s->given);

		give(s, s->given, len, false);
		s->given += len;
	}
	return 0;
}

static int fill_lane(struct scan *s, struct err *e)
{
	while (s->given < s->size && lane_waiting(s->lane) < s->ahead)
		if (give_next(s, e) != 0)
			return -1;
	return 0;
}

static struct scan_job *take(struct scan *s, struct err *e)
{
	struct lane_job *lj;

	while (!(lj = lane_take(s->lane, IDLE_MS)))
		if (s->idle.call(s->idle.arg, e) != 0)
			return NULL;
	return (struct scan_job *)lj;
}

static void add_chunks(struct scan *s, const struct scan_job *j)
{
	size_t each = s->chunk / s->leaf, n = div_up(j->len, s->leaf);

	for (size_t i = 0; !j->zero && i < n; i += each) {
		struct id id;

		id_chunk(s->algo, j->id + i, (unsigned)min64(each, n - i), &id);
		if (!id_zero(&id))
			id_builder_add(&s->builder, (j->off + i * s->leaf) / s->chunk, &id);
	}
}

static int finish(struct scan *s, struct err *e)
{
	if (s->over)
		return 0;
	s->over = true;
	s->t.pos = s->size;
	s->t.has_root = true;
	id_builder_root(&s->builder, &s->t.root);
	return s->new ? idfile_seal(s->new, &s->t.root, e) : 0;
}

static int next(struct tracker *t, struct extents *out, struct err *e)
{
	struct scan *s = (struct scan *)t;
	struct scan_job *j;
	int r = 1;

	extents_clear(out);
	while (r == 1 && out->n < OUT_EXTENTS) {
		if (fill_lane(s, e) != 0)
			return -1;
		if (!lane_waiting(s->lane))
			return finish(s, e) != 0 ? -1 : out->n > 0;
		/* what is there goes out before the next is waited for */
		j = out->n ? (struct scan_job *)lane_take(s->lane, 0) : take(s, e);
		if (!j)
			return out->n ? 1 : -1;
		if (j->err.code) {
			*e = j->err;
			r = -1;
		} else {
			add_chunks(s, j);
			for (size_t i = 0; i < j->found.n; i++)
				extents_add(out, j->found.v[i].off, j->found.v[i].len, j->found.v[i].kind);
			s->t.pos = j->off + j->len;
		}
		job_free(&j->lane);
	}
	return r;
}

static void free_scan(struct tracker *t)
{
	struct scan *s = (struct scan *)t;

	lane_free(s->lane, job_free);
	while (s->buffers) {
		struct buffer *b = s->buffers;

		s->buffers = b->next;
		free(b);
	}
	extents_free(&s->map);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

struct tracker *track_scan(struct volume *v, struct idfile *old,
    struct idfile *new, int algo, uint32_t chunk_size, struct lane_crew *crew,
    struct track_idle idle)
{
	static const struct tracker_ops ops = { next, free_scan };
	struct scan *s = x_alloc(sizeof(*s));

	s->t.ops = &ops;
	s->t.reads = true;
	s->v = v;
	s->old = old;
	s->new = new;
	s->algo = algo;
	s->chunk = chunk_size;
	s->leaf = leaf_size(chunk_size);
	s->marks = s->leaf / MARK_BLOCK;
	s->size = volume_size(v);
	/* Where sizes differ, the chunk in which the shorter ends has another
	 * length now, and what lies beyond it is new. */
	s->forced = !old ? 0 : old->size == s->size ? s->size :
	    min64(old->size, s->size) / chunk_size * chunk_size;
	id_builder_init(&s->builder, algo, chunk_size, s->size);
	s->lane = lane_new(crew);
	s->ahead = AHEAD * lane_crew_size(crew);
	s->idle = idle;
	pthread_mutex_init(&s->lock, NULL);
	return &s->t;
}
