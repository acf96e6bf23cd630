/* dm-checkpoint list, show, pin, unpin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/opt.h"
#include "base/timefmt.h"
#include "job/checkpoint.h"

static int list_json(struct checkpoint *const *v, size_t n, struct err *e)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, checkpoint_json(v[i]));
	return checkpoint_print(a, e);
}

static int name_width(struct checkpoint *const *v, size_t n)
{
	size_t w = strlen("WORKLOAD");

	for (size_t i = 0; i < n; i++)
		if (strlen(v[i]->workload) > w)
			w = strlen(v[i]->workload);
	return (int)w;
}

static int list_table(struct checkpoint *const *v, size_t n, struct err *e)
{
	int w = name_width(v, n);

	if (n)
		printf("%-*s  %5s  %-20s  %-11s  %5s  %10s  %10s  %6s  PIN\n", w, "WORKLOAD", "ID",
		    "TIME", "KIND", "DISKS", "CHANGED", "STORED", "PARENT");
	for (size_t i = 0; i < n; i++) {
		const struct checkpoint *c = v[i];
		char when[32], changed[16], stored[16], parent[24] = "-";

		if (c->parent)
			snprintf(parent, sizeof(parent), "%llu", (unsigned long long)c->parent);
		printf("%-*s  %5llu  %-20s  %-11s  %5zu  %10s  %10s  %6s  %s\n", w, c->workload,
		    (unsigned long long)c->seq, time_format(c->time, when), c->kind, c->ndisks,
		    size_format(c->changed, changed), size_format(c->stored, stored), parent,
		    c->pinned ? "pinned" : "-");
	}
	return checkpoint_flush(e);
}

int checkpoint_list_main(int argc, char **argv, struct err *e)
{
	struct checkpoint **v;
	struct site *s;
	bool json = false;
	char **args;
	size_t nargs, n;
	int rc;
	const struct opt opts[] = {
		{ "json", 0, OPT_FLAG, &json, NULL, "one JSON array of records", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint list", "SITE [WORKLOAD]", "List checkpoints, oldest first.", opts, 1, 2,
	};

	checkpoint_opts(&prog, argc, argv, &args, &nargs);
	s = site_open(args[0], e);
	if (!s)
		return -1;
	rc = catalog_list(s, nargs > 1 ? args[1] : NULL, &v, &n, e);
	site_close(s);
	if (rc)
		return -1;
	rc = json ? list_json(v, n, e) : list_table(v, n, e);
	catalog_list_free(v, n);
	return rc;
}

static void show_point(const char *what, const char *point)
{
	char *text = line_clean(x_strdup(*point ? point : "-"));

	printf("    %s  %s\n", what, text);
	free(text);
}

static void show_disk(const struct checkpoint_disk *d, int algo)
{
	char size[16], changed[16], root[80];

	printf("  disk %s: %llu bytes (%s), blocks of %u, %s changed\n", d->name,
	    (unsigned long long)d->size, size_format(d->size, size), d->block,
	    size_format(d->changed, changed));
	if (d->has_root)
		printf("    root    %s%s\n", id_format(algo, &d->root, root),
		    d->partial ? " (partial)" : "");
	show_point("point ", d->point);
	show_point("source", d->source_point);
}

static int show_text(const struct checkpoint *c, struct err *e)
{
	char t[3][32], changed[16], stored[16];

	printf("%s checkpoint %llu%s\n", c->workload, (unsigned long long)c->seq,
	    c->pinned ? " (pinned)" : "");
	printf("  time %s, began %s, committed %s\n", time_format(c->time, t[0]),
	    time_format(c->started, t[1]), time_format(c->committed, t[2]));
	printf("  %s, parent %llu, session %s\n", c->kind, (unsigned long long)c->parent,
	    c->session);
	printf("  %llu chunks, %s changed, %s stored\n", (unsigned long long)c->chunks,
	    size_format(c->changed, changed), size_format(c->stored, stored));
	for (size_t i = 0; i < c->ndisks; i++)
		show_disk(&c->disk[i], c->algo);
	if (c->recovery) {
		char *text = json_dumps(c->recovery, JSON_INDENT(2));

		printf("  recovery %s\n", text ? text : "?");
		free(text);
	}
	return checkpoint_flush(e);
}

int checkpoint_show_main(int argc, char **argv, struct err *e)
{
	const char *at = "latest";
	struct checkpoint *c;
	struct site *s;
	bool json = false;
	char **args;
	size_t nargs;
	int rc;
	const struct opt opts[] = {
		{ "at", 0, OPT_STR, &at, "POINT", "latest, a checkpoint's number, or a time such as -2h (latest)", 0, 0 },
		{ "json", 0, OPT_FLAG, &json, NULL, "the record as JSON", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint show", "SITE WORKLOAD", "Show one checkpoint.", opts, 2, 2,
	};

	checkpoint_opts(&prog, argc, argv, &args, &nargs);
	s = site_open(args[0], e);
	if (!s)
		return -1;
	c = catalog_find(s, args[1], at, e);
	site_close(s);
	if (!c)
		return -1;
	rc = json ? checkpoint_print(checkpoint_json(c), e) : show_text(c, e);
	checkpoint_free(c);
	return rc;
}

static int pin(const char *name, const char *about, bool on, int argc, char **argv, struct err *e)
{
	const struct opt opts[] = { { NULL, 0, 0, NULL, NULL, NULL, 0, 0 } };
	const struct opt_prog prog = { name, "SITE WORKLOAD POINT", about, opts, 3, 3 };
	struct checkpoint *c;
	struct site *s;
	char **args;
	size_t n;
	int rc;

	checkpoint_opts(&prog, argc, argv, &args, &n);
	s = site_open(args[0], e);
	if (!s)
		return -1;
	c = catalog_find(s, args[1], args[2], e);
	rc = c ? catalog_pin(s, c, on, e) : -1;
	checkpoint_free(c);
	site_close(s);
	return rc;
}

int checkpoint_pin_main(int argc, char **argv, struct err *e)
{
	return pin("dm-checkpoint pin", "Keep a checkpoint from being pruned.", true, argc, argv, e);
}

int checkpoint_unpin_main(int argc, char **argv, struct err *e)
{
	return pin("dm-checkpoint unpin", "Let a checkpoint be pruned again.", false, argc, argv, e);
}
