/* dm-send's part: what is asked for comes, in order, and nothing else. */
#include "../lib/streams.h"
#include "content/codec.h"
#include "job/emit.h"

#define CHUNK 65536u
#define CHUNKS 40u
#define SIZE (CHUNKS * (uint64_t)CHUNK + 777)

static uint8_t content[SIZE];

static void source_make(void)
{
	uint64_t seed = 11;
	int fd = open("d.raw", O_CREAT | O_TRUNC | O_WRONLY, 0600);

	rnd_fill(&seed, content, sizeof(content));
	memset(content + 5 * CHUNK, 0, CHUNK);
	memset(content + 9 * CHUNK, 0, CHUNK);
	CHECK(write(fd, content, SIZE) == (ssize_t)SIZE);
	close(fd);
}

struct answer {
	int fd;
	struct frame_in *in;
	struct hello h;
	struct tally t;
	struct frame f;
	struct chunk c;
	struct entry en;
	unsigned stats;
};

/* Send what the stream asks for; *e is what dm-send would say.  Unless it
 * failed the answer is open behind its HELLO. */
static void emit_how(struct making *m, struct answer *a, enum emit_form form, bool allow_change, struct err *e)
{
	char word[] = "d.raw", *words[] = { word };
	struct grants g = { 0 };
	struct emit_how how = { .grants = &g, .form = form, .level = 1, .threads = 4,
		.allow_change = allow_change, .chunk_size = CHUNK };
	struct frame_out *o;

	a->fd = open(".", O_TMPFILE | O_RDWR, 0600);
	o = frame_out_new(a->fd, "test", e);
	CHECK(o && !grants_parse(&g, words, 1, e));
	if (m)
		emit_requests(&how, making_fd(m), a->fd, o, e);
	else
		emit_all(&how, a->fd, o, e);
	if (m)
		making_free(m);
	grants_free(&g);
	frame_out_free(o);
	a->in = NULL;
	a->stats = 0;
	if (e->code) {
		close(a->fd);
		return;
	}
	CHECK(lseek(a->fd, 0, SEEK_SET) == 0);
	a->in = frame_in_new(a->fd, "answer");
	CHECK_ERR(!hello_read(a->in, &a->h, e), e);
	tally_init(&a->t, &a->h);
}

static void emit(struct making *m, struct answer *a)
{
	struct err e = { 0 };

	emit_how(m, a, EMIT_AS_IT_IS, false, &e);
	CHECK_ERR(!e.code, &e);
}

/* The next frame that is not STAT. */
static int next(struct answer *a)
{
	struct err e = { 0 };

	do
		CHECK_ERR(frame_read(a->in, &a->f, &e) == 1, &e);
	while (a->f.type == FT_STAT && ++a->stats);
	if (a->f.type == FT_CHUNK) {
		CHECK_ERR(!chunk_decode(&a->f, &a->h, &a->c, &e), &e);
		a->en = a->c.en;
	} else if (a->f.type == FT_ZERO || a->f.type == FT_HELD) {
		CHECK_ERR(!entry_frame_decode(&a->f, &a->h, &a->en, &e), &e);
	} else {
		return a->f.type;
	}
	tally_add(&a->t, 0, &a->en, CHUNK);
	return a->f.type;
}

/* The rest: STAT and an END that fits. */
static void ends(struct answer *a)
{
	struct tally t;
	struct err e = { 0 };

	CHECK(next(a) == FT_END && a->stats);
	CHECK_ERR(!end_decode(&a->f, &t, &e) && tally_equal(&t, &a->t), &e);
	CHECK_ERR(!frame_in_close(a->in, &e), &e);
	frame_in_free(a->in);
	hello_free(&a->h);
	close(a->fd);
}

static void start(struct making *m)
{
	making_start(m, "any", CHUNK, SIZE);
}

/* A run is cut, zeros are found, barriers and what is held stay in place. */
static void in_order(void)
{
	struct entry run = { .index = 0, .off = 0, .len = 30ull * CHUNK, .flags = EF_RUN };
	struct entry held = { .index = 30, .off = 30ull * CHUNK, .len = CHUNK };
	struct entry tail = { .index = 31, .off = 40ull * CHUNK, .len = 777 };
	struct entry zero = { .index = 32, .off = 31ull * CHUNK, .len = 2ull * CHUNK, .flags = EF_ZERO | EF_RUN };
	struct making m;
	struct answer a;

	start(&m);
	making_hello(&m);
	making_desc(&m, &run);
	making_entry(&m, FT_HELD, 1, &held);
	making_barrier(&m, 1, 0);
	making_desc(&m, &tail);
	making_desc(&m, &zero);
	making_end(&m);
	emit(&m, &a);
	CHECK(a.h.disk[0].target_point[0]);
	for (uint64_t i = 0; i < 30; i++) {
		CHECK(next(&a) == (i == 5 || i == 9 ? FT_ZERO : FT_CHUNK));
		CHECK(a.en.index == i && a.en.off == i * CHUNK && a.en.len == CHUNK && !a.en.flags);
		CHECK(a.f.epoch == 1);
		if (a.f.type == FT_CHUNK)
			CHECK(a.c.codec == CODEC_RAW && !memcmp(a.c.data, content + a.en.off, CHUNK));
	}
	CHECK(next(&a) == FT_HELD && a.en.index == 30);
	CHECK(next(&a) == FT_BARRIER);
	CHECK(next(&a) == FT_CHUNK && a.c.plain == 777 && !memcmp(a.c.data, content + tail.off, 777));
	CHECK(next(&a) == FT_ZERO && entry_equal(&a.en, &zero));
	ends(&a);
}

/* Nobody behind it sees what stands in them before the target does. */
static void barrier_that_is_none(void)
{
	struct making m;
	struct answer a;
	struct err e = { 0 };

	start(&m);
	making_hello(&m);
	CHECK(!frame_put1(m.o, FT_BARRIER, 0, 0, 1, "short", 5, &e));
	making_end(&m);
	emit_how(&m, &a, EMIT_RAW, false, &e);
	CHECK(e.code == DM_BAD);
}

/* Whatever lies between them, each chunk is read once, for its own slot. */
static void chunks_among_entries(void)
{
	struct making m;
	struct answer a;
	struct err e = { 0 };
	uint64_t seed = 3, index = 0, n = 3000;

	start(&m);
	making_hello(&m);
	for (; index < n; index++) {
		uint64_t at = index % CHUNKS;
		struct entry en = { .index = index, .off = at * CHUNK, .len = CHUNK };

		/* stretches of either, longer than there are slots */
		if (rnd(&seed) % 16 < (index / 64 % 2 ? 15 : 1))
			making_desc(&m, &en);
		else
			making_entry(&m, FT_HELD, 1, &en);
	}
	making_end(&m);
	emit_how(&m, &a, EMIT_ZSTD, false, &e);
	CHECK_ERR(!e.code, &e);
	for (index = 0; index < n; index++) {
		int type = next(&a);

		CHECK(a.en.index == index);
		if (type == FT_CHUNK)
			CHECK(!memcmp(a.c.data, content + a.en.off, CHUNK));
	}
	ends(&a);
}

/* Fragments are gathered; zero ones are said to be zero only when the rest of
 * the chunk is known to be. */
static void fragments(void)
{
	struct entry en = { .index = 0, .off = 2ull * CHUNK, .len = CHUNK, .flags = EF_FRAGS,
		.nfrags = 2, .frag = { { 10, 100 }, { 5000, 3000 } } };
	struct making m;
	struct answer a;

	start(&m);
	making_hello(&m);
	making_desc(&m, &en);
	en.index = 1;
	en.off = 5ull * CHUNK;
	making_desc(&m, &en);
	en.index = 2;
	en.off = 9ull * CHUNK;
	en.flags |= EF_REST_ZERO;
	making_desc(&m, &en);
	making_end(&m);
	emit(&m, &a);
	CHECK(next(&a) == FT_CHUNK && a.c.plain == 3100);
	CHECK(!memcmp(a.c.data, content + 2 * CHUNK + 10, 100));
	CHECK(!memcmp(a.c.data + 100, content + 2 * CHUNK + 5000, 3000));
	CHECK(next(&a) == FT_CHUNK && bytes_zero(a.c.data, 3100));
	CHECK(next(&a) == FT_ZERO && entry_equal(&a.en, &en));
	ends(&a);
}

/* Compressed only where it pays. */
static void compressed(void)
{
	struct entry en = { .index = 0, .off = 0, .len = CHUNK };
	struct making m;
	struct answer a;
	struct err e = { 0 };
	int fd = open("d.raw", O_WRONLY);

	CHECK(pwrite(fd, "text", 4, 4ll * CHUNK) == 4);
	for (int i = 1; i < 10000; i++)
		CHECK(pwrite(fd, "text", 4, 4ll * CHUNK + 4 * i) == 4);
	close(fd);
	start(&m);
	making_hello(&m);
	making_desc(&m, &en);
	en.index = 1;
	en.off = 4ull * CHUNK;
	making_desc(&m, &en);
	making_end(&m);
	emit_how(&m, &a, EMIT_ZSTD, false, &e);
	CHECK_ERR(!e.code, &e);
	CHECK(next(&a) == FT_CHUNK && a.c.codec == CODEC_RAW && a.c.stored == CHUNK);
	CHECK(next(&a) == FT_CHUNK && a.c.codec == CODEC_ZSTD && a.c.stored < CHUNK / 2);
	ends(&a);
	source_make();
}

static void whole_volume(void)
{
	struct answer a;
	int fd = open("d.raw", O_CREAT | O_TRUNC | O_WRONLY, 0600);

	/* data in chunks 0 and 3, the rest is a hole */
	CHECK(ftruncate(fd, SIZE) == 0);
	CHECK(pwrite(fd, content, CHUNK, 0) == (ssize_t)CHUNK);
	CHECK(pwrite(fd, content, 4096, 3ll * CHUNK + 8192) == 4096);
	close(fd);
	emit(NULL, &a);
	CHECK(a.h.kind == KIND_FULL && a.h.ndisks == 1 && !strcmp(a.h.disk[0].name, "d"));
	CHECK(next(&a) == FT_CHUNK && a.en.index == 0 && a.c.plain == CHUNK);
	CHECK(next(&a) == FT_ZERO && a.en.index == 1 && a.en.off == CHUNK && a.en.len == 2 * CHUNK);
	CHECK(next(&a) == FT_CHUNK && a.en.index == 3 && (a.en.flags & EF_REST_ZERO));
	CHECK(a.c.plain == 4096 && !memcmp(a.c.data, content, 4096));
	CHECK(next(&a) == FT_ZERO && a.en.index == 4 && a.en.off + a.en.len == SIZE);
	ends(&a);
	source_make();
}

static void refused(struct making *m, bool allow_change, int code, const char *says)
{
	struct answer a;
	struct err e = { 0 };

	emit_how(m, &a, EMIT_AS_IT_IS, allow_change, &e);
	CHECK_ERR(e.code == code && strstr(e.text, says), &e);
}

static void other_volumes(void)
{
	struct making m;
	struct answer a;
	struct err e = { 0 };

	making_start(&m, "any", CHUNK, SIZE + 1);
	making_hello(&m);
	making_end(&m);
	refused(&m, false, DM_NO, "bytes");

	start(&m);
	free(m.h.disk[0].target_point);
	m.h.disk[0].target_point = x_strdup("file:1:2:3:4:5");
	making_hello(&m);
	making_end(&m);
	refused(&m, false, DM_NO, "state");

	start(&m);
	free(m.h.disk[0].target_point);
	m.h.disk[0].target_point = x_strdup("file:1:2:3:4:5");
	making_hello(&m);
	making_end(&m);
	emit_how(&m, &a, EMIT_AS_IT_IS, true, &e);
	CHECK_ERR(!e.code, &e);
	ends(&a);

	start(&m);
	m.h.disk = x_grow(m.h.disk, 2, sizeof(struct disk));
	m.h.disk[1] = (struct disk){ .name = x_strdup("other"), .size = 1, .block = 1,
		.base_point = x_strdup(""), .target_point = x_strdup("") };
	m.h.ndisks = 2;
	making_hello(&m);
	making_end(&m);
	refused(&m, false, DM_NO, "does not grant");
}

static void bad_requests(void)
{
	struct entry en = { .index = 0, .off = 0, .len = CHUNK };
	struct err why = { .code = DM_ENV, .relayed = 1, .text = "dm-window: power cut" };
	struct making m;

	start(&m);
	making_hello(&m);
	making_desc(&m, &en);
	tally_add(&m.t, 0, &en, CHUNK);
	making_end(&m);
	refused(&m, false, DM_BAD, "END");

	start(&m);
	making_hello(&m);
	making_desc(&m, &en);
	refused(&m, false, DM_ENV, "ended before its END");

	start(&m);
	making_hello(&m);
	making_chunk(&m, 1, &en, content);
	making_end(&m);
	refused(&m, false, DM_BAD, "chunk frame");

	start(&m);
	making_hello(&m);
	making_desc(&m, &en);
	CHECK(!abort_put(m.o, &why, &m.e));
	refused(&m, false, DM_ENV, "dm-window: power cut");
}

int main(void)
{
	work_dir();
	source_make();
	RUN(in_order);
	RUN(barrier_that_is_none);
	RUN(chunks_among_entries);
	RUN(fragments);
	RUN(compressed);
	RUN(whole_volume);
	RUN(other_volumes);
	RUN(bad_requests);
	unlink("d.raw");
	work_dir_remove();
	return 0;
}
