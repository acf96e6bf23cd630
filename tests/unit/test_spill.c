/* Queues that spill: order, content, and space used again. */
#include "base/bytes.h"
#include "job/spill.h"
#include "../lib/unit.h"

static struct err e;

/* Records whose length and bytes follow from their number. */
static size_t record(uint64_t n, uint8_t *p)
{
	uint64_t state = n;
	size_t len = 1 + rnd(&state) % 300;

	rnd_fill(&state, p, len);
	return len;
}

static void put(struct spill *q, uint64_t n)
{
	uint8_t p[SPILL_RECORD_MAX];

	CHECK_ERR(spill_put(q, p, record(n, p), &e) == 0, &e);
}

static void get(struct spill *q, uint64_t n)
{
	uint8_t want[SPILL_RECORD_MAX], p[SPILL_RECORD_MAX];
	size_t len;

	CHECK_ERR(spill_get(q, p, &len, &e) == 1, &e);
	CHECK(len == record(n, want) && !memcmp(p, want, len));
}

static void test_little_stays_in_memory(void)
{
	struct spill_file *f = spill_file_new();
	struct spill *q = spill_new(f, MIB(1));
	uint8_t p[SPILL_RECORD_MAX];
	size_t len;

	CHECK(spill_empty(q) && spill_get(q, p, &len, &e) == 0);
	for (uint64_t i = 0; i < 1000; i++)
		put(q, i);
	for (uint64_t i = 0; i < 1000; i++)
		get(q, i);
	CHECK(spill_empty(q) && spill_get(q, p, &len, &e) == 0);
	CHECK(spill_file_size(f) == 0);
	spill_free(q);
	spill_file_free(f);
}

static void test_much_comes_back_in_order(void)
{
	struct spill_file *f = spill_file_new();
	struct spill *q[2] = { spill_new(f, KIB(64)), spill_new(f, KIB(64)) };

	for (uint64_t i = 0; i < 20000; i++)
		put(q[i & 1], i);
	CHECK(spill_file_size(f) > MIB(1));
	for (uint64_t i = 0; i < 20000; i++)
		get(q[i & 1], i);
	CHECK(spill_empty(q[0]) && spill_empty(q[1]));
	spill_free(q[0]);
	spill_free(q[1]);
	spill_file_free(f);
}

static void test_random_use_reuses_space(void)
{
	struct spill_file *f = spill_file_new();
	struct spill *q = spill_new(f, KIB(64));
	uint64_t in = 0, out = 0, state = 7, most = 0;

	while (in < 200000) {
		uint64_t n = rnd(&state) % 3000;

		for (uint64_t i = 0; i < n; i++)
			put(q, in++);
		most = max64(most, in - out);
		n = rnd(&state) % 4000;
		for (uint64_t i = 0; i < n && out < in; i++)
			get(q, out++);
	}
	while (out < in)
		get(q, out++);
	CHECK(spill_empty(q));
	/* The file never held more than what waited at once, though much more
	 * went through. */
	CHECK(spill_file_size(f) < most * 300);
	spill_free(q);
	spill_file_free(f);
}

static void test_free_with_records_inside(void)
{
	struct spill_file *f = spill_file_new();
	struct spill *q = spill_new(f, KIB(64));

	for (uint64_t i = 0; i < 5000; i++)
		put(q, i);
	spill_free(q);
	spill_file_free(f);
}

static void test_too_long_a_record(void)
{
	struct spill_file *f = spill_file_new();
	struct spill *q = spill_new(f, KIB(64));
	uint8_t p[SPILL_RECORD_MAX + 1] = { 0 };
	struct err e2 = { 0 };

	CHECK(spill_put(q, p, sizeof p, &e2) < 0 && e2.code == DM_BAD);
	spill_free(q);
	spill_file_free(f);
}

int main(void)
{
	RUN(test_little_stays_in_memory);
	RUN(test_much_comes_back_in_order);
	RUN(test_random_use_reuses_space);
	RUN(test_free_with_records_inside);
	RUN(test_too_long_a_record);
	return 0;
}
