#include "job/orphans.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/uri.h"
#include "repo/catalog_chain.h"
#include "repo/session.h"

/* Words, which are ours. */
struct words {
	char **v;
	size_t n;
};

static void add(struct words *w, char *word)
{
	w->v = x_grow(w->v, w->n + 1, sizeof(*w->v));
	w->v[w->n++] = word;
}

static bool has(const struct words *w, const char *word)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->v[i], word))
			return true;
	return false;
}

static void words_free(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
	free(w->v);
}

/* Before the catalog is read: one that commits meanwhile is seen here or
 * there. */
static int add_sessions(struct site *s, struct words *w, struct err *e)
{
	struct session **v;
	bool *alive;
	size_t n;

	if (session_list(s, &v, &alive, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		add(w, x_strdup(v[i]->name));
		session_close(v[i]);
	}
	free(v);
	free(alive);
	return 0;
}

/* Are these all checkpoints that a workload ever had, but for those that were
 * pruned?  What a record named that was lost is no orphan. */
static int none_lost(struct site *s, struct checkpoint *const *v, size_t n, bool *yes, struct err *e)
{
	struct pruned p;
	uint64_t next = 1;

	if (pruned_read(s, v[0]->workload, &p, e) < 0)
		return -1;
	for (size_t i = 0; *yes && i < n; next = v[i++]->seq + 1)
		for (; *yes && next < v[i]->seq; next++) {
			const struct pruned_line *l = pruned_find(&p, next);
			const struct pruned_range *r = pruned_range(&p, next);

			*yes = l ? !l->gone : r != NULL;
			if (!l && r)
				next = r->last;
		}
	pruned_free(&p);
	return 0;
}

/* The same of all workloads; v is sorted by them, and by number. */
static int all_known(struct site *s, struct checkpoint *const *v, size_t n, bool *yes, struct err *e)
{
	size_t i = 0, end;

	*yes = true;
	for (; *yes && i < n; i = end) {
		for (end = i + 1; end < n && !strcmp(v[end]->workload, v[i]->workload); end++)
			;
		if (none_lost(s, v + i, end - i, yes, e) < 0)
			return -1;
	}
	return 0;
}

/* One directory and the name of a disk, each once. */
static int sweep_disk(const char *point, const char *disk, struct volume_sweep *how, struct words *done,
    struct volume_swept *sum, struct err *e)
{
	char *dir = x_strndup(point, (size_t)(strrchr(point, '/') - point)), *key = x_printf("%s/%s", dir, disk), *uri;
	struct volume_swept one;
	int rc = 0;

	if (!has(done, key) && access(dir, F_OK) == 0) {
		uri = uri_of_file(dir);
		how->disk = disk;
		rc = volume_sweep(uri, how, &one, e);
		free(uri);
		if (rc == 0 && one.left && !sum->left)
			memcpy(sum->why, one.why, sizeof(sum->why));
		sum->removed += one.removed;
		sum->left += one.left;
	}
	add(done, key);
	free(dir);
	return rc;
}

static int sweep_all(struct site *s, struct checkpoint *const *v, size_t n, struct volume_sweep *how,
    struct volume_swept *sum, struct err *e)
{
	struct words done = { NULL, 0 };
	int rc = 0;

	how->site = s->id;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; rc == 0 && k < v[i]->ndisks; k++) {
			const struct checkpoint_disk *d = &v[i]->disk[k];

			if (*d->point == '/')
				rc = sweep_disk(d->point, d->name, how, &done, sum, e);
		}
	words_free(&done);
	return rc;
}

int orphans_sweep(struct site *s, bool dry_run, struct volume_swept *sum, struct err *e)
{
	struct words sessions = { NULL, 0 }, points = { NULL, 0 };
	struct volume_sweep how = { .dry_run = dry_run };
	struct checkpoint **v = NULL;
	size_t n = 0;
	bool known = false;
	int rc = add_sessions(s, &sessions, e) || catalog_list(s, NULL, &v, &n, e) || all_known(s, v, n, &known, e) ?
	    -1 : 0;

	for (size_t i = 0; i < n; i++) {
		add(&sessions, x_strdup(v[i]->session));
		for (size_t k = 0; k < v[i]->ndisks; k++)
			add(&points, x_strdup(v[i]->disk[k].point));
	}
	how.known = (const char *const *)points.v;
	how.nknown = points.n;
	how.session = (const char *const *)sessions.v;
	how.nsessions = sessions.n;
	if (rc == 0 && known)
		rc = sweep_all(s, v, n, &how, sum, e);
	catalog_list_free(v, n);
	words_free(&sessions);
	words_free(&points);
	return rc;
}
