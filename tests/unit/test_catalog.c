/* common/repo/catalog*: records, the commit point, choosing, locks, pins. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "repo/catalog.h"
#include "repo/catalog_chain.h"
#include "repo/catalog_record.h"

#define DAY (INT64_C(86400) * 1000000000)

static char dir[] = "/tmp/dm-catalog-XXXXXX";
static struct site site;

static struct checkpoint *make(const char *workload, uint64_t seq, int64_t when)
{
	struct checkpoint *c = x_alloc(sizeof(*c));

	c->workload = x_strdup(workload);
	c->seq = seq;
	c->parent = seq - 1;
	snprintf(c->session, sizeof(c->session), "%032llx", (unsigned long long)seq);
	c->algo = ID_BLAKE3;
	c->time = when;
	c->started = when;
	c->committed = when + 123456789;
	c->kind = x_strdup(seq == 1 ? "full" : "incremental");
	c->ndisks = 2;
	c->disk = x_array(2, sizeof(*c->disk));
	for (unsigned i = 0; i < 2; i++) {
		struct checkpoint_disk *d = &c->disk[i];

		d->name = x_strdup(i ? "vdc" : "vdb");
		d->size = (UINT64_C(1) << 60) * i + 512;
		d->block = 512;
		d->has_root = true;
		memset(d->root.b, (int)(seq * 2 + i), ID_LEN);
		d->point = x_strdup("root:x");
		d->source_point = x_printf("file:1:2:%llu:%u", (unsigned long long)seq, i);
		d->changed = seq;
	}
	c->chunks = 7;
	return c;
}

static int commit(const char *workload, uint64_t seq, int64_t when, struct err *e)
{
	struct checkpoint *c = make(workload, seq, when);
	int rc = catalog_commit(&site, c, e);

	checkpoint_free(c);
	return rc;
}

static char *text_of(const struct checkpoint *c)
{
	json_t *o = checkpoint_record(c);
	char *text = json_dumps(o, JSON_INDENT(2));

	json_decref(o);
	return text;
}

static void test_round_trip(void)
{
	struct err e = { 0 };
	struct checkpoint *a = make("web1", 3, 5 * DAY + 7), *b;
	char *ta, *tb;

	a->recovery = json_pack("{s:s}", "boot", "uefi");
	ta = text_of(a);
	b = checkpoint_parse(ta, strlen(ta), &e);
	CHECK(b);
	tb = text_of(b);
	CHECK(!strcmp(ta, tb));
	CHECK(b->time == a->time && b->committed == a->committed);
	CHECK(b->disk[1].size == (UINT64_C(1) << 60) + 512);	/* a string in JSON */
	CHECK(checkpoint_disk(b, "vdc") == &b->disk[1] && !checkpoint_disk(b, "vdd"));
	free(ta);
	free(tb);
	checkpoint_free(a);
	checkpoint_free(b);
}

/* A valid record in which `from' became `to' must be refused. */
static bool refused(const char *from, const char *to)
{
	struct checkpoint *a = make("web1", 3, 5 * DAY), *b;
	char *text = text_of(a), *at = strstr(text, from), *changed;
	struct err e = { 0 };

	CHECK(at);
	changed = x_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	b = checkpoint_parse(changed, strlen(changed), &e);
	checkpoint_free(b);
	checkpoint_free(a);
	free(text);
	free(changed);
	return !b && e.code == DM_BAD;
}

static void test_strict(void)
{
	static const struct { const char *from, *to; } bad[] = {
		{ "\"format\": 1", "\"format\": 2" },
		{ "\"web1\"", "\"../x\"" },
		{ "\"seq\": 3", "\"seq\": 0" },
		{ "\"seq\": 3", "\"seq\": 4" },
		{ "\"seq\": 3", "\"seq\": -3" },
		{ "\"seq\": 3", "\"seq\": 3.0" },
		{ "\"seq\": 3", "\"seq\": 3, \"seq\": 3" },
		{ "\"incremental\"", "\"other\"" },
		{ "000003\"", "00003\"" },
		{ "1970-01-06T", "1970-13-06T" },
		{ "\"1970-01-06T00:00:00.000000000Z\"", "\"-2h\"" },
		{ "\"vdc\"", "\"vdb\"" },
		{ "\"vdc\"", "\"v\\u0000c\"" },
		{ "\"block\": 512", "\"block\": 0" },
		{ "\"blake3:0606", "\"blake2b:0606" },
		{ "\"blake3:0606", "\"blake3:06" },
		{ "\"size\": 512", "\"size\": true" },
		{ "\"disks\"", "\"discs\"" },
		{ "\"point\": \"root:x\"", "\"point\": null" },
		{ "\"session\"", "\"chain\": \"blake3:00\", \"session\"" },
		{ "\"session\"", "\"chain\": 7, \"session\"" },
		{ "{", "[" },
		{ "}", "" },
	};

	CHECK(!refused("\"chunks\": 7", "\"chunks\": 8, \"later\": true"));
	for (size_t i = 0; i < LEN(bad); i++)
		CHECK(refused(bad[i].from, bad[i].to));
}

static void test_commit(void)
{
	struct checkpoint *c, *other;
	struct err e = { 0 };

	CHECK(!catalog_latest(&site, "web1", &e) && e.code == 0);
	for (uint64_t seq = 1; seq <= 12; seq++)
		CHECK(commit("web1", seq, (int64_t)seq * DAY, &e) == 0);
	CHECK(commit("db", 1, DAY, &e) == 0);
	c = catalog_latest(&site, "web1", &e);
	CHECK(c && c->seq == 12);	/* by number, not by name */
	CHECK(catalog_commit(&site, c, &e) == 0);	/* the same session again */
	other = catalog_read(&site, "web1", 12, &e);
	CHECK(other);
	other->session[0] = 'f';
	CHECK(catalog_commit(&site, other, &e) < 0 && e.code == DM_NO);
	checkpoint_free(c);
	checkpoint_free(other);
	e = (struct err){ 0 };
	c = catalog_read(&site, "web1", 12, &e);	/* is as it was */
	CHECK(c && c->session[0] == '0');
	checkpoint_free(c);
}

static void found(const char *at, uint64_t want)
{
	struct err e = { 0 };
	struct checkpoint *c = catalog_find(&site, "web1", at, &e);

	CHECK(want ? c && c->seq == want : !c && e.code == DM_NO);
	checkpoint_free(c);
}

static void test_find(void)
{
	struct checkpoint **v;
	struct err e = { 0 };
	size_t n;

	found("latest", 12);
	found("4", 4);
	found("13", 0);
	found("1970-01-05T00:00Z", 4);
	found("1970-01-05T23:59:59Z", 4);
	found("1970-01-01T12:00Z", 0);
	found("-2h", 12);
	CHECK(!catalog_find(&site, "web1", "soon", &e) && e.code == DM_USAGE);
	e = (struct err){ 0 };
	CHECK(!catalog_find(&site, "none", "latest", &e) && e.code == DM_NO);
	e = (struct err){ 0 };
	CHECK(!catalog_find(&site, "../x", "latest", &e) && e.code == DM_USAGE);
	e = (struct err){ 0 };
	CHECK(catalog_list(&site, NULL, &v, &n, &e) == 0 && n == 13);
	CHECK(!strcmp(v[0]->workload, "db") && v[1]->seq == 1 && v[12]->seq == 12);
	catalog_list_free(v, n);
}

static void test_find_base(void)
{
	struct err e = { 0 };
	struct catalog_base got;
	struct id want;

	memset(want.b, 8, ID_LEN);
	CHECK(catalog_find_base(&site, TREE_STORED, "other", &want, "", &got, &e) == 1 && id_equal(&got.tree, &want));
	CHECK(catalog_find_base(&site, TREE_STORED, "vdb", NULL, "file:1:2:4:0", &got, &e) == 1);
	CHECK(id_equal(&got.tree, &want));
	CHECK(catalog_find_base(&site, TREE_STORED, "vdc", NULL, "file:1:2:4:0", &got, &e) == 0);
	CHECK(catalog_find_base(&site, TREE_STORED, "vdb", NULL, "", &got, &e) == 0);
	memset(want.b, 0xee, ID_LEN);
	CHECK(catalog_find_base(&site, TREE_STORED, "vdb", &want, "file:1:2:4:0", &got, &e) == 0);
}

static void test_workload_lock(void)
{
	struct err e = { 0 };
	int fd = catalog_lock_workload(&site, "web1", &e), other;

	CHECK(fd >= 0);
	CHECK(catalog_lock_workload(&site, "web1", &e) < 0 && e.code == DM_NO);
	e = (struct err){ 0 };
	other = catalog_lock_workload(&site, "new", &e);
	CHECK(other >= 0);
	fd_close(other);
	fd_close(fd);
	fd = catalog_lock_workload(&site, "web1", &e);
	CHECK(fd >= 0);
	fd_close(fd);
}

static void test_hold_and_drop(void)
{
	struct err e = { 0 };
	struct checkpoint *c = catalog_read(&site, "web1", 2, &e), *again;
	int fd, second;

	CHECK(c && !c->pinned);
	fd = catalog_hold(&site, c, &e);
	second = catalog_hold(&site, c, &e);
	CHECK(fd >= 0 && second >= 0);
	CHECK(catalog_drop(&site, c, &e) == 1);	/* someone reads it */
	fd_close(fd);
	CHECK(catalog_drop(&site, c, &e) == 1);
	fd_close(second);
	CHECK(catalog_pin(&site, c, true, &e) == 0 && catalog_pin(&site, c, true, &e) == 0);
	again = catalog_read(&site, "web1", 2, &e);
	CHECK(again && again->pinned);
	checkpoint_free(again);
	CHECK(catalog_drop(&site, c, &e) == 1);	/* pinned */
	CHECK(catalog_pin(&site, c, false, &e) == 0 && catalog_pin(&site, c, false, &e) == 0);
	CHECK(catalog_drop(&site, c, &e) == 0);
	CHECK(catalog_drop(&site, c, &e) == 1 && e.code == 0);
	CHECK(catalog_hold(&site, c, &e) < 0 && e.code == DM_NO);
	e = (struct err){ 0 };
	CHECK(catalog_pin(&site, c, true, &e) < 0 && e.code == DM_NO);
	checkpoint_free(c);
}

static void test_misplaced(void)
{
	struct err e = { 0 };

	CHECK(renameat(site.dir, "catalog/web1/3.json", site.dir, "catalog/web1/33.json") == 0);
	CHECK(!catalog_read(&site, "web1", 33, &e) && e.code == DM_BAD);
	e = (struct err){ 0 };
	CHECK(!catalog_read(&site, "web1", 3, &e) && e.code == DM_NO);
	e = (struct err){ 0 };
	site.algo = ID_BLAKE2B;
	CHECK(!catalog_read(&site, "web1", 4, &e) && e.code == DM_BAD);
	site.algo = ID_BLAKE3;
}

/* A workload of n chained records. */
static void chained(const char *workload, uint64_t n)
{
	struct err e = { 0 };

	for (uint64_t i = 0; i < n; i++) {
		struct checkpoint *latest = catalog_latest(&site, workload, &e);
		struct checkpoint *c = make(workload, i + 1, (int64_t)(i + 1) * DAY);

		checkpoint_follow(&site, c, latest);
		CHECK(c->seq == i + 1 && catalog_commit(&site, c, &e) == 0);
		checkpoint_free(latest);
		checkpoint_free(c);
	}
}

static bool trusted(const char *workload, uint64_t seq)
{
	struct err e = { 0 };
	struct checkpoint *c = catalog_read(&site, workload, seq, &e);
	int rc;

	CHECK(c);
	rc = catalog_trust(&site, c, &e);
	CHECK(rc == 0 || e.code == DM_NO);
	checkpoint_free(c);
	return rc == 0;
}

static void drop(const char *workload, uint64_t seq)
{
	struct err e = { 0 };
	struct checkpoint *c = catalog_read(&site, workload, seq, &e);

	CHECK(c && catalog_drop(&site, c, &e) == 0);
	checkpoint_free(c);
}

static void in_catalog(const char *from, const char *to)
{
	CHECK(renameat(site.dir, from, site.dir, to) == 0);
}

/* Another record in the place of `seq', good in itself, of the same parent. */
static void forge(const char *workload, uint64_t seq)
{
	struct err e = { 0 };
	struct checkpoint *c = catalog_read(&site, workload, seq, &e);
	char *path = x_printf("catalog/%s/%llu.json", workload, (unsigned long long)seq);

	CHECK(c);
	c->chunks++;
	in_catalog(path, "true");
	CHECK(catalog_commit(&site, c, &e) == 0);
	checkpoint_free(c);
	free(path);
}

static void mend(const char *workload, uint64_t seq)
{
	char *path = x_printf("catalog/%s/%llu.json", workload, (unsigned long long)seq);

	in_catalog("true", path);
	free(path);
}

static void test_chain(void)
{
	chained("ch", 6);
	for (uint64_t seq = 1; seq <= 6; seq++)
		CHECK(trusted("ch", seq));
	forge("ch", 3);
	CHECK(!trusted("ch", 2 + 1) && !trusted("ch", 4));	/* one of them is wrong */
	CHECK(trusted("ch", 2) && trusted("ch", 5));
	mend("ch", 3);
	forge("ch", 6);			/* the last: nobody followed it, and it follows 5 */
	CHECK(trusted("ch", 6));
	mend("ch", 6);
	/* Over what was pruned. */
	drop("ch", 3);
	drop("ch", 4);
	CHECK(trusted("ch", 2) && trusted("ch", 5));
	forge("ch", 2);
	CHECK(!trusted("ch", 2) && !trusted("ch", 5) && trusted("ch", 1));
	mend("ch", 2);
	drop("ch", 1);
	drop("ch", 2);
	CHECK(trusted("ch", 5));
	/* Neighbours that cannot be read do not keep others from being read. */
	in_catalog("catalog/ch/6.json", "catalog/ch/7.json");
	CHECK(trusted("ch", 5));
}

/* Records of a version that made no chain, and those that follow. */
static void test_chain_begins(void)
{
	struct checkpoint *old = NULL, *c = make("mix", 4, DAY);
	struct err e = { 0 };

	for (uint64_t seq = 1; seq <= 3; seq++)
		CHECK(commit("mix", seq, DAY, &e) == 0);
	old = catalog_latest(&site, "mix", &e);
	checkpoint_follow(&site, c, old);
	CHECK(catalog_commit(&site, c, &e) == 0);
	CHECK(trusted("mix", 2) && trusted("mix", 3) && trusted("mix", 4));
	forge("mix", 3);
	CHECK(!trusted("mix", 3) && !trusted("mix", 4));
	mend("mix", 3);
	drop("mix", 3);
	CHECK(trusted("mix", 2) && trusted("mix", 4));
	checkpoint_free(old);
	checkpoint_free(c);
}

/* Record 8 names those that are 1, 2 and 4 before it, by what is there or by
 * what was noted of it, and nothing that the chain did not name. */
static void test_far_links(void)
{
	struct err e = { 0 };
	struct checkpoint *c[9] = { NULL };
	struct id link[9], forged;

	chained("far", 8);
	for (uint64_t seq = 1; seq <= 8; seq++) {
		c[seq] = catalog_read(&site, "far", seq, &e);
		checkpoint_link(c[seq], &link[seq]);
	}
	CHECK(c[1]->nchain == 1 && id_zero(&c[1]->chain[0]) && c[7]->nchain == 1 && c[6]->nchain == 2);
	CHECK(c[8]->nchain == 3 && id_equal(&c[8]->chain[0], &link[7]) && id_equal(&c[8]->chain[1], &link[6]) &&
	    id_equal(&c[8]->chain[2], &link[4]));
	CHECK(c[4]->nchain == 2 && id_equal(&c[4]->chain[1], &link[2]));
	in_catalog("catalog/far/8.json", "catalog/far/8.was");
	drop("far", 6);
	checkpoint_follow(&site, c[8], c[7]);
	CHECK(c[8]->nchain == 3 && id_equal(&c[8]->chain[2], &link[4]));
	/* What was put in the place of 6 is not asked. */
	memset(c[6]->chain, 7, 2 * sizeof(link[0]));
	CHECK(catalog_commit(&site, c[6], &e) == 0);
	checkpoint_follow(&site, c[8], c[7]);
	CHECK(c[8]->nchain == 2 && id_equal(&c[8]->chain[1], &link[6]));
	checkpoint_link(c[6], &forged);
	CHECK(!id_equal(&forged, &link[6]));
	for (uint64_t seq = 1; seq <= 8; seq++)
		checkpoint_free(c[seq]);
}

static enum chain_state follow(const char *list, const struct checkpoint *older,
    const struct checkpoint *c, uint64_t *at)
{
	char *text = x_strdup(list);
	struct pruned p;
	enum chain_state s;

	pruned_parse(text, &p);
	s = chain_follow(&p, older, c, NULL, at);
	pruned_free(&p);
	free(text);
	return s;
}

static void test_pruned_list(void)
{
	struct checkpoint *a = make("x", 2, DAY), *c = make("x", 3, DAY), *d = make("x", 4, DAY);
	char chain[65], content[65], *line;
	uint64_t at;

	memset(a->content.b, 1, ID_LEN);
	memset(c->content.b, 2, ID_LEN);
	checkpoint_follow(&site, c, a);
	checkpoint_follow(&site, d, c);
	d->nchain = 1;
	hex_put(chain, c->chain[0].b, ID_LEN);
	hex_put(content, c->content.b, ID_LEN);
	CHECK(follow("", c, d, &at) == CHAIN_HOLDS);
	CHECK(follow("", a, d, &at) == CHAIN_MISSING && at == 3);
	CHECK(follow("3 gone\n", a, d, &at) == CHAIN_OPEN);
	CHECK(follow("1-3 gone\n", a, d, &at) == CHAIN_CUT && at == 3);
	CHECK(follow("1-3 gone\n3 gone\n", a, d, &at) == CHAIN_OPEN);
	CHECK(follow("1-3 gone\n", NULL, d, &at) == CHAIN_OPEN);
	CHECK(follow("1-1 gone\n3-9 gone\n", NULL, d, &at) == CHAIN_MISSING && at == 2);
	CHECK(follow("2-2 gone\n1-1 gone\n3-2 gone\n3-3 lost\n", NULL, d, &at) == CHAIN_MISSING && at == 3);
	line = x_printf("3 gone\nnonsense\n3 %s %s\n3 %s", chain, content, chain);
	CHECK(follow(line, a, d, &at) == CHAIN_HOLDS);
	free(line);
	line = x_printf("3 %s %s\n", content, content);
	CHECK(follow(line, a, d, &at) == CHAIN_BROKEN && at == 3);
	free(line);
	line = x_printf("1-3 gone\n3 %s %s\n", chain, content);
	CHECK(follow(line, a, d, &at) == CHAIN_HOLDS);
	a->content.b[5] ^= 1;
	CHECK(follow(line, a, d, &at) == CHAIN_BROKEN && at == 2);
	CHECK(follow(line + 9, NULL, d, &at) == CHAIN_MISSING && at == 2);
	d->nchain = 0;			/* the link was cut out */
	CHECK(follow("", c, d, &at) == CHAIN_BROKEN && at == 4);
	free(line);
	checkpoint_free(a);
	checkpoint_free(c);
	checkpoint_free(d);
}

/* --- folding ------------------------------------------------------------ */

#define LONG 30000u

/* A chain made by itself, without the code under test but for one link. */
static struct checkpoint long_chain[LONG + 1];
static struct id long_link[LONG + 1];
static bool there[LONG + 1];

static void make_long(void)
{
	static char name[] = "long";

	for (uint64_t seq = 1; seq <= LONG; seq++) {
		struct checkpoint *c = &long_chain[seq];

		*c = (struct checkpoint){ .workload = name, .seq = seq, .parent = seq - 1 };
		c->chain = x_array(16, sizeof(*c->chain));
		for (uint64_t step = 1; step == 1 || (seq % step == 0 && step < seq); step *= 2)
			c->chain[c->nchain++] = long_link[seq - step];
		memcpy(c->content.b, &seq, sizeof(seq));
		checkpoint_link(c, &long_link[seq]);
		there[seq] = true;
	}
}

/* What prune does to record `seq'. */
static void note_long(FILE *f, uint64_t seq)
{
	const struct checkpoint *c = &long_chain[seq];
	char hex[65];

	fprintf(f, "%llu ", (unsigned long long)seq);
	for (size_t i = 0; i < c->nchain; i++) {
		hex_put(hex, c->chain[i].b, ID_LEN);
		fprintf(f, "%s%s", i ? "," : "", hex);
	}
	hex_put(hex, c->content.b, ID_LEN);
	fprintf(f, " %s\n", hex);
	there[seq] = false;
}

static size_t left_long(uint64_t newest, struct checkpoint **v)
{
	size_t n = 0;

	for (uint64_t seq = 1; seq <= newest; seq++)
		if (there[seq])
			v[n++] = &long_chain[seq];
	return n;
}

/* Each pair of records holds, over no more lines than two for each doubling of
 * what is between them; then one is replaced. */
static void check_long(uint64_t newest)
{
	static struct checkpoint *v[LONG];
	struct err e = { 0 };
	struct pruned p;
	size_t n = left_long(newest, v), allowed = 0, one;
	uint64_t at;

	CHECK(pruned_read(&site, "long", &p, &e) == 0);
	for (size_t i = 0; i < n; i++) {
		uint64_t between = v[i]->seq - (i ? v[i - 1]->seq : 0);
		enum chain_state s = chain_follow(&p, i ? v[i - 1] : NULL, v[i], NULL, &at);

		CHECK(s == CHAIN_HOLDS || (!i && s == CHAIN_OPEN));
		for (; i && between > 1; between /= 2)
			allowed += 2;
	}
	CHECK(p.n <= allowed);
	one = 1 + (size_t)newest * 7919 % (n - 1);
	v[one]->content.b[31] ^= 1;
	if (one + 1 < n)
		CHECK(chain_follow(&p, v[one], v[one + 1], NULL, &at) == CHAIN_BROKEN && at == v[one]->seq);
	v[one]->content.b[31] ^= 1;
	/* One that was not pruned is missed, and a line that is needed too. */
	if (one + 1 < n)
		CHECK(chain_follow(&p, v[one - 1], v[one + 1], NULL, &at) == CHAIN_MISSING && at == v[one]->seq);
	for (size_t i = 0; i < p.n; i++) {
		struct pruned_line was = p.v[i];
		size_t k = 0;

		while (v[k]->seq < was.seq)
			k++;
		memmove(&p.v[i], &p.v[i + 1], (p.n - i - 1) * sizeof(was));
		p.n--;
		CHECK(chain_follow(&p, v[k - 1], v[k], NULL, &at) == CHAIN_CUT && at < v[k]->seq);
		memmove(&p.v[i + 1], &p.v[i], (p.n - i) * sizeof(was));
		p.n++;
		p.v[i] = was;
		p.v[i].content.b[3] ^= 1;
		CHECK(chain_follow(&p, v[k - 1], v[k], NULL, &at) == CHAIN_BROKEN && at == was.seq);
		p.v[i] = was;
	}
	pruned_free(&p);
}

/* The newest 100 are kept, and the last of each 500 of the newest 8 of them, of
 * each 3,000, and some that are held for a while. */
static bool kept_long(uint64_t seq, uint64_t newest)
{
	return seq + 100 > newest || (seq % 500 == 0 && seq + 4000 > newest) ||
	    (seq % 3000 == 0 && seq + 15000 > newest) || (seq % 1777 == 5 && seq + 9000 > newest);
}

static void test_folding(void)
{
	static struct checkpoint *v[LONG];
	char *path = x_printf("%s/catalog/long/pruned", dir);
	struct err e = { 0 };

	make_long();
	CHECK(mkdirat(site.dir, "catalog/long", 0700) == 0);
	for (uint64_t newest = 150; newest <= LONG; newest += 331) {
		FILE *f = fopen(path, "a");

		for (uint64_t seq = 1; seq <= newest; seq++)
			if (there[seq] && !kept_long(seq, newest))
				note_long(f, seq);
		CHECK(fclose(f) == 0);
		CHECK(pruned_fold(&site, "long", v, left_long(newest, v), &e) == 0);
		check_long(newest);
	}
	for (uint64_t seq = 1; seq <= LONG; seq++)
		free(long_chain[seq].chain);
	free(path);
}

int main(void)
{
	char clean[64];

	CHECK(mkdtemp(dir));
	site.path = dir;
	site.algo = ID_BLAKE3;
	site.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(site.dir >= 0);
	RUN(test_round_trip);
	RUN(test_strict);
	RUN(test_commit);
	RUN(test_find);
	RUN(test_find_base);
	RUN(test_workload_lock);
	RUN(test_hold_and_drop);
	RUN(test_misplaced);
	RUN(test_chain);
	RUN(test_chain_begins);
	RUN(test_far_links);
	RUN(test_pruned_list);
	RUN(test_folding);
	close(site.dir);
	snprintf(clean, sizeof(clean), "rm -r %s", dir);
	return system(clean) != 0;
}
