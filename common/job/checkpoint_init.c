/* dm-checkpoint init, commit. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/opt.h"
#include "base/timefmt.h"
#include "base/uri.h"
#include "job/checkpoint.h"
#include "job/commit.h"
#include "repo/site_cache.h"

#define RECOVERY_MAX (1u << 20)

int checkpoint_init_main(int argc, char **argv, struct err *e)
{
	uint64_t chunk = 0, level = 0;
	const char *hash = NULL, *index = NULL, *store = NULL;
	struct object_place where = { .kind = "s3" };
	struct site_options o = { .store = NULL };
	bool encrypt = false, join = false;
	uint64_t lease = 0;
	char *bucket = NULL, *prefix = NULL, *dir = NULL;
	int rc;
	char **args;
	size_t n;
	const struct opt opts[] = {
		{ "chunk-size", 0, OPT_SIZE, &chunk, "SIZE", "power of two from 4K to 1M (1M)", CHUNK_MIN, CHUNK_MAX },
		{ "hash", 0, OPT_STR, &hash, "NAME", "blake3 or blake2b (blake3)", 0, 0 },
		{ "level", 0, OPT_U64, &level, "N", "zstd level of what is stored (2)", 1, 19 },
		{ "index", 0, OPT_STR, &index, "DIR", "keep the index here: an absolute path on a local disk", 0, 0 },
		{ "encrypt", 0, OPT_FLAG, &encrypt, NULL, "encrypt what is stored, with the key that --key names", 0, 0 },
		{ "store", 0, OPT_STR, &store, "URI", "keep all but the index in an object store: s3://BUCKET/PREFIX", 0, 0 },
		{ "join", 0, OPT_FLAG, &join, NULL, "the site is in the store already: use it from here too", 0, 0 },
		{ "endpoint-url", 0, OPT_STR, &where.endpoint, "URL", "of a store that is not Amazon's", 0, 0 },
		{ "region", 0, OPT_STR, &where.region, "NAME", "of the store (AWS_REGION)", 0, 0 },
		{ "profile", 0, OPT_STR, &where.profile, "NAME", "whose credentials are used (AWS_PROFILE)", 0, 0 },
		{ "lease", 0, OPT_U64, &lease, "SECONDS", "a writer that is silent for so long is given up (60)", 2, 3600 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint init", "SITE", "Make a directory into a site.", opts, 1, 1,
	};

	checkpoint_opts(&prog, argc, argv, &args, &n);
	if (chunk && !is_pow2(chunk))
		opt_die("--chunk-size: not a power of two");
	o.chunk_size = (uint32_t)chunk;
	o.level = (int)level;
	o.index_path = index;
	o.encrypt = encrypt;
	if (hash) {
		o.algo = id_algo_parse(hash);
		if (!id_algo_valid(o.algo))
			opt_die("--hash: not one of blake3, blake2b: %s", hash);
	}
	if (!store && object_uri_parse(args[0], &bucket, &prefix)) {
		store = args[0];
		free(bucket);
		free(prefix);
		bucket = prefix = NULL;
		if (where.endpoint || where.region || where.profile)
			opt_die("%s: without a directory of its own it is found by the environment alone: AWS_ENDPOINT_URL, "
			    "AWS_REGION, AWS_PROFILE", store);
		dir = site_cache_dir(store, false, e);
	}
	if (!store && (join || lease || where.endpoint || where.region || where.profile))
		opt_die("--join, --lease, --endpoint-url, --region and --profile go with --store");
	if (join && (chunk || level || hash || encrypt || lease))
		opt_die("--join: chunk size, hash, level, lease and encryption are those of the site");
	if (store) {
		if (!object_uri_parse(store, &bucket, &prefix))
			opt_die("--store: not s3://BUCKET/PREFIX: %s", store);
		where.bucket = bucket;
		where.prefix = *prefix ? prefix : NULL;
		o.store = &where;
		o.join = join;
		o.lease_s = (unsigned)lease;
	}
	rc = site_init(dir ? dir : args[0], &o, e);
	free(dir);
	free(bucket);
	free(prefix);
	return rc;
}

static json_t *load_recovery(const char *path, struct err *e)
{
	json_t *o = checkpoint_load("--recovery", path, RECOVERY_MAX, e);

	if (o && !json_is_object(o)) {
		err_set(e, DM_USAGE, "--recovery %s: not a JSON object", path);
		json_decref(o);
		o = NULL;
	}
	return o;
}

/* One line about what was committed; standard output may carry acks. */
static int summary(const struct checkpoint *c, bool to_stderr, struct err *e)
{
	char changed[16], stored[16];

	/* On a terminal dm-window's progress may stand on this line. */
	fprintf(to_stderr ? stderr : stdout, "%s", isatty(to_stderr ? 2 : 1) ? "\r\033[K" : "");
	fprintf(to_stderr ? stderr : stdout,
	    "%s: checkpoint %llu, %s, %zu disk%s, %s changed, %s stored, %.1f s\n", c->workload,
	    (unsigned long long)c->seq, c->kind, c->ndisks, c->ndisks == 1 ? "" : "s",
	    size_format(c->changed, changed), size_format(c->stored, stored),
	    (double)(c->committed - c->started) / 1e9);
	return to_stderr ? 0 : checkpoint_flush(e);
}

int checkpoint_commit_main(int argc, char **argv, struct err *e)
{
	struct commit_how how = { 0 };
	struct checkpoint *made = NULL;
	const char *recovery = NULL;
	bool verbose = false, relays;
	char **args;
	size_t n;
	int rc;
	const struct opt opts[] = {
		{ "workload", 'w', OPT_STR, &how.workload, "NAME", "whose iteration this is (required)", 0, 0 },
		{ "acks", 0, OPT_STR, &how.acks, "PATH", "pass the acks on to this FIFO, or to standard output (-)", 0, 0 },
		{ "recovery", 0, OPT_STR, &recovery, "FILE", "recovery configuration (JSON) to keep with the checkpoint", 0, 0 },
		{ "time", 0, OPT_TIME, &how.time, "TIME", "of the recovery point (when the iteration began)", 0, 0 },
		{ "verbose", 'v', OPT_FLAG, &verbose, NULL, "say what was committed, off a terminal too", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint commit", "--workload NAME SITE",
		"Read acks and seal the iteration into a recovery checkpoint.", opts, 1, 1,
	};

	checkpoint_opts(&prog, argc, argv, &args, &n);
	if (!how.workload)
		opt_die("--workload is required (see dm-checkpoint commit --help)");
	if (!name_valid(how.workload))
		opt_die("--workload: not a name: %s", how.workload);
	if (isatty(STDIN_FILENO))
		opt_die("standard input is a terminal: acks come through a pipe from dm-write");
	how.site = args[0];
	if (recovery) {
		how.recovery = load_recovery(recovery, e);
		if (!how.recovery)
			return -1;
	}
	relays = how.acks && !strcmp(how.acks, "-");
	rc = commit_run(&how, STDIN_FILENO, &made, e);
	if (rc == 0 && (verbose || isatty(relays ? STDERR_FILENO : STDOUT_FILENO)))
		rc = summary(made, relays, e) ? err_prefix(e, "checkpoint %llu of %s is committed, but",
		    (unsigned long long)made->seq, made->workload) : 0;
	checkpoint_free(made);
	json_decref(how.recovery);
	return rc;
}
