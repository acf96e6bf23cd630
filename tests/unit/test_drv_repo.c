/* Disks into a repository and back through the volume interface: full and
 * incremental iterations, resizing, resuming, what changed between states. */
#include <errno.h>
#include <string.h>

#include "../lib/site.h"
#include "base/bytes.h"
#include "base/extent.h"
#include "content/codec.h"
#include "repo/catalog.h"
#include "repo/session.h"
#include "volume/volume.h"

#define CS 65536u
#define DISK_MAX (64u * CS)

static uint8_t disk[DISK_MAX], before[DISK_MAX], back[DISK_MAX];

struct iteration {
	struct volume_group *g;
	struct volume *v;
	uint64_t size;
	uint8_t session[16];
};

static char *uri_of(const struct site *s)
{
	static char uri[300];

	snprintf(uri, sizeof uri, "repo:%s", s->path);
	return uri;
}

static int begin(struct iteration *it, struct site *s, uint64_t size, const struct id *base, const char *target,
    struct err *e)
{
	static uint8_t number;
	struct volume_how how = {
		.mode = VOL_WRITE, .disk = "vda", .size = size, .block = 512, .chunk_size = CS, .algo = ID_BLAKE3,
		.full = !base, .base_point = "", .base_root = base, .target_point = target, .frozen = *target,
		.workload = "w",
	};

	*it = (struct iteration){ .g = volume_group_new(), .size = size, .session = { ++number } };
	how.session = it->session;
	how.group = it->g;
	return volume_open(&it->v, uri_of(s), &how, e);
}

static void end(struct iteration *it)
{
	volume_close(it->v);
	volume_group_free(it->g);
}

#define VOK(v, call) do { \
	if ((call) < 0) { \
		fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, volume_message(v)); \
		exit(1); \
	} \
} while (0)

static struct id root_of(uint64_t size)
{
	struct id_builder b;
	struct id id;

	id_builder_init(&b, ID_BLAKE3, CS, size);
	for (uint64_t off = 0; off < size; off += CS) {
		id_content(ID_BLAKE3, CS, disk + off, (uint32_t)min64(CS, size - off), NULL, &id);
		if (!id_zero(&id))
			id_builder_add(&b, off / CS, &id);
	}
	id_builder_root(&b, &id);
	return id;
}

static void put(struct iteration *it, uint64_t off)
{
	struct volume_chunk c = { .off = off, .len = (uint32_t)min64(CS, it->size - off), .plain = disk + off };

	c.plain_len = c.len;
	if (bytes_zero(disk + off, c.len))
		VOK(it->v, volume_put_zero(it->v, off, c.len, 1));
	else
		VOK(it->v, volume_put(it->v, &c));
}

/* Finish, and make a checkpoint of it. */
static struct id commit(struct iteration *it, struct site *s, uint64_t seq)
{
	struct id root = root_of(it->size);
	struct volume_final f;
	struct err e = { 0 };
	struct checkpoint_disk d = { .name = (char *)"vda", .size = it->size, .block = 512, .has_root = true,
		.root = root, .source_point = (char *)"" };
	struct checkpoint c = { .workload = (char *)"w", .seq = seq, .parent = seq - 1, .kind = (char *)"full",
		.algo = ID_BLAKE3, .disk = &d, .ndisks = 1, .time = 1, .started = 1, .committed = 1 };
	struct session *se;

	VOK(it->v, volume_group_flush(it->g, 1));
	VOK(it->v, volume_finalize(it->v, "", &root, &f));
	CHECK(f.has_root && id_equal(&f.root, &root));
	d.point = f.point;
	hex_put(c.session, it->session, 16);
	se = session_join(s, it->session, &e);
	CHECK(se);
	OK(catalog_commit(s, &c, &e), e);
	OK(session_end(s, se, &e), e);
	session_close(se);
	free(f.point);
	end(it);
	return root;
}

static void check_back(struct site *s, const struct id *root, const uint8_t *want, uint64_t size)
{
	struct volume_how how = { .mode = VOL_READ, .disk = "vda" };
	char text[80], point[100];
	struct extents x = { 0 };
	struct err e = { 0 };
	struct volume *v;

	snprintf(point, sizeof point, "root:%s", id_format(ID_BLAKE3, root, text));
	how.point = point;
	OK(volume_open(&v, uri_of(s), &how, &e), e);
	CHECK(volume_size(v) == size);
	VOK(v, volume_read(v, back, size, 0));
	CHECK(!memcmp(back, want, size));
	for (int i = 0; i < 20; i++) {
		uint64_t off = rnd_below(size), len = 1 + rnd_below(size - off);

		VOK(v, volume_read(v, back, len, off));
		CHECK(!memcmp(back, want + off, len));
		VOK(v, volume_extents(v, NULL, off, len, &x));
		for (size_t k = 0; k < x.n; k++)
			CHECK(x.v[k].kind == EXT_DATA || bytes_zero(want + x.v[k].off, x.v[k].len));
	}
	extents_free(&x);
	volume_close(v);
}

static void change(uint64_t size, unsigned howmany)
{
	for (unsigned i = 0; i < howmany; i++) {
		uint64_t off = rnd_below(size), len = 1 + rnd_below(min64(size - off, 20000));

		fill(disk + off, len, rnd_below(3) ? 0 : 1);
	}
}

/* What changed, chunk by chunk, from `before'; as fragments, or whole. */
static void put_changes(struct iteration *it, bool skip_half)
{
	for (uint64_t off = 0, n = 0; off < it->size; off += CS, n++) {
		uint32_t len = (uint32_t)min64(CS, it->size - off), from = 0, to = len;
		struct frag f;
		struct volume_chunk c = { .off = off, .len = len, .frag = &f, .nfrags = 1 };

		if (!memcmp(disk + off, before + off, len) || (skip_half && n % 2))
			continue;
		if (rnd_below(3) == 0 || bytes_zero(disk + off, len)) {
			put(it, off);
			continue;
		}
		while (disk[off + from] == before[off + from])
			from++;
		while (disk[off + to - 1] == before[off + to - 1])
			to--;
		f = (struct frag){ .off = from, .len = to - from };
		c.plain = disk + off + from;
		c.plain_len = to - from;
		VOK(it->v, volume_put(it->v, &c));
	}
}

static void iterations(void)
{
	struct site *s = site_new_with(&(struct site_options){ .chunk_size = CS });
	struct iteration it;
	struct err e = { 0 };
	struct id root[12];
	static uint8_t state[12][DISK_MAX];
	uint64_t size[12] = { 40 * CS + 1536 };

	fill(disk, DISK_MAX, 2);
	memset(disk + size[0], 0, DISK_MAX - size[0]);
	OK(begin(&it, s, size[0], NULL, "", &e), e);
	for (uint64_t off = 0; off < size[0]; off += CS)
		put(&it, off);
	root[0] = commit(&it, s, 1);
	memcpy(state[0], disk, DISK_MAX);
	for (unsigned k = 1; k < 12; k++) {
		memcpy(before, disk, DISK_MAX);
		size[k] = k % 4 == 3 ? CS * (1 + rnd_below(63)) + 512 * rnd_below(128) : size[k - 1];
		if (size[k] < size[k - 1]) {
			memset(disk + size[k], 0, DISK_MAX - size[k]);
			memset(before + size[k], 0, DISK_MAX - size[k]);
		}
		change(size[k], 12);
		OK(begin(&it, s, size[k], &root[k - 1], "", &e), e);
		put_changes(&it, false);
		if (k % 3 == 0)
			VOK(it.v, volume_group_flush(it.g, 1));
		root[k] = commit(&it, s, k + 1);
		memcpy(state[k], disk, DISK_MAX);
		for (unsigned i = 0; i <= k; i++)
			check_back(s, &root[i], state[i], size[i]);
	}
	/* A base that is no checkpoint is refused. */
	root[0].b[5]++;
	CHECK(begin(&it, s, size[0], &root[0], "", &e) == -1 && e.code == DM_NO);
	volume_group_free(it.g);
	site_drop(s);
}

/* An interrupted iteration holds what was flushed, and only that. */
static void resume(bool frozen)
{
	struct site *s = site_new_with(&(struct site_options){ .chunk_size = CS });
	struct iteration it;
	struct err e = { 0 };
	struct id base, id, root;
	uint64_t size = 32 * CS;
	unsigned held = 0;

	fill(disk, size, 0);
	OK(begin(&it, s, size, NULL, "p1", &e), e);
	for (uint64_t off = 0; off < size; off += CS)
		put(&it, off);
	base = commit(&it, s, 1);
	memcpy(before, disk, DISK_MAX);
	change(size, 30);
	OK(begin(&it, s, size, &base, frozen ? "p2" : "", &e), e);
	put_changes(&it, true);
	VOK(it.v, volume_group_flush(it.g, 1));
	/* Not flushed: lost with the process. */
	for (uint64_t off = 3 * CS; off < size / 2; off += 2 * CS)
		put(&it, off);
	end(&it);
	OK(begin(&it, s, size, &base, frozen ? "p2" : "", &e), e);
	for (uint64_t off = 0; off < size; off += CS) {
		int r;

		if (!memcmp(disk + off, before + off, CS))
			continue;
		id_content(ID_BLAKE3, CS, disk + off, CS, NULL, &id);
		r = volume_held(it.v, off, CS, frozen ? NULL : &id);
		CHECK(r >= 0 && (off / CS % 2 ? r == 0 : r == 1));
		if (r == 1) {
			held++;
			continue;
		}
		put(&it, off);
	}
	CHECK(held > 3);
	root = commit(&it, s, 2);
	check_back(s, &root, disk, size);
	site_drop(s);
}

/* The last chunk of a disk that grew is not taken for one that came. */
static void resume_after_growth(void)
{
	struct site *s = site_new_with(&(struct site_options){ .chunk_size = CS });
	struct iteration it;
	struct err e = { 0 };
	struct id base, root;
	uint64_t size = 8 * CS + 1024;

	fill(disk, DISK_MAX, 0);
	OK(begin(&it, s, size, NULL, "p1", &e), e);
	for (uint64_t off = 0; off < size; off += CS)
		put(&it, off);
	base = commit(&it, s, 1);
	memset(disk + size, 0, DISK_MAX - size);
	memcpy(before, disk, DISK_MAX);
	size = 12 * CS;
	fill(disk + 8 * CS, 3 * CS, 0);
	disk[0]++;
	OK(begin(&it, s, size, &base, "p2", &e), e);
	put(&it, 0);
	VOK(it.v, volume_group_flush(it.g, 1));
	end(&it);
	OK(begin(&it, s, size, &base, "p2", &e), e);
	CHECK(volume_held(it.v, 0, CS, NULL) == 1);
	for (uint64_t off = 8 * CS; off < 11 * CS; off += CS) {
		CHECK(volume_held(it.v, off, CS, NULL) == 0);
		put(&it, off);
	}
	root = commit(&it, s, 2);
	check_back(s, &root, disk, size);
	/* Only resized, nothing put: the base with another end. */
	size = 5 * CS + 77;
	memset(disk + size, 0, DISK_MAX - size);
	OK(begin(&it, s, size, &root, "p3", &e), e);
	root = commit(&it, s, 3);
	check_back(s, &root, disk, size);
	site_drop(s);
}

static void resume_frozen(void)
{
	resume(true);
}

static void resume_by_content(void)
{
	resume(false);
}

/* Between any two states: SAME is the same, ZERO is zero. */
static void differences(void)
{
	struct site *s = site_new_with(&(struct site_options){ .chunk_size = CS });
	struct volume_how how = { .mode = VOL_READ, .disk = "vda" };
	char a[100], b[100], text[80];
	struct extents x = { 0 };
	struct iteration it;
	struct err e = { 0 };
	struct id r1, r2;
	struct volume *v;
	uint64_t size = 20 * CS + 100, same = 0;

	fill(disk, DISK_MAX, 2);
	OK(begin(&it, s, size, NULL, "", &e), e);
	for (uint64_t off = 0; off < size; off += CS)
		put(&it, off);
	memset(disk + size, 0, DISK_MAX - size);
	r1 = commit(&it, s, 1);
	memcpy(before, disk, DISK_MAX);
	size = 30 * CS;
	change(20 * CS, 5);
	OK(begin(&it, s, size, &r1, "", &e), e);
	put_changes(&it, false);
	r2 = commit(&it, s, 2);
	snprintf(a, sizeof a, "root:%s", id_format(ID_BLAKE3, &r1, text));
	snprintf(b, sizeof b, "root:%s", id_format(ID_BLAKE3, &r2, text));
	how.point = b;
	OK(volume_open(&v, uri_of(s), &how, &e), e);
	VOK(v, volume_extents(v, a, 0, size, &x));
	for (size_t i = 0; i < x.n; i++) {
		const struct extent *p = &x.v[i];

		CHECK(p->kind != EXT_SAME || !memcmp(disk + p->off, before + p->off, p->len));
		CHECK(p->kind != EXT_ZERO || bytes_zero(disk + p->off, p->len));
		CHECK(p->kind != EXT_SAME || p->off + p->len <= 21 * CS);
		same += p->kind == EXT_SAME ? p->len : 0;
	}
	CHECK(same > 5 * CS);
	CHECK(volume_extents(v, "root:blake3:1234", 0, size, &x) == -ESTALE);
	volume_close(v);
	extents_free(&x);
	site_drop(s);
}

static void named_by_workload(void)
{
	struct site *s = site_new_with(&(struct site_options){ .chunk_size = CS });
	struct volume_how how = { .mode = VOL_READ };
	struct iteration it;
	struct err e = { 0 };
	struct volume *v;
	struct id root;
	char uri[300];

	fill(disk, CS, 0);
	OK(begin(&it, s, CS, NULL, "", &e), e);
	put(&it, 0);
	root = commit(&it, s, 1);
	for (int i = 0; i < 3; i++) {
		static const char *const tail[] = { "#w", "#w/1", "#w/latest/vda" };

		snprintf(uri, sizeof uri, "repo:%s%s", s->path, tail[i]);
		OK(volume_open(&v, uri, &how, &e), e);
		VOK(v, volume_read(v, back, CS, 0));
		CHECK(!memcmp(back, disk, CS));
		volume_close(v);
	}
	snprintf(uri, sizeof uri, "repo:%s#w/7", s->path);
	CHECK(volume_open(&v, uri, &how, &e) == -1 && e.code == DM_NO);
	e.code = 0;
	CHECK(volume_open(&v, uri_of(s), &how, &e) == -1 && e.code == DM_USAGE);
	/* A damaged record of another checkpoint is in nobody's way. */
	run("echo '{' >'%s/catalog/w/2.json'", s->path);
	check_back(s, &root, disk, CS);
	site_drop(s);
}

int main(void)
{
	RUN(iterations);
	RUN(resume_frozen);
	RUN(resume_by_content);
	RUN(resume_after_growth);
	RUN(differences);
	RUN(named_by_workload);
	return 0;
}
