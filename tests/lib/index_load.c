/* index_load SITE N: make a site's index of N made-up chunks in packs of 64, as
 * a rebuild does, in order of id; then look up random ones, first with nothing
 * of it in the cache, one by one and read ahead, then with all of it (if it fits),
 * and add new packs.
 * Says rates and this process's anonymous memory, as JSON.  For measuring: the
 * site is of no use afterwards. */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/timefmt.h"
#include "repo/index_priv.h"
#include "unit.h"

#define RECORDS 64u		/* of one pack: chunks of 1 MiB */
#define BATCH 65536u		/* records of one transaction */
#define COLD 100000u
#define WARM 1000000u
#define AHEAD 512u
#define PACKS 1000u		/* added at the end */

/* Ids ascend with n, and are as far apart as hashes are. */
static struct id id_of(uint64_t n, uint64_t of)
{
	uint64_t state = n * 2 + 1, step = UINT64_MAX / of, first = htobe64(n * step + rnd(&state) % step);
	struct id id;

	rnd_fill(&state, id.b, sizeof(id.b));
	memcpy(id.b, &first, sizeof(first));
	return id;
}

static void memory(uint64_t *most)
{
	unsigned long kib = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	*most = max64(*most, (uint64_t)kib << 10);
}

struct fill {
	uint64_t n, at;
};

static int put_ids(struct index *ix, MDB_txn *t, void *arg)
{
	const struct fill *f = arg;
	uint8_t val[INDEX_VALUE];
	int rc = 0;

	for (uint64_t i = f->at, end = min64(f->n, f->at + BATCH); !rc && i < end; i++) {
		/* Which pack a record is in has nothing to do with its id. */
		uint64_t place = i * 2654435761u % f->n;
		struct id id = id_of(i, f->n);
		struct index_entry en = { .pack = (uint32_t)(place / RECORDS),
			.off = 64 + (uint32_t)(place % RECORDS << 20), .len = 1 << 20, .plain = 1 << 20,
			.type = REC_CHUNK, .ordinal = i };
		MDB_val k = { ID_LEN, id.b }, v = { INDEX_VALUE, val };

		index_value_encode(&en, val);
		rc = mdb_put(t, ix->ids, &k, &v, MDB_APPEND);
	}
	return rc;
}

static int put_packs(struct index *ix, MDB_txn *t, void *arg)
{
	const struct fill *f = arg;
	uint64_t packs = div_up(f->n, RECORDS);
	uint8_t val[INDEX_VALUE], num[4];
	int rc = 0;

	for (uint64_t i = f->at, end = min64(packs, f->at + BATCH); !rc && i < end; i++) {
		struct index_pack p = { .ordinal = (uint32_t)i, .size = RECORDS << 20, .records = RECORDS };
		uint32_t be = htobe32((uint32_t)i);
		struct id id = id_of(i, packs);
		MDB_val k = { 4, &be }, v = { INDEX_VALUE, val }, name = { PACK_ID, p.id }, o = { 4, num };

		memcpy(p.id, id.b, PACK_ID);
		index_pack_encode(&p, true, val);
		put32(num, (uint32_t)i);
		rc = mdb_put(t, ix->packs, &k, &v, MDB_APPEND);
		if (!rc)
			rc = mdb_put(t, ix->names, &name, &o, MDB_APPEND);
	}
	return rc;
}

static int put_meta(struct index *ix, MDB_txn *t, void *arg)
{
	const struct fill *f = arg;
	struct site *s = (struct site *)(uintptr_t)f->at;
	int rc;

	if ((rc = index_meta_put(ix, t, "format", INDEX_FORMAT)) ||
	    (rc = index_meta_put(ix, t, "site0", get64(s->id))) ||
	    (rc = index_meta_put(ix, t, "site1", get64(s->id + 8))) ||
	    (rc = index_meta_put(ix, t, "generation", 1)) || (rc = index_meta_put(ix, t, "ordinals", f->n)))
		return rc;
	return index_meta_put(ix, t, "packs", div_up(f->n, RECORDS));
}

static void make(struct site *s, uint64_t n, uint64_t *most)
{
	struct fill f = { .n = n };
	struct err e = { 0 };
	struct index ix;

	CHECK_ERR(!durable_mkdirs(s->index_path, &e), &e);
	CHECK_ERR(!index_env_open(s, s->index_path, MDB_NOSYNC, true, &ix, &e), &e);
	for (f.at = 0; f.at < n; f.at += BATCH) {
		CHECK_ERR(!index_write(&ix, put_ids, &f, "fill", &e), &e);
		memory(most);
	}
	for (f.at = 0; f.at < div_up(n, RECORDS); f.at += BATCH)
		CHECK_ERR(!index_write(&ix, put_packs, &f, "fill", &e), &e);
	f.at = (uintptr_t)s;
	CHECK_ERR(!index_write(&ix, put_meta, &f, "fill", &e), &e);
	CHECK(!mdb_env_sync(ix.env, 1));
	index_env_close(&ix);
}

/* Out of the cache with it. */
static void forget(const struct site *s)
{
	char *path = x_printf("%s/data.mdb", s->index_path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0 && !posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	close(fd);
	free(path);
}

/* Into the cache, as far as it fits. */
static void recall(const struct site *s)
{
	char *path = x_printf("%s/data.mdb", s->index_path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	static char block[1 << 20];

	CHECK(fd >= 0);
	while (read(fd, block, sizeof(block)) > 0)
		;
	close(fd);
	free(path);
}

/* Ids that are there and, every other time, one that is not. */
static double look_up(struct index *ix, uint64_t n, unsigned count, uint64_t *dice, uint64_t *most)
{
	int64_t t0 = time_mono();
	struct index_entry en;
	struct err e = { 0 };

	for (unsigned i = 0; i < count; i++) {
		uint64_t at = rnd(dice) % n;
		struct id id = id_of(at, n);

		id.b[ID_LEN - 1] ^= i & 1;
		CHECK(index_find(ix, &id, &en, &e) == !(i & 1));
		CHECK(i & 1 || en.ordinal == at);
	}
	memory(most);
	return count * 1e9 / (double)(time_mono() - t0);
}

/* The same as dm-window does it: a batch of descriptors read ahead, then asked
 * one after the other. */
static double look_up_ahead(struct index *ix, uint64_t n, unsigned count, uint64_t *dice, uint64_t *most)
{
	static struct id id[AHEAD];
	int64_t t0 = time_mono();
	struct index_entry en;
	struct err e = { 0 };

	for (unsigned i = 0; i < count; i++) {
		for (unsigned k = 0; i % AHEAD == 0 && k < AHEAD; k++) {
			id[k] = id_of(rnd(dice) % n, n);
			id[k].b[ID_LEN - 1] ^= k & 1;
		}
		if (i % AHEAD == 0)
			index_warm(ix, id, AHEAD);
		CHECK(index_find(ix, &id[i % AHEAD], &en, &e) == !(i & 1));
	}
	memory(most);
	return count * 1e9 / (double)(time_mono() - t0);
}

/* What a busy site does: new content, a pack at a time. */
static double add_packs(struct index *ix, uint64_t *dice, uint64_t *most)
{
	struct pack_entry en[RECORDS];
	int64_t t0 = time_mono();
	struct err e = { 0 };

	for (unsigned k = 0; k < PACKS; k++) {
		struct index_new pack = { .size = RECORDS << 20, .v = en, .n = RECORDS };

		rnd_fill(dice, pack.id, PACK_ID);
		for (unsigned i = 0; i < RECORDS; i++) {
			en[i] = (struct pack_entry){ .off = 64 + (i << 20), .len = 1 << 20, .plain = 1 << 20,
				.type = REC_CHUNK };
			rnd_fill(dice, en[i].id.b, ID_LEN);
		}
		CHECK_ERR(!index_add(ix, &pack, 1, false, &e), &e);
	}
	memory(most);
	return (double)PACKS * RECORDS * 1e9 / (double)(time_mono() - t0);
}

int main(int argc, char **argv)
{
	uint64_t n, filling = 0, using = 0, dice = 42;
	double filled, cold, ahead, warm, added;
	struct err e = { 0 };
	struct index *ix;
	struct site *s;
	int64_t t0;

	CHECK(argc == 3 && u64_parse(argv[2], 1, UINT64_C(1) << 32, &n) == 0);
	s = site_open(argv[1], &e);
	CHECK_ERR(s, &e);
	t0 = time_mono();
	make(s, n, &filling);
	filled = (double)n * 1e9 / (double)(time_mono() - t0);
	forget(s);
	ix = index_open(s, &e);
	CHECK_ERR(ix, &e);
	cold = look_up(ix, n, COLD, &dice, &using);
	index_close(ix);
	forget(s);
	ix = index_open(s, &e);
	CHECK_ERR(ix, &e);
	ahead = look_up_ahead(ix, n, COLD, &dice, &using);
	recall(s);
	warm = look_up(ix, n, WARM, &dice, &using);
	added = add_packs(ix, &dice, &using);
	printf("{\"records\": %llu, \"filled_per_s\": %.0f, \"cold_lookups_per_s\": %.0f, \"cold_ahead_per_s\": %.0f, "
	    "\"cached_lookups_per_s\": %.0f, \"added_per_s\": %.0f, \"rss_anon_filling\": %llu, \"rss_anon\": %llu}\n",
	    (unsigned long long)n, filled, cold, ahead, warm, added, (unsigned long long)filling,
	    (unsigned long long)using);
	index_close(ix);
	site_close(s);
	return 0;
}
