/* index_load SITE N: fill a site's index with N made-up records, then look up
 * random ones; says rates and this process's anonymous memory, as JSON.  For
 * measuring: the site is of no use afterwards. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "repo/index.h"
#include "unit.h"

#define RECORDS 64u	/* of one pack: chunks of 1 MiB */
#define PACKS 1024u	/* of one transaction */
#define LOOKUPS 1000000u

static struct id id_of(uint64_t n)
{
	uint64_t state = n * 2 + 1;
	struct id id;

	rnd_fill(&state, id.b, sizeof(id.b));
	return id;
}

static uint64_t rss_anon(void)
{
	unsigned long kib = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %lu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return (uint64_t)kib << 10;
}

static void add(struct index *ix, uint64_t first, uint64_t n)
{
	static struct pack_entry en[PACKS][RECORDS];
	static struct index_new pack[PACKS];
	struct err e = { 0 };
	size_t k = 0;

	for (uint64_t at = 0; at < n; k++) {
		uint64_t some = min64(RECORDS, n - at);

		pack[k] = (struct index_new){ .size = RECORDS << 20, .v = en[k], .n = some };
		memcpy(pack[k].id, id_of(~(first + at)).b, PACK_ID);
		for (uint64_t i = 0; i < some; i++, at++)
			en[k][i] = (struct pack_entry){ .id = id_of(first + at), .off = 64 + (uint32_t)i,
				.len = 1 << 20, .plain = 1 << 20, .type = REC_CHUNK };
	}
	CHECK_ERR(!index_add(ix, pack, k, false, &e), &e);
}

int main(int argc, char **argv)
{
	struct err e = { 0 };
	struct index_entry en;
	uint64_t n, most = 0, dice = 42;
	int64_t t0, t1, t2;
	struct site *s;
	struct index *ix;

	CHECK(argc == 3 && u64_parse(argv[2], 1, UINT64_C(1) << 32, &n) == 0);
	s = site_open(argv[1], &e);
	CHECK_ERR(s, &e);
	ix = index_open(s, &e);
	CHECK_ERR(ix, &e);
	t0 = time_mono();
	for (uint64_t at = 0; at < n; at += PACKS * RECORDS) {
		add(ix, at, min64(PACKS * RECORDS, n - at));
		most = max64(most, rss_anon());
	}
	t1 = time_mono();
	for (unsigned i = 0; i < LOOKUPS; i++) {
		struct id id = id_of(rnd(&dice) % n);

		CHECK(index_find(ix, &id, &en, &e) == 1);
	}
	t2 = time_mono();
	printf("{\"records\": %llu, \"added_per_s\": %.0f, \"lookups_per_s\": %.0f, "
	    "\"rss_anon\": %llu}\n", (unsigned long long)n, (double)n * 1e9 / (double)(t1 - t0),
	    LOOKUPS * 1e9 / (double)(t2 - t1), (unsigned long long)max64(most, rss_anon()));
	index_close(ix);
	site_close(s);
	return 0;
}
