/* What dm-window asks for next: windows, turns, runs, barriers, refusals; and
 * how readers of chunks see epochs. */
#include "job/schedule.h"
#include "job/share.h"
#include "job/taken.h"
#include "../lib/unit.h"

#define CHUNK CHUNK_MAX

static struct err e;
static struct disk disks[3] = {
	{ .name = "a", .size = MIB(1000) }, { .name = "b", .size = MIB(1000) },
	{ .name = "c", .size = UINT64_C(64) << 40 },
};
static struct hello hello = {
	.chunk_size = CHUNK, .algo = ID_BLAKE3, .kind = KIND_FULL, .disk = disks, .ndisks = 3,
};

static struct schedule *make(bool acked, uint64_t window, uint64_t interval)
{
	struct schedule_options o = {
		.acked = acked, .window = { .min = window, .start = window, .max = window },
		.interval = interval,
	};

	return schedule_new(&hello, &o, 1);
}

static struct entry run(uint64_t index, uint64_t off, uint64_t len, uint16_t flags)
{
	return (struct entry){ .index = index, .off = off, .len = len, .flags = flags };
}

static void put(struct schedule *s, uint32_t disk, struct entry en)
{
	CHECK_ERR(schedule_put(s, disk, &en, &e) == 0, &e);
}

static bool next(struct schedule *s, struct issue *x)
{
	int r = schedule_next(s, x, 1, &e);

	CHECK_ERR(r >= 0, &e);
	return r;
}

static void written(struct schedule *s, uint32_t disk, struct entry en)
{
	CHECK_ERR(schedule_written(s, disk, &en, 1, &e) == 0, &e);
}

static void test_a_run_is_cut_and_the_window_holds(void)
{
	struct schedule *s = make(true, MIB(4), GIB(1));
	struct entry sent[4];
	struct issue x;

	put(s, 0, run(0, 0, MIB(10), EF_RUN));
	schedule_close(s);
	for (int i = 0; i < 4; i++) {
		CHECK(next(s, &x) && x.type == FT_DESC && x.epoch == 1);
		CHECK(x.en->index == (uint64_t)i && x.en->off == MIB(i) && x.en->len == CHUNK);
		CHECK(!(x.en->flags & EF_RUN));
		sent[i] = *x.en;
	}
	CHECK(!next(s, &x) && schedule_flight(s) == 4);
	written(s, 0, sent[2]);
	CHECK(next(s, &x) && x.en->index == 4);
	CHECK(!next(s, &x));
	CHECK(!schedule_done(s));
	schedule_free(s);
}

static void test_to_the_end(void)
{
	struct schedule *s = make(true, MIB(4), GIB(1));
	uint64_t n = 0, barriers = 0;
	struct issue x;

	put(s, 0, run(0, 0, MIB(10), EF_RUN));
	put(s, 1, run(10, MIB(5), MIB(900), EF_RUN | EF_ZERO));
	schedule_close(s);
	while (!schedule_done(s)) {
		CHECK(next(s, &x));
		if (x.type == FT_BARRIER) {
			barriers++;
			CHECK(x.barrier.count == 910 && x.barrier.bytes == MIB(10));
			continue;
		}
		CHECK((x.type == FT_ZERO) == (x.disk == 1));
		CHECK(x.type != FT_ZERO || x.en->len == MIB(900));	/* never cut */
		n += entry_count(x.en, CHUNK);
		written(s, x.disk, *x.en);
	}
	CHECK(n == 910 && barriers == 1 && schedule_epoch(s) == 2);
	schedule_free(s);
}

static void test_nothing_has_a_barrier_too(void)
{
	struct schedule *s = make(true, MIB(4), GIB(1));
	struct issue x;

	CHECK(!next(s, &x));
	schedule_close(s);
	CHECK(next(s, &x) && x.type == FT_BARRIER && !x.barrier.count);
	CHECK(!next(s, &x) && schedule_done(s));
	schedule_free(s);
}

static void test_disks_take_turns(void)
{
	struct schedule *s = make(true, MIB(16), GIB(1));
	unsigned n[2] = { 0, 0 };
	struct issue x;

	put(s, 0, run(0, 0, MIB(500), EF_RUN));
	put(s, 1, run(500, 0, MIB(500), EF_RUN));
	for (int i = 0; i < 16; i++) {
		CHECK(next(s, &x));
		n[x.disk]++;
		CHECK(n[0] <= n[1] + 4 && n[1] <= n[0] + 4);
	}
	CHECK(n[0] == 8 && n[1] == 8);
	/* A full window of one disk does not hold up the other. */
	while (next(s, &x))
		;
	for (int i = 0; i < 100; i++) {
		struct entry en = run(500 + (uint64_t)i, MIB(i), CHUNK, 0);

		written(s, 1, en);
		CHECK(next(s, &x) && x.disk == 1);
		CHECK(!next(s, &x));
	}
	schedule_free(s);
}

static void test_barriers_by_interval(void)
{
	struct schedule *s = make(false, MIB(4), MIB(3));
	uint64_t count = 0;
	struct issue x;

	put(s, 0, run(0, 0, MIB(10), EF_RUN));
	schedule_close(s);
	while (next(s, &x)) {
		if (x.type == FT_BARRIER)
			CHECK(x.barrier.count == count && (count % 3 == 0 || count == 10));
		else
			count++;
		CHECK(x.epoch == (count + 2) / 3 || x.type == FT_BARRIER);
	}
	CHECK(schedule_done(s) && schedule_epoch(s) == 5);
	schedule_free(s);
}

static void test_entries_without_data_need_no_credit_but_are_bounded(void)
{
	struct schedule *s = make(true, MIB(1), UINT64_C(64) << 40);
	uint64_t n = 0;
	struct issue x;

	for (uint64_t i = 0; i < 10000; i++)
		put(s, 2, run(i, i * CHUNK, CHUNK, EF_ZERO));
	while (next(s, &x))
		n++;
	CHECK(n > 1000 && n < 10000);
	for (uint64_t i = 0; i < n; i++)
		written(s, 2, run(i, i * CHUNK, CHUNK, EF_ZERO));
	CHECK(next(s, &x) && x.en->index == n);
	schedule_free(s);
}

static int as_ref(void *arg, uint32_t disk, const struct entry *en, struct err *err)
{
	(void)arg, (void)disk, (void)err;
	return en->index == 1 ? FT_REF : en->index == 2 ? FT_HELD : FT_DESC;
}

static void test_a_refused_reference_comes_again_with_data(void)
{
	struct schedule_options o = {
		.acked = true, .window = { .min = MIB(4), .start = MIB(4), .max = MIB(4) },
		.interval = GIB(1), .classify = as_ref,
	};
	struct schedule *s = schedule_new(&hello, &o, 1);
	struct nak n = { .index = 1, .again = 1 };
	struct entry sent[4];
	struct issue x;

	put(s, 0, run(0, 0, MIB(4), EF_RUN));
	schedule_close(s);
	for (int i = 0; i < 4; i++) {
		CHECK(next(s, &x) && !x.again);
		CHECK(x.type == (i == 1 ? FT_REF : i == 2 ? FT_HELD : FT_DESC));
		sent[i] = *x.en;
	}
	CHECK(next(s, &x) && x.type == FT_BARRIER && x.barrier.count == 4);
	CHECK_ERR(schedule_nak(s, 0, &n, 1, &e) == 0, &e);
	CHECK(next(s, &x) && x.type == FT_DESC && x.again && x.epoch == 2);
	CHECK(entry_equal(x.en, &sent[1]));
	/* One more barrier for it, which stands for no more than before. */
	CHECK(next(s, &x) && x.type == FT_BARRIER && x.epoch == 2 && x.barrier.count == 4);
	for (int i = 0; i < 4; i++)
		written(s, 0, sent[i]);
	CHECK(schedule_done(s));
	schedule_free(s);
}

static void test_false_acknowledgements(void)
{
	struct schedule *s = make(true, MIB(4), GIB(1));
	struct entry en = run(0, 0, MIB(2), EF_RUN);
	struct nak n = { .index = 0, .again = 1 };
	struct err e2;
	struct issue x;

	put(s, 0, en);
	CHECK(next(s, &x));
	en = *x.en;
	e2 = (struct err){ 0 };
	CHECK(schedule_nak(s, 0, &n, 1, &e2) < 0 && e2.code == DM_BAD);	/* no REF */
	e2 = (struct err){ 0 };
	CHECK(schedule_written(s, 1, &en, 1, &e2) < 0 && e2.code == DM_BAD);
	en.len--;
	e2 = (struct err){ 0 };
	CHECK(schedule_written(s, 0, &en, 1, &e2) < 0 && e2.code == DM_BAD);
	en.len++;
	written(s, 0, en);
	e2 = (struct err){ 0 };
	CHECK(schedule_written(s, 0, &en, 1, &e2) < 0 && e2.code == DM_BAD);	/* twice */
	schedule_free(s);
}

static void test_memory_is_bounded_for_a_huge_disk(void)
{
	struct schedule *s = make(true, MIB(8), UINT64_C(64) << 40);
	uint64_t n = 0;
	struct issue x;

	/* Every other chunk of 2 TiB. */
	for (uint64_t i = 0; i < 1000000; i++)
		put(s, 2, run(i, i * 2 * CHUNK, CHUNK, 0));
	schedule_close(s);
	while (next(s, &x)) {
		if (x.type == FT_BARRIER)
			continue;
		CHECK(x.en->index == n && x.en->off == n * 2 * CHUNK);
		n++;
		written(s, 2, *x.en);
	}
	CHECK(n == 1000000 && schedule_done(s));
	schedule_free(s);
}

static const struct law_bounds bounds = {
	.chunk = CHUNK, .min = MIB(16), .start = MIB(32), .max = MIB(64),
};

static void test_refusals_lower_the_window(void)
{
	struct window_law w;
	struct law_node n;
	int64_t t = 1000000000;

	law_init(&w, &bounds);
	law_node_init(&n, t);
	n.phase = LAW_CALM;
	CHECK(w.window == MIB(32));
	law_nak(&w, &n, CLASS_PERMANENT, 0, t);
	CHECK(w.window == MIB(32));		/* no sign of load */
	law_nak(&w, &n, CLASS_THROTTLE, 0, t);
	law_nak(&w, &n, CLASS_TIMEOUT, 0, t + 1000);	/* the same congestion */
	CHECK(w.window < MIB(23) && w.window > MIB(16));
	for (int i = 1; i < 30; i++)
		law_nak(&w, &n, CLASS_TRANSIENT, 0, t + i * 200000000ll);
	CHECK(w.window == CHUNK);		/* never less */
	t += 30 * 200000000ll;
	for (int i = 0; i < 100; i++) {
		law_issue(&w, &n, CHUNK, t);
		law_ack(&w, &n, CHUNK, t, false, t);
	}
	CHECK(w.window == CHUNK);		/* too early */
	t += 2000000000ll;
	for (int i = 0; i < 100000; i++) {
		while (w.flight + CHUNK <= w.window)
			law_issue(&w, &n, CHUNK, t);
		law_ack(&w, &n, CHUNK, t, false, t);
	}
	CHECK(w.window > MIB(15) && w.window <= MIB(64));	/* it came back */
}

/* A way with `rate' chunks per second and a latency, one request at a time. */
static void drive(struct window_law *w, struct law_node *n, double rate, int64_t latency,
    int64_t *t, int64_t until, int64_t *busy)
{
	static struct { int64_t issued, back; } sent[128];
	static unsigned head, tail;

	for (; *t < until; *t += 1000000) {
		law_turn(n, w, 1, NULL, 0, *t);
		while (head != tail && sent[head % 128].back <= *t) {
			law_ack(w, n, CHUNK, sent[head % 128].issued, false, *t);
			head++;
		}
		while (w->flight + CHUNK <= w->window) {
			*busy = (*busy > *t ? *busy : *t) + (int64_t)(1e9 / rate);
			sent[tail % 128].issued = *t;
			sent[tail++ % 128].back = *busy + latency;
			law_issue(w, n, CHUNK, *t);
		}
	}
}

static void test_the_window_follows_the_way(void)
{
	struct window_law w;
	struct law_node n;
	int64_t t = 1, busy = 0;

	law_init(&w, &bounds);
	law_node_init(&n, t);
	/* 300 chunks/s over 100 ms: 30 keep it busy, 45 are wanted. */
	drive(&w, &n, 300, 100000000, &t, 9000000000ll, &busy);
	CHECK(w.window > MIB(40) && w.window < MIB(50) && w.reason == LAW_MEASURED);
	/* 50/s: no more than the least is of use. */
	drive(&w, &n, 50, 100000000, &t, 38000000000ll, &busy);
	CHECK(w.window == MIB(16));
	drive(&w, &n, 1000, 100000000, &t, 78000000000ll, &busy);
	CHECK(w.window == MIB(64) && w.reason == LAW_MAX);
}

static void test_shares(void)
{
	struct share s[4] = {
		{ .want = 1000, .weight = 1 }, { .want = 5, .weight = 1 },
		{ .want = 1000, .weight = 2 }, { .want = 0, .weight = 7 },
	};

	share_fill(s, 4, 95);
	CHECK(s[0].got == 30 && s[1].got == 5 && s[2].got == 60 && s[3].got == 0);
	share_fill(s, 4, 5000);			/* enough for all */
	CHECK(s[0].got == 1000 && s[1].got == 5 && s[2].got == 1000);
	share_fill(s, 4, 0);
	CHECK(s[0].got + s[1].got + s[2].got == 0);
	share_fill(s, 0, 10);
}

static void test_a_credit_is_divided_among_disks(void)
{
	struct schedule *s = make(true, MIB(16), GIB(1));
	unsigned n[3] = { 0 };
	struct issue x;

	for (uint32_t d = 0; d < 2; d++)
		put(s, d, run(d * 500, 0, MIB(500), EF_RUN));
	put(s, 2, run(1000, 0, MIB(1), 0));
	CHECK(schedule_want(s) == MIB(48));
	schedule_credit(s, MIB(9));
	while (next(s, &x))
		n[x.disk]++;
	CHECK(n[0] == 4 && n[1] == 4 && n[2] == 1 && schedule_flight_bytes(s) == MIB(9));
	/* Less than is in flight: nothing goes until it came back. */
	schedule_credit(s, MIB(4));
	written(s, 0, run(0, 0, CHUNK, 0));
	CHECK(!next(s, &x));
	schedule_credit(s, UINT64_MAX);
	while (next(s, &x))
		n[x.disk]++;
	CHECK(n[0] == 17 && n[1] == 16 && n[2] == 1);
	schedule_free(s);
}

static void test_epochs(void)
{
	struct epochs x;
	struct barrier b = { 3, 300 };
	struct err e2 = { 0 };

	epochs_init(&x);
	CHECK(epochs_take(&x, 1, 2, 200, &e) == 0);
	CHECK(epochs_take(&x, 2, 5, 500, &e) == 0);	/* overtakes the barrier */
	CHECK(epochs_take(&x, 1, 1, 100, &e) == 0);
	CHECK(epochs_close(&x, 1, &b, &e) == 0);
	CHECK(epochs_take(&x, 1, 1, 1, &e2) < 0 && e2.code == DM_BAD);
	e2 = (struct err){ 0 };
	CHECK(epochs_take(&x, 2 + EPOCHS_AHEAD, 1, 1, &e2) < 0 && e2.code == DM_BAD);
	e2 = (struct err){ 0 };
	CHECK(epochs_close(&x, 3, &b, &e2) < 0 && e2.code == DM_BAD);	/* not its turn */
	e2 = (struct err){ 0 };
	b = (struct barrier){ 7, 800 };
	CHECK(epochs_close(&x, 2, &b, &e2) < 0 && e2.code == DM_BAD);	/* 8 came */
}

static void test_taken(void)
{
	struct entry en = run(0, 0, CHUNK, EF_ID), other = run(1, CHUNK, CHUNK, 0);
	struct tally want;
	struct taken t;
	struct err e2 = { 0 };

	en.id.b[0] = 1;
	taken_init(&t, &hello);
	CHECK(taken_add(&t, FT_REF, 0, 1, &en, &e) == 0);
	CHECK(taken_add(&t, FT_REF, 0, 1, &en, &e2) < 0 && e2.code == DM_BAD);
	CHECK(taken_add(&t, FT_CHUNK, 0, 1, &en, &e) == 1);	/* with data now */
	e2 = (struct err){ 0 };
	CHECK(taken_add(&t, FT_CHUNK, 0, 1, &en, &e2) < 0 && e2.code == DM_BAD);
	CHECK(taken_add(&t, FT_CHUNK, 0, 1, &other, &e) == 0);
	tally_init(&want, &hello);
	tally_add(&want, 0, &other, CHUNK);
	e2 = (struct err){ 0 };
	CHECK(taken_end(&t, &want, "input", &e2) < 0 && e2.code == DM_BAD);
	tally_add(&want, 0, &en, CHUNK);
	CHECK(taken_end(&t, &want, "input", &e) == 0);
	taken_free(&t);
	taken_init(&t, &hello);
	CHECK(taken_add(&t, FT_CHUNK, 0, 1, &other, &e) == 0);	/* index 0 never comes */
	e2 = (struct err){ 0 };
	CHECK(taken_end(&t, &t.tally, "input", &e2) < 0 && e2.code == DM_BAD);
	taken_free(&t);
}

int main(void)
{
	RUN(test_a_run_is_cut_and_the_window_holds);
	RUN(test_to_the_end);
	RUN(test_nothing_has_a_barrier_too);
	RUN(test_disks_take_turns);
	RUN(test_barriers_by_interval);
	RUN(test_entries_without_data_need_no_credit_but_are_bounded);
	RUN(test_a_refused_reference_comes_again_with_data);
	RUN(test_false_acknowledgements);
	RUN(test_memory_is_bounded_for_a_huge_disk);
	RUN(test_refusals_lower_the_window);
	RUN(test_the_window_follows_the_way);
	RUN(test_shares);
	RUN(test_a_credit_is_divided_among_disks);
	RUN(test_epochs);
	RUN(test_taken);
	return 0;
}
