#include "job/verify_expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/uri.h"
#include "repo/catalog_chain.h"

#define ATTEMPTS 3		/* while prune is at work beside */

struct noted {
	const char *workload;
	uint64_t seq;
	struct id link;
};

static int by_place(const void *a, const void *b)
{
	const struct noted *x = a, *y = b;
	int order = strcmp(x->workload, y->workload);

	return order ? order : x->seq < y->seq ? 1 : x->seq > y->seq ? -1 : 0;
}

static bool noted_parse(const json_t *o, struct noted *out)
{
	const char *workload = json_string_value(json_object_get(o, "workload"));
	const char *link = json_string_value(json_object_get(o, "link"));
	json_int_t seq = json_integer_value(json_object_get(o, "seq"));
	int algo;

	if (!workload || !name_valid(workload) || !link || id_parse(link, &algo, &out->link) ||
	    algo != ID_BLAKE2B || seq < 1)
		return false;
	out->workload = workload;
	out->seq = (uint64_t)seq;
	return true;
}

/* By workload, the newest first.  *v is the caller's. */
static int noted_list(const json_t *o, struct noted **v, size_t *n, struct err *e)
{
	bool one = json_is_object(o);

	*n = one ? 1 : json_array_size(o);
	if (!*n)
		return err_set(e, DM_USAGE, "--expect: no checkpoint is noted");
	*v = x_try(*n, sizeof(**v), e);
	if (!*v)
		return -1;
	for (size_t i = 0; i < *n; i++)
		if (!noted_parse(one ? o : json_array_get(o, i), &(*v)[i])) {
			free(*v);
			return err_set(e, DM_USAGE, "--expect: entry %zu is no checkpoint as list --json prints it",
			    i + 1);
		}
	qsort(*v, *n, sizeof(**v), by_place);
	return 0;
}

/* Does the chain lead from the newest of these down to v[at]? */
static int leads_to(struct site *s, struct checkpoint *const *v, size_t n, size_t at, uint64_t *broken,
    struct err *e)
{
	struct pruned p;
	int holds = 1;
	uint64_t where;

	if (pruned_read(s, v[at]->workload, &p, e))
		return -1;
	for (size_t i = at + 1; i < n && holds; i++)
		if (chain_follow(&p, v[i - 1], v[i], NULL, &where) != CHAIN_HOLDS) {
			*broken = v[i]->seq;
			holds = 0;
		}
	pruned_free(&p);
	return holds;
}

static size_t find_seq(struct checkpoint *const *v, size_t n, uint64_t seq)
{
	size_t i = 0;

	while (i < n && v[i]->seq != seq)
		i++;
	return i;
}

/* The newest of those noted that is there: *at in v; n when none is. */
static const struct noted *newest_there(const struct noted *noted, size_t nnoted, struct checkpoint *const *v,
    size_t n, size_t *at)
{
	for (size_t i = 0; i < nnoted; i++) {
		*at = find_seq(v, n, noted[i].seq);
		if (*at < n)
			return &noted[i];
	}
	*at = n;
	return NULL;
}

/* 1 as noted: *seq; 0 not: *seq and why; -1. */
static int hold_against(struct site *s, const struct noted *noted, size_t nnoted, struct checkpoint *const *v,
    size_t n, uint64_t *seq, char why[160], struct err *e)
{
	const struct noted *that;
	uint64_t broken;
	struct id link;
	size_t at;
	int rc;

	*seq = noted->seq;
	if (!n || v[n - 1]->seq < noted->seq) {
		snprintf(why, 160, "it was noted, and the newest here is %llu: this is an older site",
		    n ? (unsigned long long)v[n - 1]->seq : 0);
		return 0;
	}
	that = newest_there(noted, nnoted, v, n, &at);
	if (!that) {
		snprintf(why, 160, "it was noted and is not here any more, nor is any noted before it: "
		    "nothing tells whether this is the site it was in");
		return 0;
	}
	*seq = that->seq;
	checkpoint_link(v[at], &link);
	if (!id_equal(&link, &that->link)) {
		snprintf(why, 160, "its link is not the one that was noted: it, or one before it, is another");
		return 0;
	}
	rc = leads_to(s, v, n, at, &broken, e);
	if (rc == 0)
		snprintf(why, 160, "it is as noted, but nothing links checkpoint %llu to it",
		    (unsigned long long)broken);
	return rc;
}

static int expect_workload(struct site *s, const struct noted *noted, size_t nnoted, struct verify_report *r,
    json_t *found, struct err *e)
{
	struct err failed = { 0 };
	char why[160] = "";
	uint64_t seq = 0;
	int rc = 0;

	for (int i = 0; rc == 0 && i < ATTEMPTS; i++) {
		struct checkpoint **v;
		size_t n;

		if (catalog_list(s, noted->workload, &v, &n, &failed)) {
			if (failed.code != DM_BAD) {
				*e = failed;
				return -1;
			}
			snprintf(why, sizeof(why), "records that are damaged keep it from being compared");
			seq = noted->seq;
			break;
		}
		rc = hold_against(s, noted, nnoted, v, n, &seq, why, e);
		catalog_list_free(v, n);
	}
	if (rc == 0)
		verify_lost(r, noted->workload, seq, "", why);
	if (rc > 0)
		json_array_append_new(found, json_pack("{s:s, s:I}", "workload", noted->workload,
		    "seq", (json_int_t)seq));
	return rc < 0 ? -1 : 0;
}

int verify_expect(struct site *s, const json_t *o, struct verify_report *r, json_t *found, struct err *e)
{
	struct noted *v = NULL;
	size_t n, end;
	int rc = 0;

	if (r->locked)
		return err_set(e, DM_USAGE, "--expect needs the key of the site");
	if (noted_list(o, &v, &n, e))
		return -1;
	for (size_t i = 0; rc == 0 && i < n; i = end) {
		for (end = i + 1; end < n && !strcmp(v[end].workload, v[i].workload); end++)
			;
		rc = expect_workload(s, &v[i], end - i, r, found, e);
	}
	free(v);
	return rc;
}
