/* What a journal says after an interruption: never too much. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/unit.h"
#include "volume/target_journal.h"

static struct journal_step step(const char *point)
{
	return (struct journal_step){ .base_point = "", .target_point = point, .full = true, .frozen = true,
		.algo = ID_BLAKE3, .size = 10 << 20, .chunk_size = 1 << 20 };
}

static struct target_journal *begin(const char *path, const struct journal_step *s)
{
	struct err e = { 0 };
	struct target_journal *j = journal_open(path, &e);

	CHECK(j && journal_begin(j, s, "snap-1", 512 << 10, &e) == 0);
	return j;
}

static void chunks(void)
{
	struct journal_step s = step("p"), other = step("q"), moved = step("p"), thawed = step("p");
	struct err e = { 0 };
	struct target_journal *j = begin("j", &s), *r;
	uint8_t d[32] = { 1 }, f[32] = { 2 };
	uint32_t block = 0;

	CHECK(journal_open("j", &e) == NULL && e.code == DM_NO);
	e = (struct err){ 0 };
	CHECK(journal_put(j, 6, d, &e) == 0 && journal_put(j, 7, d, &e) == 0 && journal_chunk(j, 3, &e) == 0);
	CHECK(journal_has(j, 6, d, &e) == 1 && journal_has(j, 6, f, &e) == 0 && journal_has(j, 5, d, &e) == 0);
	r = journal_read("j", &s, &e);
	CHECK(r && journal_has_chunk(r, 3, &e) == 0);	/* not durable yet */
	CHECK(journal_sync(j, &e) == 0 && journal_has_chunk(r, 3, &e) == 1);
	CHECK(journal_has_chunk(r, 2, &e) == 0 && journal_has_chunk(r, 4, &e) == 0);
	CHECK(journal_has_chunk(r, UINT64_MAX / 2, &e) == 0);
	journal_close(r);
	journal_close(j);

	moved.size++;
	thawed.frozen = false;
	CHECK(!journal_read("j", &other, &e) && !journal_read("j", &moved, &e) && !journal_read("j", &thawed, &e));
	CHECK(!e.code && !journal_read("none", &s, &e) && !e.code);
	j = journal_open("j", &e);
	CHECK(journal_resume(j, &other, &block) == NULL && !journal_lasts(j));
	CHECK(!strcmp(journal_resume(j, &s, &block), "snap-1") && block == 512 << 10 && journal_lasts(j));
	CHECK(journal_has_chunk(j, 3, &e) == 1);
	CHECK(journal_begin(j, &s, "snap-2", 512 << 10, &e) == 0 && journal_has_chunk(j, 3, &e) == 0);
	CHECK(journal_has(j, 6, d, &e) == 0);
	CHECK(journal_end(j, &e) == 0 && journal_read("j", &s, &e) == NULL && !e.code);
	journal_close(j);
}

static void bases(void)
{
	struct id one = { { 1 } }, two = { { 2 } };
	struct journal_step s = step("p"), t;
	struct err e = { 0 };
	struct target_journal *j, *r;

	s.full = false;
	s.base_root = &one;
	s.base_point = "b";
	j = begin("k", &s);
	t = s;
	t.base_root = &two;
	CHECK(!journal_read("k", &t, &e));
	t.base_root = NULL;	/* then the point tells */
	r = journal_read("k", &t, &e);
	CHECK(r);
	journal_close(r);
	t.base_point = "c";
	CHECK(!journal_read("k", &t, &e));
	t = s;
	t.full = true;
	CHECK(!journal_read("k", &t, &e) && !e.code);
	journal_close(j);
}

static void count(void *arg, const uint8_t digest[32])
{
	uint8_t *last = arg;

	CHECK(digest[0] > last[0]);	/* in order */
	last[0] = digest[0];
	last[1]++;
}

static void digests(void)
{
	struct journal_step s = step("p");
	struct err e = { 0 };
	uint8_t d[32] = { 0 }, seen[2] = { 0 };
	struct target_journal *j;

	s.size = 1ull << 40;
	s.frozen = false;
	j = begin(NULL, &s);
	CHECK(!journal_lasts(j));
	for (unsigned i = 1; i <= 40; i++) {
		d[0] = (uint8_t)(41 - i);
		CHECK(journal_put(j, (uint64_t)(41 - i) * 50021, d, &e) == 0);
	}
	CHECK(journal_each(j, count, seen, &e) == 0 && seen[1] == 40);
	journal_close(j);
}

/* A file that is no journal, or one that was cut, is none. */
static void junk(void)
{
	static const char *const text[] = { "", "{", "{\"dm-journal\":1}\n", "\n\n\n",
		"{\"dm-journal\":1,\"target\":\"x\",\"point\":\"p\",\"full\":true,\"size\":10485760,\"chunk\":1048576,\"block\":0}\n",
		"{\"dm-journal\":1,\"target\":\"x\",\"point\":\"p\",\"full\":true,\"size\":-1,\"chunk\":1048576,\"block\":512}\n",
		"{\"dm-journal\":2,\"target\":\"x\",\"point\":\"p\",\"full\":true,\"size\":10485760,\"chunk\":1048576,\"block\":512}\n" };
	struct journal_step s = step("p");
	struct err e = { 0 };
	uint32_t block;

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		char page[4096];
		FILE *f = fopen("junk", "w");
		struct target_journal *j;

		memset(page, ' ', sizeof(page));
		memcpy(page, text[i], strlen(text[i]));
		CHECK(f && fwrite(page, 1, i ? sizeof(page) : 100, f) > 0 && fclose(f) == 0);
		CHECK(!journal_read("junk", &s, &e) && !e.code);
		j = journal_open("junk", &e);
		CHECK(j && journal_resume(j, &s, &block) == NULL);
		journal_close(j);
	}
}

int main(void)
{
	char dir[] = "/tmp/dm-unit.XXXXXX";

	CHECK(mkdtemp(dir) && chdir(dir) == 0);
	chunks();
	bases();
	digests();
	junk();
	CHECK(unlink("j") == 0 && unlink("k") == 0 && unlink("junk") == 0 && chdir("/") == 0 && rmdir(dir) == 0);
	return 0;
}
