/* Scans, states, ids, maps and audits over ordinary files. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "../lib/unit.h"
#include "job/audit.h"
#include "job/idfile.h"
#include "job/track.h"

#define SIZE (MIB(9) + 12345)

static char dir[] = "/tmp/dm-changes-XXXXXX";
static struct lane_crew *crew;

static char *in_dir(const char *name)
{
	return x_printf("%s/%s", dir, name);
}

static int never(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static void write_at(const char *name, uint64_t off, const void *p, size_t len, uint64_t size)
{
	char *path = in_dir(name);
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0 && fd_pwrite_full(fd, p, len, off) == 0);
	close(fd);
	free(path);
}

static struct volume *open_disk(const char *name)
{
	struct volume_how how = { .mode = VOL_READ, .disk = "d" };
	char *path = in_dir(name);
	struct volume *v;
	struct err e = { 0 };

	CHECK_ERR(volume_open(&v, path, &how, &e) == 0, &e);
	free(path);
	return v;
}

/* Run a tracker to its end: all it said, and its root. */
static void run(struct tracker *t, struct extents *all, struct id *root)
{
	struct extents x = { 0 };
	struct err e = { 0 };
	int r;

	extents_clear(all);
	while ((r = t->ops->next(t, &x, &e)) == 1)
		for (size_t i = 0; i < x.n; i++)
			extents_add(all, x.v[i].off, x.v[i].len, x.v[i].kind);
	CHECK_ERR(r == 0, &e);
	if (root) {
		CHECK(t->has_root);
		*root = t->root;
	}
	extents_free(&x);
	tracker_free(t);
}

static struct idfile *scan(const char *disk, const char *state, struct idfile *old,
    struct extents *all)
{
	struct track_idle idle = { never, NULL };
	struct volume *v = open_disk(disk);
	char *path = in_dir(state);
	struct err e = { 0 };
	struct idfile *new = idfile_create(path, ID_BLAKE3, CHUNK_MAX, volume_size(v), old, &e), *again;
	struct id root, mine;

	CHECK_ERR(new, &e);
	run(track_scan(v, old, new, ID_BLAKE3, CHUNK_MAX, crew, idle), all, &root);
	CHECK(idfile_root(new, &mine, &e) == 0 && id_equal(&mine, &root));
	idfile_close(new);
	again = idfile_open(path, &e);
	CHECK_ERR(again && id_equal(&again->root, &root), &e);
	volume_close(v);
	free(path);
	return again;
}

static bool says(const struct extents *x, size_t i, uint64_t off, uint64_t len, enum extent_kind k)
{
	return i < x->n && x->v[i].off == off && x->v[i].len == len && x->v[i].kind == k;
}

static void scan_finds_what_changed(void)
{
	static uint8_t p[KIB(200)];
	struct extents x = { 0 };
	struct idfile *first, *second, *third, *shorter;
	uint64_t seed = 1;

	rnd_fill(&seed, p, sizeof(p));
	write_at("d", MIB(2) + 5, p, sizeof(p), SIZE);
	first = scan("d", "s1", NULL, &x);
	CHECK(extents_tile(&x, 0, SIZE));
	CHECK(says(&x, 0, 0, MIB(2), EXT_ZERO) && says(&x, 1, MIB(2), KIB(256), EXT_DATA));
	second = scan("d", "s2", first, &x);
	CHECK(x.n == 0 && id_equal(&first->root, &second->root));
	/* one byte, a zeroed leaf, one in the tail */
	write_at("d", MIB(8), "x", 1, SIZE);
	memset(p, 0, KIB(64));
	write_at("d", MIB(2) + KIB(64), p, KIB(64), SIZE);
	write_at("d", SIZE - 1, "y", 1, SIZE);
	third = scan("d", "s3", second, &x);
	CHECK(x.n == 3);
	CHECK(says(&x, 0, MIB(2) + KIB(64), KIB(64), EXT_ZERO));
	CHECK(says(&x, 1, MIB(8), KIB(4), EXT_DATA));
	CHECK(says(&x, 2, SIZE / KIB(4) * KIB(4), SIZE % KIB(4), EXT_DATA));
	/* shorter: the new tail chunk is told whole */
	write_at("d", 0, "", 0, MIB(8) + 100);
	shorter = scan("d", "s4", third, &x);
	CHECK(x.n == 1 && says(&x, 0, MIB(8), 100, EXT_DATA));
	/* longer: from the old tail chunk on everything is told */
	write_at("d", 0, "", 0, MIB(12));
	idfile_close(scan("d", "s5", shorter, &x));
	CHECK(x.n == 2 && says(&x, 0, MIB(8), KIB(64), EXT_DATA));
	CHECK(says(&x, 1, MIB(8) + KIB(64), MIB(4) - KIB(64), EXT_ZERO));
	idfile_close(first);
	idfile_close(second);
	idfile_close(third);
	idfile_close(shorter);
	extents_free(&x);
}

/* A state that is damaged anywhere, or was not finished, is not believed. */
static void damaged_states_are_refused(void)
{
	char *path = in_dir("s2");
	struct err e = { 0 };
	struct idfile *f;
	uint8_t byte;
	int fd = open(path, O_RDWR);

	CHECK(fd >= 0);
	/* header and ids; marks only ever make more of a changed leaf */
	for (uint64_t at = 0; at < 4096 + SIZE / KIB(64) * ID_LEN; at += at < 64 ? 1 : 500) {
		if (at >= 64 && at < 4096)
			continue;
		CHECK(pread(fd, &byte, 1, (off_t)at) == 1);
		byte ^= 4;
		CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
		e = (struct err){ 0 };
		CHECK(!idfile_open(path, &e) && e.code == DM_NO);
		byte ^= 4;
		CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
	}
	e = (struct err){ 0 };
	f = idfile_open(path, &e);
	CHECK(f);
	idfile_close(f);
	close(fd);
	e = (struct err){ 0 };
	idfile_close(idfile_create(path, ID_BLAKE3, CHUNK_MAX, SIZE, NULL, &e));
	CHECK(!idfile_open(path, &e) && e.code == DM_NO);
	free(path);
}

static int read_map(const char *text, enum map_meaning meaning, uint64_t size, struct extents *all,
    struct err *e)
{
	struct tracker *t = track_map(fmemopen((void *)(uintptr_t)text, strlen(text), "r"), "map",
	    size, meaning);
	struct extents x = { 0 };
	int r;

	extents_clear(all);
	*e = (struct err){ 0 };
	while ((r = t->ops->next(t, &x, e)) == 1)
		for (size_t i = 0; i < x.n; i++)
			extents_add(all, x.v[i].off, x.v[i].len, x.v[i].kind);
	extents_free(&x);
	tracker_free(t);
	return r;
}

static void maps_of_other_tools(void)
{
	static const char qemu[] = "[{ \"start\": 0, \"length\": 4096, \"depth\": 0, \"present\": true,"
	    " \"zero\": false, \"data\": true, \"offset\": 0},\n{ \"start\": 4096, \"length\": 8192,"
	    " \"depth\": 1, \"zero\": false, \"data\": true},\n{ \"start\": 12288, \"length\": 4096,"
	    " \"depth\": 0, \"zero\": true, \"data\": false}]\n";
	static const char nbd[] = "[\n{ \"offset\": 0, \"length\": 4096, \"type\": 0, \"description\": \"clean\" },"
	    "{ \"offset\": 4096, \"length\": 4096, \"type\": 1, \"description\": \"dirty\" },"
	    "{ \"offset\": 8192, \"length\": 4096, \"type\": 3, \"description\": \"hole,zero\" }]";
	struct extents x = { 0 };
	struct err e;

	CHECK(read_map(qemu, MAP_CHANGES, 16384, &x, &e) == 0 && x.n == 3);
	CHECK(says(&x, 0, 0, 4096, EXT_DATA) && says(&x, 1, 4096, 8192, EXT_SAME) &&
	    says(&x, 2, 12288, 4096, EXT_ZERO));
	CHECK(read_map(qemu, MAP_ALLOCATION, 16384, &x, &e) == 0 && x.n == 2);
	CHECK(says(&x, 0, 0, 12288, EXT_DATA));
	CHECK(read_map(qemu, MAP_BITMAP, 16384, &x, &e) == 0 && x.n == 2);
	CHECK(says(&x, 0, 0, 12288, EXT_SAME) && says(&x, 1, 12288, 4096, EXT_DATA));
	/* what a map does not reach is not known */
	CHECK(read_map(nbd, MAP_CHANGES, 20000, &x, &e) == 0 && x.n == 4);
	CHECK(says(&x, 0, 0, 4096, EXT_SAME) && says(&x, 1, 4096, 4096, EXT_DATA) &&
	    says(&x, 2, 8192, 4096, EXT_ZERO) && says(&x, 3, 12288, 20000 - 12288, EXT_DATA));
	CHECK(read_map(nbd, MAP_ALLOCATION, 12288, &x, &e) == 0 && says(&x, 0, 0, 8192, EXT_DATA));
	/* what a list of changes does not name is the same */
	CHECK(read_map("# changed\n4K 1K\n\n8192 512 zero\n", MAP_CHANGES, 10000, &x, &e) == 0 && x.n == 5);
	CHECK(says(&x, 1, 4096, 1024, EXT_DATA) && says(&x, 2, 5120, 3072, EXT_SAME) &&
	    says(&x, 3, 8192, 512, EXT_ZERO));
	CHECK(read_map("", MAP_CHANGES, 10000, &x, &e) == 0 && says(&x, 0, 0, 10000, EXT_SAME));
	CHECK(read_map("", MAP_ALLOCATION, 10000, &x, &e) == 0 && says(&x, 0, 0, 10000, EXT_DATA));
	/* sizes rounded up by the tool are cut, foreign maps refused */
	CHECK(read_map("0 10240", MAP_CHANGES, 10000, &x, &e) == 0 && says(&x, 0, 0, 10000, EXT_DATA));
	CHECK(read_map("0 1M", MAP_CHANGES, 10000, &x, &e) == -1 && e.code == DM_NO);
	extents_free(&x);
}

static void wrong_maps_are_refused(void)
{
	static const char *const wrong[] = {
		"4096 4096\n0 4096\n", "0 8192\n4096 1\n", "x 1\n", "1\n", "1 2 data 3\n", "1 2 maybe\n",
		"0 -1\n", "9223372036854775807 9223372036854775807\n", "[{}]", "[{\"start\":-1,\"length\":1}]",
		"[{\"start\":0,\"length\":1.5}]", "[{\"start\":0,\"length\":1}] x", "[1]", "[{\"start\":0,\"length\":1}{}]",
		"[{\"start\":0,\"length\":4}, {\"start\":2,\"length\":4}]", "[{\"start\":\"0\",\"length\":4}]",
	};
	struct extents x = { 0 };
	struct err e;

	for (size_t i = 0; i < LEN(wrong); i++) {
		CHECK(read_map(wrong[i], MAP_CHANGES, 100000, &x, &e) == -1);
		CHECK(e.code == DM_BAD || e.code == DM_NO);
	}
	CHECK(read_map("[{\"start\":0,\"length\":4}", MAP_CHANGES, 100000, &x, &e) == -1 && e.code == DM_ENV);
	extents_free(&x);
}

/* A tracker that hides a change is found out. */
static void audit_finds_a_lie(void)
{
	static uint8_t p[MIB(3)];
	struct extents x = { 0 }, same = { 0 };
	struct audit *a = audit_new(1, crew, never, NULL);
	struct idfile *ids;
	struct volume *v;
	struct err e = { 0 };
	uint64_t seed = 7;

	rnd_fill(&seed, p, sizeof(p));
	write_at("lie", 0, p, sizeof(p), MIB(3) + 50);
	ids = scan("lie", "s6", NULL, &x);
	extents_add(&same, 4096, MIB(3) + 50 - 4096, EXT_SAME);
	v = open_disk("lie");
	CHECK_ERR(audit_check(a, v, ids, "lie", &same, &e) == 0, &e);
	write_at("lie", MIB(2) + KIB(128) + 9, "!", 1, MIB(3) + 50);
	CHECK(audit_check(a, v, ids, "lie", &same, &e) == -1 && e.code == DM_NO);
	CHECK(strstr(e.text, "2228224"));
	audit_free(a);
	volume_close(v);
	idfile_close(ids);
	extents_free(&x);
	extents_free(&same);
}

int main(void)
{
	struct err e = { 0 };
	char cmd[300];

	CHECK(mkdtemp(dir));
	crew = lane_crew_new(3, &e);
	CHECK(crew);
	scan_finds_what_changed();
	damaged_states_are_refused();
	maps_of_other_tools();
	wrong_maps_are_refused();
	audit_finds_a_lie();
	lane_crew_free(crew);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	CHECK(system(cmd) == 0);
	puts("changes: scans, states, maps and audits");
	return 0;
}
