#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/pool.h"
#include "job/digest.h"
#include "job/grants.h"
#include "job/lane.h"
#include "volume/volume.h"

#define THREADS_MAX 16u
#define AHEAD 4u	/* for each thread */
#define IDLE_MS 1000

struct digest {
	const struct hello *hello;
	struct volume **v;	/* by disk */
	int out_fd;
	describe_sink *sink;
	void *arg;
	struct lane_crew *crew;
	struct lane *lane;
};

struct digest_job {
	struct lane_job lane;
	struct digest *g;
	uint32_t disk;
	struct entry en;
	struct err err;
};

static void digest_run(struct lane_job *lj)
{
	struct digest_job *j = (struct digest_job *)lj;
	const struct hello *h = j->g->hello;
	uint8_t *p;

	if (j->en.flags & EF_ZERO)
		return;
	p = x_pages(j->en.len, &j->err);
	if (!p)
		return;
	if (volume_read(j->g->v[j->disk], p, j->en.len, j->en.off) != 0) {
		volume_error(j->g->v[j->disk], &j->err);
	} else {
		id_content(h->algo, h->chunk_size, p, (uint32_t)j->en.len, NULL, &j->en.id);
		j->en.flags |= EF_ID;
	}
	free(p);
	if (!j->err.code && id_zero(&j->en.id)) {
		j->en.flags = EF_ZERO;
		j->en.nfrags = 0;
	}
}

static void job_free(struct lane_job *lj)
{
	free(lj);
}

static int give_on(struct digest *g, struct err *e)
{
	struct lane_job *lj;
	struct digest_job *j;
	int r;

	while (!(lj = lane_take(g->lane, IDLE_MS)))
		if (fd_reader_gone(g->out_fd))
			return err_sys(e, DM_ENV, EPIPE, "output");
	j = (struct digest_job *)lj;
	if (j->err.code)
		*e = j->err;
	r = j->err.code ? -1 : g->sink(g->arg, j->disk, &j->en, e);
	free(j);
	return r;
}

static int take_one(struct digest *g, uint32_t disk, const struct entry *en, struct err *e)
{
	struct digest_job *j;

	if (lane_waiting(g->lane) >= AHEAD * lane_crew_size(g->crew) && give_on(g, e) != 0)
		return -1;
	j = x_alloc(sizeof(*j));
	j->lane.run = digest_run;
	j->g = g;
	j->disk = disk;
	j->en = *en;
	lane_give(g->lane, &j->lane);
	return 0;
}

int digest_entry(void *digest, uint32_t disk, const struct entry *en, struct err *e)
{
	struct digest *g = digest;
	struct entry run = *en, one;
	bool more = true;

	if ((en->flags & EF_ZERO) || !(en->flags & EF_RUN))
		return take_one(g, disk, en, e);
	while (more) {
		more = entry_cut(&run, g->hello->chunk_size, &one);
		if (take_one(g, disk, &one, e) != 0)
			return -1;
	}
	return 0;
}

int digest_flush(struct digest *g, struct err *e)
{
	while (lane_waiting(g->lane))
		if (give_on(g, e) != 0)
			return -1;
	return 0;
}

/* Open the volume that serves a disk. */
static int open_disk(struct digest *g, const struct grants *grants, uint32_t i, struct err *e)
{
	const struct disk *d = &g->hello->disk[i];
	const struct volume_arg *a = grants_find(grants, g->hello, i);
	struct volume_how how = { .mode = VOL_READ, .disk = d->name };

	if (!a)
		return err_set(e, DM_USAGE, "no volume named for disk %s", d->name);
	how.point = d->flags & DF_FROZEN ? d->target_point : NULL;
	if (volume_open(&g->v[i], a->uri, &how, e) != 0)
		return -1;
	if (volume_size(g->v[i]) != d->size)
		return err_set(e, DM_NO, "%s: has %llu bytes, disk %s has %llu", a->uri,
		    (unsigned long long)volume_size(g->v[i]), d->name, (unsigned long long)d->size);
	return 0;
}

static int open_disks(struct digest *g, char **volume, size_t nvolumes, struct err *e)
{
	struct grants grants = { 0 };
	const char *unused;
	int r = grants_parse(&grants, volume, nvolumes, e);

	if (r == 0 && (unused = grants_unused(&grants, g->hello)))
		r = err_set(e, DM_USAGE, "the stream has no disk %s", unused);
	for (uint32_t i = 0; r == 0 && i < g->hello->ndisks; i++)
		r = open_disk(g, &grants, i, e);
	grants_free(&grants);
	return r;
}

struct digest *digest_new(const struct hello *h, char **volume, size_t nvolumes, int out_fd,
    describe_sink *sink, void *arg, struct err *e)
{
	struct digest *g = x_alloc(sizeof(*g));
	unsigned cpus = pool_cpus();

	g->hello = h;
	g->out_fd = out_fd;
	g->sink = sink;
	g->arg = arg;
	g->v = x_array(h->ndisks, sizeof(*g->v));
	if (open_disks(g, volume, nvolumes, e) != 0)
		goto err0;
	g->crew = lane_crew_new(cpus < THREADS_MAX ? cpus : THREADS_MAX, e);
	if (!g->crew)
		goto err0;
	g->lane = lane_new(g->crew);
	return g;
err0:
	digest_free(g);
	return NULL;
}

void digest_free(struct digest *g)
{
	if (!g)
		return;
	lane_free(g->lane, job_free);
	lane_crew_free(g->crew);
	for (uint32_t i = 0; i < g->hello->ndisks; i++)
		volume_close(g->v[i]);
	free(g->v);
	free(g);
}
