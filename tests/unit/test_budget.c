/* The node's budget and rate limits: slots that die with their owners, shares,
 * times of day. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/slots.h"
#include "base/timefmt.h"
#include "job/budget.h"
#include "job/pace.h"
#include "../lib/unit.h"


static struct err e;
static char dir[] = "/tmp/test_budget.XXXXXX";
static char file[64];

/* ---- slots ---- */

static void test_a_slot_dies_with_its_owner(void)
{
	struct slots *a = slots_open(file, true, &e);
	int pipes[2], status;
	pid_t pid;
	char c, name[SLOT_NAME];

	CHECK_ERR(a, &e);
	CHECK(slots_take(a, "first", &e) == 0);
	CHECK(pipe(pipes) == 0);
	pid = fork();
	if (pid == 0) {
		struct slots *b = slots_open(file, true, &e);

		if (!b || slots_take(b, "second", &e) != 1 || slots_lock(b, &e) < 0)
			_exit(1);
		/* It holds the short lock too. */
		(void)!write(pipes[1], "x", 1);
		pause();
	}
	CHECK(read(pipes[0], &c, 1) == 1);
	CHECK(slots_alive(a, 1) && !slots_alive(a, 0) && !slots_alive(a, 2) && slots_end(a) == 2);
	slots_name(a, 1, name);
	CHECK(!strcmp(name, "second"));
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	CHECK(!slots_alive(a, 1));
	CHECK_ERR(slots_lock(a, &e) == 0, &e);
	slots_unlock(a);
	slots_close(a);
	a = slots_open(file, false, &e);
	CHECK_ERR(a, &e);
	CHECK(!slots_alive(a, 0));
	slots_close(a);
}

static void test_a_file_of_something_else_is_left_alone(void)
{
	char other[80];
	struct stat st;
	struct err e2 = { 0 };
	int fd;

	snprintf(other, sizeof other, "%s/other", dir);
	CHECK(!slots_open(other, false, &e2) && e2.code == DM_NO);
	fd = open(other, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0 && write(fd, "something", 9) == 9 && close(fd) == 0);
	e2 = (struct err){ 0 };
	CHECK(!slots_open(other, true, &e2) && e2.code == DM_USAGE);
	CHECK(stat(other, &st) == 0 && st.st_size == 9);
	CHECK(unlink(other) == 0 && symlink(file, other) == 0);
	e2 = (struct err){ 0 };
	CHECK(!slots_open(other, true, &e2) && e2.code == DM_ENV);
	unlink(other);
}

/* ---- shares ---- */

struct pipeline {
	struct budget *b;
	struct law_node node;
	uint64_t want, flight, may;
};

static void join(struct pipeline *p, const char *size, const char *name, unsigned priority,
    uint32_t disks)
{
	char spec[96];

	snprintf(spec, sizeof spec, "%s%s", file, size);
	*p = (struct pipeline){ .want = MIB(1000) };
	p->b = budget_open(spec, &e);
	CHECK_ERR(p->b, &e);
	CHECK_ERR(budget_join(p->b, name, priority, disks, MIB(1), &e) == 0, &e);
}

/* It settles, and uses all it gets; what is in flight comes back when it must. */
static void turn(struct pipeline *p, int64_t now)
{
	struct budget_news n = { .want = p->want, .flight = p->flight, .node = &p->node };

	p->may = budget_turn(p->b, &n, now);
	CHECK(p->may >= p->flight);
	p->flight = p->may < p->want ? p->may : p->want;
}

static void test_shares_follow_priorities_and_stay_within_the_budget(void)
{
	struct pipeline p[3];
	int64_t now = SECOND;

	join(&p[0], ",120M", "web", 10, 1);
	turn(&p[0], now);
	CHECK(p[0].flight == MIB(120));
	/* A late comer gets nothing before it came back, then its share. */
	join(&p[1], "", "db", 20, 1);
	turn(&p[1], now);
	CHECK(p[1].flight == 0);
	for (int i = 0; i < 100; i++) {
		if (p[0].flight >= MIB(2))
			p[0].flight -= MIB(2);
		now += SECOND / 20;
		turn(&p[0], now);
		turn(&p[1], now);
		CHECK(p[0].flight + p[1].flight <= MIB(120));
	}
	CHECK(p[1].flight == MIB(80) && p[0].flight <= MIB(40));
	/* Who wants little leaves the rest. */
	p[1].want = p[1].flight = MIB(6);
	turn(&p[1], now += SECOND);
	turn(&p[0], now += SECOND);
	CHECK(p[0].flight == MIB(114));
	budget_close(p[1].b);
	turn(&p[0], now += SECOND);
	CHECK(p[0].flight == MIB(120));
	budget_close(p[0].b);
}

static void test_a_chunk_for_each_disk_is_always_there(void)
{
	struct pipeline p;

	join(&p, ",16M", "many", 10, 80);
	turn(&p, SECOND);
	CHECK(p.flight == MIB(80));
	budget_close(p.b);
}

static void test_the_share_of_a_killed_pipeline_returns(void)
{
	struct pipeline p, q;
	int pipes[2], status;
	pid_t pid;
	char c;

	CHECK(pipe(pipes) == 0);
	pid = fork();
	if (pid == 0) {
		join(&q, ",64M", "killed", 10, 1);
		turn(&q, SECOND);
		(void)!write(pipes[1], "x", q.flight == MIB(64));
		pause();
	}
	CHECK(read(pipes[0], &c, 1) == 1);
	join(&p, "", "left", 10, 1);
	turn(&p, SECOND);
	CHECK(p.flight == 0);
	CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	turn(&p, budget_due(p.b));
	CHECK(p.flight == MIB(64));
	budget_close(p.b);
}

static void test_what_others_measured(void)
{
	struct pipeline p[2];
	const struct law_peer *peer;
	size_t n;

	join(&p[0], "", "a", 10, 3);
	join(&p[1], "", "b", 10, 1);
	p[0].node.own = (struct law_peer){ .live = 3, .rate = MIB(5), .latency = 20000000,
	    .refused = 1, .cap = MIB(7) };
	turn(&p[0], SECOND);
	peer = budget_peers(p[1].b, &n);
	CHECK(n == 1 && peer->live == 3 && peer->rate == MIB(5) && peer->latency == 20000000 &&
	    peer->refused == 1 && peer->cap == MIB(7));
	CHECK(budget_summons(p[0].b, 77) == 77 && budget_summons(p[1].b, 5) == 77);
	CHECK(budget_pace(p[0].b, "plan", &e) && !budget_pace(p[0].b, "", &e));
	*budget_pace(p[0].b, "plan", &e) = 5;
	CHECK(*budget_pace(p[1].b, "plan", &e) == 5 && *budget_pace(p[1].b, "other", &e) == 0);
	budget_close(p[0].b);
	budget_close(p[1].b);
}

/* ---- rates ---- */

static void test_rates_as_people_write_them(void)
{
	static const char *const bad[] = { "", "20", "fast", "20M@", "20M@8-9", "20M@08:00", "20M@08:00-08:00",
	    "20M@08:60-09:00", "20M@08:00-24:01", "1bit", "xMbit", "20M@08:00-09:000", "-5M" };
	struct pace_rule r;
	struct pace p;

	CHECK(pace_rule_parse("20M", &r, &e) == 0 && r.rate == MIB(20) && r.from == -1);
	CHECK(pace_rule_parse("100Mbit@08:00-18:30", &r, &e) == 0 && r.rate == 12500000 &&
	    r.from == 480 && r.to == 1110);
	CHECK(pace_rule_parse("none@22:00-24:00", &r, &e) == 0 && r.rate == 0);
	for (size_t i = 0; i < LEN(bad); i++) {
		struct err e2 = { 0 };

		CHECK(pace_rule_parse(bad[i], &r, &e2) < 0 && e2.code == DM_USAGE);
	}
	pace_init(&p);
	CHECK(pace_rate(&p, 0) == 0);
	CHECK(pace_add(&p, "10M", &e) == 0 && pace_add(&p, "1M@08:00-18:00", &e) == 0);
	CHECK(pace_add(&p, "none@22:00-06:00", &e) == 0);
	CHECK(pace_rate(&p, 479) == MIB(10) && pace_rate(&p, 480) == MIB(1));
	CHECK(pace_rate(&p, 1079) == MIB(1) && pace_rate(&p, 1080) == MIB(10));
	CHECK(pace_rate(&p, 1320) == 0 && pace_rate(&p, 0) == 0 && pace_rate(&p, 360) == MIB(10));
	e = (struct err){ 0 };
	CHECK(pace_add(&p, "5M", &e) < 0);	/* two without a time */
	e = (struct err){ 0 };
}

/* Bytes that go in so many seconds, asked for as often as possible. */
static uint64_t flow(struct pace *p, uint64_t chunk, int64_t *now, double seconds)
{
	int64_t until, end = *now + (int64_t)(seconds * SECOND);
	uint64_t went = 0;

	while (*now < end) {
		until = pace_ask(p, chunk, *now);
		if (until)
			*now = until > *now ? until : *now + 1;
		else
			went += chunk;
	}
	return went;
}

static bool near(uint64_t got, double want, double part)
{
	return (double)got > want * (1 - part) && (double)got < want * (1 + part);
}

static void test_rates_are_kept(void)
{
	struct pace p, q;
	int64_t now = 1700000000 * SECOND, at = now, shared = 0;
	uint64_t a = 0, b = 0;

	pace_init(&p);
	CHECK(pace_add(&p, "20M", &e) == 0);
	CHECK(near(flow(&p, MIB(1), &now, 30), 30 * MIB(20), 0.01));
	CHECK(near(flow(&p, 4096, &now, 10), 10 * MIB(20), 0.01));
	now += 100 * SECOND;			/* silence saves nothing up */
	CHECK(near(flow(&p, MIB(1), &now, 10), 10 * MIB(20), 0.02));
	pace_return(&p, MIB(50));		/* what compression saved */
	CHECK(near(flow(&p, MIB(1), &now, 10), 10 * MIB(20) + MIB(50), 0.02));
	/* Two that share a limit. */
	pace_init(&p);
	pace_init(&q);
	CHECK(pace_add(&p, "20M", &e) == 0 && pace_add(&q, "20M", &e) == 0);
	p.next = q.next = &shared;
	for (int64_t t = at; t < at + 30 * SECOND; t += SECOND / 1000) {
		a += pace_ask(&p, KIB(64), t) ? 0 : KIB(64);
		b += pace_ask(&q, KIB(64), t) ? 0 : KIB(64);
	}
	CHECK(near(a + b, 30 * MIB(20), 0.01) && near(a, (double)b, 0.05));
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	snprintf(file, sizeof file, "%s/budget", dir);
	RUN(test_a_slot_dies_with_its_owner);
	RUN(test_a_file_of_something_else_is_left_alone);
	RUN(test_shares_follow_priorities_and_stay_within_the_budget);
	RUN(test_a_chunk_for_each_disk_is_always_there);
	RUN(test_the_share_of_a_killed_pipeline_returns);
	RUN(test_what_others_measured);
	RUN(test_rates_as_people_write_them);
	RUN(test_rates_are_kept);
	unlink(file);
	rmdir(dir);
	return 0;
}
