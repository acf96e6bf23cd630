/* Descriptors cover exactly what the extents said. */
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "../lib/unit.h"
#include "job/describe.h"

#define CHUNK 4096u
#define SIZE (64 * CHUNK + 777)

/* What each byte of the disk is said to be. */
enum { UNSAID, DATA, ZERO };

struct seen {
	const struct hello *h;
	uint8_t map[2][SIZE];
	uint64_t end[2];
};

static void mark(struct seen *s, uint32_t disk, uint64_t off, uint64_t len, uint8_t what)
{
	CHECK(off + len <= SIZE);
	for (uint64_t i = off; i < off + len; i++) {
		CHECK(s->map[disk][i] == UNSAID);
		s->map[disk][i] = what;
	}
}

static int see(void *arg, uint32_t disk, const struct entry *en, struct err *e)
{
	struct seen *s = arg;
	uint64_t at = en->off;

	(void)e;
	CHECK(en->len && en->off % CHUNK == 0 && en->off >= s->end[disk]);
	CHECK(en->len % CHUNK == 0 || en->off + en->len == SIZE);
	CHECK(!(en->flags & EF_RUN) == (en->len <= CHUNK));
	s->end[disk] = en->off + en->len;
	if (!(en->flags & EF_FRAGS)) {
		mark(s, disk, en->off, en->len, en->flags & EF_ZERO ? ZERO : DATA);
		return 0;
	}
	CHECK(en->nfrags && en->nfrags <= ENTRY_FRAGS_MAX);
	CHECK(frags_valid(en->frag, en->nfrags, (uint32_t)en->len));
	CHECK(!(en->flags & EF_REST_ZERO) == ((s->h->disk[disk].flags & DF_BASE_ROOT) != 0));
	for (unsigned i = 0; i < en->nfrags; i++) {
		if (en->flags & EF_REST_ZERO)
			mark(s, disk, at, en->off + en->frag[i].off - at, ZERO);
		at = en->off + en->frag[i].off + en->frag[i].len;
		mark(s, disk, en->off + en->frag[i].off, en->frag[i].len, DATA);
	}
	if (en->flags & EF_REST_ZERO)
		mark(s, disk, at, en->off + en->len - at, ZERO);
	return 0;
}

static struct disk disks[2] = {
	{ .name = "full", .size = SIZE, .base_point = "", .target_point = "" },
	{ .name = "inc", .size = SIZE, .base_point = "", .target_point = "", .flags = DF_BASE_ROOT },
};
static const struct hello hello = { .chunk_size = CHUNK, .disk = disks, .ndisks = 2 };

/* Random extents, given piece by piece, with flushes in between. */
static void covers_exactly(void)
{
	static struct seen s;
	static uint8_t want[2][SIZE];
	uint64_t seed = 1;

	for (int round = 0; round < 300; round++) {
		struct describe *d;
		struct err e = { 0 };
		uint64_t at[2] = { 0 }, step = 1 + rnd(&seed) % 20000;

		memset(&s, 0, sizeof(s));
		memset(want, 0, sizeof(want));
		s.h = &hello;
		d = describe_new(&hello, see, &s);
		while (at[0] < SIZE || at[1] < SIZE) {
			uint32_t disk = rnd(&seed) % 2;
			struct extent x = { at[disk], 1 + rnd(&seed) % step, (enum extent_kind)(rnd(&seed) % 3) };

			if (rnd(&seed) % 4 == 0)	/* ends on the grid */
				x.len = CHUNK - x.off % CHUNK + rnd(&seed) % 3 * CHUNK;
			if (at[disk] >= SIZE)
				continue;
			x.len = min64(x.len, SIZE - x.off);
			at[disk] += x.len;
			if (x.kind != EXT_SAME)
				memset(want[disk] + x.off, x.kind == EXT_ZERO ? ZERO : DATA, x.len);
			CHECK(describe_extent(d, disk, &x, &e) == 0);
			if (rnd(&seed) % 8 == 0)
				CHECK(describe_flush(d, &e) == 0);
		}
		CHECK(describe_end(d, &e) == 0);
		describe_free(d);
		for (int disk = 0; disk < 2; disk++)
			for (uint64_t i = 0; i < SIZE; i++) {
				uint8_t w = want[disk][i], g = s.map[disk][i];

				/* a full iteration says zero of what was unsaid, where it
				 * speaks of the chunk at all; an incremental one sends
				 * zeros that share a chunk with data as data */
				if (disk == 0 ? w != DATA : w == ZERO)
					CHECK(disk == 0 ? g != DATA : g != UNSAID);
				else
					CHECK(w == g);
			}
	}
}

/* More fragments than fit: the nearest are joined, nothing is lost. */
static void many_fragments_are_joined(void)
{
	struct frag f[1000];
	uint64_t bytes;
	size_t n;

	for (unsigned i = 0; i < 1000; i++)
		f[i] = (struct frag){ i * 1000 + (i % 10 == 0 ? 0 : 400), 100 };
	bytes = frags_bytes(f, 1000);
	n = frags_merge(f, 1000, 256);
	CHECK(n == 256 && frags_valid(f, n, CHUNK_MAX) && frags_bytes(f, n) > bytes);
	CHECK(f[0].off == 0 && f[n - 1].off + f[n - 1].len == 999 * 1000 + 400 + 100);
	CHECK(frags_merge(f, 256, 256) == 256);
}

static void disorder_is_refused(void)
{
	struct seen s = { .h = &hello };
	struct describe *d = describe_new(&hello, see, &s);
	struct extent x = { 8192, 4096, EXT_DATA };
	struct err e = { 0 };

	CHECK(describe_extent(d, 0, &x, &e) == 0);
	x.off = 12287;
	CHECK(describe_extent(d, 0, &x, &e) == -1 && e.code == DM_BAD);
	describe_free(d);
}

int main(void)
{
	covers_exactly();
	many_fragments_are_joined();
	disorder_is_refused();
	puts("describe: descriptors cover exactly the data");
	return 0;
}
