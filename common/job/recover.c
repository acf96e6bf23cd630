/* dm-recover: a walk over the trees of a checkpoint's disks, side by side. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "content/codec.h"
#include "job/recover.h"
#include "repo/catalog.h"
#include "repo/tree.h"
#include "stream/record.h"

#define TURN 64u	/* entries of one disk before the next has its turn */
#define EPOCH 1u

struct walk {
	const struct checkpoint_disk *disk;
	struct id root;			/* of its tree */
	struct tree *now, *base;	/* base NULL: everything is emitted */
	uint64_t chunks;		/* of the disk */
	uint64_t next;			/* first one not looked at */
	uint64_t zero_at, zeros;	/* a run of zero chunks not yet emitted */
	bool done;
};

struct recover {
	const struct recover_how *how;
	struct site *site;
	struct checkpoint *cp, *older;	/* older: NULL without --since */
	int hold, hold_older;		/* locks that keep prune away */
	struct store *store;
	struct hello hello;
	struct walk *walk;		/* hello.ndisks */
	struct frame_out *out;
	int fd;
	struct desc_batch batch;
	struct tally tally;
	uint64_t index;			/* of the next entry */
	int64_t looked;			/* when the reader was last looked for */
};

/* --- what to walk ------------------------------------------------------- */

static bool wanted(const struct recover_how *how, const char *name)
{
	for (size_t i = 0; i < how->disks.n; i++)
		if (!strcmp(how->disks.v[i], name))
			return true;
	return how->disks.n == 0;
}

static int check_names(const struct recover *r, struct err *e)
{
	const struct opt_list *l = &r->how->disks;

	for (size_t i = 0; i < l->n; i++)
		if (!checkpoint_disk(r->cp, l->v[i]))
			return err_set(e, DM_NO, "checkpoint %llu of %s has no disk %s",
			    (unsigned long long)r->cp->seq, r->cp->workload, l->v[i]);
	return 0;
}

/* The tree that tells of a disk: that of its content here, or, where only ids are
 * asked for, of content elsewhere. */
static bool tree_of(const struct recover *r, const struct checkpoint_disk *d, struct id *root)
{
	if (checkpoint_disk_stored(d) && !d->partial) {
		*root = d->root;
		return true;
	}
	*root = d->tree;
	return d->has_tree && r->how->ids;
}

/* The root that --since names for a disk: 1, 0 none, -1. */
static int since_root(const struct recover *r, const char *disk, struct id *out, struct err *e)
{
	const char *word = r->how->since;
	const struct checkpoint_disk *d;
	int algo;

	if (r->older) {
		d = checkpoint_disk(r->older, disk);
		return d && tree_of(r, d, out);
	}
	if (!strncmp(word, "root:", 5))
		word += 5;
	if (id_parse(word, &algo, out) || algo != r->site->algo)
		return err_set(e, DM_USAGE, "--since %s: neither a checkpoint nor a root",
		    r->how->since);
	return 1;
}

static bool looks_like_root(const char *s)
{
	return !strncmp(s, "root:", 5) || !strncmp(s, "blake", 5);
}

static int open_walk(struct recover *r, struct walk *w, struct disk *d, struct err *e)
{
	const struct checkpoint_disk *cd = w->disk;
	char text[80];
	int rc;

	if (!tree_of(r, cd, &w->root))
		return err_set(e, DM_NO, "disk %s of checkpoint %llu is not in the chunk store but in "
		    "%s: read it from there", cd->name, (unsigned long long)r->cp->seq,
		    *cd->point ? cd->point : "its target");
	w->chunks = div_up(cd->size, r->site->chunk_size);
	w->now = tree_open(r->store, &w->root, e);
	if (!w->now)
		return -1;
	if (tree_size(w->now) != cd->size)
		return err_set(e, DM_BAD, "disk %s: its record says %llu bytes, its tree %llu",
		    cd->name, (unsigned long long)cd->size,
		    (unsigned long long)tree_size(w->now));
	d->name = x_strdup(cd->name);
	d->size = cd->size;
	d->block = cd->block;
	d->flags = DF_TARGET_ROOT | DF_FROZEN;
	d->target_root = w->root;
	d->target_point = x_printf("root:%s", id_format(r->site->algo, &w->root, text));
	d->base_point = x_strdup("");
	if (!r->how->since)
		return 0;
	rc = since_root(r, cd->name, &d->base_root, e);
	if (rc <= 0)
		return rc;
	free(d->base_point);
	d->base_point = x_printf("root:%s", id_format(r->site->algo, &d->base_root, text));
	d->flags |= DF_BASE_ROOT;
	w->base = tree_open(r->store, &d->base_root, e);
	return w->base ? 0 : -1;
}

static int open_walks(struct recover *r, struct err *e)
{
	struct hello *h = &r->hello;
	bool based = false;

	h->disk = x_array(r->cp->ndisks, sizeof(*h->disk));
	r->walk = x_array(r->cp->ndisks, sizeof(*r->walk));
	for (size_t i = 0; i < r->cp->ndisks; i++) {
		struct walk *w = &r->walk[h->ndisks];

		if (!wanted(r->how, r->cp->disk[i].name))
			continue;
		w->disk = &r->cp->disk[i];
		if (open_walk(r, w, &h->disk[h->ndisks++], e))
			return -1;
		based |= w->base != NULL;
	}
	if (r->how->since && !r->older && h->ndisks > 1)
		return err_set(e, DM_USAGE, "--since with a root needs one --disk");
	h->version_min = h->version_max = STREAM_VERSION;
	hello_new_session(h);
	h->chunk_size = r->site->chunk_size;
	h->algo = (uint8_t)r->site->algo;
	h->kind = r->how->ids ? KIND_IDS : based ? KIND_INCREMENTAL : KIND_RECOVERY;
	h->codecs = 1u << CODEC_RAW | 1u << CODEC_ZSTD;
	h->plan = x_strdup("");
	h->workload = x_strdup(r->cp->workload);
	return 0;
}

static int choose(struct recover *r, struct err *e)
{
	const struct recover_how *how = r->how;

	r->site = site_open(how->site, e);
	if (!r->site)
		return -1;
	r->cp = catalog_find(r->site, how->workload, how->at, e);
	if (!r->cp || check_names(r, e) || catalog_trust(r->site, r->cp, e))
		return -1;
	r->hold = catalog_hold(r->site, r->cp, e);
	if (r->hold < 0)
		return -1;
	if (how->since && !looks_like_root(how->since)) {
		r->older = catalog_find(r->site, how->workload, how->since, e);
		if (!r->older)
			return err_prefix(e, "--since");
		if (catalog_trust(r->site, r->older, e))
			return -1;
		r->hold_older = catalog_hold(r->site, r->older, e);
		if (r->hold_older < 0)
			return -1;
	}
	r->store = store_open(r->site, STORE_READ, e);
	return r->store ? open_walks(r, e) : -1;
}

/* --- emitting ----------------------------------------------------------- */

static int emit(struct recover *r, uint32_t disk, struct entry *en, struct err *e)
{
	en->index = r->index;
	r->index += entry_count(en, r->hello.chunk_size);
	tally_add(&r->tally, disk, en, r->hello.chunk_size);
	return desc_add(r->out, &r->batch, disk, en, e);
}

static void place(const struct recover *r, const struct walk *w, uint64_t chunk, uint64_t n,
    struct entry *en)
{
	memset(en, 0, ENTRY_FIXED);
	en->nfrags = en->nleaves = 0;
	en->flags = 0;
	en->off = chunk * r->hello.chunk_size;
	en->len = min64(n * r->hello.chunk_size, w->disk->size - en->off);
}

static int emit_zeros(struct recover *r, uint32_t disk, struct walk *w, struct err *e)
{
	struct entry en;

	if (w->zeros == 0)
		return 0;
	place(r, w, w->zero_at, w->zeros, &en);
	en.flags = EF_ZERO | (w->zeros > 1 ? EF_RUN : 0);
	w->zeros = 0;
	return emit(r, disk, &en, e);
}

/* Chunks [from, from+n) are zero: joined with what waits, if they touch. */
static int add_zeros(struct recover *r, uint32_t disk, struct walk *w, uint64_t from, uint64_t n,
    struct err *e)
{
	if (n == 0)
		return 0;
	if (w->zeros && w->zero_at + w->zeros != from && emit_zeros(r, disk, w, e))
		return -1;
	if (w->zeros == 0)
		w->zero_at = from;
	w->zeros += n;
	return 0;
}

static int emit_chunk(struct recover *r, uint32_t disk, struct walk *w, uint64_t chunk,
    const struct id *id, struct err *e)
{
	struct entry en;

	if (emit_zeros(r, disk, w, e))
		return -1;
	place(r, w, chunk, 1, &en);
	en.flags = EF_ID;
	en.id = *id;
	if (r->how->leaves) {
		en.flags |= EF_LEAVES;
		en.nleaves = (uint16_t)leaf_count(r->hello.chunk_size, (uint32_t)en.len);
		if (store_tree_leaves(r->store, id, (uint32_t)en.len, en.leaf, e))
			return err_prefix(e, "disk %s at %llu", w->disk->name,
			    (unsigned long long)en.off);
	}
	return emit(r, disk, &en, e);
}

/* One step of a walk: the next chunk that matters, and the zeros before it
 * when everything does. */
static int step(struct recover *r, uint32_t disk, struct walk *w, struct err *e)
{
	uint64_t n = w->next;
	struct id id, old;
	int rc;

	rc = w->base ? tree_next_diff(w->now, w->base, &n, &id, &old, e) :
	    tree_next(w->now, &n, &id, e);
	if (rc < 0)
		return err_prefix(e, "disk %s", w->disk->name);
	if (rc == 0 || n >= w->chunks) {
		w->done = true;
		n = w->chunks;
	}
	if (!w->base && add_zeros(r, disk, w, w->next, n - w->next, e))
		return -1;
	w->next = n + 1;
	if (w->done)
		return emit_zeros(r, disk, w, e);
	if (id_zero(&id))
		return add_zeros(r, disk, w, n, 1, e);
	return emit_chunk(r, disk, w, n, &id, e);
}

/* A walk over equal subtrees is long and writes nothing. */
static int look_for_reader(struct recover *r, struct err *e)
{
	int64_t now = time_mono();

	if (now - r->looked < 1000000000)
		return 0;
	r->looked = now;
	return fd_reader_gone(r->fd) ? err_sys(e, DM_ENV, EPIPE, "output") : 0;
}

static int walk_all(struct recover *r, struct err *e)
{
	uint32_t left = r->hello.ndisks;

	while (left) {
		left = 0;
		for (uint32_t i = 0; i < r->hello.ndisks; i++) {
			for (unsigned k = 0; k < TURN && !r->walk[i].done; k++)
				if (step(r, i, &r->walk[i], e))
					return -1;
			left += !r->walk[i].done;
		}
		if (look_for_reader(r, e))
			return -1;
	}
	return desc_flush(r->out, &r->batch, e);
}

static int put_finals(struct recover *r, struct err *e)
{
	for (uint32_t i = 0; i < r->hello.ndisks; i++) {
		struct final f = { .side = SIDE_SOURCE, .flags = FINAL_ROOT };

		f.root = r->hello.disk[i].target_root;
		f.point = r->hello.disk[i].target_point;
		if (final_put(r->out, i, &f, e))
			return -1;
	}
	return 0;
}

static int write_stream(struct recover *r, struct err *e)
{
	r->batch.epoch = EPOCH;
	tally_init(&r->tally, &r->hello);
	if (hello_put(r->out, &r->hello, e) || walk_all(r, e) || put_finals(r, e) ||
	    end_put(r->out, &r->tally, e))
		return -1;
	return frame_flush(r->out, e);
}

static void clean(struct recover *r)
{
	for (uint32_t i = 0; i < r->hello.ndisks; i++) {
		tree_close(r->walk[i].base);
		tree_close(r->walk[i].now);
	}
	free(r->walk);
	hello_free(&r->hello);
	buf_free(&r->batch.body);
	if (r->store)
		store_close(r->store);
	fd_close(r->hold);
	fd_close(r->hold_older);
	checkpoint_free(r->cp);
	checkpoint_free(r->older);
	site_close(r->site);
	frame_out_free(r->out);
}

int recover_run(const struct recover_how *how, int fd, bool *told, struct err *e)
{
	struct recover r = { .how = how, .fd = fd, .hold = -1, .hold_older = -1 };
	struct err ignored = { 0 };
	int rc;

	*told = false;
	r.out = frame_out_new(fd, "output", e);
	if (!r.out)
		return -1;
	frame_out_seal(r.out, how->seal);
	rc = choose(&r, e) || write_stream(&r, e);
	if (rc && !e->quiet && abort_put(r.out, e, &ignored) == 0 &&
	    frame_flush(r.out, &ignored) == 0)
		*told = fd_is_stream(fd);
	clean(&r);
	return rc ? -1 : 0;
}
