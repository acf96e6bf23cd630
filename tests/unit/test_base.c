/* common/base: numbers, names, times, sets, threads and children. */
#include <stdatomic.h>
#include <string.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "base/child.h"
#include "base/extent.h"
#include "base/fdio.h"
#include "base/pool.h"
#include "base/timefmt.h"
#include "base/uri.h"

static void test_sizes(void)
{
	static const char *const bad[] = { "", "M", "-1", "1X", "1.5", "20000000P", "1.M", " 1" };
	uint64_t v;
	char out[16];

	CHECK(size_parse("32M", 0, UINT64_MAX, &v) == 0 && v == MIB(32));
	CHECK(size_parse("1.5G", 0, UINT64_MAX, &v) == 0 && v == GIB(3) / 2);
	CHECK(size_parse("512KiB", 0, UINT64_MAX, &v) == 0 && v == KIB(512));
	for (size_t i = 0; i < LEN(bad); i++)
		CHECK(size_parse(bad[i], 0, UINT64_MAX, &v) < 0);
	CHECK(size_parse("5", 6, 7, &v) < 0);
	CHECK(!strcmp(size_format(1536, out), "1.5 KiB"));
	CHECK(!strcmp(size_format(UINT64_MAX, out), "16.0 EiB"));
}

static void test_times(void)
{
	static const char *const bad[] = { "2026-13-23", "2026-11-23T10", "2026-11-23T10:00X", "", "-2", "@" };
	int64_t t;
	uint64_t d;
	char out[32];

	CHECK(time_parse("2026-11-23T10:00:05Z", 0, &t) == 0);
	CHECK(!strcmp(time_format(t, out), "2026-11-23T10:00:05Z"));
	CHECK(time_parse("2026-11-23T12:00:05+02:00", 0, &t) == 0);
	CHECK(!strcmp(time_format(t, out), "2026-11-23T10:00:05Z"));
	CHECK(time_parse("-2h", 7200 * INT64_C(1000000000), &t) == 0 && t == 0);
	for (size_t i = 0; i < LEN(bad); i++)
		CHECK(time_parse(bad[i], 0, &t) < 0);
	CHECK(duration_parse("7d", &d) == 0 && d == 604800);
	CHECK(duration_parse("7", &d) < 0 && duration_parse("7dd", &d) < 0);
}

static void test_zero(void)
{
	uint8_t b[257] = { 0 };

	for (size_t i = 0; i < sizeof b; i++) {
		b[i] = 1;
		CHECK(!bytes_zero(b, sizeof b));
		CHECK(bytes_zero(b, i));
		b[i] = 0;
	}
	CHECK(bytes_zero(b, sizeof b));
}

static void test_iset(void)
{
	struct iset *s = iset_new();
	bool in[500] = { false };
	unsigned seed = 7;

	for (int round = 0; round < 4000; round++) {
		uint64_t first, n;
		bool clash = false;

		seed = seed * 1103515245 + 12345;
		first = seed >> 8 & 0xff;
		n = 1 + (seed >> 20 & 3);
		for (uint64_t i = first; i < first + n; i++)
			clash |= in[i];
		CHECK(iset_add(s, first, n) == clash);
		for (uint64_t i = first; i < first + n && !clash; i++)
			in[i] = true;
	}
	for (uint64_t i = 0; i < 500; i++)
		CHECK(iset_has(s, i) == in[i]);
	iset_free(s);
	s = iset_new();
	CHECK(iset_full(s, 0) && !iset_full(s, 1));
	CHECK(iset_add(s, 1, 2) == 0 && !iset_full(s, 3));
	CHECK(iset_add(s, 0, 1) == 0 && iset_full(s, 3) && iset_count(s) == 3);
	CHECK(iset_add(s, UINT64_MAX, 2) == -1);
	iset_free(s);
}

/* The longest gaps stay, however many there are. */
static void test_join(void)
{
	struct extents x = { 0 };

	for (uint64_t i = 0; i < 100000; i++) {
		extents_add(&x, MIB(i), i % 1000 == 999 ? 0 : KIB(512), EXT_DATA);
		if (x.n > 500)
			extents_join(&x, 250);
		CHECK(x.n <= 500);
	}
	extents_join(&x, 100);
	CHECK(x.n == 100);
	for (uint64_t i = 0; i < 100; i++)
		CHECK(x.v[i].off == MIB(1000 * i) && x.v[i].len == MIB(998) + KIB(512));
	extents_join(&x, 1);
	CHECK(x.n == 1 && x.v[0].off == 0 && x.v[0].len == MIB(99998) + KIB(512));
	extents_free(&x);
}

static void test_names(void)
{
	struct err e = { 0 };
	struct volume_arg a;
	struct uri u;
	char *q;

	CHECK(volume_arg_parse("/dev/vdb", &a, &e) == 0 && !strcmp(a.name, "vdb") && !a.named);
	volume_arg_free(&a);
	CHECK(volume_arg_parse("root=/x/y=z.raw", &a, &e) == 0 && !strcmp(a.name, "root") &&
	    !strcmp(a.uri, "/x/y=z.raw"));
	volume_arg_free(&a);
	CHECK(volume_arg_parse("/x/y=z.raw", &a, &e) < 0 && e.code == DM_USAGE);
	e = (struct err){ 0 };
	CHECK(volume_arg_parse("repo:/srv/my site", &a, &e) == 0 && !strcmp(a.name, "my_site"));
	volume_arg_free(&a);
	CHECK(volume_arg_parse("repo:/srv/dm#web1/3", &a, &e) == 0 && !strcmp(a.name, "dm"));
	volume_arg_free(&a);
	CHECK(uri_parse("file:/a%20b?record=x%2Fy&z=1#f", &u, &e) == 0);
	CHECK(!strcmp(u.path, "/a b") && !strcmp(u.fragment, "f"));
	q = uri_query(&u, "record");
	CHECK(q && !strcmp(q, "x/y") && !uri_query(&u, "rec"));
	free(q);
	uri_free(&u);
	CHECK(uri_parse("/a b?c#d", &u, &e) == 0 && !strcmp(u.path, "/a b?c#d"));
	uri_free(&u);
	CHECK(uri_parse("file:/a%0", &u, &e) < 0);
}

static void count_job(void *job, void *arg)
{
	atomic_fetch_add((atomic_ulong *)arg, (unsigned long)(uintptr_t)job);
}

static void test_pool(void)
{
	struct err e = { 0 };
	atomic_ulong sum = 0;
	struct pool *p = pool_new(4, 3, count_job, &sum, &e);

	CHECK(p);
	for (uintptr_t i = 1; i <= 1000; i++)
		pool_give(p, (void *)i);
	pool_drain(p);
	CHECK(sum == 500500);
	pool_free(p);
}

static void test_child(void)
{
	char *const cat[] = { "cat", NULL }, *const none[] = { "/nonexistent/x", NULL };
	struct err e = { 0 };
	struct child c;
	char b[6] = { 0 };

	CHECK(child_spawn(&c, cat, &e) == 0);
	CHECK(fd_write_full(c.in, "hello", 5) == 0);
	fd_close(c.in);
	c.in = -1;
	CHECK(fd_read_full(c.out, b, 6) == 5 && !strcmp(b, "hello"));
	CHECK(child_wait(&c) == 0);
	child_kill(&c);
	CHECK(child_spawn(&c, none, &e) < 0 && e.code == DM_ENV);
}

int main(void)
{
	RUN(test_sizes);
	RUN(test_times);
	RUN(test_zero);
	RUN(test_iset);
	RUN(test_join);
	RUN(test_names);
	RUN(test_pool);
	RUN(test_child);
	return 0;
}
