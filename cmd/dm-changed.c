/* dm-changed: which parts of some disks are to be looked at. */
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "job/changes.h"
#include "job/failure.h"
#include "job/sealing.h"
#include "repo/site.h"

static void warn(const char *text)
{
	err_warn("%s", text);
}

static void parse(int argc, char **argv, struct changes_opts *o, struct sealing *s, const char **key)
{
	const struct opt opts[] = {
		{ "since", 's', OPT_LIST, &o->since, "[NAME=]POINT",
		    "what changed since a point the volume itself remembers", 0, 0 },
		{ "against", 'a', OPT_STR, &o->against, "IDS",
		    "scan, and compare with a stream of ids (dm-recover --ids)", 0, 0 },
		{ "state", 0, OPT_LIST, &o->state, "[NAME=]FILE",
		    "scan, and compare with what was seen last time", 0, 0 },
		{ "extents", 'e', OPT_LIST, &o->extents, "[NAME=]FILE|-",
		    "take the word of another tool: JSON, or lines", 0, 0 },
		{ "map", 0, OPT_STR, &o->map, "MEANING",
		    "what --extents lists: changes, allocation, bitmap", 0, 0 },
		{ "base", 'b', OPT_LIST, &o->base, "[NAME=]ROOT",
		    "root of the state that changes are told from", 0, 0 },
		{ "base-point", 0, OPT_LIST, &o->base_point, "[NAME=]TEXT",
		    "the source's name of that state", 0, 0 },
		{ "full", 0, OPT_LIST, &o->full, "NAME",
		    "send all of this disk, whatever else is known of it", 0, 0 },
		{ "fallback", 0, OPT_STR, &o->fallback, "full|scan",
		    "what to do when the tracker cannot be used", 0, 0 },
		{ "audit", 0, OPT_STR, &o->audit, "N%",
		    "read N percent of what is called unchanged, compare with --against", 0, 0 },
		{ "frozen", 0, OPT_FLAG, &o->frozen, NULL,
		    "nothing writes to the volumes while this iteration runs", 0, 0 },
		{ "chunk-size", 'c', OPT_SIZE, &o->chunk_size, "SIZE",
		    "a power of two (1M)", CHUNK_MIN, CHUNK_MAX },
		{ "algo", 0, OPT_STR, &o->algo, "NAME", "blake3 or blake2b (blake3)", 0, 0 },
		{ "jobs", 'j', OPT_U64, &o->threads, "N", "threads of a scan (as many as CPUs)", 1, 256 },
		SEALING_OUT(s), SEALING_IN(s), SEALING_SESSION(s),
		{ "key", 'k', OPT_STR, key, "FILE", "key or passphrase of the encrypted site of --against repo:...", 0, 0 },
		{ "plan", 0, OPT_STR, &o->plan, "NAME", "named in the stream", 0, 0 },
		{ "workload", 'w', OPT_STR, &o->workload, "NAME", "named in the stream", 0, 0 },
		{ 0 },
	};
	const struct opt_prog prog = { "dm-changed", "[NAME=]VOLUME ...",
		"Say which parts of the volumes changed, or hold data.", opts, 1, (size_t)-1 };

	opt_parse(&prog, argc, argv, &o->volume, &o->nvolumes, NULL);
}

static void free_lists(struct changes_opts *o)
{
	free(o->since.v);
	free(o->state.v);
	free(o->extents.v);
	free(o->base.v);
	free(o->base_point.v);
	free(o->full.v);
}

int main(int argc, char **argv)
{
	struct changes_opts opt = { 0 };
	struct changes c = { 0 };
	struct sealing seal = { 0 };
	const char *key = NULL;
	struct err e = { 0 };
	struct frame_out *o;

	fd_startup();
	parse(argc, argv, &opt, &seal, &key);
	/* dm-recover, which is run for the ids, finds it there. */
	if (key && setenv(SITE_KEY_ENV, key, 1) < 0)
		opt_die("out of memory");
	o = sealing_load(&seal, &e) == 0 ? frame_out_new(STDOUT_FILENO, "output", &e) : NULL;
	if (o)
		frame_out_seal(o, seal.out);
	opt.unseal = seal.in;
	if (o && changes_open(&c, &opt, warn, &e) == 0)
		(void)changes_emit(&c, o, STDOUT_FILENO, &e);
	changes_close(&c);
	if (e.code) {
		failure_tell(o, STDOUT_FILENO, &e);
		err_report(&e);
	}
	frame_out_free(o);
	sealing_free(&seal);
	free_lists(&opt);
	return e.code;
}
