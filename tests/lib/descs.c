/* descs [OPTION ...] NAME=SIZE ...: a descriptor stream for tests, of whole
 * disks.  The entries of several disks take turns.
 *
 *   --runs      one run for each disk instead of an entry for each chunk
 *   --zero      all of it zero
 *   --no-end    stop before END
 *   --false-end an END that stands for one chunk more
 *   --twice     the first entry comes again
 *   --abort     ABORT instead of END
 *   --session N another session (a digit)                                  */
#include <stdlib.h>
#include <unistd.h>

#include "base/fdio.h"
#include "base/uri.h"
#include "stream/record.h"

struct how {
	bool runs, zero, no_end, false_end, twice, abort;
	uint8_t session;
};

static struct err e;

static void must(int rc)
{
	if (rc < 0)
		exit(err_report(&e));
}

static void options(struct how *how, char ***arg)
{
	const struct { const char *name; bool *flag; } flags[] = {
		{ "--runs", &how->runs }, { "--zero", &how->zero },
		{ "--no-end", &how->no_end }, { "--false-end", &how->false_end },
		{ "--twice", &how->twice }, { "--abort", &how->abort },
	};

	for (; **arg && ***arg == '-'; ++*arg) {
		if (!strcmp(**arg, "--session")) {
			how->session = (uint8_t)atoi(*++*arg);
			continue;
		}
		for (size_t i = 0; i < LEN(flags); i++)
			if (!strcmp(**arg, flags[i].name))
				*flags[i].flag = true;
	}
}

static void disks(struct hello *h, char **arg)
{
	struct volume_arg a;

	for (; *arg; arg++) {
		must(volume_arg_parse(*arg, &a, &e));
		h->disk = x_grow(h->disk, h->ndisks + 1, sizeof *h->disk);
		h->disk[h->ndisks] = (struct disk){
			.name = a.name, .block = 512,
			.base_point = x_strdup(""), .target_point = x_strdup(""),
		};
		must(size_parse(a.uri, 1, UINT64_MAX, &h->disk[h->ndisks++].size));
		free(a.uri);
	}
}

/* The entry of one disk that begins at off. */
static struct entry entry_at(const struct hello *h, uint32_t disk, uint64_t off,
    const struct how *how)
{
	uint64_t left = h->disk[disk].size - off;

	return (struct entry){
		.off = off, .len = how->runs ? left : min64(left, h->chunk_size),
		.flags = (uint16_t)((how->runs ? EF_RUN : 0) | (how->zero ? EF_ZERO : 0)),
	};
}

int main(int argc, char **argv)
{
	struct how how = { .session = 1 };
	struct hello h = {
		.version_min = STREAM_VERSION, .version_max = STREAM_VERSION,
		.chunk_size = CHUNK_MAX, .algo = ID_BLAKE3, .kind = KIND_FULL, .codecs = 3,
		.plan = x_strdup(""), .workload = x_strdup(""),
	};
	struct desc_batch b = { .epoch = 1 };
	struct tally t;
	struct frame_out *o;
	uint64_t index = 0;
	bool more = true;

	(void)argc;
	fd_startup();
	argv++;
	options(&how, &argv);
	memset(h.session, how.session, sizeof h.session);
	disks(&h, argv);
	o = frame_out_new(STDOUT_FILENO, "output", &e);
	if (!o)
		return err_report(&e);
	must(hello_put(o, &h, &e));
	tally_init(&t, &h);
	for (uint64_t off = 0; more; off += how.runs ? UINT64_C(1) << 62 : h.chunk_size) {
		more = false;
		for (uint32_t d = 0; d < h.ndisks; d++) {
			struct entry en;

			if (off >= h.disk[d].size)
				continue;
			more = true;
			en = entry_at(&h, d, off, &how);
			en.index = index;
			index += entry_count(&en, h.chunk_size);
			tally_add(&t, d, &en, h.chunk_size);
			must(desc_add(o, &b, d, &en, &e));
			if (how.twice && !en.index)
				must(desc_add(o, &b, d, &en, &e));
		}
	}
	must(desc_flush(o, &b, &e));
	t.count += how.false_end;
	if (how.abort) {
		struct err why = { .code = DM_ENV, .relayed = 1, .text = "descs: told to fail" };

		must(abort_put(o, &why, &e));
	} else if (!how.no_end) {
		must(end_put(o, &t, &e));
	}
	must(frame_flush(o, &e));
	frame_out_free(o);
	buf_free(&b.body);
	hello_free(&h);
	return 0;
}
