/* dm-send: requests in, chunks out.  dm-send(1) */
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "base/progress.h"
#include "content/codec.h"
#include "job/emit.h"
#include "job/failure.h"
#include "job/sealing.h"
#include "repo/site.h"

#define SIZE_MOST (UINT64_C(1) << 50)

struct args {
	const char *compress, *resume;
	uint64_t threads, chunk_size, interval;
	bool all, allow_change, progress, one_way;
	struct sealing seal;
	const char *key;
	char **volume;
	size_t nvolumes;
};

static void args_parse(struct args *a, int argc, char **argv)
{
	const struct opt opts[] = {
		{ "compress", 'z', OPT_STR, &a->compress, "zstd[:LEVEL|:auto]|none",
		  "compress chunks; none: unpack what the source holds packed", 0, 0 },
		{ "threads", 'j', OPT_U64, &a->threads, "N",
		  "read and compress with N threads (default: one per CPU, or what the volumes want)", 1, EMIT_THREADS_MAX },
		{ "all", 'a', OPT_FLAG, &a->all, NULL,
		  "no requests: send the volumes whole", 0, 0 },
		{ "chunk-size", 0, OPT_SIZE, &a->chunk_size, "SIZE",
		  "with --all: cut into chunks of SIZE (default 1M)", CHUNK_MIN, CHUNK_MAX },
		{ "interval", 'i', OPT_SIZE, &a->interval, "SIZE",
		  "with --all: have it made durable each time it is this much (500M)", KIB(4), SIZE_MOST },
		{ "resume", 'r', OPT_STR, &a->resume, "SITE",
		  "with --all: leave out what an interrupted session of this site holds", 0, 0 },
		{ "allow-change", 0, OPT_FLAG, &a->allow_change, NULL,
		  "the volumes may change while they are read", 0, 0 },
		{ "seal", 0, OPT_STR, &a->seal.seal, "KEYFILE",
		  "talk sealed with dm-recv -- COMMAND, or with --one-way seal the output", 0, 0 },
		{ "one-way", 0, OPT_FLAG, &a->one_way, NULL,
		  "nobody answers: the stream goes into a file, or is pushed", 0, 0 },
		{ "unseal", 0, OPT_STR, &a->seal.unseal, "KEYFILE",
		  "with --one-way: the requests are sealed with this key", 0, 0 },
		{ "pad", 0, OPT_FLAG, &a->seal.pad, NULL, "hide the lengths of what is sealed", 0, 0 },
		SEALING_SESSION(&a->seal),
		{ "key", 'k', OPT_STR, &a->key, "FILE", "key or passphrase of an encrypted site (" SITE_KEY_ENV ")", 0, 0 },
		{ "progress", 'p', OPT_FLAG, &a->progress, NULL,
		  "show progress; with --all a terminal shows it anyway", 0, 0 },
		{ 0 },
	};
	const struct opt_prog prog = {
		"dm-send", "[NAME=]VOLUME ...", "Read what is asked for and emit it as chunks.",
		opts, 1, (size_t)-1,
	};

	a->chunk_size = CHUNK_MAX;
	a->interval = MIB(500);
	opt_parse(&prog, argc, argv, &a->volume, &a->nvolumes, NULL);
	site_use_key(a->key);
	if (!is_pow2(a->chunk_size))
		opt_die("--chunk-size: not a power of two");
}

static void compress_parse(const char *s, struct emit_how *how)
{
	uint64_t level = CODEC_LEVEL;

	how->form = EMIT_AS_IT_IS;
	if (!s)
		return;
	if (!strcmp(s, "none")) {
		how->form = EMIT_RAW;
		return;
	}
	if (!strcmp(s, "zstd:auto")) {
		how->form = EMIT_ZSTD;
		how->level = EMIT_LEVEL_AUTO;
		return;
	}
	if (strncmp(s, "zstd", 4) || (s[4] && s[4] != ':') ||
	    (s[4] && u64_parse(s + 5, 1, 19, &level) < 0))
		opt_die("--compress %s: not zstd, zstd:1 to zstd:19, zstd:auto, or none", s);
	how->form = EMIT_ZSTD;
	how->level = (int)level;
}

/* Sealed for a conversation, or each direction for itself. */
static int seal_load_both(struct args *a, struct emit_how *how, struct err *e)
{
	struct sealing *s = &a->seal;

	if (!a->one_way && !a->all && s->seal) {
		if (s->unseal || s->session)
			opt_die("--unseal and --session go with --one-way");
		s->in = s->out = seal_load(s->seal, SEAL_ANSWERER, NULL, s->pad, e);
		how->seal = s->out;
		return s->out ? 0 : -1;
	}
	if (a->one_way && !s->seal && !s->unseal)
		opt_die("--one-way is for sealed streams: --seal KEYFILE");
	if (s->unseal && (a->all || !a->one_way))
		opt_die("--unseal is for requests that come one way: --one-way");
	if (sealing_load(s, e) < 0)
		return -1;
	how->unseal = s->in;
	return 0;
}

/* Can nobody be asking on standard input? */
static bool no_requests(void)
{
	struct stat st;

	return isatty(0) || (!fstat(0, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
}

int main(int argc, char **argv)
{
	struct args a = {0};
	struct grants grants = {0};
	struct emit_how how = { .grants = &grants };
	struct frame_out *o = NULL;
	struct err e = {0};
	int rc = -1;

	fd_startup();
	args_parse(&a, argc, argv);
	compress_parse(a.compress, &how);
	how.threads = (unsigned)a.threads;
	how.allow_change = a.allow_change;
	how.chunk_size = (uint32_t)a.chunk_size;
	how.interval = a.interval;
	how.resume = a.resume;
	a.all |= no_requests();
	if (a.resume && !a.all)
		opt_die("--resume goes with --all: else dm-window has it");
	how.progress = a.progress || a.all ? progress_new("dm-send", a.progress) : NULL;
	if (grants_parse(&grants, a.volume, a.nvolumes, &e) == 0 && seal_load_both(&a, &how, &e) == 0)
		o = frame_out_new(1, "output", &e);
	if (o) {
		frame_out_seal(o, a.seal.out);
		fd_pipe_grow(1);
		fd_pipe_grow(0);
		rc = a.all ? emit_all(&how, 1, o, &e) :
		    emit_requests(&how, 0, 1, o, &e);
	}
	if (how.progress)
		progress_end(how.progress);
	if (rc < 0) {
		failure_tell(o, 1, &e);
		rc = err_report(&e);
	}
	frame_out_free(o);
	sealing_free(&a.seal);
	grants_free(&grants);
	return rc;
}
