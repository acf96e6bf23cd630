/* repo: as a source: any state whose root is in the repository. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "repo/catalog.h"
#include "volume/drv_repo.h"

struct repo_source {
	struct site *site;
	struct store *store;
	struct tree *tree;
	struct id root;
	int hold;		/* on the checkpoint's record: prune passes it by */
};

/* The disk a checkpoint gives: by name, or the only one. */
static const struct checkpoint_disk *pick_disk(const struct checkpoint *c, const char *name, struct err *e)
{
	const struct checkpoint_disk *d = NULL;

	if (name && *name)
		d = checkpoint_disk(c, name);
	else if (c->ndisks == 1)
		d = &c->disk[0];
	else
		err_set(e, DM_USAGE, "checkpoint %llu of %s has %zu disks: name one, as in #%s/%llu/%s",
		    (unsigned long long)c->seq, c->workload, c->ndisks, c->workload,
		    (unsigned long long)c->seq, c->ndisks ? c->disk[0].name : "DISK");
	if (!d)
		err_set(e, DM_NO, "checkpoint %llu of %s has no disk %s", (unsigned long long)c->seq,
		    c->workload, name ? name : "");
	else if (!checkpoint_disk_stored(d) || d->partial)
		d = (err_set(e, DM_NO, "checkpoint %llu of %s keeps disk %s elsewhere: %s",
		    (unsigned long long)c->seq, c->workload, d->name, d->point), NULL);
	return d;
}

/* "WORKLOAD[/CHECKPOINT[/DISK]]"; what the stream asks for must lie in it. */
static int by_fragment(struct repo_source *r, const char *fragment, const struct volume_how *how, struct err *e)
{
	char *text = x_strdup(fragment), *at = strchr(text, '/'), *disk = NULL;
	const struct checkpoint_disk *d;
	struct checkpoint *c;
	struct id want;
	int res = -1;

	if (at) {
		*at++ = 0;
		disk = strchr(at, '/');
		if (disk)
			*disk++ = 0;
	}
	c = catalog_find(r->site, text, at && *at ? at : "latest", e);
	if (!c || catalog_trust(r->site, c, e))
		goto out;
	d = pick_disk(c, disk ? disk : how->disk, e);
	if (!d)
		goto out;
	r->root = d->root;
	if (how->point && *how->point &&
	    (!repo_point_parse(r->site, how->point, &want) || !id_equal(&want, &d->root))) {
		err_set(e, DM_NO, "%s is not the state that #%s grants", how->point, fragment);
		goto out;
	}
	r->hold = catalog_hold(r->site, c, e);
	res = r->hold == -1 ? -1 : 0;
out:
	checkpoint_free(c);
	free(text);
	return res;
}

static bool has_root(const struct checkpoint *c, const struct id *root)
{
	for (size_t i = 0; i < c->ndisks; i++)
		if (c->disk[i].has_root && id_equal(&c->disk[i].root, root))
			return true;
	return false;
}

/* Hold a checkpoint of this workload that has the root, the newest first.  A
 * record that cannot be read hides no other. */
static int hold_in(struct repo_source *r, const char *workload, struct err *e)
{
	uint64_t *seq;
	size_t n;

	if (catalog_seqs(r->site, workload, &seq, &n, e))
		return -1;
	while (n-- && r->hold == -1) {
		struct err skip = { 0 };
		struct checkpoint *c = catalog_read(r->site, workload, seq[n], &skip);

		if (c && has_root(c, &r->root))
			r->hold = catalog_hold(r->site, c, &skip);
		checkpoint_free(c);
	}
	free(seq);
	return 0;
}

/* A state named by its root.  A checkpoint that has it is held; a state of an
 * open session has none. */
static int by_point(struct repo_source *r, const char *point, struct err *e)
{
	char **name;
	size_t n;
	int res = 0;

	if (!repo_point_parse(r->site, point, &r->root))
		return err_set(e, DM_NO, "%s: '%s' names no state of this repository", r->site->path, point);
	if (catalog_workloads(r->site, &name, &n, e))
		return -1;
	for (size_t i = 0; i < n && !res && r->hold == -1; i++)
		res = hold_in(r, name[i], e);
	catalog_names_free(name, n);
	return res;
}

static int source_fill(struct repo_source *r, const struct uri *u, const struct volume_how *how, struct err *e)
{
	bool pointed = how->point && *how->point;
	char *name;
	int res;

	name = repo_site_name(u);
	r->site = site_open(name, e);
	free(name);
	if (!r->site)
		return -1;
	if (u->fragment && *u->fragment)
		res = by_fragment(r, u->fragment, how, e);
	else if (pointed)
		res = by_point(r, how->point, e);
	else
		res = err_set(e, DM_USAGE, "%s:%s: which state? name it, as in %s:%s#WORKLOAD", u->scheme, u->path,
		    u->scheme, u->path);
	if (res)
		return -1;
	r->store = store_open(r->site, STORE_READ, e);
	if (!r->store)
		return -1;
	r->tree = tree_open(r->store, &r->root, e);
	return r->tree ? 0 : -1;
}

int repo_source_open(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	struct repo_source *r = x_alloc(sizeof *r);
	struct err e = { 0 };

	r->hold = -1;
	v->priv = r;
	if (source_fill(r, u, how, &e)) {
		repo_source_close(v);
		return repo_failed(v, &e);
	}
	v->size = tree_size(r->tree);
	v->limits = (struct volume_limits){ .min = 1, .preferred = r->site->chunk_size, .max = r->site->chunk_size };
	return 0;
}

void repo_source_close(struct volume *v)
{
	struct repo_source *r = v->priv;

	tree_close(r->tree);
	store_close(r->store);
	fd_close(r->hold);
	site_close(r->site);
	free(r);
	v->priv = NULL;
}

char *repo_source_point(struct volume *v)
{
	struct repo_source *r = v->priv;

	return repo_point(r->site, &r->root);
}

static uint32_t chunk_len(const struct repo_source *r, uint64_t size, uint64_t n)
{
	return (uint32_t)min64(r->site->chunk_size, size - n * r->site->chunk_size);
}

int repo_source_read(struct volume *v, void *p, size_t len, uint64_t off)
{
	struct repo_source *r = v->priv;
	uint32_t cs = r->site->chunk_size;
	struct err e = { 0 };
	struct id id;

	while (len) {
		uint64_t n = off / cs;
		uint32_t in = (uint32_t)(off % cs), whole = chunk_len(r, v->size, n);
		uint32_t part = (uint32_t)min64(len, whole - in);

		if (tree_chunk(r->tree, n, &id, &e) || store_read(r->store, &id, whole, in, part, p, &e))
			return repo_failed(v, &e);
		p = (uint8_t *)p + part;
		off += part;
		len -= part;
	}
	return 0;
}

int repo_source_stored(struct volume *v, uint64_t off, uint32_t len, void *p, int *codec, size_t *stored_len)
{
	struct repo_source *r = v->priv;
	uint32_t cs = r->site->chunk_size;
	struct err e = { 0 };
	struct id id;
	int res;

	if (off % cs || len != chunk_len(r, v->size, off / cs))
		return 0;
	if (tree_chunk(r->tree, off / cs, &id, &e))
		return repo_failed(v, &e);
	if (id_zero(&id))
		return 0;
	res = store_read_stored(r->store, &id, len, p, codec, stored_len, &e);
	return res < 0 ? repo_failed(v, &e) : res;
}

/* Append [from, to) of kind, as far as it lies in [off, end). */
static void add(struct extents *out, uint64_t off, uint64_t end, uint64_t from, uint64_t to, enum extent_kind kind)
{
	from = max64(from, off);
	to = min64(to, end);
	if (from < to)
		extents_add(out, from, to - from, kind);
}

static int map_present(struct volume *v, uint64_t off, uint64_t end, struct extents *out)
{
	struct repo_source *r = v->priv;
	uint64_t cs = r->site->chunk_size, at = off, n = off / cs;
	struct err e = { 0 };
	struct id id;
	int res;

	while (at < end && (res = tree_next(r->tree, &n, &id, &e)) > 0 && n * cs < end) {
		add(out, off, end, at, n * cs, EXT_ZERO);
		add(out, off, end, n * cs, (n + 1) * cs, EXT_DATA);
		at = ++n * cs;
	}
	if (e.code)
		return repo_failed(v, &e);
	add(out, off, end, at, end, EXT_ZERO);
	return 0;
}

/* [from, to) has the same ids in both; past the base's end that is zero, where
 * there was nothing before. */
static void add_same(struct extents *out, uint64_t off, uint64_t end, uint64_t from, uint64_t to, uint64_t base_end)
{
	add(out, off, end, from, min64(to, base_end), EXT_SAME);
	add(out, off, end, max64(from, base_end), to, EXT_ZERO);
}

static int map_since(struct volume *v, struct tree *base, uint64_t off, uint64_t end, struct extents *out)
{
	struct repo_source *r = v->priv;
	uint64_t cs = r->site->chunk_size, at = off, n = off / cs, base_end = tree_size(base);
	struct err e = { 0 };
	struct id id, old;

	base_end = base_end < v->size ? base_end - base_end % cs : v->size;
	while (at < end && tree_next_diff(r->tree, base, &n, &id, &old, &e) > 0 && n * cs < end) {
		add_same(out, off, end, at, n * cs, base_end);
		add(out, off, end, n * cs, (n + 1) * cs, id_zero(&id) ? EXT_ZERO : EXT_DATA);
		at = ++n * cs;
	}
	if (e.code)
		return repo_failed(v, &e);
	add_same(out, off, end, at, end, base_end);
	return 0;
}

int repo_source_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out)
{
	struct repo_source *r = v->priv;
	struct tree *base;
	struct err e = { 0 };
	struct id root;
	int res;

	if (!since)
		return map_present(v, off, off + len, out);
	if (!repo_point_parse(r->site, since, &root))
		return volume_fail(v, ESTALE, "'%s' names no state of this repository", since);
	base = tree_open(r->store, &root, &e);
	if (!base)
		return e.code == DM_NO ? volume_fail(v, ESTALE, "the state %s is not there any more", since) :
		    repo_failed(v, &e);
	res = map_since(v, base, off, off + len, out);
	tree_close(base);
	return res;
}
