/* Records: what is put is taken, and what no writer puts is refused. */
#include <unistd.h>
#include <sys/mman.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "content/codec.h"
#include "stream/record_impl.h"

#define CHUNK KIB(64)
#define SIZE (10 * CHUNK + 1000)

static struct hello sample_hello(void)
{
	struct hello h = {
		.version_min = 1, .version_max = 1, .chunk_size = CHUNK, .algo = ID_BLAKE2B,
		.kind = KIND_INCREMENTAL, .codecs = 3, .compat = 0, .rocompat = 0,
		.plan = x_strdup(""), .workload = x_strdup("web\xc3\xa9"), .ndisks = 2,
		.disk = x_array(2, sizeof(struct disk)),
	};

	memcpy(h.session, "0123456789abcdef", 16);
	h.disk[0] = (struct disk){ .name = x_strdup("vdb"), .size = SIZE, .block = 4096,
		.flags = DF_BASE_ROOT | DF_FROZEN, .base_root = { { 1, 2 } },
		.base_point = x_strdup("file:1:2"), .target_point = x_strdup("x") };
	h.disk[1] = (struct disk){ .name = x_strdup("vdc"), .size = 0, .block = 512,
		.base_point = x_strdup(""), .target_point = x_strdup("") };
	return h;
}

static struct frame frame_of(uint8_t type, const struct buf *b)
{
	return (struct frame){ .type = type, .body = b->p, .len = (uint32_t)b->len };
}

static void hello_there_and_back(void)
{
	struct hello h = sample_hello(), got;
	struct buf b = { 0 };
	struct err e = { 0 };
	struct frame f;

	CHECK(!hello_encode(&h, &b));
	f = frame_of(FT_HELLO, &b);
	CHECK_ERR(!hello_decode(&f, &got, &e), &e);
	CHECK(got.chunk_size == CHUNK && got.algo == ID_BLAKE2B && got.kind == KIND_INCREMENTAL);
	CHECK(got.codecs == 3 && !memcmp(got.session, h.session, 16) && got.ndisks == 2);
	CHECK(!strcmp(got.plan, "") && !strcmp(got.workload, "web\xc3\xa9"));
	CHECK(got.disk[0].size == SIZE && got.disk[0].block == 4096);
	CHECK(got.disk[0].flags == (DF_BASE_ROOT | DF_FROZEN));
	CHECK(id_equal(&got.disk[0].base_root, &h.disk[0].base_root));
	CHECK(!strcmp(got.disk[0].base_point, "file:1:2") && !strcmp(got.disk[0].target_point, "x"));
	CHECK(hello_disk(&got, "vdc") == &got.disk[1] && !hello_disk(&got, "vd"));
	CHECK(!hello_writable(&got, &e));
	hello_free(&got);
	hello_free(&h);
	buf_free(&b);
}

/* One change to a good hello; it must not pass. */
static void hello_bad(size_t at, const void *bytes, size_t n, const char *says)
{
	struct hello h = sample_hello(), got;
	struct buf b = { 0 };
	struct err e = { 0 };
	struct frame f;

	CHECK(!hello_encode(&h, &b));
	memcpy(b.p + at, bytes, n);
	f = frame_of(FT_HELLO, &b);
	CHECK(hello_decode(&f, &got, &e) < 0);
	CHECK_ERR(e.code == DM_BAD && strstr(e.text, says), &e);
	CHECK(!got.disk && !got.plan);
	hello_free(&h);
	buf_free(&b);
}

static void hello_refusals(void)
{
	const size_t disk0 = 48 + 2 + 2 + 5, name0 = disk0 + 80, disk1 = name0 + 5 + 10 + 3;
	struct hello h = sample_hello(), got;
	struct buf b = { 0 };
	struct err e = { 0 };
	struct frame f;

	hello_bad(0, "\2\0\2\0", 4, "version");
	hello_bad(4, "\1", 1, "sealed");
	hello_bad(4, "\4", 1, "incompatible bits 0x4");
	hello_bad(32, "\0\x08", 2, "chunks of");
	hello_bad(32, "\1", 1, "chunks of");
	hello_bad(36, "\0", 1, "hash");
	hello_bad(37, "\0", 1, "kind");
	hello_bad(37, "\5", 1, "kind");
	hello_bad(40, "\1\0\0\0", 4, "bytes too many");
	hello_bad(40, "\0\0\0\0", 4, "cannot be in it");
	hello_bad(40, "\3\0\0\0", 4, "cannot be in it");
	hello_bad(40, "\377\377\377\377", 4, "cannot be in it");
	hello_bad(44, "\1", 1, "reserved");
	hello_bad(disk0 + 7, "\200", 1, "size");
	hello_bad(disk0 + 8, "\3", 1, "block");
	hello_bad(disk0 + 12, "\10", 1, "flags");
	hello_bad(disk0 + 12, "\4", 1, "flags");	/* a root without its flag */
	hello_bad(disk0 + 13, "\1", 1, "flags");
	hello_bad(name0 + 2, "/", 1, "name");
	hello_bad(name0 + 2, "\377", 1, "UTF-8");
	hello_bad(name0, "\377\377", 2, "short");
	hello_bad(disk1 + 80, "\3\0vdb", 5, "two disks");
	hello_bad(48 + 2 + 2 + 3, "\0", 1, "UTF-8");

	/* What a later version may add. */
	h.compat = 4;
	h.rocompat = 2;
	CHECK(!hello_encode(&h, &b));
	buf_put(&b, "new", 3);
	f = frame_of(FT_HELLO, &b);
	CHECK_ERR(!hello_decode(&f, &got, &e), &e);
	CHECK(hello_writable(&got, &e) < 0 && e.code == DM_BAD);
	hello_free(&got);
	for (uint32_t len = 0; len + 3 < b.len; len++) {
		e = (struct err){ 0 };
		f.len = len;
		CHECK(hello_decode(&f, &got, &e) < 0 && e.code == DM_BAD);
	}
	hello_free(&h);
	buf_free(&b);
}

static int take(const uint8_t *p, size_t len, struct entry *en, struct err *e)
{
	struct hello h = sample_hello();
	struct cursor c = { .p = p, .end = p + len };
	int rc;

	memset(e, 0, sizeof(*e));
	rc = entry_decode(&c, &h, 0, en, e);
	CHECK(rc == 0 || e->code == DM_BAD);
	CHECK(rc < 0 || c.p == c.end);
	hello_free(&h);
	return rc;
}

static void entry_good(const struct entry *en)
{
	uint8_t p[ENTRY_MAX];
	size_t len = entry_encode(en, p);
	struct entry got;
	struct err e;

	CHECK(len == entry_len(en) && len <= ENTRY_MAX);
	CHECK_ERR(!take(p, len, &got, &e), &e);
	CHECK(entry_equal(en, &got));
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *part = malloc(cut + 1);

		memcpy(part, p, cut);
		CHECK(take(part, cut, &got, &e) < 0);
		free(part);
	}
}

static void entry_bad(const struct entry *en, const char *says)
{
	uint8_t p[ENTRY_MAX + 64];
	size_t len = entry_encode(en, p);
	struct entry got;
	struct err e;

	CHECK(take(p, len, &got, &e) < 0);
	CHECK_ERR(strstr(e.text, says), &e);
}

static void entries_good(void)
{
	struct entry en = { .index = 7, .off = CHUNK, .len = CHUNK };

	entry_good(&en);
	CHECK(entry_count(&en, CHUNK) == 1 && entry_bytes(&en) == CHUNK);
	en.flags = EF_ID | EF_LEAVES;
	en.nleaves = 1;
	memset(&en.id, 3, ID_LEN);
	memset(&en.leaf, 4, ID_LEN);
	entry_good(&en);
	en = (struct entry){ .off = 10 * CHUNK, .len = 1000, .flags = EF_ZERO };
	entry_good(&en);
	CHECK(entry_bytes(&en) == 0);
	en = (struct entry){ .index = 1, .len = SIZE, .flags = EF_RUN };
	entry_good(&en);
	CHECK(entry_count(&en, CHUNK) == 11 && entry_bytes(&en) == SIZE);
	en = (struct entry){ .len = 3 * CHUNK, .flags = EF_RUN | EF_ZERO };
	entry_good(&en);
	en = (struct entry){ .off = 10 * CHUNK, .len = 1000, .flags = EF_FRAGS | EF_REST_ZERO,
		.nfrags = 2, .frag = { { 0, 10 }, { 999, 1 } } };
	entry_good(&en);
	CHECK(entry_bytes(&en) == 11);
	en = (struct entry){ .len = CHUNK, .flags = EF_FRAGS, .nfrags = ENTRY_FRAGS_MAX };
	for (unsigned i = 0; i < ENTRY_FRAGS_MAX; i++)
		en.frag[i] = (struct frag){ i * 256, 255 };
	entry_good(&en);
}

static void entries_bad(void)
{
	const struct entry ok = { .len = CHUNK };
	struct entry en;

#define BAD(says, ...) do { en = ok; __VA_ARGS__; entry_bad(&en, says); } while (0)
	BAD("outside", en.len = 0);
	BAD("outside", en.off = 11 * CHUNK);
	BAD("outside", en.off = 10 * CHUNK);
	BAD("outside", en.off = -CHUNK, en.len = 2 * CHUNK, en.flags = EF_RUN);
	BAD("grid", en.off = 512);
	BAD("grid", en.len = 512);
	BAD("grid", en.off = CHUNK, en.len = CHUNK + 512, en.flags = EF_RUN);
	BAD("longer", en.len = 2 * CHUNK);
	BAD("overflow", en.index = UINT64_MAX);
	BAD("overflow", en.index = UINT64_MAX - 9, en.len = SIZE, en.flags = EF_RUN);
	BAD("unknown flags", en.flags = 64);
	BAD("together", en.flags = EF_RUN | EF_ID);
	BAD("together", en.flags = EF_REST_ZERO);
	BAD("together", en.flags = EF_ZERO | EF_FRAGS, en.nfrags = 1, en.frag[0].len = 1);
	BAD("0 fragments", en.flags = EF_FRAGS);
	BAD("1 fragments", en.nfrags = 1);
	BAD("0 leaves", en.flags = EF_LEAVES);
	BAD("1 leaves", en.nleaves = 1);
	BAD("2 leaves", en.flags = EF_LEAVES, en.nleaves = 2);
	BAD("bad fragments", en.flags = EF_FRAGS, en.nfrags = 1);
	BAD("bad fragments", en.flags = EF_FRAGS, en.nfrags = 1, en.frag[0].off = CHUNK, en.frag[0].len = 1);
	BAD("bad fragments", en.flags = EF_FRAGS, en.nfrags = 1, en.frag[0].off = 1, en.frag[0].len = UINT32_MAX);
	BAD("bad fragments", en.flags = EF_FRAGS, en.nfrags = 2, en.frag[0].len = 9, en.frag[1] = en.frag[0]);
	BAD("bad fragments", en.flags = EF_FRAGS, en.nfrags = 2, en.frag[0].len = 9, en.frag[1] = ((struct frag){ 9, 1 }));
#undef BAD
}

static void runs_are_cut(void)
{
	struct entry run = { .index = 5, .len = SIZE, .flags = EF_RUN }, one;
	uint64_t n = 0, bytes = 0;
	bool more;

	do {
		more = entry_cut(&run, CHUNK, &one);
		CHECK(one.index == 5 + n && one.off == n * CHUNK && !one.flags);
		CHECK(entry_count(&one, CHUNK) == 1);
		bytes += one.len;
		n++;
	} while (more);
	CHECK(n == 11 && bytes == SIZE && one.len == 1000);
	one.flags = EF_FRAGS;
	run = one;
	CHECK(!entry_cut(&run, CHUNK, &one) && entry_equal(&run, &one));
}

/* One frame put and read again. */
struct loop {
	int fd;
	struct frame_out *o;
	struct frame_in *in;
};

static struct loop loop_new(void)
{
	struct err e = { 0 };
	struct loop l = { .fd = memfd_create("loop", 0) };

	l.o = frame_out_new(l.fd, "output", &e);
	l.in = frame_in_new(l.fd, "input");
	return l;
}

static struct frame loop_take(struct loop *l)
{
	struct err e = { 0 };
	struct frame f;

	CHECK(!frame_flush(l->o, &e));
	CHECK(lseek(l->fd, 0, SEEK_SET) == 0);
	CHECK_ERR(frame_read(l->in, &f, &e) == 1, &e);
	return f;
}

static void loop_free(struct loop *l)
{
	frame_in_free(l->in);
	frame_out_free(l->o);
	close(l->fd);
}

static void chunks(void)
{
	struct hello h = sample_hello();
	struct loop l = loop_new();
	uint8_t *copy, *data = malloc(CHUNK);
	struct err e = { 0 };
	struct chunk c = { .en = { .index = 3, .off = CHUNK, .len = CHUNK, .flags = EF_FRAGS,
		.nfrags = 1, .frag = { { 512, 5 } } }, .attempt = 2, .codec = CODEC_RAW,
		.plain = 5, .stored = 5, .data = (const uint8_t *)"hello" }, got;
	size_t fixed = ENTRY_FIXED + 8;
	struct frame f;

	CHECK(!chunk_put(l.o, 0, 9, &c, &e));
	f = loop_take(&l);
	CHECK(f.type == FT_CHUNK && f.epoch == 9 && !f.disk);
	CHECK_ERR(!chunk_decode(&f, &h, &got, &e), &e);
	CHECK(entry_equal(&c.en, &got.en) && got.attempt == 2 && got.codec == CODEC_RAW);
	CHECK(got.plain == 5 && got.stored == 5 && !memcmp(got.data, "hello", 5));

	copy = malloc(f.len);
	memcpy(copy, f.body, f.len);
	f.body = copy;
#define BAD(at, v) do { uint8_t was = copy[at]; copy[at] = (v); e = (struct err){ 0 }; \
	CHECK(chunk_decode(&f, &h, &got, &e) < 0 && e.code == DM_BAD); copy[at] = was; } while (0)
	BAD(fixed, 4);		/* plain */
	BAD(fixed + 4, 4);	/* stored */
	BAD(fixed + 4, 6);
	BAD(fixed + 7, 0xff);
	BAD(fixed + 10, 2);	/* codec */
	BAD(fixed + 11, 1);
	BAD(fixed + 15, 1);
	BAD(ENTRY_FIXED + 4, 6);	/* fragment longer than the data */
#undef BAD
	f.disk = 1;	/* of size 0 */
	CHECK(chunk_decode(&f, &h, &got, &e) < 0);
	f.disk = 2;
	e.code = 0;
	CHECK(chunk_decode(&f, &h, &got, &e) < 0 && e.code == DM_BAD);
	free(copy);
	free(data);
	loop_free(&l);
	hello_free(&h);
}

static void ref_needs_id(void)
{
	struct hello h = sample_hello();
	struct entry en = { .len = CHUNK }, got;
	uint8_t body[ENTRY_MAX];
	struct err e = { 0 };
	struct frame f = { .type = FT_HELD, .body = body, .len = (uint32_t)entry_encode(&en, body) };

	CHECK(!entry_frame_decode(&f, &h, &got, &e));
	f.type = FT_REF;
	CHECK(entry_frame_decode(&f, &h, &got, &e) < 0 && e.code == DM_BAD);
	hello_free(&h);
}

static void small_records(void)
{
	struct hello h = sample_hello();
	struct err e = { 0 };
	struct frame f;
	struct loop l;

#define LOOP(put, take) do { l = loop_new(); CHECK_ERR(!(put), &e); f = loop_take(&l); \
	CHECK_ERR(!(take), &e); loop_free(&l); } while (0)
	struct written w = { .service_us = 77, .how = HOW_REF, .en = { .len = CHUNK, .index = 8 } }, w2;
	LOOP(written_put(l.o, 0, 3, &w, &e), written_decode(&f, &h, &w2, &e));
	CHECK(w2.service_us == 77 && w2.how == HOW_REF && entry_equal(&w.en, &w2.en) && f.epoch == 3);

	struct barrier b = { 1ull << 60, 5 }, b2;
	LOOP(barrier_put(l.o, 4, &b, &e), barrier_decode(&f, &b2, &e));
	CHECK(b2.count == b.count && b2.bytes == 5 && f.epoch == 4);

	uint64_t count;
	LOOP(durable_put(l.o, 4, 99, &e), durable_decode(&f, &count, &e));
	CHECK(count == 99 && f.epoch == 4);

	struct nak n = { 6, CLASS_THROTTLE, 1, 250 }, n2;
	LOOP(nak_put(l.o, 1, 2, &n, &e), nak_decode(&f, &n2, &e));
	CHECK(n2.index == 6 && n2.cls == CLASS_THROTTLE && n2.again == 1 && n2.retry_ms == 250);

	struct final x = { SIDE_TARGET, FINAL_ROOT, { { 9 } }, 1234, "point" }, x2;
	LOOP(final_put(l.o, 1, &x, &e), final_decode(&f, &x2, &e));
	CHECK(x2.side == SIDE_TARGET && x2.flags == FINAL_ROOT && id_equal(&x.root, &x2.root));
	CHECK(x2.stored == 1234 && !strcmp(x2.point, "point") && f.disk == 1);
	final_free(&x2);

	struct stats s = { .v = { [STAT_READ] = 5, [STAT_FLUSHING] = 1 } }, s2;
	LOOP(stat_put(l.o, 0, &s, &e), stat_decode(&f, &s2, &e));
	CHECK(!memcmp(&s, &s2, sizeof(s)) && f.flags == FF_MAY_IGNORE);

	struct progress_rec p = { STAGE_SCAN, 5, 6 }, p2;
	LOOP(progress_put(l.o, 0, &p, &e), progress_decode(&f, &p2, &e));
	CHECK(p2.stage == STAGE_SCAN && p2.done == 5 && p2.total == 6 && f.flags == FF_MAY_IGNORE);
#undef LOOP
	hello_free(&h);
}

static void first_cause_travels(void)
{
	struct err sent = { 0 }, e = { 0 };
	struct loop l = loop_new();
	struct frame f;

	err_set_program("dm-send");
	err_sys(&sent, DM_ENV, 5, "/dev/\xff: read");
	CHECK(!abort_put(l.o, &sent, &e));
	f = loop_take(&l);
	CHECK(abort_decode(&f, &e) < 0);
	CHECK_ERR(e.code == DM_ENV && e.relayed && e.cls == sent.cls, &e);
	CHECK_ERR(!strcmp(e.text, "dm-send: /dev/?: read: Input/output error"), &e);
	loop_free(&l);

	/* Passed on, it keeps its words. */
	l = loop_new();
	err_set_program("dm-recv");
	sent = e;
	CHECK(!abort_put(l.o, &sent, &e));
	f = loop_take(&l);
	e = (struct err){ 0 };
	abort_decode(&f, &e);
	CHECK_ERR(!strcmp(e.text, sent.text), &e);

	f.len = 3;
	e = (struct err){ 0 };
	CHECK(abort_decode(&f, &e) < 0 && e.code == DM_BAD && !e.relayed);
	loop_free(&l);
}

static void tally_has_no_order(void)
{
	struct hello h = sample_hello();
	struct entry en[3] = {
		{ .index = 0, .len = 3 * CHUNK, .flags = EF_RUN },
		{ .index = 3, .off = 3 * CHUNK, .len = CHUNK, .flags = EF_ZERO },
		{ .index = 4, .off = 4 * CHUNK, .len = CHUNK },
	};
	struct tally a, b, got;
	struct loop l = loop_new();
	struct err e = { 0 };
	struct frame f;

	tally_init(&a, &h);
	tally_init(&b, &h);
	for (int i = 0; i < 3; i++) {
		tally_add(&a, 0, &en[i], CHUNK);
		tally_add(&b, 0, &en[2 - i], CHUNK);
	}
	CHECK(tally_equal(&a, &b) && a.count == 5 && a.bytes == 4 * CHUNK);
	CHECK(!end_put(l.o, &a, &e));
	f = loop_take(&l);
	CHECK(!end_decode(&f, &got, &e) && tally_equal(&a, &got));
	loop_free(&l);

	/* Another disk, offset or session gives another root. */
	tally_init(&b, &h);
	for (int i = 0; i < 3; i++)
		tally_add(&b, i == 2, &en[i], CHUNK);
	CHECK(!tally_equal(&a, &b));
	tally_init(&b, &h);
	en[2].off += CHUNK;
	for (int i = 0; i < 3; i++)
		tally_add(&b, 0, &en[i], CHUNK);
	CHECK(!tally_equal(&a, &b));
	en[2].off -= CHUNK;
	h.session[0] ^= 1;
	tally_init(&b, &h);
	for (int i = 0; i < 3; i++)
		tally_add(&b, 0, &en[i], CHUNK);
	CHECK(!tally_equal(&a, &b) && a.count == b.count);

	tally_init(&a, &h);
	tally_init(&b, &h);
	tally_add_extent(&a, 1, &(struct extent){ 0, 5, EXT_DATA });
	tally_add_extent(&b, 1, &(struct extent){ 0, 5, EXT_ZERO });
	CHECK(a.count == 1 && a.bytes == 5 && !tally_equal(&a, &b));
	hello_free(&h);
}

static void batches(void)
{
	struct hello h = sample_hello();
	struct desc_batch b = { .epoch = 2 };
	struct extent_batch xb = { 0 };
	struct extent x = { 512, 1024, EXT_SAME }, got;
	struct entry en = { .len = CHUNK };
	struct loop l = loop_new();
	unsigned seen = 0;
	struct err e = { 0 };
	struct frame f;

	for (en.index = 0; en.index < 3000; en.index++)
		CHECK(!desc_add(l.o, &b, 0, &en, &e));
	CHECK(!extent_add(l.o, &xb, 0, &x, &e) && !extent_flush(l.o, &xb, &e));
	CHECK(!desc_flush(l.o, &b, &e) && !desc_flush(l.o, &b, &e));
	f = loop_take(&l);
	do {
		struct cursor c = { .p = f.body, .end = f.body + f.len };

		while (f.type == FT_DESC && cur_left(&c)) {
			CHECK_ERR(!entry_decode(&c, &h, f.disk, &en, &e), &e);
			CHECK(en.index == seen++ && f.epoch == 2);
		}
		if (f.type == FT_EXTENT) {
			CHECK(!extent_decode(&c, &h, f.disk, &got, &e) && !cur_left(&c));
			CHECK(got.off == 512 && got.len == 1024 && got.kind == EXT_SAME);
		}
	} while (frame_read(l.in, &f, &e) > 0);
	CHECK(seen == 3000 && e.code == DM_ENV);
	buf_free(&b.body);
	buf_free(&xb.body);
	loop_free(&l);
	hello_free(&h);
}

static void extents_bad(void)
{
	struct hello h = sample_hello();
	uint8_t p[EXTENT_LEN] = { 0 };
	struct extent x;

#define BAD(o, l, k, r) do { struct err e = { 0 }; struct cursor c = { .p = p, .end = p + EXTENT_LEN }; \
	put64(p, o); put64(p + 8, l); put32(p + 16, k); put32(p + 20, r); \
	CHECK(extent_decode(&c, &h, 0, &x, &e) < 0 && e.code == DM_BAD); } while (0)
	BAD(0, 0, 0, 0);
	BAD(0, SIZE + 1, 0, 0);
	BAD(SIZE, 1, 0, 0);
	BAD(UINT64_MAX, 2, 0, 0);
	BAD(0, 1, 3, 0);
	BAD(0, 1, 0, 1);
#undef BAD
	hello_free(&h);
}

static void strings_are_utf8(void)
{
	static const char *const good[] = { "", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80",
		"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf", "a\xc3\xa9z" };
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3z",
		"\xe0\x80\x80", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xed\xbf\xbf",
		"\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xf8\x88\x80\x80\x80", "\xff" };
	char out[8];

	for (size_t i = 0; i < LEN(good); i++)
		CHECK(text_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < LEN(bad); i++)
		CHECK(!text_valid(bad[i], strlen(bad[i])));
	CHECK(!text_valid("a\0b", 3));
	CHECK(text_clean("a\xff\xc3\xa9\xc3", 5, out, 8) == 5 && !memcmp(out, "a?\xc3\xa9?", 5));
	/* A character is not cut in two. */
	CHECK(text_clean("abc\xc3\xa9", 5, out, 4) == 3);
}

static void hello_must_be_first(void)
{
	struct loop l = loop_new();
	struct barrier b = { 0 };
	struct err e = { 0 };
	struct hello h;

	CHECK(!barrier_put(l.o, 1, &b, &e) && !frame_flush(l.o, &e));
	lseek(l.fd, 0, SEEK_SET);
	CHECK(hello_read(l.in, &h, &e) < 0);
	CHECK_ERR(e.code == DM_BAD && strstr(e.text, "barrier"), &e);
	loop_free(&l);
}

int main(void)
{
	RUN(hello_there_and_back);
	RUN(hello_refusals);
	RUN(entries_good);
	RUN(entries_bad);
	RUN(runs_are_cut);
	RUN(chunks);
	RUN(ref_needs_id);
	RUN(small_records);
	RUN(first_cause_travels);
	RUN(tally_has_no_order);
	RUN(batches);
	RUN(extents_bad);
	RUN(strings_are_utf8);
	RUN(hello_must_be_first);
	return 0;
}
