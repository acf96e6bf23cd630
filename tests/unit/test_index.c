/* The index: the shallowest record wins, growth under two processes, doomed
 * records, rebuilding after any damage. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/site.h"
#include "base/bytes.h"
#include "repo/index.h"

static struct pack_entry entry(const struct id *id, uint8_t depth)
{
	return (struct pack_entry){
		.id = *id, .off = PACK_HEADER + 100, .len = RECORD_HEADER + 10, .plain = 4096,
		.type = depth ? REC_OVERLAY : REC_CHUNK, .depth = depth,
	};
}

static struct id some_id(uint64_t n)
{
	struct id id;

	rnd_seed(n);
	fill(id.b, ID_LEN, 0);
	return id;
}

static void add(struct index *ix, uint64_t pack, const struct pack_entry *v, size_t n, bool replace)
{
	struct index_new p = { .size = 1000, .v = v, .n = n };
	struct err e = { 0 };

	put64(p.id, pack);
	put64(p.id + 8, 77);
	OK(index_add(ix, &p, 1, replace, &e), e);
}

static struct index_entry find(struct index *ix, const struct id *id)
{
	struct index_entry en;
	struct err e = { 0 };

	CHECK(index_find(ix, id, &en, &e) == 1);
	return en;
}

static void shallowest_wins(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct index *ix = index_open(s, &e);
	struct id id = some_id(1);
	struct pack_entry en;
	uint64_t ordinal;

	CHECK(ix);
	static const uint8_t depth[] = { 3, 5, 1, 2, 1, 0, 4, 0 };
	uint8_t best = 255;

	for (unsigned i = 0; i < LEN(depth); i++) {
		en = entry(&id, depth[i]);
		add(ix, i, &en, 1, false);
		if (depth[i] < best)
			best = depth[i];
		CHECK(find(ix, &id).depth == best && find(ix, &id).ordinal == 0);
	}
	CHECK(find(ix, &id).pack == 5);
	/* Moved records replace equals; doomed ones are replaced by equals,
	 * never by deeper ones. */
	en = entry(&id, 0);
	add(ix, 20, &en, 1, true);
	CHECK(find(ix, &id).pack == LEN(depth));
	/* Also into a pack that somebody else has taken in before. */
	add(ix, 19, &en, 1, false);
	CHECK(find(ix, &id).pack == LEN(depth));
	add(ix, 19, &en, 1, true);
	CHECK(find(ix, &id).pack == LEN(depth) + 1);
	OK(index_doom(ix, &id, 1, true, &e), e);
	CHECK(find(ix, &id).doomed);
	en = entry(&id, 2);
	add(ix, 21, &en, 1, false);
	CHECK(find(ix, &id).doomed && find(ix, &id).depth == 0);
	en = entry(&id, 0);
	add(ix, 22, &en, 1, false);
	CHECK(!find(ix, &id).doomed);
	OK(index_ordinals(ix, &ordinal, &e), e);
	CHECK(ordinal == 1);
	index_close(ix);
	site_drop(s);
}

#define EACH 400u
#define PACKS 40u

/* Two processes add at once, and the map must grow under both. */
static void adder(struct site *s, unsigned who)
{
	struct err e = { 0 };
	struct index *ix = index_open(s, &e);
	static struct pack_entry v[EACH];

	for (unsigned k = 0; ix && k < PACKS; k++) {
		for (unsigned i = 0; i < EACH; i++) {
			/* Every third is added by both. */
			uint64_t n = (uint64_t)k * EACH + i + (i % 3 ? (uint64_t)who << 40 : 0);
			struct id id = some_id(n);

			v[i] = entry(&id, (uint8_t)(i % 3 ? 0 : who));
		}
		add(ix, (uint64_t)who << 32 | k, v, EACH, false);
	}
	index_close(ix);
	_exit(!ix);
}

static void grows_under_two(void)
{
	struct site *s = site_new_with(&(struct site_options){ .index_map = 1u << 20 });
	struct err e = { 0 };
	struct index *ix = index_open(s, &e);
	struct index_row row[100];
	struct id after = { { 0 } };
	pid_t pid[2];
	size_t n, rows = 0;
	int status;

	CHECK(ix);
	index_close(ix);
	for (unsigned i = 0; i < 2; i++) {
		pid[i] = fork();
		CHECK(pid[i] >= 0);
		if (!pid[i])
			adder(s, i + 1);
	}
	for (unsigned i = 0; i < 2; i++)
		CHECK(waitpid(pid[i], &status, 0) == pid[i] && status == 0);
	/* These packs exist only in the index, so it is opened, not rebuilt. */
	ix = index_open(s, &e);
	CHECK(ix);
	do {
		OK(index_rows(ix, &after, row, LEN(row), &n, &e), e);
		for (size_t i = 0; i < n; i++) {
			CHECK(rows + i == 0 || i == 0 || memcmp(row[i - 1].id.b, row[i].id.b, ID_LEN) < 0);
			CHECK(row[i].en.depth < 2);
		}
		rows += n;
	} while (n);
	CHECK(rows == PACKS * (EACH * 2 - (EACH + 2) / 3));
	for (unsigned k = 0; k < PACKS * EACH; k += 97) {
		struct id id = some_id((uint64_t)k + (k % EACH % 3 ? 1ull << 40 : 0));

		find(ix, &id);
	}
	index_close(ix);
	site_drop(s);
}

/* Real packs, so that there is something to rebuild from. */
/* Threads look up, one by one and ahead, while the map grows under them. */
#define FINDERS 20u		/* more than the index keeps readers for */
#define ROUNDS 60u
#define OF_ROUND 500u

struct finders {
	struct index *ix;
	_Atomic unsigned rounds;	/* that are in */
	_Atomic unsigned long found;
};

static void *finder(void *arg)
{
	struct finders *f = arg;
	struct id v[32];
	unsigned rounds;

	do {
		struct index_entry en;
		struct err e = { 0 };

		rounds = atomic_load(&f->rounds);
		for (unsigned i = 0; i < LEN(v); i++) {
			put64(v[i].b, (uint64_t)i * rounds * OF_ROUND / LEN(v));
			memset(v[i].b + 8, 5, ID_LEN - 8);
		}
		index_warm(f->ix, v, LEN(v));
		for (unsigned i = 0; rounds && i < LEN(v); i++) {
			CHECK_ERR(index_find(f->ix, &v[i], &en, &e) == 1, &e);
			CHECK(en.len == RECORD_HEADER + 10);
			atomic_fetch_add(&f->found, 1);
		}
	} while (rounds < ROUNDS);
	return NULL;
}

static void found_while_it_grows(void)
{
	struct site *s = site_new_with(&(struct site_options){ .index_map = 1u << 20 });
	static struct pack_entry en[OF_ROUND];
	pthread_t thread[FINDERS];
	struct finders f = { 0 };
	struct err e = { 0 };
	struct id id = { { 0 } };

	f.ix = index_open(s, &e);
	CHECK_ERR(f.ix, &e);
	for (unsigned i = 0; i < FINDERS; i++)
		CHECK(pthread_create(&thread[i], NULL, finder, &f) == 0);
	memset(id.b + 8, 5, ID_LEN - 8);
	for (unsigned r = 0; r < ROUNDS; r++) {
		for (unsigned i = 0; i < OF_ROUND; i++) {
			put64(id.b, (uint64_t)r * OF_ROUND + i);
			en[i] = entry(&id, 0);
		}
		add(f.ix, 1000 + r, en, OF_ROUND, false);
		atomic_store(&f.rounds, r + 1);
	}
	for (unsigned i = 0; i < FINDERS; i++)
		pthread_join(thread[i], NULL);
	CHECK(f.found > FINDERS);
	CHECK(index_warm(f.ix, &id, 1) == 0);	/* not worth a thread */
	index_close(f.ix);
	site_drop(s);
}

static void make_pack(struct site *s, unsigned seed)
{
	struct err e = { 0 };
	struct pack_out *p = pack_create(s, (uint8_t)seed, &e);

	CHECK(p);
	for (unsigned i = 0; i < 30; i++) {
		struct record r = { .type = REC_OVERLAY, .plain = 512, .stored = 4, .depth = (uint8_t)(1 + (i + seed) % 5),
			.id = some_id(i / 2 + seed % 3 * 10) };
		uint8_t rec[RECORD_HEADER + 4] = { 0 };
		struct iovec v = { rec + RECORD_HEADER, 4 };

		record_encode(&r, &v, 1, rec);
		OK(pack_append(p, rec, sizeof rec, &e), e);
	}
	OK(pack_seal(s, p, &e), e);
	OK(pack_sync(s, p, &e), e);
	OK(pack_publish(s, p, &e), e);
	OK(pack_sync_dirs(s, &p, 1, &e), e);
	pack_out_free(s, p);
}

static size_t dump(struct site *s, struct index_row *row, size_t cap)
{
	struct err e = { 0 };
	struct index *ix = index_open(s, &e);
	struct id after = { { 0 } };
	size_t n;

	if (!ix)
		fprintf(stderr, "%s\n", e.text);
	CHECK(ix);
	OK(index_rows(ix, &after, row, cap, &n, &e), e);
	index_close(ix);
	return n;
}

static void rebuilt_after_damage(void)
{
	static const char *const harm[] = {
		"rm -r '%s/chunks/index'",
		"rm '%s/chunks/index/data.mdb'",
		"truncate -s 9000 '%s/chunks/index/data.mdb'",
		"truncate -s 0 '%s/chunks/index/data.mdb'",
		"dd if=/dev/urandom of='%s/chunks/index/data.mdb' bs=8192 count=1 conv=notrunc 2>/dev/null",
		"touch '%s/chunks/index.rebuild'",
	};
	struct site *s = site_new();
	static struct index_row before[200], after[200];
	size_t n, m;

	for (unsigned i = 0; i < 8; i++) {
		make_pack(s, i * 31);
		n = dump(s, before, 200);	/* each is ingested when it is met */
	}
	CHECK(n == 35);
	for (unsigned h = 0; h < LEN(harm); h++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		run(harm[h], s->path);
#pragma GCC diagnostic pop
		m = dump(s, after, 200);
		CHECK(m == n);
		for (size_t i = 0; i < n; i++)
			CHECK(id_equal(&before[i].id, &after[i].id) && before[i].en.depth == after[i].en.depth &&
			    before[i].en.len == after[i].en.len);
		run("test ! -e '%s/chunks/index.rebuild'", s->path);
	}
	site_drop(s);
}

static void packs_and_removal(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct index *ix;
	struct index_pack *v, p;
	struct index_row row[200];
	struct id after = { { 0 } };
	uint32_t gone;
	size_t n, rows;

	make_pack(s, 1);
	make_pack(s, 2);
	ix = index_open(s, &e);
	CHECK(ix);
	OK(index_packs(ix, &v, &n, &e), e);
	CHECK(n == 2 && v[0].records == 30 && index_pack_by_id(ix, v[1].id, &p, &e) == 1);
	CHECK(p.ordinal == v[1].ordinal);
	gone = v[0].ordinal;
	OK(index_drop_packs(ix, &gone, 1, &e), e);
	OK(index_rows(ix, &after, row, 200, &rows, &e), e);
	for (size_t i = 0; i < rows; i++)
		CHECK(row[i].en.pack == v[1].ordinal);
	CHECK(index_pack_by_id(ix, v[0].id, &p, &e) == 0 && index_pack(ix, gone, &p, &e) == 0);
	OK(index_remove(ix, &row[0].id, 1, gone, &e), e);
	find(ix, &row[0].id);	/* it points elsewhere, so it stays */
	OK(index_remove(ix, &row[0].id, 1, UINT32_MAX, &e), e);
	CHECK(index_find(ix, &row[0].id, &row[0].en, &e) == 0);
	free(v);
	index_close(ix);
	site_drop(s);
}

int main(void)
{
	RUN(shallowest_wins);
	RUN(grows_under_two);
	RUN(found_while_it_grows);
	RUN(rebuilt_after_damage);
	RUN(packs_and_removal);
	return 0;
}
