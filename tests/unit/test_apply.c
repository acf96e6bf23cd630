/* dm-write's part: what is written and acknowledged, and what is refused. */
#include "../lib/streams.h"
#include "job/apply.h"

#define CHUNK 65536u
#define SIZE (4ull * CHUNK + 1000)

static uint8_t content[SIZE];

static struct entry whole(uint64_t n)
{
	uint64_t off = n * CHUNK;

	return (struct entry){ .index = n, .off = off, .len = min64(CHUNK, SIZE - off) };
}

static void put_whole(struct making *m, uint32_t epoch, uint64_t n)
{
	struct entry en = whole(n);

	making_chunk(m, epoch, &en, content + en.off);
}

static void start(struct making *m)
{
	making_start(m, "d", CHUNK, SIZE);
}

/* Apply the stream to d.raw, acks to the file `acks'.  The error is what
 * dm-write would say. */
static struct err apply(struct making *m, struct apply_sum *sum)
{
	char word[] = "d.raw", *words[] = { word };
	struct grants g = { 0 };
	struct apply_how how = { .targets = &g, .threads = 3 };
	struct cause c;
	struct err e = { 0 }, e2 = { 0 };
	struct acks *acks;

	CHECK(!close(open("acks", O_CREAT | O_TRUNC | O_WRONLY, 0600)));
	CHECK(!cause_init(&c, &e) && !grants_parse(&g, words, 1, &e));
	acks = acks_new("acks", &c, &e);
	CHECK(acks);
	CHECK((apply_run(&how, making_fd(m), acks, &c, sum, &e) < 0) == (e.code != 0));
	CHECK_ERR(!acks_close(acks, &e2), &e2);
	grants_free(&g);
	cause_destroy(&c);
	making_free(m);
	return e;
}

/* It must be refused with this code and these words, and d.raw must not be
 * complete. */
static void refused(struct making *m, int code, const char *says)
{
	struct apply_sum sum = { 0 };
	struct err e = apply(m, &sum);
	char text[4096];
	int fd;

	CHECK_ERR(e.code == code && strstr(e.text, says), &e);
	fd = open("d.raw.dm", O_RDONLY);
	if (fd >= 0) {
		ssize_t n = read(fd, text, sizeof(text) - 1);

		CHECK(n > 0);
		text[n] = 0;
		CHECK(!strstr(text, "complete"));
		close(fd);
	}
	unlink("d.raw");
	unlink("d.raw.dm");
	unlink("acks");
}

struct seen {
	unsigned n[17];			/* frames by type */
	uint64_t durable[3];		/* counts, by epoch */
	unsigned written_at_durable[3];
	uint8_t how[8];			/* by index */
	struct tally end, tally;
	struct final final;
};

static void acks_read(struct seen *s)
{
	int fd = open("acks", O_RDONLY);
	struct frame_in *in = frame_in_new(fd, "acks");
	struct err e = { 0 };
	struct hello h;
	struct written w;
	struct frame f = { 0 };

	memset(s, 0, sizeof(*s));
	CHECK_ERR(!hello_read(in, &h, &e), &e);
	tally_init(&s->tally, &h);
	while (f.type != FT_END) {
		CHECK_ERR(frame_read(in, &f, &e) == 1, &e);
		s->n[f.type]++;
		if (f.type == FT_WRITTEN) {
			CHECK_ERR(!written_decode(&f, &h, &w, &e), &e);
			s->how[w.en.index] = w.how;
			tally_add(&s->tally, f.disk, &w.en, h.chunk_size);
		} else if (f.type == FT_DURABLE) {
			CHECK_ERR(f.epoch < 3 && !durable_decode(&f, &s->durable[f.epoch], &e), &e);
			s->written_at_durable[f.epoch] = s->n[FT_WRITTEN];
		} else if (f.type == FT_FINAL) {
			CHECK_ERR(!final_decode(&f, &s->final, &e), &e);
			final_free(&s->final);
		}
	}
	CHECK_ERR(!end_decode(&f, &s->end, &e) && !frame_in_close(in, &e), &e);
	frame_in_free(in);
	hello_free(&h);
	close(fd);
}

static void written_durable_final(void)
{
	struct entry zero = { .index = 2, .off = 2 * CHUNK, .len = 2 * CHUNK, .flags = EF_ZERO | EF_RUN };
	struct entry part = whole(1);
	struct apply_sum sum = { 0 };
	struct making m;
	struct seen s;
	struct err e;
	static uint8_t want[SIZE], got[SIZE + 1];
	int fd;

	start(&m);
	making_hello(&m);
	put_whole(&m, 1, 0);
	part.flags = EF_FRAGS | EF_REST_ZERO;
	part.nfrags = 2;
	part.frag[0] = (struct frag){ 512, 1024 };
	part.frag[1] = (struct frag){ 4096, 1 };
	making_chunk(&m, 1, &part, content);
	making_barrier(&m, 1, 0);
	making_entry(&m, FT_ZERO, 2, &zero);
	put_whole(&m, 2, 4);
	making_end(&m);
	e = apply(&m, &sum);
	CHECK_ERR(!e.code, &e);
	CHECK(sum.disks == 1 && sum.chunks == 5 && sum.bytes == CHUNK + 1025 + 1000);

	memcpy(want, content, CHUNK);
	memcpy(want + CHUNK + 512, content, 1024);
	want[CHUNK + 4096] = content[1024];
	memcpy(want + 4 * CHUNK, content + 4 * CHUNK, 1000);
	fd = open("d.raw", O_RDONLY);
	CHECK(read(fd, got, sizeof(got)) == (ssize_t)SIZE && !memcmp(got, want, SIZE));
	close(fd);

	acks_read(&s);
	CHECK(s.n[FT_WRITTEN] == 4 && s.n[FT_DURABLE] == 2 && s.n[FT_FINAL] == 1 && !s.n[FT_BARRIER]);
	CHECK(s.durable[1] == 2 && s.written_at_durable[1] >= 2);
	CHECK(s.durable[2] == 5 && s.written_at_durable[2] == 4);
	CHECK(s.how[0] == HOW_DATA && s.how[2] == HOW_ZERO && s.final.side == SIDE_TARGET);
	CHECK(s.end.count == 5 && tally_equal(&s.end, &s.tally));
	unlink("d.raw");
	unlink("d.raw.dm");
	unlink("acks");
}

/* Whatever the order of epochs' chunks, a barrier counts its own epoch. */
static void later_epoch_overtakes_barrier(void)
{
	struct apply_sum sum = { 0 };
	struct barrier b = { .count = 1, .bytes = CHUNK };
	struct making m;
	struct seen s;
	struct err e;

	start(&m);
	making_hello(&m);
	put_whole(&m, 2, 1);
	put_whole(&m, 1, 0);
	CHECK(!barrier_put(m.o, 1, &b, &m.e));
	making_end(&m);
	e = apply(&m, &sum);
	CHECK_ERR(!e.code, &e);
	acks_read(&s);
	CHECK(s.durable[1] == 1 && s.durable[2] == 2);
	unlink("d.raw");
	unlink("d.raw.dm");
	unlink("acks");
}

static void epoch_after_its_barrier(void)
{
	struct making m;

	start(&m);
	making_hello(&m);
	put_whole(&m, 1, 0);
	making_barrier(&m, 1, 0);
	put_whole(&m, 1, 1);
	making_end(&m);
	refused(&m, DM_BAD, "barrier");
}

static void barrier_miscounts(void)
{
	struct making m;

	start(&m);
	making_hello(&m);
	put_whole(&m, 1, 0);
	making_barrier(&m, 1, 1);
	making_end(&m);
	refused(&m, DM_BAD, "barrier");
}

static void chunk_twice(void)
{
	struct making m;

	start(&m);
	making_hello(&m);
	put_whole(&m, 1, 0);
	put_whole(&m, 1, 0);
	making_end(&m);
	refused(&m, DM_BAD, "twice");
}

static void numbers_with_a_gap(void)
{
	struct making m;

	start(&m);
	making_hello(&m);
	put_whole(&m, 1, 0);
	put_whole(&m, 1, 2);
	making_end(&m);
	refused(&m, DM_BAD, "missing");
}

static void end_of_other_chunks(void)
{
	struct entry other = whole(3);
	struct making m;

	start(&m);
	making_hello(&m);
	put_whole(&m, 1, 0);
	tally_init(&m.t, &m.h);
	tally_add(&m.t, 0, &other, CHUNK);
	making_end(&m);
	refused(&m, DM_BAD, "END");
}

static void end_missing(void)
{
	struct making m;

	start(&m);
	making_hello(&m);
	put_whole(&m, 1, 0);
	refused(&m, DM_ENV, "ended before its END");
}

static void more_after_end(void)
{
	struct making m;

	start(&m);
	making_hello(&m);
	put_whole(&m, 1, 0);
	making_end(&m);
	CHECK(!frame_flush(m.o, &m.e) && write(m.fd, "x", 1) == 1);
	refused(&m, DM_BAD, "after END");
}

static void id_of_other_content(void)
{
	for (int frozen = 0; frozen < 2; frozen++) {
		struct entry en = whole(0);
		struct making m;

		start(&m);
		m.h.disk[0].flags = frozen ? DF_FROZEN : 0;
		making_hello(&m);
		en.flags = EF_ID;
		id_content(ID_BLAKE3, CHUNK, content + 1, CHUNK, NULL, &en.id);
		making_chunk(&m, 1, &en, content);
		making_end(&m);
		refused(&m, DM_NO, frozen ? "damaged" : "changed while being read");
	}
}

static void leaves_of_other_content(void)
{
	struct entry en = whole(0);
	struct making m;

	start(&m);
	making_hello(&m);
	en.flags = EF_ID | EF_LEAVES;
	en.nleaves = 1;
	id_content(ID_BLAKE3, CHUNK, content, CHUNK, en.leaf, &en.id);
	en.leaf[0].b[5] ^= 1;
	making_chunk(&m, 1, &en, content);
	making_end(&m);
	refused(&m, DM_BAD, "leaf");
}

static void zero_beside_unknown(void)
{
	struct entry en = whole(0);
	struct making m;

	start(&m);
	making_hello(&m);
	en.flags = EF_FRAGS;
	en.nfrags = 1;
	en.frag[0] = (struct frag){ 0, 512 };
	making_entry(&m, FT_ZERO, 1, &en);
	making_end(&m);
	refused(&m, DM_BAD, "zero beside");
}

static void held_is_not_believed(void)
{
	struct entry en = whole(0);
	struct making m;

	start(&m);
	making_hello(&m);
	making_entry(&m, FT_HELD, 1, &en);
	making_end(&m);
	refused(&m, DM_NO, "interrupted iteration");
}

static void abort_is_relayed(void)
{
	struct err why = { .code = DM_NO, .relayed = 1, .text = "dm-send: disk on fire" };
	struct apply_sum sum = { 0 };
	struct making m;
	struct err e;

	start(&m);
	making_hello(&m);
	put_whole(&m, 1, 0);
	CHECK(!abort_put(m.o, &why, &m.e));
	e = apply(&m, &sum);
	CHECK_ERR(e.code == DM_NO && e.relayed && !strcmp(e.text, why.text), &e);
	unlink("d.raw");
	unlink("d.raw.dm");
	unlink("acks");
}

static void not_for_writers(void)
{
	struct entry en = whole(0);
	struct making m;

	start(&m);
	m.h.kind = KIND_IDS;
	making_hello(&m);
	making_end(&m);
	refused(&m, DM_BAD, "identities");
	start(&m);
	making_hello(&m);
	making_desc(&m, &en);
	making_end(&m);
	refused(&m, DM_BAD, "desc frame");
}

int main(void)
{
	uint64_t seed = 7;

	rnd_fill(&seed, content, sizeof(content));
	work_dir();
	RUN(written_durable_final);
	RUN(later_epoch_overtakes_barrier);
	RUN(epoch_after_its_barrier);
	RUN(barrier_miscounts);
	RUN(chunk_twice);
	RUN(numbers_with_a_gap);
	RUN(end_of_other_chunks);
	RUN(end_missing);
	RUN(more_after_end);
	RUN(id_of_other_content);
	RUN(leaves_of_other_content);
	RUN(zero_beside_unknown);
	RUN(held_is_not_believed);
	RUN(abort_is_relayed);
	RUN(not_for_writers);
	work_dir_remove();
	return 0;
}
