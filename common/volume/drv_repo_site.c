#include "volume/drv_repo_site.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/catalog.h"

static void site_free(struct repo_site *rs)
{
	session_close(rs->session);
	store_close(rs->store);
	site_close(rs->site);
	free(rs->name);
	pthread_mutex_destroy(&rs->lock);
	free(rs);
}

static void group_free(void *shared)
{
	struct repo_group *g = shared;
	struct repo_site *rs;

	while ((rs = g->sites)) {
		g->sites = rs->next;
		site_free(rs);
	}
	free(g);
}

static int check_site(const struct site *s, const struct volume_how *how, struct err *e)
{
	if (how->chunk_size != s->chunk_size)
		return err_set(e, DM_NO, "%s keeps chunks of %u bytes, the stream has %u: use --chunk-size %u",
		    s->path, s->chunk_size, how->chunk_size, s->chunk_size);
	if (how->algo != s->algo)
		return err_set(e, DM_NO, "%s identifies content by %s, the stream by %s", s->path,
		    id_algo_name(s->algo), id_algo_name(how->algo));
	return 0;
}

/* The base of one disk of the iteration, if it has one. */
static int find_base(struct site *s, const struct disk_row *row, struct session_disk *d, struct err *e)
{
	struct catalog_base base;
	int r;

	if (row->full || (!row->has_base_root && !*row->base_point))
		return 0;
	r = catalog_find_base(s, TREE_STORED, row->name, row->has_base_root ? &row->base_root : NULL,
	    row->has_base_root ? NULL : row->base_point, &base, e);
	if (r < 0)
		return -1;
	if (!r)
		return err_set(e, DM_NO, "%s: disk %s: the base of this iteration is no checkpoint here; "
		    "run a full iteration, or name a base that 'dm-checkpoint list %s' shows",
		    s->path, row->name, s->path);
	d->has_base = true;
	d->base = base.tree;
	return 0;
}

/* What session_begin is asked for, from the iteration's table of disks. */
static int want_session(struct site *s, const struct volume_how *how, struct session *want, struct err *e)
{
	const struct disk_row alone = {
		.name = how->disk, .base_point = how->base_point ? how->base_point : "",
		.target_point = how->target_point ? how->target_point : "", .size = how->size,
		.block = how->block, .full = how->full, .frozen = how->frozen,
		.has_base_root = how->base_root, .base_root = how->base_root ? *how->base_root : (struct id){ { 0 } },
	};
	const struct disk_table one = { .n = 1, .row = &alone };
	const struct disk_table *t = how->disks && how->disks->n ? how->disks : &one;

	want->workload = (char *)(how->workload ? how->workload : "");
	want->disk = x_array(t->n, sizeof *want->disk);
	want->ndisks = t->n;
	for (size_t i = 0; i < t->n; i++) {
		const struct disk_row *row = &t->row[i];

		want->disk[i] = (struct session_disk){
			.name = (char *)row->name, .size = row->size, .block = row->block, .full = row->full,
			.frozen = row->frozen, .base_point = (char *)row->base_point,
			.target_point = (char *)row->target_point,
		};
		if (find_base(s, row, &want->disk[i], e))
			return -1;
	}
	return 0;
}

static struct repo_site *site_begin(const char *path, const struct volume_how *how, struct err *e)
{
	struct repo_site *rs = x_alloc(sizeof *rs);
	struct session want = { 0 };

	pthread_mutex_init(&rs->lock, NULL);
	rs->name = x_strdup(path);
	rs->site = site_open(path, e);
	if (rs->site && !check_site(rs->site, how, e) && !want_session(rs->site, how, &want, e))
		rs->session = session_begin(rs->site, how->session, &want, e);
	free(want.disk);
	/* The session comes before the first look-up: prune waits for it. */
	if (rs->session)
		rs->store = store_open(rs->site, STORE_WRITE, e);
	if (rs->store)
		return rs;
	site_free(rs);
	return NULL;
}

struct repo_site *repo_site_join(struct volume_group *g, const struct driver *drv, const char *path,
    const struct volume_how *how, struct err *e)
{
	struct repo_group *rg;
	struct repo_site *rs;

	if (g->shared && g->shared_by != drv) {
		err_set(e, DM_USAGE, "repo:%s: disks of one iteration go to one kind of target", path);
		return NULL;
	}
	if (!g->shared) {
		g->shared = x_alloc(sizeof(struct repo_group));
		g->shared_by = drv;
		g->shared_free = group_free;
	}
	rg = g->shared;
	for (rs = rg->sites; rs; rs = rs->next)
		if (!strcmp(rs->name, path))
			return rs;
	rs = site_begin(path, how, e);
	if (rs) {
		rs->next = rg->sites;
		rg->sites = rs;
	}
	return rs;
}
