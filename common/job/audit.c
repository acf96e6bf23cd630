#include <stdlib.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "job/audit.h"

#define AHEAD 2u	/* for each thread: every job holds a chunk */
#define IDLE_MS 200

struct audit {
	uint64_t below;		/* a draw below this: look at the chunk */
	uint64_t state;
	struct lane_crew *crew;
	struct lane *lane;
	int (*idle)(void *arg, struct err *e);
	void *arg;
};

struct audit_job {
	struct lane_job lane;
	struct volume *v;
	const struct idfile *ids;
	const char *disk;
	uint64_t off;
	uint32_t len;
	struct err err;
};

struct audit *audit_new(double part, struct lane_crew *crew,
    int (*idle)(void *arg, struct err *e), void *arg)
{
	struct audit *a = x_alloc(sizeof(*a));

	a->below = part >= 1 ? UINT64_MAX : (uint64_t)(part * 18446744073709551616.0);
	if (getrandom(&a->state, sizeof(a->state), 0) != sizeof(a->state))
		a->state = (uintptr_t)a;
	a->crew = crew;
	a->lane = lane_new(crew);
	a->idle = idle;
	a->arg = arg;
	return a;
}

static void job_free(struct lane_job *lj)
{
	free(lj);
}

void audit_free(struct audit *a)
{
	if (!a)
		return;
	lane_free(a->lane, job_free);
	free(a);
}

/* splitmix64: https://prng.di.unimi.it/splitmix64.c */
static uint64_t draw(struct audit *a)
{
	uint64_t z = (a->state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void audit_run(struct lane_job *lj)
{
	struct audit_job *j = (struct audit_job *)lj;
	struct id known[LEAVES_MAX], leaf[LEAVES_MAX], id;
	uint32_t step = leaf_size(j->ids->chunk_size);
	unsigned n = leaf_count(j->ids->chunk_size, j->len);
	uint8_t *p = x_pages(j->len, &j->err);

	if (!p)
		return;
	if (volume_read(j->v, p, j->len, j->off) != 0)
		volume_error(j->v, &j->err);
	else if (idfile_get(j->ids, j->off / step, known, n, &j->err) == 0)
		id_content(j->ids->algo, j->ids->chunk_size, p, j->len, leaf, &id);
	for (unsigned i = 0; !j->err.code && i < n; i++)
		if (!id_unknown(&known[i]) && !id_equal(&known[i], &leaf[i]))
			err_set(&j->err, DM_NO, "disk %s: the audit found a change at %llu where the tracker "
			    "knows of none: do not trust it, scan (--against) or send all (full)", j->disk,
			    (unsigned long long)(j->off + (uint64_t)i * step));
	free(p);
}

/* Take the oldest result. */
static int take_one(struct audit *a, struct err *e)
{
	struct lane_job *lj;
	struct audit_job *j;

	while (!(lj = lane_take(a->lane, IDLE_MS)))
		if (a->idle(a->arg, e) != 0)
			return -1;
	j = (struct audit_job *)lj;
	if (j->err.code)
		*e = j->err;
	free(j);
	return e->code ? -1 : 0;
}

static int sample(struct audit *a, const struct audit_job *what, struct err *e)
{
	struct audit_job *j;

	if (draw(a) > a->below)
		return 0;
	if (lane_waiting(a->lane) >= AHEAD * lane_crew_size(a->crew) && take_one(a, e) != 0)
		return -1;
	j = x_alloc(sizeof(*j));
	*j = *what;
	j->lane.run = audit_run;
	lane_give(a->lane, &j->lane);
	return 0;
}

int audit_check(struct audit *a, struct volume *v, struct idfile *ids, const char *disk,
    const struct extents *x, struct err *e)
{
	uint64_t chunk = ids->chunk_size, size = min64(ids->size, volume_size(v));

	for (size_t i = 0; i < x->n; i++) {
		uint64_t at = div_up(x->v[i].off, chunk) * chunk, end = x->v[i].off + x->v[i].len;

		for (; x->v[i].kind == EXT_SAME && at < min64(end, size); at += chunk) {
			struct audit_job j = { .v = v, .ids = ids, .disk = disk, .off = at,
				.len = (uint32_t)min64(chunk, size - at) };

			if (at + j.len <= end && sample(a, &j, e) != 0)
				return -1;
		}
	}
	while (lane_waiting(a->lane))
		if (take_one(a, e) != 0)
			return -1;
	return 0;
}
