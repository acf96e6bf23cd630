/* dm-checkpoint verify, stats, reindex. */
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/opt.h"
#include "job/checkpoint.h"
#include "job/verify_expect.h"
#include "job/verify_outside.h"
#include "repo/index.h"
#include "repo/stats.h"
#include "repo/verify.h"

#define NOTED_MAX MIB(256)

static const char *const type_name[] = { "?", "chunk", "overlay", "node", "root", "leaves" };

static json_t *damage_json(const struct verify_damage *d, int algo)
{
	char id[80], pack[2 * PACK_ID + 1];

	hex_put(pack, d->pack, PACK_ID);
	return json_pack("{s:s, s:s, s:s, s:I, s:s}", "id", id_format(algo, &d->id, id),
	    "type", d->type < REC_TYPES ? type_name[d->type] : "?", "pack", pack,
	    "offset", (json_int_t)d->off, "why", d->why);
}

/* found: NULL when nothing was expected. */
static int verify_json(const struct verify_report *r, json_t *found, int algo, struct err *e)
{
	json_t *damage = json_array(), *loss = json_array();

	for (size_t i = 0; i < r->ndamage; i++)
		json_array_append_new(damage, damage_json(&r->damage[i], algo));
	for (size_t i = 0; i < r->nloss; i++)
		json_array_append_new(loss, json_pack("{s:s, s:I, s:s, s:s}",
		    "workload", r->loss[i].workload, "seq", (json_int_t)r->loss[i].seq,
		    "disk", r->loss[i].disk, "why", r->loss[i].why));
	return checkpoint_print(json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:O*}",
	    "ok", r->ndamage == 0 && r->nloss == 0, "locked", r->locked,
	    "packs", (json_int_t)r->packs, "records", (json_int_t)r->records,
	    "bytes", (json_int_t)r->bytes, "checkpoints", (json_int_t)r->checkpoints,
	    "outside", (json_int_t)r->outside, "reread", (json_int_t)r->reread, "damaged", damage, "affected", loss, "expected", found), e);
}

static int verify_text(const struct verify_report *r, json_t *found, int algo, struct err *e)
{
	char bytes[16], id[80], pack[2 * PACK_ID + 1];

	for (size_t i = 0; i < r->ndamage; i++) {
		const struct verify_damage *d = &r->damage[i];

		hex_put(pack, d->pack, PACK_ID);
		printf("damaged: %s %s in pack %s at %u\n",
		    d->type < REC_TYPES ? type_name[d->type] : "record",
		    id_format(algo, &d->id, id), pack, d->off);
	}
	for (size_t i = 0; i < r->nloss; i++)
		printf("affected: %s checkpoint %llu, %s%s: %s\n", r->loss[i].workload,
		    (unsigned long long)r->loss[i].seq, *r->loss[i].disk ? "disk " : "its record",
		    r->loss[i].disk, r->loss[i].why);
	printf("%llu records in %llu packs, %s read; %llu checkpoints\n",
	    (unsigned long long)r->records, (unsigned long long)r->packs,
	    size_format(r->bytes, bytes), (unsigned long long)r->checkpoints);
	for (size_t i = 0; i < json_array_size(found); i++) {
		const json_t *o = json_array_get(found, i);

		printf("%s stands on checkpoint %lld as it was noted\n",
		    json_string_value(json_object_get(o, "workload")),
		    (long long)json_integer_value(json_object_get(o, "seq")));
	}
	if (r->locked)
		printf("encrypted, and no key was given: stored bytes were compared with their checks, "
		    "checkpoints not looked at\n");
	if (r->reread)
		printf("%llu disks outside of the chunk store were read back\n",
		    (unsigned long long)r->reread);
	if (r->outside)
		printf("%llu disks are not in the chunk store and were not read\n",
		    (unsigned long long)r->outside);
	return checkpoint_flush(e);
}

static int verify_all(struct site *s, bool progress, const json_t *noted, struct verify_report *r, json_t *found,
    struct err *e)
{
	struct progress *line = progress_new("verify", progress);
	int rc = verify_run(s, line, r, e);

	if (rc == 0)
		rc = verify_outside(s, line, r, e);
	progress_end(line);
	return rc == 0 && noted ? verify_expect(s, noted, r, found, e) : rc;
}

int checkpoint_verify_main(int argc, char **argv, struct err *e)
{
	struct verify_report r = { 0 };
	bool json = false, progress = false;
	const char *expect = NULL;
	json_t *noted = NULL, *found = NULL;
	struct site *s = NULL;
	char **args;
	size_t n;
	int rc = -1;
	const struct opt opts[] = {
		{ "expect", 0, OPT_STR, &expect, "FILE", "hold it against what list --json said before", 0, 0 },
		{ "json", 0, OPT_FLAG, &json, NULL, "the result as one JSON object", 0, 0 },
		{ "progress", 0, OPT_FLAG, &progress, NULL, "show progress off a terminal too", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint verify", "SITE",
		"Read back everything that is stored, and check that checkpoints are whole.", opts, 1, 1,
	};

	checkpoint_opts(&prog, argc, argv, &args, &n);
	if (expect && !(noted = checkpoint_load("--expect", expect, NOTED_MAX, e)))
		return -1;
	found = noted ? json_array() : NULL;
	s = site_open_locked(args[0], e);
	if (s)
		rc = verify_all(s, progress, noted, &r, found, e);
	if (rc == 0)
		rc = json ? verify_json(&r, found, s->algo, e) : verify_text(&r, found, s->algo, e);
	if (rc == 0 && (r.ndamage || r.nloss))
		rc = err_set(e, DM_NO, "%s: %zu damaged records, %zu disks or records of checkpoints affected",
		    s->path, r.ndamage, r.nloss);
	verify_report_free(&r);
	site_close(s);
	json_decref(found);
	json_decref(noted);
	return rc;
}

/* How many bytes of checkpoints one stored byte stands for. */
static json_t *ratio(const struct store_stats *st)
{
	if (st->locked || !st->pack_bytes)
		return json_null();
	return json_real((double)st->logical / (double)st->pack_bytes);
}

static int stats_json(const struct store_stats *st, struct err *e)
{
	json_t *types = json_object();

	for (int t = REC_CHUNK; t < REC_TYPES; t++)
		json_object_set_new(types, type_name[t], json_pack("{s:I, s:I, s:I}",
		    "records", (json_int_t)st->type[t].records,
		    "stored", (json_int_t)st->type[t].stored,
		    "plain", (json_int_t)st->type[t].plain));
	return checkpoint_print(json_pack("{s:o, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:I, s:I, s:i}",
	    "logical", st->locked ? json_null() : json_integer((json_int_t)st->logical),
	    "unique", (json_int_t)st->unique, "stored", (json_int_t)st->pack_bytes,
	    "checkpoints", (json_int_t)st->checkpoints, "disks", (json_int_t)st->disks,
	    "ratio", ratio(st),
	    "packs", (json_int_t)st->packs, "pack_bytes", (json_int_t)st->pack_bytes,
	    "types", types, "doomed", (json_int_t)st->doomed,
	    "doomed_bytes", (json_int_t)st->doomed_bytes, "depth_max", (int)st->depth_max), e);
}

static int stats_text(const struct store_stats *st, struct err *e)
{
	char a[16], b[16], c[16];

	if (!st->locked && st->pack_bytes)
		printf("logical %s (%llu checkpoints, %llu disks), unique %s, stored %s, ratio %.1f\n\n",
		    size_format(st->logical, a), (unsigned long long)st->checkpoints,
		    (unsigned long long)st->disks, size_format(st->unique, b),
		    size_format(st->pack_bytes, c), (double)st->logical / (double)st->pack_bytes);
	printf("%-8s  %10s  %10s  %10s\n", "TYPE", "RECORDS", "STORED", "PLAIN");
	for (int t = REC_CHUNK; t < REC_TYPES; t++)
		printf("%-8s  %10llu  %10s  %10s\n", type_name[t],
		    (unsigned long long)st->type[t].records, size_format(st->type[t].stored, a),
		    size_format(st->type[t].plain, b));
	printf("%llu packs, %s; %llu records (%s) wait to be deleted; overlays at most %u deep\n",
	    (unsigned long long)st->packs, size_format(st->pack_bytes, a),
	    (unsigned long long)st->doomed, size_format(st->doomed_bytes, b), st->depth_max);
	return checkpoint_flush(e);
}

int checkpoint_stats_main(int argc, char **argv, struct err *e)
{
	struct store_stats st;
	bool json = false;
	struct site *s;
	char **args;
	size_t n;
	int rc;
	const struct opt opts[] = {
		{ "json", 0, OPT_FLAG, &json, NULL, "as one JSON object", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint stats", "SITE", "Count what the chunk store holds.", opts, 1, 1,
	};

	checkpoint_opts(&prog, argc, argv, &args, &n);
	s = site_open_locked(args[0], e);
	if (!s)
		return -1;
	rc = stats_count(s, &st, e);
	site_close(s);
	if (rc)
		return -1;
	return json ? stats_json(&st, e) : stats_text(&st, e);
}

int checkpoint_reindex_main(int argc, char **argv, struct err *e)
{
	const struct opt opts[] = { { NULL, 0, 0, NULL, NULL, NULL, 0, 0 } };
	const struct opt_prog prog = {
		"dm-checkpoint reindex", "SITE", "Rebuild the index from the packs.", opts, 1, 1,
	};
	struct site *s;
	char **args;
	size_t n;
	int rc;

	checkpoint_opts(&prog, argc, argv, &args, &n);
	s = site_open_locked(args[0], e);
	if (!s)
		return -1;
	rc = index_remake(s, e);
	site_close(s);
	return rc;
}
