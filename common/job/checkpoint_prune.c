/* dm-checkpoint prune. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "base/timefmt.h"
#include "base/uri.h"
#include "job/checkpoint.h"
#include "job/orphans.h"
#include "repo/prune.h"
#include "volume/volume.h"

#define ABANDON_DEFAULT "30d"

/* ---- points of targets that keep them elsewhere ---- */

struct elsewhere {
	struct volume_arg *target;
	size_t n;
	struct volume_swept sum;
	struct volume_swept orphans;	/* files that became no checkpoint */
};

static void parse_targets(struct elsewhere *x, const struct opt_list *words)
{
	struct err e = { 0 };

	x->target = x_array(words->n + 1, sizeof(*x->target));
	for (; x->n < words->n; x->n++)
		if (volume_arg_parse(words->v[x->n], &x->target[x->n], &e) || !x->target[x->n].named)
			opt_die("--target %s: write NAME=URI", words->v[x->n]);
}

static void free_targets(struct elsewhere *x)
{
	for (size_t i = 0; i < x->n; i++)
		volume_arg_free(&x->target[i]);
	free(x->target);
}

static int sweep_disk(struct checkpoint *const *v, size_t n, const struct volume_arg *target,
    const struct prune_how *how, struct volume_swept *sum, struct err *e)
{
	struct volume_sweep s = { .workload = how->workload, .disk = target->name, .dry_run = how->dry_run };
	const char **known = x_array(n + 1, sizeof(*known));
	struct volume_swept one;
	int rc;

	for (size_t i = 0; i < n; i++) {
		const struct checkpoint_disk *d = checkpoint_disk(v[i], target->name);

		if (d)
			known[s.nknown++] = d->point;
	}
	s.known = known;
	rc = volume_sweep(target->uri, &s, &one, e);
	free(known);
	if (rc < 0)
		return -1;
	if (one.left && !sum->left)
		memcpy(sum->why, one.why, sizeof(sum->why));
	sum->removed += one.removed;
	sum->left += one.left;
	return 0;
}

/* Under the workload's lock no iteration is between its point and its record. */
static int sweep(struct site *site, const struct prune_how *how, struct elsewhere *x, struct err *e)
{
	struct checkpoint **v;
	size_t n;
	int lock, rc = 0;

	if (x->n == 0)
		return 0;
	lock = catalog_lock_workload(site, how->workload, e);
	if (lock < 0)
		return -1;
	if (catalog_list(site, how->workload, &v, &n, e) < 0) {
		fd_close(lock);
		return -1;
	}
	for (size_t i = 0; rc == 0 && i < x->n; i++)
		rc = sweep_disk(v, n, &x->target[i], how, &x->sum, e);
	catalog_list_free(v, n);
	fd_close(lock);
	return rc;
}

/* ---- what was done ---- */

static json_t *names_json(struct checkpoint *const *v, size_t n)
{
	json_t *a = json_array();
	char when[32];

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, json_pack("{s:s, s:I, s:s}", "workload", v[i]->workload,
		    "seq", (json_int_t)v[i]->seq, "time", time_format(v[i]->time, when)));
	return a;
}

static int prune_json(const struct prune_report *r, const struct elsewhere *x, bool dry_run, struct err *e)
{
	json_t *o = json_pack("{s:b, s:o, s:o, s:I, s:I, s:I}", "dry_run", dry_run,
	    "dropped", names_json(r->dropped, r->ndropped), "held", names_json(r->held, r->nheld),
	    "kept", (json_int_t)r->kept, "abandoned", (json_int_t)r->abandoned,
	    "forgotten", (json_int_t)r->forgotten);
	json_t *store = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
	    "deleted", (json_int_t)r->deleted, "freed", (json_int_t)r->freed,
	    "waiting", (json_int_t)r->doomed, "waiting_bytes", (json_int_t)r->doomed_bytes,
	    "waits_for", (json_int_t)r->waits, "packs_removed", (json_int_t)r->packs_removed,
	    "packs_rewritten", (json_int_t)r->packs_rewritten,
	    "packs_skipped", (json_int_t)r->packs_skipped, "missing", (json_int_t)r->missing);

	json_object_update(o, store);
	json_decref(store);
	json_object_set_new(o, "orphans", json_integer((json_int_t)x->orphans.removed));
	if (x->n > 0)
		json_object_set_new(o, "points", json_pack("{s:I, s:I, s:s}", "removed", (json_int_t)x->sum.removed,
		    "left", (json_int_t)x->sum.left, "why", x->sum.why));
	return checkpoint_print(o, e);
}

static void print_list(const char *what, struct checkpoint *const *v, size_t n)
{
	char when[32];

	for (size_t i = 0; i < n; i++)
		printf("%s %s checkpoint %llu of %s\n", what, v[i]->workload,
		    (unsigned long long)v[i]->seq, time_format(v[i]->time, when));
}

static int prune_text(const struct prune_report *r, const struct elsewhere *x, bool dry_run, struct err *e)
{
	char text[16];

	print_list(dry_run ? "would drop" : "dropped", r->dropped, r->ndropped);
	print_list("left, being read or pinned now:", r->held, r->nheld);
	printf("%zu checkpoints %s, %llu kept\n", r->ndropped, dry_run ? "would go" : "dropped",
	    (unsigned long long)r->kept + r->nheld);
	if (r->abandoned)
		printf("%llu interrupted sessions given up\n", (unsigned long long)r->abandoned);
	if (r->forgotten)
		printf("%llu records that are gone %s\n", (unsigned long long)r->forgotten,
		    dry_run ? "would be noted" : "noted");
	if (!dry_run)
		printf("%llu records deleted, %s%s %s, %llu packs written anew\n",
		    (unsigned long long)r->deleted, r->freed < 0 ? "-" : "",
		    size_format((uint64_t)(r->freed < 0 ? -r->freed : r->freed), text), "freed",
		    (unsigned long long)r->packs_rewritten);
	if (r->doomed)
		printf("%s wait for %llu sessions to end: prune again later\n",
		    size_format(r->doomed_bytes, text), (unsigned long long)r->waits);
	if (x->orphans.removed)
		printf("%llu files that became no checkpoint %s\n", (unsigned long long)x->orphans.removed,
		    dry_run ? "would go" : "removed");
	if (x->orphans.left)
		printf("not looked at: %s\n", x->orphans.why);
	if (x->n > 0)
		printf("%llu points of other targets %s\n", (unsigned long long)x->sum.removed,
		    dry_run ? "would go" : "removed");
	if (x->sum.left)
		printf("%llu are left for the next time: %s\n", (unsigned long long)x->sum.left, x->sum.why);
	if (r->missing || r->packs_skipped)
		printf("%llu chunks are missing and %llu packs damaged: run dm-checkpoint verify\n",
		    (unsigned long long)r->missing, (unsigned long long)r->packs_skipped);
	return checkpoint_flush(e);
}

static void parse_duration(const char *option, const char *word, uint64_t *seconds)
{
	if (word && duration_parse(word, seconds))
		opt_die("--%s: not a duration such as 7d: %s", option, word);
}

int checkpoint_prune_main(int argc, char **argv, struct err *e)
{
	struct prune_how how = { 0 };
	struct prune_report r = { 0 };
	struct opt_list targets = { 0 };
	struct elsewhere x = { 0 };
	const char *within = NULL, *abandon = ABANDON_DEFAULT;
	bool json = false;
	struct site *s;
	char **args;
	size_t n;
	int rc;
	const struct opt opts[] = {
		{ "keep-last", 0, OPT_U64, &how.keep.last, "N", "keep the newest N", 1, 0 },
		{ "keep-within", 0, OPT_STR, &within, "DURATION", "keep those not older than this when the newest was made, such as 36h", 0, 0 },
		{ "keep-daily", 0, OPT_U64, &how.keep.daily, "N", "keep the newest of each of N days", 1, 0 },
		{ "keep-weekly", 0, OPT_U64, &how.keep.weekly, "N", "keep the newest of each of N weeks", 1, 0 },
		{ "keep-monthly", 0, OPT_U64, &how.keep.monthly, "N", "keep the newest of each of N months", 1, 0 },
		{ "abandon-after", 0, OPT_STR, &abandon, "DURATION", "give up sessions interrupted longer ago (" ABANDON_DEFAULT ")", 0, 0 },
		{ "forget-missing", 0, OPT_FLAG, &how.forget_missing, NULL, "note checkpoints whose record is gone as given up", 0, 0 },
		{ "target", 0, OPT_LIST, &targets, "NAME=URI", "delete points of disk NAME that no checkpoint has", 0, 0 },
		{ "dry-run", 'n', OPT_FLAG, &how.dry_run, NULL, "only say which checkpoints would go", 0, 0 },
		{ "json", 0, OPT_FLAG, &json, NULL, "the result as one JSON object", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint prune", "SITE [WORKLOAD]",
		"Drop checkpoints that no rule keeps, and give back the space of what nothing needs.",
		opts, 1, 2,
	};

	checkpoint_opts(&prog, argc, argv, &args, &n);
	parse_duration("keep-within", within, &how.keep.within);
	parse_duration("abandon-after", abandon, &how.abandon);
	how.workload = n > 1 ? args[1] : NULL;
	if (how.workload && !name_valid(how.workload))
		opt_die("not a workload's name: %s", how.workload);
	if (targets.n > 0 && !how.workload)
		opt_die("--target needs a workload: SITE WORKLOAD");
	s = site_open(args[0], e);
	if (!s)
		return -1;
	parse_targets(&x, &targets);
	rc = prune_run(s, &how, &r, e);
	if (rc == 0)
		rc = orphans_sweep(s, how.dry_run, &x.orphans, e);
	if (rc == 0)
		rc = sweep(s, &how, &x, e);
	if (rc == 0)
		rc = json ? prune_json(&r, &x, how.dry_run, e) : prune_text(&r, &x, how.dry_run, e);
	prune_report_free(&r);
	free_targets(&x);
	free(targets.v);
	site_close(s);
	return rc;
}
