/* golden DIR: makes the streams of tests/golden/v1, good ones in DIR/good and
 * bad ones in DIR/bad, with DIR/bad/EXPECTED: name, exit code, what is said.
 * The same bytes on every run and machine; the frames are put together here,
 * not by frame_out.  What is committed there must be read for ever. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "content/codec.h"
#include "stream/record.h"
#include "stream/seal.h"
#include "unit.h"

#define CHUNK KIB(64)
#define SIZE (6 * CHUNK + 1000)		/* six chunks and a tail */
#define FRAMES 80

struct maker {
	struct buf b;
	uint64_t seq;
	struct hello h;
	struct disk disk[40];
	struct tally t;
	uint64_t index, count, bytes;	/* next entry, and sums for barriers */
	size_t at[FRAMES];		/* where frames begin */
	unsigned n;
};

static const char *dir;

static void frame(struct maker *m, uint8_t type, uint8_t flags, uint32_t disk, uint32_t epoch,
    const void *body, size_t len)
{
	uint8_t *p;

	CHECK(m->n < FRAMES);
	m->at[m->n++] = m->b.len;
	p = buf_room(&m->b, FRAME_HEADER + len + FRAME_CHECK);
	put32(p, 0x316d6644);
	p[4] = type;
	p[5] = flags;
	put16(p + 6, 0);
	put64(p + 8, m->seq++);
	put32(p + 16, (uint32_t)len);
	put32(p + 20, disk);
	put32(p + 24, epoch);
	put32(p + 28, (uint32_t)XXH3_64bits(p, 28));
	if (len)
		memcpy(p + 32, body, len);
	put64(p + 32 + len, XXH3_64bits(p, 32 + len));
}

/* Checks made anew after a change inside of frame i. */
static void reseal(struct maker *m, unsigned i)
{
	uint8_t *p = m->b.p + m->at[i];
	size_t end = i + 1 < m->n ? m->at[i + 1] : m->b.len;
	size_t len = end - m->at[i] - FRAME_CHECK;

	put32(p + 28, (uint32_t)XXH3_64bits(p, 28));
	put64(p + len, XXH3_64bits(p, len));
}

static void hello(struct maker *m)
{
	struct buf b = { 0 };

	CHECK(!hello_encode(&m->h, &b));
	if (m->h.compat)
		buf_put(&b, "fields of a later version", 25);
	buf_put(&m->b, "dm-stream/1    \n", 16);
	frame(m, FT_HELLO, 0, 0, 0, b.p, b.len);
	tally_init(&m->t, &m->h);
	buf_free(&b);
}

static void begin(struct maker *m, int kind)
{
	buf_free(&m->b);
	memset(m, 0, sizeof(*m));
	m->h = (struct hello){ .version_min = 1, .version_max = 1, .chunk_size = CHUNK,
		.algo = ID_BLAKE3, .kind = (uint8_t)kind, .codecs = 3, .plan = "nightly",
		.workload = "web1", .disk = m->disk, .ndisks = 1 };
	memcpy(m->h.session, "golden session 1", 16);
	m->disk[0] = (struct disk){ .name = "vdb", .size = SIZE, .block = 512,
		.base_point = "", .target_point = "" };
	if (kind == KIND_INCREMENTAL) {
		m->disk[0].flags = DF_BASE_ROOT | DF_FROZEN;
		memset(m->disk[0].base_root.b, 0xb5, ID_LEN);
		m->disk[0].base_point = "file:64768:1234:394216:1764000000000000000:1764000000000000001";
		m->disk[0].target_point = "file:64768:1234:394216:1764003600000000000:1764003600000000001";
	}
}

static void entry_number(struct maker *m, uint32_t disk, struct entry *en)
{
	en->index = m->index;
	m->index += entry_count(en, m->h.chunk_size);
	m->count += entry_count(en, m->h.chunk_size);
	m->bytes += entry_bytes(en);
	tally_add(&m->t, disk, en, m->h.chunk_size);
}

static void entry(struct maker *m, uint8_t type, uint32_t disk, uint32_t epoch, struct entry en)
{
	uint8_t p[ENTRY_MAX];

	entry_number(m, disk, &en);
	frame(m, type, 0, disk, epoch, p, entry_encode(&en, p));
}

/* One zstd frame of CHUNK bytes, all `v', written out by hand (RFC 8878: one
 * RLE block), so that it does not depend on a library's version. */
static size_t zstd_of(uint8_t v, uint8_t *p)
{
	const uint8_t frame_of[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x00, 0xff, 0x03, 0x00, 0x08, v };

	memcpy(p, frame_of, sizeof(frame_of));
	return sizeof(frame_of);
}

static void chunk(struct maker *m, uint32_t epoch, struct entry en, int codec, uint8_t v)
{
	uint8_t *plain = malloc(CHUNK), head[ENTRY_MAX + CHUNK_FIXED], packed[16];
	uint32_t len = (uint32_t)entry_bytes(&en), stored = len;
	struct buf b = { 0 };
	size_t n;

	CHECK(plain);
	memset(plain, v, CHUNK);
	if (codec == CODEC_ZSTD)
		stored = (uint32_t)zstd_of(v, packed);
	if (en.flags & EF_ID) {
		id_content(m->h.algo, CHUNK, plain, (uint32_t)en.len, en.leaf, &en.id);
		en.nleaves = en.flags & EF_LEAVES ? 1 : 0;
	}
	entry_number(m, 0, &en);
	n = entry_encode(&en, head);
	memset(head + n, 0, CHUNK_FIXED);
	put32(head + n, len);
	put32(head + n + 4, stored);
	head[n + 10] = (uint8_t)codec;
	buf_put(&b, head, n + CHUNK_FIXED);
	buf_put(&b, codec == CODEC_ZSTD ? packed : plain, stored);
	frame(m, FT_CHUNK, 0, 0, epoch, b.p, b.len);
	buf_free(&b);
	free(plain);
}

static void barrier(struct maker *m, uint32_t epoch)
{
	uint8_t p[16];

	put64(p, m->count);
	put64(p + 8, m->bytes);
	frame(m, FT_BARRIER, 0, 0, epoch, p, 16);
}

static void end(struct maker *m)
{
	uint8_t p[48];

	put64(p, m->t.count);
	put64(p + 8, m->t.bytes);
	for (int i = 0; i < 4; i++)
		put64(p + 16 + 8 * i, m->t.root[i]);
	frame(m, FT_END, 0, 0, 0, p, 48);
}

static void final(struct maker *m, int side, const char *point)
{
	uint8_t p[48 + 64] = { (uint8_t)side, FINAL_ROOT };

	put16(p + 2, (uint16_t)strlen(point));
	put64(p + 8, side == SIDE_TARGET ? 8192 : 0);
	memset(p + 16, 0xf1, ID_LEN);
	memcpy(p + 48, point, strlen(point));
	frame(m, FT_FINAL, 0, 0, 0, p, 48 + strlen(point));
}

static void progress(struct maker *m)
{
	uint8_t p[24] = { STAGE_SCAN };

	put64(p + 8, 4096);
	put64(p + 16, SIZE);
	frame(m, FT_PROGRESS, FF_MAY_IGNORE, 0, 0, p, 24);
}

static void save(struct maker *m, const char *kind, const char *name)
{
	char *path = x_printf("%s/%s/%s.dms", dir, kind, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	CHECK(fd >= 0 && !fd_write_full(fd, m->b.p, m->b.len) && !close(fd));
	buf_free(&m->b);
	free(path);
}

static const struct frag two_frags[2] = { { 512, 5 }, { 8192, 100 } };

static struct entry at(uint64_t chunk_no, uint16_t flags)
{
	struct entry en = { .off = chunk_no * CHUNK, .len = min64(CHUNK, SIZE - chunk_no * CHUNK),
		.flags = flags };

	if (flags & EF_RUN)
		en.len = SIZE - en.off;
	if (flags & EF_FRAGS) {
		en.nfrags = 2;
		memcpy(en.frag, two_frags, sizeof(two_frags));
	}
	if (flags & EF_ID)
		memset(en.id.b, 0x1d, ID_LEN);
	return en;
}

/* ---- good ones */

static void good_extents(struct maker *m)
{
	const struct extent x[] = { { 0, 4096, EXT_DATA }, { 4096, CHUNK, EXT_ZERO },
		{ CHUNK + 4096, 512, EXT_SAME }, { SIZE - 1, 1, EXT_DATA } };
	uint8_t p[LEN(x) * EXTENT_LEN];

	begin(m, KIND_INCREMENTAL);
	hello(m);
	progress(m);
	for (size_t i = 0; i < LEN(x); i++) {
		put64(p + i * EXTENT_LEN, x[i].off);
		put64(p + i * EXTENT_LEN + 8, x[i].len);
		put32(p + i * EXTENT_LEN + 16, x[i].kind);
		put32(p + i * EXTENT_LEN + 20, 0);
		tally_add_extent(&m->t, 0, &x[i]);
	}
	frame(m, FT_EXTENT, 0, 0, 0, p, sizeof(p));
	final(m, SIDE_SOURCE, "");
	end(m);
}

static void descs(struct maker *m, const struct entry *en, size_t n, uint32_t epoch)
{
	struct buf b = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct entry one = en[i];

		entry_number(m, 0, &one);
		entry_encode(&one, buf_room(&b, entry_len(&one)));
	}
	frame(m, FT_DESC, 0, 0, epoch, b.p, b.len);
	buf_free(&b);
}

static void good_descs(struct maker *m)
{
	struct entry en[4] = { at(0, 0), at(1, EF_FRAGS), at(2, EF_ZERO), at(3, EF_RUN) };

	begin(m, KIND_INCREMENTAL);
	hello(m);
	descs(m, en, 4, 1);
	final(m, SIDE_SOURCE, "");
	end(m);
}

static void good_runs(struct maker *m)
{
	struct entry en[2] = { at(0, EF_RUN), at(4, EF_RUN | EF_ZERO) };

	begin(m, KIND_FULL);
	m->disk[0].size = INT64_MAX / CHUNK * CHUNK;	/* far above 2^53 */
	en[0].len = 4 * CHUNK;
	en[1].len = m->disk[0].size - 4 * CHUNK;
	hello(m);
	descs(m, en, 2, 1);
	end(m);
}

static void good_ids(struct maker *m)
{
	struct entry en[2] = { at(0, EF_ID | EF_LEAVES), at(6, EF_ID) };

	begin(m, KIND_IDS);
	en[0].nleaves = 1;
	memset(en[0].leaf[0].b, 0x1e, ID_LEN);
	hello(m);
	descs(m, en, 2, 1);
	end(m);
}

static void good_disks(struct maker *m)
{
	begin(m, KIND_FULL);
	m->h.ndisks = 40;
	for (unsigned i = 0; i < m->h.ndisks; i++)
		m->disk[i] = (struct disk){ .name = x_printf("disk-%02u", i), .size = i * 512,
			.block = i % 2 ? 512 : 4096, .base_point = "", .target_point = "p\xc3\xbc" };
	hello(m);
	for (unsigned i = 1; i < m->h.ndisks; i++)
		entry(m, FT_ZERO, m->h.ndisks - i, 1, (struct entry){ .flags = EF_ZERO,
			.len = (m->h.ndisks - i) * 512 });
	end(m);
	for (unsigned i = 0; i < m->h.ndisks; i++)
		free(m->disk[i].name);
}

static void good_requests(struct maker *m)
{
	struct entry en[2] = { at(0, 0), at(1, EF_FRAGS) };

	begin(m, KIND_INCREMENTAL);
	hello(m);
	descs(m, en, 2, 1);
	entry(m, FT_HELD, 0, 1, at(2, 0));
	barrier(m, 1);
	entry(m, FT_REF, 0, 2, at(3, EF_ID));
	entry(m, FT_ZERO, 0, 2, at(4, EF_RUN | EF_ZERO));
	barrier(m, 2);
	end(m);
}

static void good_chunks(struct maker *m)
{
	begin(m, KIND_INCREMENTAL);
	hello(m);
	chunk(m, 1, at(0, EF_ID), CODEC_ZSTD, 'z');
	chunk(m, 1, at(1, EF_FRAGS), CODEC_RAW, 'f');
	progress(m);
	chunk(m, 1, at(2, EF_FRAGS | EF_REST_ZERO), CODEC_RAW, 'r');
	entry(m, FT_HELD, 0, 1, at(3, 0));
	barrier(m, 1);
	entry(m, FT_REF, 0, 2, at(4, EF_ID));
	entry(m, FT_ZERO, 0, 2, at(5, 0));
	chunk(m, 2, at(6, EF_ID | EF_LEAVES), CODEC_RAW, 't');
	barrier(m, 2);
	final(m, SIDE_SOURCE, "");
	end(m);
}

static void good_zeros(struct maker *m)
{
	begin(m, KIND_FULL);
	hello(m);
	entry(m, FT_ZERO, 0, 1, at(0, EF_RUN | EF_ZERO));
	barrier(m, 1);
	end(m);
}

static void good_empty(struct maker *m)
{
	begin(m, KIND_INCREMENTAL);
	hello(m);
	end(m);
}

static void good_later(struct maker *m)
{
	begin(m, KIND_FULL);
	m->h.version_max = 3;
	m->h.compat = 1u << 31;
	hello(m);
	frame(m, 200, FF_MAY_IGNORE, 7, 9, "of a later version", 18);
	frame(m, FT_STAT, FF_MAY_IGNORE, 0, 0, "\1\0\5\0\0\0\0\0\0\0\xff\xff\6\0\0\0\0\0\0\0", 20);
	entry(m, FT_ZERO, 0, 1, at(0, EF_RUN | EF_ZERO));
	end(m);
}

static void written(struct maker *m, uint32_t epoch, int how, struct entry en)
{
	uint8_t p[8 + ENTRY_MAX] = { 0 };

	put32(p, 1500);
	p[4] = (uint8_t)how;
	entry_number(m, 0, &en);
	frame(m, FT_WRITTEN, 0, 0, epoch, p, 8 + entry_encode(&en, p + 8));
}

static void good_acks(struct maker *m)
{
	uint8_t nak[16] = { [8] = CLASS_PERMANENT, [9] = 1, [12] = 250 };
	uint8_t count[8];
	const uint8_t stat[20] = { STAT_STORED, 0, 0, 0x20, [10] = STAT_FLUSHING, [12] = 1 };

	begin(m, KIND_INCREMENTAL);
	hello(m);
	written(m, 1, HOW_DATA, at(0, 0));
	written(m, 1, HOW_ZERO, at(1, EF_ZERO));
	frame(m, FT_STAT, FF_MAY_IGNORE, 0, 0, stat, sizeof(stat));
	put64(nak, 3);
	frame(m, FT_NAK, 0, 0, 1, nak, sizeof(nak));
	written(m, 1, HOW_HELD, at(2, 0));
	put64(count, m->count);
	frame(m, FT_DURABLE, 0, 0, 1, count, 8);
	written(m, 2, HOW_REF, at(3, EF_ID));
	written(m, 2, HOW_DATA, at(4, EF_FRAGS));
	put64(count, m->count);
	frame(m, FT_DURABLE, 0, 0, 2, count, 8);
	final(m, SIDE_TARGET, "root:blake3:f1");
	end(m);
}

static const struct {
	const char *name;
	void (*make)(struct maker *m);
} good[] = {
	{ "extents", good_extents }, { "descs", good_descs }, { "runs", good_runs },
	{ "ids", good_ids }, { "requests", good_requests }, { "acks", good_acks },
	/* dm-recv reads these as well */
	{ "chunks", good_chunks }, { "chunks-zeros", good_zeros }, { "chunks-empty", good_empty },
	{ "chunks-disks", good_disks }, { "chunks-later", good_later },
};

/* ---- bad ones: the chunks stream with one thing wrong */

enum { F_HELLO, F_ZSTD, F_FRAGS, F_PROGRESS, F_REST, F_HELD, F_BARRIER, F_REF, F_ZERO, F_TAIL,
	F_BARRIER2, F_FINAL, F_END };

static void flip(struct maker *m, unsigned f, size_t off) { m->b.p[m->at[f] + off] ^= 0x10; }

static size_t len_of(const struct maker *m, unsigned f)
{
	return (f + 1 < m->n ? m->at[f + 1] : m->b.len) - m->at[f];
}

static void cut_out(struct maker *m, unsigned f)
{
	size_t l = len_of(m, f);

	memmove(m->b.p + m->at[f], m->b.p + m->at[f] + l, m->b.len - m->at[f] - l);
	m->b.len -= l;
}

/* Frame f once more, before where frame `before' is. */
static void repeat(struct maker *m, unsigned f, unsigned before)
{
	size_t l = len_of(m, f), to = m->at[before];
	uint8_t *copy = malloc(l);

	CHECK(copy);
	memcpy(copy, m->b.p + m->at[f], l);
	buf_room(&m->b, l);
	memmove(m->b.p + to + l, m->b.p + to, m->b.len - l - to);
	memcpy(m->b.p + to, copy, l);
	free(copy);
}

/* After frames were cut out or repeated: find them again, number them anew. */
static void renumber(struct maker *m)
{
	m->n = 0;
	for (size_t i = 16; i < m->b.len; i += FRAME_HEADER + get32(m->b.p + i + FH_LEN) + FRAME_CHECK) {
		put64(m->b.p + i + FH_SEQ, m->n);
		m->at[m->n++] = i;
	}
	for (unsigned f = 0; f < m->n; f++)
		reseal(m, f);
}

static void set_body(struct maker *m, unsigned f, size_t off, const void *p, size_t n)
{
	memcpy(m->b.p + m->at[f] + FRAME_HEADER + off, p, n);
	reseal(m, f);
}

static void bad_header_bit(struct maker *m) { flip(m, F_ZSTD, FH_DISK); }
static void bad_header_check(struct maker *m) { flip(m, F_ZSTD, FH_CHECK); }
static void bad_body_bit(struct maker *m) { flip(m, F_FRAGS, 100); }
static void bad_check_bit(struct maker *m) { flip(m, F_FRAGS, len_of(m, F_FRAGS) - 1); }
static void bad_preface(struct maker *m) { m->b.p[10] = '2'; }
static void bad_dropped(struct maker *m) { cut_out(m, F_HELD); }
static void bad_repeated(struct maker *m) { repeat(m, F_HELD, F_BARRIER); }
static void bad_dropped_renumbered(struct maker *m) { cut_out(m, F_HELD); renumber(m); }
static void bad_repeated_renumbered(struct maker *m) { repeat(m, F_HELD, F_BARRIER); renumber(m); }
static void bad_after_end(struct maker *m) { buf_put(&m->b, "", 1); }
static void bad_before_end(struct maker *m) { m->b.len = m->at[F_END]; }
static void bad_in_end(struct maker *m) { m->b.len--; }
static void bad_in_header(struct maker *m) { m->b.len = m->at[F_REF] + 7; }
static void bad_only_preface(struct maker *m) { m->b.len = 16; }
static void bad_nothing(struct maker *m) { m->b.len = 0; }
static void bad_half_preface(struct maker *m) { m->b.len = 9; }

/* The first barrier and the frame after it, the other way round. */
static void bad_swapped(struct maker *m)
{
	size_t l = len_of(m, F_BARRIER), l2 = len_of(m, F_REF);
	uint8_t *p = m->b.p + m->at[F_BARRIER], *copy = malloc(l);

	CHECK(copy);
	memcpy(copy, p, l);
	memmove(p, p + l, l2);
	memcpy(p + l2, copy, l);
	free(copy);
}

/* The beginning of one session with the rest of another. */
static void bad_splice(struct maker *m) { set_body(m, F_HELLO, 16, "golden session 2", 16); }

/* The header of one frame with the body of another. */
static void bad_mixed_halves(struct maker *m)
{
	uint8_t *p = m->b.p;

	CHECK(len_of(m, F_BARRIER) == len_of(m, F_BARRIER2));
	memcpy(p + m->at[F_BARRIER2] + 32, p + m->at[F_BARRIER] + 32, 24);
}

static void bad_too_long(struct maker *m)
{
	put32(m->b.p + m->at[F_ZSTD] + FH_LEN, FRAME_BODY_MAX + 1);
	put32(m->b.p + m->at[F_ZSTD] + FH_CHECK, (uint32_t)XXH3_64bits(m->b.p + m->at[F_ZSTD], 28));
}

static void head_byte(struct maker *m, unsigned f, size_t off, uint8_t v)
{
	m->b.p[m->at[f] + off] = v;
	reseal(m, f);
}

static void bad_magic(struct maker *m) { head_byte(m, F_ZSTD, FH_MAGIC, 'd'); }
static void bad_type(struct maker *m) { head_byte(m, F_PROGRESS, FH_TYPE, 200); head_byte(m, F_PROGRESS, FH_FLAGS, 0); }
static void bad_flags(struct maker *m) { head_byte(m, F_ZSTD, FH_FLAGS, 4); }
static void bad_sealed(struct maker *m) { head_byte(m, F_ZSTD, FH_FLAGS, FF_SEALED); }
static void bad_stream_number(struct maker *m) { head_byte(m, F_FRAGS, FH_STREAM, 1); }
static void bad_disk(struct maker *m) { head_byte(m, F_HELD, FH_DISK, 1); }
static void bad_first(struct maker *m) { cut_out(m, F_HELLO); renumber(m); }
static void bad_second_hello(struct maker *m) { repeat(m, F_HELLO, F_FRAGS); renumber(m); }
static void bad_version(struct maker *m) { set_body(m, F_HELLO, 0, "\2\0\3\0", 4); }
static void bad_incompat(struct maker *m) { set_body(m, F_HELLO, 7, "\x80", 1); }
static void bad_chunk_size(struct maker *m) { set_body(m, F_HELLO, 32, "\0\0\x03\0", 4); }
static void bad_disk_count(struct maker *m) { set_body(m, F_HELLO, 40, "\xff\xff\xff\xff", 4); }
static void bad_outside(struct maker *m) { set_body(m, F_HELD, 8, "\0\0\x07", 3); }
static void bad_grid(struct maker *m) { set_body(m, F_HELD, 8, "\0\2", 2); }
static void bad_overflow(struct maker *m) { set_body(m, F_HELD, 8, "\0\0\xff\xff\xff\xff\xff\xff", 8); }
static void bad_entry_flags(struct maker *m) { set_body(m, F_HELD, 24, "\x40", 1); }
static void bad_index_overlap(struct maker *m) { set_body(m, F_HELD, 0, "\1", 1); }
static void bad_frags_order(struct maker *m) { set_body(m, F_FRAGS, 32, "\0\x40", 2); }
static void bad_frags_outside(struct maker *m) { set_body(m, F_FRAGS, 40, "\xff\xff", 2); }
static void bad_frags_touch(struct maker *m) { set_body(m, F_FRAGS, 40, "\5\2\0\0", 4); }
static void bad_frags_count(struct maker *m) { set_body(m, F_FRAGS, 26, "\1\1", 2); }
static void bad_lengths(struct maker *m) { set_body(m, F_FRAGS, 48, "\x68", 1); }
static void bad_codec(struct maker *m) { set_body(m, F_FRAGS, 58, "\2", 1); }
static void bad_ref_without_id(struct maker *m) { set_body(m, F_REF, 24, "\0", 1); }
static void bad_end_count(struct maker *m) { set_body(m, F_END, 0, "\x08", 1); }
static void bad_end_bytes(struct maker *m) { set_body(m, F_END, 8, "\0", 1); }
static void bad_end_root(struct maker *m) { flip(m, F_END, 32 + 47); reseal(m, F_END); }

static void bad_body_short(struct maker *m)
{
	begin(m, KIND_FULL);
	hello(m);
	frame(m, FT_BARRIER, 0, 0, 1, "\0\0\0\0\0\0\0\0", 8);
	end(m);
}

static void bad_body_long(struct maker *m)
{
	begin(m, KIND_FULL);
	hello(m);
	frame(m, FT_BARRIER, 0, 0, 1, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 17);
	end(m);
}

static void bad_missing_index(struct maker *m)
{
	begin(m, KIND_FULL);
	hello(m);
	entry(m, FT_ZERO, 0, 1, at(0, EF_ZERO));
	m->index++;
	entry(m, FT_ZERO, 0, 1, at(1, EF_RUN | EF_ZERO));
	end(m);
}

static void bad_abort(struct maker *m)
{
	begin(m, KIND_FULL);
	hello(m);
	frame(m, FT_ABORT, 0, 0, 0, "\4\2\0\0dm-send: /dev/vdb: read at 4096: Input/output error", 55);
}

static void bad_abort_no(struct maker *m)
{
	begin(m, KIND_FULL);
	buf_put(&m->b, STREAM_PREFACE, 16);
	frame(m, FT_ABORT, 0, 0, 0, "\1\0\0\0dm-recover: no such workload", 32);
}

static void bad_abort_code(struct maker *m)
{
	begin(m, KIND_FULL);
	hello(m);
	frame(m, FT_ABORT, 0, 0, 0, "\0\0\0\0all is well", 15);
}

static const struct {
	const char *name;
	void (*make)(struct maker *m);	/* changes the chunks stream, or makes its own */
	int code;
	const char *says;
} bad[] = {
	{ "header-bit", bad_header_bit, 3, "damaged frame header" },
	{ "header-check", bad_header_check, 3, "damaged frame header" },
	{ "body-bit", bad_body_bit, 3, "damaged frame" },
	{ "check-bit", bad_check_bit, 3, "damaged frame" },
	{ "mixed-halves", bad_mixed_halves, 3, "damaged frame" },
	{ "preface", bad_preface, 3, "not a dm-stream" },
	{ "dropped", bad_dropped, 3, "missing, repeated or mixed up" },
	{ "repeated", bad_repeated, 3, "missing, repeated or mixed up" },
	{ "swapped", bad_swapped, 3, "missing, repeated or mixed up" },
	{ "stream-number", bad_stream_number, 3, "missing, repeated or mixed up" },
	{ "dropped-renumbered", bad_dropped_renumbered, 3, "" },
	{ "repeated-renumbered", bad_repeated_renumbered, 3, "twice" },
	{ "splice", bad_splice, 3, "or others" },
	{ "too-long", bad_too_long, 3, "longer than allowed" },
	{ "magic", bad_magic, 3, "not a frame header" },
	{ "type", bad_type, 3, "unknown frame type 200" },
	{ "flags", bad_flags, 3, "unknown frame flags" },
	{ "sealed", bad_sealed, 3, "sealed" },
	{ "disk", bad_disk, 3, "disk 1 is not in the hello" },
	{ "first", bad_first, 3, "" },
	{ "second-hello", bad_second_hello, 3, "second" },
	{ "version", bad_version, 3, "version 2 to 3" },
	{ "incompat", bad_incompat, 3, "incompatible bits 0x80000000" },
	{ "chunk-size", bad_chunk_size, 3, "chunks of 196608 bytes" },
	{ "disk-count", bad_disk_count, 3, "4294967295 disks" },
	{ "body-short", bad_body_short, 3, "barrier frame: too short" },
	{ "body-long", bad_body_long, 3, "barrier frame: 1 bytes too many" },
	{ "entry-outside", bad_outside, 3, "outside of disk 'vdb'" },
	{ "entry-grid", bad_grid, 3, "not on the grid" },
	{ "entry-overflow", bad_overflow, 3, "outside of disk 'vdb'" },
	{ "entry-flags", bad_entry_flags, 3, "unknown flags 0x40" },
	{ "index-overlap", bad_index_overlap, 3, "twice" },
	{ "index-missing", bad_missing_index, 3, "missing" },
	{ "frags-order", bad_frags_order, 3, "bad fragments" },
	{ "frags-outside", bad_frags_outside, 3, "bad fragments" },
	{ "frags-touch", bad_frags_touch, 3, "bad fragments" },
	{ "frags-count", bad_frags_count, 3, "257 fragments" },
	{ "chunk-lengths", bad_lengths, 3, "lengths do not agree" },
	{ "chunk-codec", bad_codec, 3, "unknown codec 2" },
	{ "ref-without-id", bad_ref_without_id, 3, "" },
	{ "end-count", bad_end_count, 3, "or others" },
	{ "end-bytes", bad_end_bytes, 3, "or others" },
	{ "end-root", bad_end_root, 3, "or others" },
	{ "after-end", bad_after_end, 3, "more data after END" },
	{ "before-end", bad_before_end, 4, "ended before its END" },
	{ "in-end", bad_in_end, 4, "ended before its END" },
	{ "in-header", bad_in_header, 4, "ended before its END" },
	{ "only-preface", bad_only_preface, 4, "ended before its END" },
	{ "half-preface", bad_half_preface, 4, "ended before its END" },
	{ "nothing", bad_nothing, 4, "ended before its END" },
	{ "abort", bad_abort, 4, "dm-send: /dev/vdb: read at 4096" },
	{ "abort-no", bad_abort_no, 1, "dm-recover: no such workload" },
	{ "abort-code", bad_abort_code, 3, "unknown code 0" },
};

/* The chunks stream, sealed one way with a key and a nonce that everybody
 * knows: 32 bytes of 42 as the key, session "golden session". */
static void make_sealed(struct maker *m, const char *name, bool pad)
{
	static const uint8_t nonce[SEAL_NONCE] = "golden nonce";
	char *path = x_printf("%s/sealed/%s.dms", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct err e = { 0 };
	struct frame_out *o = frame_out_new(fd, path, &e);
	struct seal *s;
	struct key k;

	memset(k.b, 42, sizeof(k.b));
	s = seal_new(&k, SEAL_WRITER, "golden session", pad);
	seal_fix(s, nonce);
	frame_out_seal(o, s);
	good_chunks(m);
	for (unsigned i = 0; i < m->n; i++) {
		const uint8_t *h = m->b.p + m->at[i];

		CHECK(!frame_put1(o, h[FH_TYPE], h[FH_FLAGS], get32(h + FH_DISK), get32(h + FH_EPOCH),
		    h + FRAME_HEADER, get32(h + FH_LEN), &e));
	}
	CHECK(!frame_flush(o, &e) && !close(fd));
	frame_out_free(o);
	seal_free(s);
	buf_free(&m->b);
	free(path);
}

static void make_dir(const char *kind)
{
	char *path = x_printf("%s/%s", dir, kind);

	CHECK(!mkdir(path, 0755) || errno == EEXIST);
	free(path);
}

int main(int argc, char **argv)
{
	struct maker *m = x_alloc(sizeof(*m));
	struct buf list = { 0 };
	char *path;
	int fd;

	CHECK(argc == 2);
	dir = argv[1];
	make_dir("good");
	make_dir("bad");
	make_dir("sealed");
	make_sealed(m, "chunks", false);
	make_sealed(m, "chunks-padded", true);
	for (size_t i = 0; i < LEN(good); i++) {
		good[i].make(m);
		save(m, "good", good[i].name);
	}
	for (size_t i = 0; i < LEN(bad); i++) {
		good_chunks(m);
		bad[i].make(m);
		save(m, "bad", bad[i].name);
		buf_printf(&list, "%s\t%d\t%s\n", bad[i].name, bad[i].code, bad[i].says);
	}
	path = x_printf("%s/bad/EXPECTED", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0 && !fd_write_full(fd, list.p, list.len) && !close(fd));
	buf_free(&list);
	free(path);
	free(m);
	return 0;
}
