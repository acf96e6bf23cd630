/* dm-write: chunks in, volumes written, acks out.  dm-write(1) */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "base/progress.h"
#include "base/timefmt.h"
#include "job/apply.h"
#include "repo/site.h"
#include "stream/record.h"

struct args {
	const char *acks, *key, *site;
	uint64_t threads;
	bool force, verify_base, progress, json;
	char **target;
	size_t ntargets;
	bool acks_out;		/* acks go to standard output */
	bool last;		/* nobody behind us tells a failure */
};

static void args_parse(struct args *a, int argc, char **argv)
{
	const struct opt opts[] = {
		{ "acks", 0, OPT_STR, &a->acks, "PATH|-",
		  "put acks into the FIFO PATH instead of standard output (-)", 0, 0 },
		{ "threads", 'j', OPT_U64, &a->threads, "N",
		  "decode, verify and write with N threads (default: one per CPU, or what the targets want)", 1, APPLY_THREADS_MAX },
		{ "site", 0, OPT_STR, &a->site, "DIR",
		  "keep the ids of what is written, and what is durable, in this site", 0, 0 },
		{ "force", 'f', OPT_FLAG, &a->force, NULL,
		  "write to a target that looks mounted or in use", 0, 0 },
		{ "verify-base", 0, OPT_FLAG, &a->verify_base, NULL,
		  "read a target that nothing proves to hold the base, and compare", 0, 0 },
		{ "json", 0, OPT_FLAG, &a->json, NULL,
		  "print a summary as JSON on standard output, no acks there", 0, 0 },
		{ "key", 'k', OPT_STR, &a->key, "FILE", "key or passphrase of an encrypted site (" SITE_KEY_ENV ")", 0, 0 },
		{ "progress", 'p', OPT_FLAG, &a->progress, NULL,
		  "show progress on standard error", 0, 0 },
		{ 0 },
	};
	const struct opt_prog prog = {
		"dm-write", "[NAME=]TARGET ...", "Write chunks to volumes and acknowledge them.",
		opts, 1, (size_t)-1,
	};
	bool to_stdout;

	opt_parse(&prog, argc, argv, &a->target, &a->ntargets, NULL);
	site_use_key(a->key);
	to_stdout = a->acks && !strcmp(a->acks, "-");
	if (to_stdout && a->json)
		opt_die("--json and --acks - both want standard output");
	if (to_stdout && isatty(1))
		opt_die("--acks -: standard output is a terminal");
	a->acks_out = to_stdout || (!a->acks && !a->json && !isatty(1));
	a->last = a->acks || !a->acks_out || !fd_is_stream(1);
}

static int summary_json(const struct apply_sum *s, double seconds)
{
	json_t *j = json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:O}", "disks", (json_int_t)s->disks,
	    "chunks", (json_int_t)s->chunks, "bytes", (json_int_t)s->bytes,
	    "stored", (json_int_t)s->stored, "dedup", (json_int_t)s->dedup, "seconds", seconds,
	    "points", s->points);
	int rc = j && json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0 ? 0 : -1;

	putchar('\n');
	json_decref(j);
	return rc;
}

static int summary(const struct args *a, const struct apply_sum *s, int64_t ns, struct err *e)
{
	double seconds = (double)ns / 1e9;
	char bytes[16], stored[16];
	int rc = 0;

	if (a->json)
		rc = summary_json(s, seconds);
	else if (isatty(1))
		printf("%llu disk%s, %llu chunks, %s written, %s stored, %.1f s\n",
		    (unsigned long long)s->disks, s->disks == 1 ? "" : "s",
		    (unsigned long long)s->chunks, size_format(s->bytes, bytes),
		    size_format(s->stored, stored), seconds);
	if (rc < 0 || fflush(stdout) || ferror(stdout))
		return err_set(e, DM_ENV, "standard output: write error");
	return 0;
}

/* Say why it failed: to the readers of acks, and to the person when nobody
 * behind us will.  A reader that has gone either took our word with it or
 * spoke for itself. */
static void tell(const struct args *a, struct acks *acks, const struct err *e)
{
	struct frame_out *o = e->quiet ? NULL : acks_begin(acks);
	struct err lost = {0};
	bool told = false;

	if (o) {
		told = abort_put(o, e, &lost) == 0;
		acks_end(acks);
	}
	if (acks_close(acks, &lost) < 0)
		told = lost.quiet;
	if (a->last || !told)
		err_report(e);
}

static int work(const struct args *a, const struct apply_how *how, struct cause *c, struct err *e)
{
	int64_t start = time_mono();
	struct apply_sum sum = { .points = json_object() };
	struct acks *acks = acks_new(a->acks_out ? "-" : a->acks, c, e);
	int rc = -1;

	if (!acks) {
		err_report(e);
		goto out;
	}
	rc = apply_run(how, 0, acks, c, &sum, e);
	if (how->progress)
		progress_end(how->progress);
	if (rc < 0) {
		tell(a, acks, e);
	} else if (acks_close(acks, e) < 0 || summary(a, &sum, time_mono() - start, e) < 0) {
		err_report(e);
		rc = -1;
	}
out:
	json_decref(sum.points);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = {0};
	struct grants targets = {0};
	struct apply_how how = { .targets = &targets };
	struct cause cause;
	struct err e = {0};

	fd_startup();
	args_parse(&a, argc, argv);
	how.threads = (unsigned)a.threads;
	how.site = a.site;
	how.force = a.force;
	how.verify_base = a.verify_base;
	how.progress = a.progress ? progress_new("dm-write", true) : NULL;
	if (cause_init(&cause, &e) < 0)
		return err_report(&e);
	fd_pipe_grow(0);
	if (grants_parse(&targets, a.target, a.ntargets, &e) < 0)
		err_report(&e);
	else
		work(&a, &how, &cause, &e);
	cause_destroy(&cause);
	grants_free(&targets);
	return e.code;
}
