/* Checkpoints read back: one, all of a workload, the one somebody means. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "base/uri.h"
#include "repo/catalog_chain.h"
#include "repo/catalog_dir.h"
#include "repo/catalog_record.h"
#include "repo/catalog_store.h"
#include "repo/crypt.h"
#include "repo/files.h"

void checkpoint_free(struct checkpoint *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->ndisks; i++) {
		free(c->disk[i].name);
		free(c->disk[i].point);
		free(c->disk[i].source_point);
	}
	free(c->disk);
	free(c->chain);
	free(c->workload);
	free(c->kind);
	json_decref(c->recovery);
	free(c);
}

const struct checkpoint_disk *checkpoint_disk(const struct checkpoint *c, const char *name)
{
	for (size_t i = 0; i < c->ndisks; i++)
		if (!strcmp(c->disk[i].name, name))
			return &c->disk[i];
	return NULL;
}

bool checkpoint_disk_stored(const struct checkpoint_disk *d)
{
	return d->has_root && !strncmp(d->point, "root:", 5);
}

/* The record and what is known beside it. */
json_t *checkpoint_json(const struct checkpoint *c)
{
	json_t *o = checkpoint_record(c);
	struct id link;
	char text[80];

	checkpoint_link(c, &link);
	json_object_set_new(o, "link", json_string(id_format(ID_BLAKE2B, &link, text)));
	json_object_set_new(o, "pinned", json_boolean(c->pinned));
	return o;
}

/* Does what the record says agree with where it lies? */
static int check_place(struct site *s, const struct checkpoint *c, const char *workload,
    uint64_t seq, struct err *e)
{
	if (strcmp(c->workload, workload) || c->seq != seq)
		return err_set(e, DM_BAD, "says it is %s/%llu", c->workload,
		    (unsigned long long)c->seq);
	if (c->algo != s->algo)
		return err_set(e, DM_BAD, "uses %s, the site %s", id_algo_name(c->algo),
		    id_algo_name(s->algo));
	return 0;
}

/* text is taken over. */
static struct checkpoint *read_text(struct site *s, char *text, size_t len, const char *workload, uint64_t seq,
    struct err *e)
{
	char place[CATALOG_PLACE];
	struct checkpoint *c;

	text = crypt_text_open(s, catalog_place(place, workload, seq), text, &len, e);
	if (!text)
		return NULL;
	c = checkpoint_parse(text, len, e);
	if (c)
		chain_content(s, text, len, &c->content);
	free(text);
	if (c && check_place(s, c, workload, seq, e)) {
		checkpoint_free(c);
		c = NULL;
	}
	return c;
}

/* 1, 0 not there, -1. */
static int get_text(struct site *s, const char *workload, uint64_t seq, char **text, size_t *len, bool *pinned,
    struct err *e)
{
	char path[CATALOG_PATH];
	int r;

	if (s->objects)
		return catalog_store_get(s, workload, seq, text, len, pinned, e);
	r = file_get(s, catalog_file(path, workload, seq, ".json"), RECORD_MAX, text, len, e);
	if (r > 0)
		*pinned = file_there(s, catalog_file(path, workload, seq, ".pin"), e) > 0;
	return r;
}

/* One record; DM_NO when it is not there, DM_BAD when it is damaged. */
struct checkpoint *catalog_read(struct site *s, const char *workload, uint64_t seq, struct err *e)
{
	struct checkpoint *c;
	char path[CATALOG_PATH], *text;
	bool pinned = false;
	size_t len;
	int r;

	if (!name_valid(workload)) {
		err_set(e, DM_USAGE, "\"%s\" is no workload name", workload);
		return NULL;
	}
	r = get_text(s, workload, seq, &text, &len, &pinned, e);
	if (r == 0)
		err_set(e, DM_NO, "%s has no checkpoint %llu", workload, (unsigned long long)seq);
	if (r <= 0)
		return NULL;
	c = read_text(s, text, len, workload, seq, e);
	if (c)
		c->pinned = pinned;
	else
		err_prefix(e, "%s/%s", s->path, catalog_file(path, workload, seq, ".json"));
	return c;
}

void catalog_list_free(struct checkpoint **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		checkpoint_free(v[i]);
	free(v);
}

struct list {
	struct checkpoint **v;
	size_t n;
};

static int list_workload(struct site *s, const char *workload, struct list *l, struct err *e)
{
	uint64_t *seq;
	size_t n;

	if (catalog_seqs(s, workload, &seq, &n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct err gone = { 0 };
		struct checkpoint *c = catalog_read(s, workload, seq[i], &gone);

		if (!c && gone.code == DM_NO)
			continue;	/* pruned since the directory was read */
		if (!c) {
			*e = gone;
			free(seq);
			return -1;
		}
		l->v = x_grow(l->v, l->n + 1, sizeof(*l->v));
		l->v[l->n++] = c;
	}
	free(seq);
	return 0;
}

/* All of a workload in order of seq (NULL workload: of all, by name). */
int catalog_list(struct site *s, const char *workload, struct checkpoint ***out, size_t *n,
    struct err *e)
{
	struct list l = { NULL, 0 };
	char **names = NULL;
	size_t count = 0;
	int rc = 0;

	if (workload)
		rc = list_workload(s, workload, &l, e);
	else
		rc = catalog_workloads(s, &names, &count, e);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = list_workload(s, names[i], &l, e);
	catalog_names_free(names, count);
	if (rc) {
		catalog_list_free(l.v, l.n);
		return -1;
	}
	*out = l.v;
	*n = l.n;
	return 0;
}

/* --- choosing one ------------------------------------------------------- */

struct checkpoint *catalog_latest(struct site *s, const char *workload, struct err *e)
{
	struct checkpoint *c = NULL;
	uint64_t *seq;
	size_t n;

	if (catalog_seqs(s, workload, &seq, &n, e))
		return NULL;
	if (n)
		c = catalog_read(s, workload, seq[n - 1], e);
	free(seq);
	return c;
}

static struct checkpoint *find_time(struct site *s, const char *workload, int64_t when,
    struct err *e)
{
	struct checkpoint **v, *best = NULL;
	char asked[32], oldest[32];
	int64_t first = INT64_MAX;
	size_t n, at = 0;

	if (catalog_list(s, workload, &v, &n, e))
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (v[i]->time < first)
			first = v[i]->time;
		if (v[i]->time <= when && (!best || v[i]->time >= best->time)) {
			best = v[i];
			at = i;
		}
	}
	if (best)
		v[at] = NULL;
	else
		err_set(e, DM_NO, "%s has no checkpoint as old as %s: the oldest is of %s",
		    workload, time_format(when, asked), time_format(first, oldest));
	catalog_list_free(v, n);
	return best;
}

static struct checkpoint *find_seq(struct site *s, const char *workload, uint64_t want,
    const uint64_t *seq, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (seq[i] == want)
			return catalog_read(s, workload, want, e);
	err_set(e, DM_NO, "%s has no checkpoint %llu: %zu from %llu to %llu are there", workload,
	    (unsigned long long)want, n, (unsigned long long)seq[0],
	    (unsigned long long)seq[n - 1]);
	return NULL;
}

/* "latest", a seq, or a time: the newest not after it. */
struct checkpoint *catalog_find(struct site *s, const char *workload, const char *at,
    struct err *e)
{
	struct checkpoint *c = NULL;
	uint64_t *seq, want;
	int64_t when;
	size_t n;

	if (catalog_seqs(s, workload, &seq, &n, e))
		return NULL;
	if (n == 0)
		err_set(e, DM_NO, "%s: no checkpoint of %s", s->path, workload);
	else if (!strcmp(at, "latest"))
		c = catalog_read(s, workload, seq[n - 1], e);
	else if (u64_parse(at, 0, UINT64_MAX, &want) == 0)
		c = find_seq(s, workload, want, seq, n, e);
	else if (time_parse(at, time_now(), &when) == 0)
		c = find_time(s, workload, when, e);
	else
		err_set(e, DM_USAGE, "\"%s\" is neither \"latest\" nor a number nor a time", at);
	free(seq);
	return c;
}

static bool state_matches(const struct checkpoint_disk *d, enum catalog_tree kind, const char *disk,
    const struct id *root, const char *source_point)
{
	if (kind == TREE_STORED ? !checkpoint_disk_stored(d) || d->partial : !d->has_tree)
		return false;
	/* Content, whatever its name; and changes found against ids of which some
	 * are not known fit every state with those ids. */
	if (root)
		return (d->has_root && id_equal(&d->root, root)) ||
		    (d->has_tree && id_equal(&d->tree, root));
	return source_point && *source_point && !strcmp(d->name, disk) &&
	    !strcmp(d->source_point, source_point);
}

/* Find the state a base names.  1, 0, -1. */
int catalog_find_base(struct site *s, enum catalog_tree kind, const char *disk, const struct id *root,
    const char *source_point, struct catalog_base *out, struct err *e)
{
	struct checkpoint **v;
	int64_t newest = INT64_MIN;
	size_t n;

	if (catalog_list(s, NULL, &v, &n, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i]->ndisks; k++) {
			const struct checkpoint_disk *d = &v[i]->disk[k];

			if (v[i]->committed < newest || !state_matches(d, kind, disk, root, source_point))
				continue;
			*out = (struct catalog_base){
				.tree = kind == TREE_STORED ? d->root : d->tree, .partial = d->partial,
			};
			newest = v[i]->committed;
		}
	catalog_list_free(v, n);
	return newest != INT64_MIN;
}
