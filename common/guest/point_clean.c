/* Undoing: exports, jobs, scratch images, bitmaps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "guest/point.h"

#define GONE_MS 15000

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static bool begins(const char *s)
{
	return !strncmp(s, POINT_PREFIX, strlen(POINT_PREFIX));
}

/* What a query lists under key: ours as an array of names, and how many are
 * not ours. */
static json_t *ours(struct point *p, const char *query, const char *key, size_t *others, struct err *e)
{
	json_t *all = qmp_call(p->q, query, NULL, e), *o, *mine = NULL;
	size_t i;

	*others = 0;
	if (all) {
		mine = json_array();
		json_array_foreach(all, i, o) {
			if (begins(text(o, key)))
				json_array_append_new(mine, json_string(text(o, key)));
			else
				++*others;
		}
	}
	json_decref(all);
	return mine;
}

/* Run a command for each of ours and wait until the query lists none. */
static int drop_all(struct point *p, const char *query, const char *key, const char *command,
    json_t *(*args)(const char *name), size_t *had, size_t *others, struct err *e)
{
	int64_t deadline = time_mono() + GONE_MS * INT64_C(1000000);
	json_t *mine, *o;
	size_t i, n, left = 0;
	int r = 0;

	for (n = 0; r == 0; n++) {
		struct err ignored = { 0 };

		mine = ours(p, query, key, others, e);
		if (!mine)
			return -1;
		left = json_array_size(mine);
		if (n == 0) {
			*had = left;
			/* What goes by itself meanwhile is no fault. */
			json_array_foreach(mine, i, o) {
				qmp_do(p->q, command, args(json_string_value(o)), &ignored);
			}
		}
		json_decref(mine);
		if (left == 0)
			return 0;
		if (n && time_mono() > deadline)
			r = err_set(e, DM_ENV, "%s: %s did not do away with what is left of a point", p->how->qmp, command);
		else if (n)
			json_decref(qmp_event(p->q, 200, e));
		if (e->code)
			r = -1;
	}
	return r;
}

static json_t *export_args(const char *name)
{
	return json_pack("{s:s, s:s}", "id", name, "mode", "hard");
}

static json_t *job_args(const char *name)
{
	return json_pack("{s:s, s:b}", "device", name, "force", 1);
}

static json_t *node_args(const char *name)
{
	return json_pack("{s:s}", "node-name", name);
}

/* Scratch nodes; the file under each goes with it. */
static int drop_nodes(struct point *p, bool *had, struct err *e)
{
	json_t *nodes = qmp_call(p->q, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), e), *o;
	size_t i;
	int r = nodes ? 0 : -1;

	json_array_foreach(nodes, i, o) {
		const char *name = text(o, "node-name");

		if (!begins(name) || !strcmp(text(o, "drv"), "file"))
			continue;
		*had = true;
		r = r ? r : qmp_do(p->q, "blockdev-del", node_args(name), e);
	}
	json_decref(nodes);
	return r;
}

/* Full scratch space stops a guest; once the job is gone it can go on. */
static int go_on(struct point *p, struct err *e)
{
	struct err none = { 0 };
	json_t *status = qmp_call(p->q, "query-status", NULL, &none);
	bool stopped = !strcmp(text(status, "status"), "io-error");

	json_decref(status);
	return stopped ? qmp_do(p->q, "cont", NULL, e) : 0;
}

static void drop_files(struct point *p)
{
	char *path;

	unlink(p->socket);
	for (size_t i = 0; i < p->n; i++) {
		path = x_printf("%s/%zu.qcow2", p->dir, i);
		unlink(path);
		free(path);
	}
	rmdir(p->dir);
}

int point_drop(struct point *p, bool *found, struct err *e)
{
	struct err ignored = { 0 };
	size_t exports = 0, jobs = 0, foreign = 0, other_jobs;
	bool nodes = false;
	int r;

	r = drop_all(p, "query-block-exports", "id", "block-export-del", export_args, &exports, &foreign, e);
	if (r == 0)
		r = drop_all(p, "query-block-jobs", "device", "block-job-cancel", job_args, &jobs, &other_jobs, e);
	if (r == 0)
		r = drop_nodes(p, &nodes, e);
	/* The server is ours when it has had an export of ours or listens at our
	 * place, and nobody else exports anything. */
	if (r == 0 && foreign == 0 && (exports || (nodes && access(p->socket, F_OK) == 0)))
		qmp_do(p->q, "nbd-server-stop", NULL, &ignored);
	if (r == 0 && jobs)
		r = go_on(p, e);
	if (found)
		*found = exports || jobs || nodes;
	drop_files(p);
	return r;
}

/* ---- bitmaps ---- */

struct bitmaps {
	json_t *base;		/* the base's, or NULL */
	json_t *other;		/* the owner's others */
	bool others_record;
};

static json_t *bitmap_ref(const struct point_disk *d, const char *name)
{
	return json_pack("{s:s, s:s}", "node", d->node, "name", name);
}

static json_t *action(const char *type, json_t *data)
{
	return json_pack("{s:s, s:o}", "type", type, "data", data);
}

static bool flag(const json_t *b, const char *key)
{
	return json_is_true(json_object_get(b, key));
}

static void bitmaps_sort(const struct point *p, const json_t *node, const char *base, struct bitmaps *b)
{
	json_t *o;
	size_t i;

	*b = (struct bitmaps){ .other = json_array() };
	json_array_foreach(json_object_get(node, "dirty-bitmaps"), i, o) {
		if (base && !strcmp(text(o, "name"), base) && !flag(o, "inconsistent"))
			b->base = o;
		else if (point_is_ours(p, text(o, "name"))) {
			json_array_append(b->other, o);
			b->others_record = b->others_record ||
			    (flag(o, "recording") && !flag(o, "inconsistent"));
		}
	}
}

/* What changed after a point whose iteration was given up belongs to the base
 * again.  With a base that still records, the others are older ones. */
static void merge_actions(const struct point_disk *d, const struct bitmaps *b, json_t *actions)
{
	json_t *o, *from = json_array();
	size_t i;

	json_array_foreach(b->other, i, o) {
		if (!flag(o, "inconsistent"))
			json_array_append_new(from, json_string(text(o, "name")));
	}
	json_array_append_new(actions, action("block-dirty-bitmap-merge",
	    json_pack("{s:s, s:s, s:o}", "node", d->node, "target", text(b->base, "name"), "bitmaps", from)));
	json_array_append_new(actions, action("block-dirty-bitmap-enable", bitmap_ref(d, text(b->base, "name"))));
}

static int bitmaps_of(struct point *p, struct point_disk *d, const json_t *node, const char *base, struct err *e)
{
	json_t *actions = json_array(), *o;
	struct bitmaps b;
	size_t i;
	int r;

	bitmaps_sort(p, node, base, &b);
	if (b.base && !flag(b.base, "recording")) {
		if (b.others_record)
			merge_actions(d, &b, actions);
		else {			/* nobody noted what changed since */
			json_array_append(b.other, b.base);
			b.base = NULL;
		}
	}
	json_array_foreach(b.other, i, o) {
		json_array_append_new(actions, action("block-dirty-bitmap-remove", bitmap_ref(d, text(o, "name"))));
	}
	d->since = b.base != NULL;
	free(d->why);
	d->why = base && !b.base ? x_printf("QEMU has no usable dirty bitmap \"%s\"", base) : NULL;
	r = json_array_size(actions) == 0 ? 0 :
	    qmp_do(p->q, "transaction", json_pack("{s:O}", "actions", actions), e);
	json_decref(actions);
	json_decref(b.other);
	return r;
}

int point_bitmaps(struct point *p, const char *base, struct err *e)
{
	json_t *nodes = qmp_call(p->q, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), e), *o;
	size_t i;
	int r = nodes ? 0 : -1;

	for (size_t k = 0; k < p->n && r == 0; k++)
		json_array_foreach(nodes, i, o) {
			if (r == 0 && !strcmp(text(o, "node-name"), p->disk[k].node))
				r = bitmaps_of(p, &p->disk[k], o, base, e);
		}
	json_decref(nodes);
	return r ? err_prefix(e, "%s", p->how->qmp) : 0;
}
