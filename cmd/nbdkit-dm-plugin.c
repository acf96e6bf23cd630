/* nbdkit-dm-plugin: the disks of a checkpoint, served read-only over NBD.
 * https://gitlab.com/nbdkit/nbdkit, nbdkit-plugin(3). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "base/timefmt.h"
#include "repo/catalog.h"
#include "volume/read_cache.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define EXTENT_STEP MIB(64)	/* looked at before a client that wants one extent is answered */

static struct {
	char *site;
	const char *workload, *at;
	struct opt_list disks;		/* none: all */
	uint64_t cache;
} how = { .at = NULL, .cache = MIB(32) };

/* What is served.  The checkpoint's record is locked from before the first
 * look at it to the end, so that prune passes it by. */
struct served {
	const struct checkpoint_disk *disk;
	struct volume *v;
};
static struct checkpoint *checkpoint;
static int hold = -1;
static struct served *served;
static size_t nserved;
static struct read_cache *cache;

static int failed(const struct err *e)
{
	nbdkit_error("%s", e->text);
	return -1;
}

/* --- parameters */

static int once(const char *key, const char **dst, const char *value)
{
	if (*dst) {
		nbdkit_error("%s= is given twice", key);
		return -1;
	}
	*dst = value;
	return 0;
}

static int config_site(const char *value)
{
	if (how.site) {
		nbdkit_error("site= is given twice");
		return -1;
	}
	how.site = nbdkit_realpath(value);
	if (how.site && strpbrk(how.site, "#?")) {
		nbdkit_error("site=%s: the name of a site that is served must not contain # or ?", value);
		return -1;
	}
	return how.site ? 0 : -1;
}

static int config_disk(const char *value)
{
	for (size_t i = 0; i < how.disks.n; i++)
		if (!strcmp(how.disks.v[i], value)) {
			nbdkit_error("disk=%s is given twice", value);
			return -1;
		}
	how.disks.v = x_grow(how.disks.v, how.disks.n + 1, sizeof *how.disks.v);
	how.disks.v[how.disks.n++] = value;
	return 0;
}

static int dm_config(const char *key, const char *value)
{
	if (!strcmp(key, "site"))
		return config_site(value);
	if (!strcmp(key, "workload"))
		return once(key, &how.workload, value);
	if (!strcmp(key, "at"))
		return once(key, &how.at, value);
	if (!strcmp(key, "disk"))
		return config_disk(value);
	if (!strcmp(key, "cache")) {
		if (!size_parse(value, MIB(2), GIB(64), &how.cache))
			return 0;
		nbdkit_error("cache=%s: a size from 2M to 64G is wanted", value);
		return -1;
	}
	nbdkit_error("unknown parameter '%s'", key);
	return -1;
}

static int dm_config_complete(void)
{
	if (!how.site || !how.workload) {
		nbdkit_error("site= and workload= are needed");
		return -1;
	}
	return 0;
}

/* --- the checkpoint and its disks */

static int add_disk(const struct checkpoint_disk *d, struct err *e)
{
	if (!checkpoint_disk_stored(d) || d->partial)
		return err_set(e, DM_NO, "checkpoint %llu of %s keeps disk %s elsewhere: %s",
		    (unsigned long long)checkpoint->seq, checkpoint->workload, d->name, d->point);
	served = x_grow(served, nserved + 1, sizeof *served);
	served[nserved++] = (struct served){ .disk = d };
	return 0;
}

static int pick_disks(struct err *e)
{
	int r = 0;

	for (size_t i = 0; !r && i < checkpoint->ndisks && !how.disks.n; i++)
		r = add_disk(&checkpoint->disk[i], e);
	for (size_t i = 0; !r && i < how.disks.n; i++) {
		const struct checkpoint_disk *d = checkpoint_disk(checkpoint, how.disks.v[i]);

		r = d ? add_disk(d, e) : err_set(e, DM_NO, "checkpoint %llu of %s has no disk %s",
		    (unsigned long long)checkpoint->seq, checkpoint->workload, how.disks.v[i]);
	}
	return r;
}

static int pick(struct err *e)
{
	struct site *s = site_open(how.site, e);

	if (!s)
		return -1;
	checkpoint = catalog_find(s, how.workload, how.at ? how.at : "latest", e);
	if (checkpoint && catalog_trust(s, checkpoint, e) == 0)
		hold = catalog_hold(s, checkpoint, e);
	site_close(s);
	return hold == -1 ? -1 : pick_disks(e);
}

static void disks_close(void)
{
	for (size_t i = 0; i < nserved; i++) {
		volume_close(served[i].v);
		served[i].v = NULL;
	}
}

static int disks_open(struct err *e)
{
	struct volume_how read = { .mode = VOL_READ };

	for (size_t i = 0; i < nserved; i++) {
		char *uri = x_printf("repo:%s#%s/%llu/%s", how.site, checkpoint->workload,
		    (unsigned long long)checkpoint->seq, served[i].disk->name);
		int r = volume_open(&served[i].v, uri, &read, e);

		free(uri);
		if (r)
			return -1;
	}
	return 0;
}

/* The index may not be carried through a fork, so it is opened here only to
 * see that all is well while the caller can still be told. */
static int dm_get_ready(void)
{
	struct err e = { 0 };
	int r = pick(&e) || disks_open(&e) ? -1 : 0;

	disks_close();
	return r ? failed(&e) : 0;
}

static int dm_after_fork(void)
{
	struct err e = { 0 };

	cache = read_cache_new(how.cache, &e);
	return !cache || disks_open(&e) ? failed(&e) : 0;
}

static void dm_cleanup(void)
{
	disks_close();
	read_cache_free(cache);
	cache = NULL;
	fd_close(hold);
	hold = -1;
}

static void dm_unload(void)
{
	dm_cleanup();
	checkpoint_free(checkpoint);
	free(served);
	free(how.site);
	free(how.disks.v);
}

/* --- exports */

static int dm_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
	(void)readonly;
	(void)is_tls;
	for (size_t i = 0; i < nserved; i++)
		if (nbdkit_add_export(exports, served[i].disk->name, NULL))
			return -1;
	return 0;
}

static const char *dm_default_export(int readonly, int is_tls)
{
	(void)readonly;
	(void)is_tls;
	return nserved == 1 ? served[0].disk->name : "";
}

static void *dm_open(int readonly)
{
	const char *name = nbdkit_export_name();

	(void)readonly;
	for (size_t i = 0; name && i < nserved; i++)
		if (!strcmp(name, served[i].disk->name) || (!*name && nserved == 1))
			return &served[i];
	nbdkit_error("there is no disk '%s': %zu are served, %s first", name ? name : "", nserved,
	    nserved ? served[0].disk->name : "none");
	return NULL;
}

static const char *dm_export_description(void *handle)
{
	const struct served *s = handle;
	char when[32];

	return nbdkit_printf_intern("%s of %s, checkpoint %llu of %s", s->disk->name, checkpoint->workload,
	    (unsigned long long)checkpoint->seq, time_format(checkpoint->time, when));
}

static int64_t dm_get_size(void *handle)
{
	const struct served *s = handle;

	return (int64_t)volume_size(s->v);
}

static int dm_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

static int dm_can_cache(void *handle)
{
	(void)handle;
	return NBDKIT_CACHE_NATIVE;
}

static int dm_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = READ_BLOCK;
	*maximum = UINT32_MAX;
	return 0;
}

/* --- requests */

/* The volume keeps its first failure's text; each read has its own answer. */
static int dm_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	const struct served *s = handle;
	int r = read_cache_read(cache, s->v, buf, count, offset);

	(void)flags;
	if (!r)
		return 0;
	nbdkit_error("%s: %u bytes at %llu cannot be read: %s", s->disk->name, count,
	    (unsigned long long)offset, r == -EBADMSG ? "what is stored is damaged" : volume_message(s->v));
	nbdkit_set_error(EIO);
	return -1;
}

static int dm_cache(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	const struct served *s = handle;

	(void)flags;
	read_cache_fetch(cache, s->v, offset, count);
	return 0;
}

static int add_extents(struct nbdkit_extents *out, const struct extents *x)
{
	for (size_t i = 0; i < x->n; i++)
		if (nbdkit_add_extent(out, x->v[i].off, x->v[i].len,
		    x->v[i].kind == EXT_ZERO ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0))
			return -1;
	return 0;
}

/* Unknown is data: a part of the map that cannot be read is left to reads. */
static int dm_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *out)
{
	const struct served *s = handle;
	bool one = flags & NBDKIT_FLAG_REQ_ONE;
	struct extents x = { 0 };
	uint64_t step;
	int r = 0;

	for (uint64_t at = offset, end = offset + count; !r && at < end; at += step) {
		step = one ? min64(EXTENT_STEP, end - at) : end - at;
		if (volume_extents(s->v, NULL, at, step, &x)) {
			extents_clear(&x);
			extents_add(&x, at, step, EXT_DATA);
		}
		r = add_extents(out, &x);
		if (one && x.n > 1)
			break;
	}
	extents_free(&x);
	return r;
}

static struct nbdkit_plugin plugin = {
	.name = "dm",
	.longname = "dm checkpoints",
	.version = DM_VERSION,
	.description = "The disks of a checkpoint in a dm site, read-only.",
	.magic_config_key = "site",
	.config = dm_config,
	.config_complete = dm_config_complete,
	.config_help =
	    "site=DIR         (required) the site\n"
	    "workload=NAME    (required) the workload\n"
	    "at=WHEN          latest, a checkpoint's number, or a time (latest)\n"
	    "disk=NAME        this disk only; may be repeated\n"
	    "cache=SIZE       memory for what was decoded (32M)",
	.get_ready = dm_get_ready,
	.after_fork = dm_after_fork,
	.cleanup = dm_cleanup,
	.unload = dm_unload,
	.list_exports = dm_list_exports,
	.default_export = dm_default_export,
	.export_description = dm_export_description,
	.open = dm_open,
	.get_size = dm_get_size,
	.can_multi_conn = dm_can_multi_conn,
	.can_cache = dm_can_cache,
	.block_size = dm_block_size,
	.pread = dm_pread,
	.cache = dm_cache,
	.extents = dm_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
