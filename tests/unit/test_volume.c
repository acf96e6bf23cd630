/* Volumes through the file: driver on ordinary files. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "../lib/unit.h"
#include "volume/volume.h"

#define SIZE (3 * 1048576 + 777)

static char dir[] = "/tmp/dm-volume-XXXXXX";

static const char *at(const char *name)
{
	static char path[4][256];
	static int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static struct volume_how to_write(struct volume_group *g, bool full)
{
	return (struct volume_how){ .mode = VOL_WRITE, .disk = "vdb", .group = g, .size = SIZE,
		.block = 512, .chunk_size = CHUNK_MAX, .algo = ID_BLAKE3, .full = full,
		.base_point = "", .target_point = "p1", .workload = "w" };
}

static void fill(uint8_t *p, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16) | 1;
}

static uint8_t *slurp(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY);
	uint8_t *p;

	CHECK(fd >= 0);
	p = (uint8_t *)fd_slurp(fd, 64 << 20, len);
	CHECK(p);
	close(fd);
	return p;
}

/* A full write: data, zeros inside data, fragments with the rest zero, and
 * ranges never named, over a file with other content. */
static void full_replaces_everything(void)
{
	struct volume_group *g = volume_group_new();
	struct volume_how how = to_write(g, true);
	uint8_t *p = x_alloc(SIZE), *got;
	struct frag f[2] = { { 4096, 512 }, { 100000, 33 } };
	struct volume_chunk c = { .off = 0, .len = CHUNK_MAX };
	struct volume_final fin;
	struct volume *v;
	struct err e = { 0 };
	size_t len;
	int fd = open(at("full"), O_CREAT | O_WRONLY, 0600);

	fill(p, SIZE, 1);
	CHECK(fd_write_full(fd, p, SIZE) == 0 && fd_write_full(fd, p, 5000) == 0);
	close(fd);
	memset(p, 0, SIZE);
	CHECK(volume_open(&v, at("full"), &how, &e) == 0);
	CHECK(volume_size(v) == SIZE);
	fill(p + 65536, 70000, 2);
	c.plain = p;
	c.plain_len = CHUNK_MAX;
	CHECK(volume_put(v, &c) == 0);
	fill(p + CHUNK_MAX + 4096, 512, 3);
	fill(p + CHUNK_MAX + 100000, 33, 4);
	uint8_t pieces[545];
	memcpy(pieces, p + CHUNK_MAX + 4096, 512);
	memcpy(pieces + 512, p + CHUNK_MAX + 100000, 33);
	c = (struct volume_chunk){ .off = CHUNK_MAX, .len = CHUNK_MAX, .frag = f, .nfrags = 2,
		.rest_zero = true, .plain = pieces, .plain_len = sizeof(pieces) };
	CHECK(volume_put(v, &c) == 0);
	fill(p + 3 * CHUNK_MAX, 777, 5);
	c = (struct volume_chunk){ .off = 3 * CHUNK_MAX, .len = 777, .plain = p + 3 * CHUNK_MAX,
		.plain_len = 777 };
	CHECK(volume_put(v, &c) == 0);
	CHECK(volume_group_flush(g, 1) == 0);
	CHECK(volume_finalize(v, "p1", NULL, &fin) == 0);
	CHECK(strstr(fin.point, "file:") == fin.point);
	free(fin.point);
	volume_close(v);
	got = slurp(at("full"), &len);
	CHECK(len == SIZE && !memcmp(got, p, SIZE));
	free(got);
	free(p);
	volume_group_free(g);
}

/* Whole pages take another way to the disk than what is no page or comes from
 * between two; side by side in one chunk, all of it arrives. */
static void pages_and_pieces(void)
{
	static const uint32_t cut[] = { 0, 65536, 65536 + 4096, 200000, 299008, 299008 + 200000, CHUNK_MAX };
	struct volume_group *g = volume_group_new();
	struct volume_how how = to_write(g, true);
	uint8_t *p = NULL, *want = x_alloc(SIZE), *got;
	struct volume_final fin;
	struct volume *v;
	struct err e = { 0 };
	size_t len;

	p = x_pages(CHUNK_MAX + 4096, &e);
	CHECK(p && volume_open(&v, at("pages"), &how, &e) == 0);
	for (unsigned shift = 0; shift < 3; shift++) {
		uint8_t *from = p + (shift == 1 ? 8 : 0);

		fill(want + shift * CHUNK_MAX, CHUNK_MAX, shift + 1);
		memcpy(from, want + shift * CHUNK_MAX, CHUNK_MAX);
		for (size_t i = 0; i + 1 < LEN(cut); i++)
			CHECK(volume_write(v, from + cut[i], cut[i + 1] - cut[i], shift * CHUNK_MAX + cut[i]) == 0);
	}
	fill(want + SIZE - 777, 777, 9);
	CHECK(volume_write(v, want + SIZE - 777, 777, SIZE - 777) == 0);
	CHECK(volume_group_flush(g, 1) == 0 && volume_finalize(v, "p1", NULL, &fin) == 0);
	free(fin.point);
	volume_close(v);
	got = slurp(at("pages"), &len);
	CHECK(len == SIZE && !memcmp(got, want, SIZE));
	free(got);
	free(want);
	free(p);
	volume_group_free(g);
}

static int try_open(struct volume_how *how, struct err *e)
{
	struct volume *v;
	int r = volume_open(&v, at("full"), how, e);

	if (r == 0)
		volume_close(v);
	return r;
}

/* An incremental write is taken only by the file that holds its base. */
static void base_is_checked(void)
{
	struct volume_group *g = volume_group_new();
	struct volume_how how = to_write(g, false);
	struct volume_final fin;
	struct volume *v;
	struct err e = { 0 };
	uint8_t byte = 7;

	how.base_point = "other";
	CHECK(try_open(&how, &e) == -1 && e.code == DM_NO);
	how.base_point = "p1";
	how.target_point = "p2";
	how.frozen = true;
	e = (struct err){ 0 };
	CHECK(volume_open(&v, at("full"), &how, &e) == 0);
	CHECK(volume_write(v, &byte, 1, 12345) == 0);
	volume_close(v);
	/* interrupted: only the same frozen step goes on */
	how.target_point = "p3";
	CHECK(try_open(&how, &e) == -1 && e.code == DM_NO);
	e = (struct err){ 0 };
	how.target_point = "p2";
	CHECK(volume_open(&v, at("full"), &how, &e) == 0);
	CHECK(volume_write(v, &byte, 1, 12345) == 0);
	CHECK(volume_finalize(v, "p2", NULL, &fin) == 0);
	free(fin.point);
	volume_close(v);
	/* changed by somebody else */
	how.base_point = "p2";
	CHECK(try_open(&how, &e) == 0);
	CHECK(truncate(at("full"), SIZE + 1) == 0);
	CHECK(try_open(&how, &e) == -1 && e.code == DM_NO);
	volume_group_free(g);
}

/* An open without a write leaves nothing behind, and ranges are checked. */
static void nothing_written_nothing_left(void)
{
	struct volume_group *g = volume_group_new();
	struct volume_how how = to_write(g, true);
	struct volume *v;
	struct err e = { 0 };
	uint8_t b[2] = { 0 };

	CHECK(volume_open(&v, at("new"), &how, &e) == 0);
	CHECK(volume_write(v, b, 2, SIZE - 1) < 0);
	CHECK(strstr(volume_message(v), "passes the end"));
	volume_close(v);
	CHECK(access(at("new"), F_OK) != 0);
	e = (struct err){ 0 };
	CHECK(volume_open(&v, "nosuch:x", &how, &e) == -1 && e.code == DM_USAGE);
	volume_group_free(g);
}

static void open_elsewhere_is_refused(void)
{
	struct volume_group *g = volume_group_new();
	struct volume_how how = to_write(g, true);
	struct volume *a, *b;
	struct err e = { 0 };

	CHECK(volume_open(&a, at("new"), &how, &e) == 0);
	CHECK(volume_open(&b, at("new"), &how, &e) == -1 && e.code == DM_NO);
	volume_close(a);
	volume_group_free(g);
}

int main(void)
{
	char cmd[300];

	CHECK(mkdtemp(dir));
	full_replaces_everything();
	pages_and_pieces();
	base_is_checked();
	nothing_written_nothing_left();
	open_elsewhere_is_refused();
	puts("volume: file: writes what it was given, and refuses a wrong base");
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd) == 0 ? 0 : 1;
}
