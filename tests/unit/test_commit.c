/* common/job/commit: acks that add up become a checkpoint, all others do not. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "base/fdio.h"
#include "content/codec.h"
#include "job/commit.h"
#include "repo/session.h"
#include "repo/tree.h"
#include "stream/record.h"

#define CHUNK 65536u
#define CHUNKS 20u		/* of each disk */
#define DISKS 2u

static char *dir;
static struct site *site;
static struct err err;

/* How a stream of acks differs from a right one. */
enum fault {
	NONE, HEAD_MISSING, LOST, TWICE, OVERLAP, WRONG_ENTRY, NOT_DURABLE, DURABLE_FIRST,
	DURABLE_LESS, DURABLE_MORE, EPOCH_BACK, FINAL_MISSING, FINAL_TWICE, FINAL_OF_NONE,
	SOURCE_DIFFERS, ANNOUNCED_DIFFERS, END_COUNT, END_BYTES, END_ROOT, END_MISSING, NO_ACK,
	MAY_IGNORE, IDS, OTHER_HASH, SECOND_HELLO, FAULTS
};

static const struct { int code; const char *text; } expect[FAULTS] = {
	[NONE] = { 0, "" },
	[HEAD_MISSING] = { DM_BAD, "before HELLO" },
	[LOST] = { DM_BAD, "acknowledged" },
	[TWICE] = { DM_BAD, "twice" },
	[OVERLAP] = { DM_BAD, "twice" },
	[WRONG_ENTRY] = { DM_BAD, "not what END tells" },
	[NOT_DURABLE] = { DM_BAD, "never durable" },
	[DURABLE_FIRST] = { DM_BAD, "durable" },
	[DURABLE_LESS] = { DM_BAD, "durable" },
	[DURABLE_MORE] = { DM_BAD, "durable" },
	[EPOCH_BACK] = { DM_BAD, "durable already" },
	[FINAL_MISSING] = { DM_BAD, "no FINAL" },
	[FINAL_TWICE] = { DM_BAD, "second FINAL" },
	[FINAL_OF_NONE] = { DM_BAD, "disk" },
	[SOURCE_DIFFERS] = { DM_BAD, "not what was sent" },
	[ANNOUNCED_DIFFERS] = { DM_BAD, "not what was sent" },
	[END_COUNT] = { DM_BAD, "acknowledged" },
	[END_BYTES] = { DM_BAD, "not what END tells" },
	[END_ROOT] = { DM_BAD, "not what END tells" },
	[END_MISSING] = { DM_ENV, "before its END" },
	[NO_ACK] = { DM_BAD, "no ack" },
	[MAY_IGNORE] = { 0, "" },
	[IDS] = { DM_BAD, "ids" },
	[OTHER_HASH] = { DM_NO, "blake2b" },
	[SECOND_HELLO] = { DM_BAD, "second HELLO" },
};

#define OK(call) do { \
	if ((call) != 0) { \
		fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, err.text); \
		exit(1); \
	} \
} while (0)

/* Both disks hold the same: chunk i is all bytes i + 1. */
static void fill_store(struct id *root)
{
	struct store *st = store_open(site, STORE_WRITE, &err);
	struct chunk_update up[CHUNKS];
	uint8_t p[CHUNK];
	struct id leaf[LEAVES_MAX];
	uint64_t added;

	CHECK(st);
	for (uint32_t i = 0; i < CHUNKS; i++) {
		struct store_chunk c = { .leaf = leaf, .plain = p, .len = CHUNK };

		memset(p, (int)i + 1, CHUNK);
		id_content(site->algo, CHUNK, p, CHUNK, leaf, &c.id);
		OK(store_put_chunk(st, &c, &added, &err));
		up[i] = (struct chunk_update){ .n = i, .count = 1, .id = c.id };
	}
	OK(tree_update(st, NULL, CHUNKS * CHUNK, up, CHUNKS, root, &err));
	OK(store_flush(st, &err));
	store_close(st);
}

static void make_hello(struct hello *h, enum fault fault, const struct id *root)
{
	*h = (struct hello){
		.version_min = STREAM_VERSION, .version_max = STREAM_VERSION, .chunk_size = CHUNK,
		.algo = fault == OTHER_HASH ? ID_BLAKE2B : ID_BLAKE3,
		.kind = fault == IDS ? KIND_IDS : KIND_FULL, .codecs = 1u << CODEC_RAW,
		.ndisks = DISKS,
	};
	hello_new_session(h);
	h->plan = x_strdup("");
	h->workload = x_strdup("");
	h->disk = x_array(DISKS, sizeof(*h->disk));
	for (uint32_t i = 0; i < DISKS; i++) {
		h->disk[i] = (struct disk){
			.name = x_strdup(i ? "vdc" : "vdb"), .size = CHUNKS * CHUNK, .block = 512,
			.flags = DF_TARGET_ROOT, .target_root = *root,
			.base_point = x_strdup(""), .target_point = x_strdup("file:1:2:3:4:5"),
		};
		if (i && fault == ANNOUNCED_DIFFERS)
			h->disk[i].target_root.b[0] ^= 1;
	}
}

/* The session that dm-write had. */
static void open_session(const struct hello *h)
{
	struct session_disk d[DISKS] = { 0 };
	struct session want = { .workload = "", .disk = d, .ndisks = DISKS }, *se;

	for (uint32_t i = 0; i < DISKS; i++)
		d[i] = (struct session_disk){
			.name = h->disk[i].name, .size = h->disk[i].size, .block = 512, .full = true,
			.base_point = "", .target_point = "",
		};
	se = session_begin(site, h->session, &want, &err);
	CHECK(se);
	session_close(se);
}

static void put_written(struct frame_out *o, uint32_t disk, uint32_t epoch, uint64_t index,
    uint32_t chunk, struct tally *t)
{
	struct written w = { .how = HOW_DATA };

	w.en.index = index;
	w.en.off = (uint64_t)chunk * CHUNK;
	w.en.len = CHUNK;
	tally_add(t, disk, &w.en, CHUNK);
	OK(written_put(o, disk, epoch, &w, &err));
}

/* One of two epochs: half of the chunks of both disks, in turn. */
static uint64_t put_half(struct frame_out *o, unsigned half, enum fault fault, struct tally *t)
{
	struct tally other = *t;
	uint64_t index = half * DISKS * CHUNKS / 2, n = CHUNKS / 2;

	for (uint32_t i = 0; i < n; i++)
		for (uint32_t disk = 0; disk < DISKS; disk++) {
			uint32_t chunk = half * CHUNKS / 2 + i, epoch = half + 1;
			bool here = half == 0 && i == 3 && disk == 1;

			if (half == 1 && i == 2 && disk == 0 && fault == EPOCH_BACK)
				epoch = 1;
			if (here && fault == WRONG_ENTRY)
				put_written(o, disk, epoch, index, chunk + 1, &other);
			if (here && (fault == LOST || fault == WRONG_ENTRY))
				tally_add(t, disk, &(struct entry){ .index = index,
				    .off = (uint64_t)chunk * CHUNK, .len = CHUNK }, CHUNK);
			else
				put_written(o, disk, epoch, index, chunk, t);
			if (here && fault == TWICE)
				put_written(o, disk, epoch, index, chunk, &other);
			if (here && fault == OVERLAP)
				put_written(o, disk, epoch, index - 1, chunk, &other);
			index++;
		}
	return index;
}

static void put_finals(struct frame_out *o, enum fault fault, const struct id *root)
{
	for (uint32_t i = 0; i < DISKS; i++) {
		char text[80];
		struct final f = { .side = SIDE_TARGET, .flags = FINAL_ROOT, .root = *root, .stored = 100 };

		f.point = x_printf("root:%s", id_format(ID_BLAKE3, root, text));
		if (i != 1 || fault != FINAL_MISSING)
			OK(final_put(o, i, &f, &err));
		if (fault == FINAL_TWICE)
			OK(final_put(o, i, &f, &err));
		if (fault == FINAL_OF_NONE)
			OK(final_put(o, DISKS, &f, &err));
		free(f.point);
		f.side = SIDE_SOURCE;
		f.point = "";
		if (i && fault == SOURCE_DIFFERS)
			f.root.b[5] ^= 1;
		OK(final_put(o, i, &f, &err));
	}
}

static void put_durable(struct frame_out *o, uint32_t epoch, uint64_t count, enum fault fault)
{
	if (fault == NOT_DURABLE && epoch == 2)
		return;
	if (fault == DURABLE_LESS)
		count--;
	if (fault == DURABLE_MORE)
		count++;
	OK(durable_put(o, epoch, count, &err));
}

static void put_stream(struct frame_out *o, const struct hello *h, enum fault fault,
    const struct id *root)
{
	struct tally t;
	uint64_t n;

	tally_init(&t, h);
	if (fault != HEAD_MISSING)
		OK(hello_put(o, h, &err));
	if (fault == SECOND_HELLO)
		OK(hello_put(o, h, &err));
	if (fault == DURABLE_FIRST)
		put_durable(o, 1, DISKS * CHUNKS / 2, fault);
	if (fault == NO_ACK)
		OK(frame_put1(o, FT_BARRIER, 0, 0, 1, "0123456789abcdef", 16, &err));
	if (fault == MAY_IGNORE)
		OK(frame_put1(o, 200, FF_MAY_IGNORE, 0, 1, "later", 5, &err));
	for (unsigned half = 0; half < 2; half++) {
		n = put_half(o, half, fault, &t);
		put_durable(o, half + 1, n, fault);
	}
	put_finals(o, fault, root);
	t.count += fault == END_COUNT;
	t.bytes += fault == END_BYTES;
	t.root[2] += fault == END_ROOT;
	if (fault != END_MISSING)
		OK(end_put(o, &t, &err));
	OK(frame_flush(o, &err));
}

/* Commit a stream with this fault. */
static int run(enum fault fault, const struct id *root, struct checkpoint **made, struct err *e)
{
	struct commit_how how = { .site = dir, .workload = "web1" };
	struct frame_out *o;
	struct hello h;
	FILE *f = tmpfile();
	int fd = fileno(f), rc;

	make_hello(&h, fault, root);
	open_session(&h);
	o = frame_out_new(fd, "test", &err);
	put_stream(o, &h, fault, root);
	frame_out_free(o);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	rc = commit_run(&how, fd, made, e);
	hello_free(&h);
	fclose(f);
	return rc;
}

static size_t published(void)
{
	uint64_t *seq;
	size_t n;

	OK(catalog_seqs(site, "web1", &seq, &n, &err));
	free(seq);
	return n;
}

static void test_faults(void)
{
	struct checkpoint *made;
	struct id root;
	size_t n = 0;

	fill_store(&root);
	for (enum fault f = 0; f < FAULTS; f++) {
		struct err e = { 0 };
		int rc = run(f, &root, &made, &e);

		n += expect[f].code == 0;
		if (e.code != expect[f].code || !strstr(e.text, expect[f].text) ||
		    (rc == 0) != (e.code == 0) || published() != n) {
			fprintf(stderr, "fault %d: code %d, %s\n", f, e.code, e.text);
			exit(1);
		}
		checkpoint_free(made);
	}
}

static void test_record(void)
{
	struct err e = { 0 };
	struct checkpoint *c, *latest;
	struct id root;
	struct session **v;
	bool *alive;
	size_t n;

	fill_store(&root);
	CHECK(run(NONE, &root, &c, &e) == 0);
	latest = catalog_latest(site, "web1", &e);
	CHECK(latest && latest->seq == c->seq && !strcmp(latest->session, c->session));
	CHECK(c->ndisks == 2 && !strcmp(c->disk[1].name, "vdc") && c->disk[1].has_root);
	CHECK(id_equal(&c->disk[0].root, &root) && c->changed == DISKS * CHUNKS * CHUNK);
	CHECK(c->stored == 200 && c->chunks == DISKS * CHUNKS && c->parent == c->seq - 1);
	CHECK(!strcmp(c->disk[0].source_point, "file:1:2:3:4:5"));
	CHECK(c->time <= c->committed && c->time == c->started);
	checkpoint_free(latest);
	checkpoint_free(c);
	OK(session_list(site, &v, &alive, &n, &err));	/* it ended with the commit */
	CHECK(n == 0);
	free(alive);
	free(v);
}

/* A root whose chunks are not all there must not become a checkpoint. */
static void test_unknown_root(void)
{
	struct err e = { 0 };
	struct checkpoint *c;
	struct id root;

	memset(root.b, 7, ID_LEN);
	CHECK(run(NONE, &root, &c, &e) < 0 && e.code == DM_NO);
}

int main(void)
{
	const struct site_options o = { .chunk_size = CHUNK };
	char *clean;

	dir = x_strdup("/tmp/dm-commit-XXXXXX");
	CHECK(mkdtemp(dir));
	OK(site_init(dir, &o, &err));
	site = site_open(dir, &err);
	CHECK(site);
	RUN(test_faults);
	RUN(test_record);
	RUN(test_unknown_root);
	site_close(site);
	clean = x_printf("rm -r %s", dir);
	CHECK(system(clean) == 0);
	free(clean);
	free(dir);
	return 0;
}
