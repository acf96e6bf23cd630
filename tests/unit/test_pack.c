/* Packs: what is appended is read back, by table and, when that is damaged,
 * by walking the records; nothing damaged is taken for a record. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/site.h"
#include "base/bytes.h"
#include "repo/pack_format.h"

#define RECORDS 50u

static uint8_t body[RECORDS][5000];
static struct record rec[RECORDS];

static struct pack_out *make(struct site *s)
{
	struct err e = { 0 };
	struct pack_out *p = pack_create(s, 0xab, &e);

	CHECK(p);
	for (unsigned i = 0; i < RECORDS; i++) {
		uint8_t head[RECORD_HEADER];
		struct iovec one = { body[i], 1 + rnd_below(sizeof body[i]) }, v[2] = { { head, sizeof head }, one };

		rec[i] = (struct record){ .type = REC_CHUNK, .plain = 4096, .stored = (uint32_t)one.iov_len };
		fill(rec[i].id.b, ID_LEN, 0);
		fill(body[i], one.iov_len, 0);
		if (i % 7 == 6) {
			rec[i].type = REC_OVERLAY;
			rec[i].base = rec[i - 1].id;
			rec[i].depth = 3;
			rec[i].tier = 1;
		}
		record_encode(&rec[i], &one, 1, head);
		OK(pack_write(p, pack_reserve(p, &rec[i]), v, 2, &e), e);
	}
	OK(pack_seal(s, p, &e), e);
	OK(pack_sync(s, p, &e), e);
	OK(pack_publish(s, p, &e), e);
	OK(pack_sync_dirs(s, &p, 1, &e), e);
	return p;
}

/* How many of the records come back; those that do are right. */
static unsigned check_read(struct site *s, const uint8_t id[PACK_ID], bool *damaged, struct err *e)
{
	static uint8_t buf[RECORD_HEADER + RECORD_BODY_MAX];
	struct pack_entry *v;
	struct record r;
	uint64_t size;
	unsigned good = 0;
	size_t n;
	struct pack_in *in = pack_open(s, id, 0, e);

	CHECK(in);
	if (pack_read(s, in, id, &v, &n, &size, damaged, e)) {
		CHECK(e->code == DM_BAD);
		pack_close(in);
		return 0;
	}
	CHECK(n <= RECORDS);
	for (size_t i = 0; i < n; i++) {
		struct err bad = { 0 };

		CHECK(id_equal(&v[i].id, &rec[i].id) && v[i].depth == rec[i].depth && v[i].tier == rec[i].tier);
		if (pack_record(in, &v[i], buf, &r, &bad)) {
			CHECK(bad.code == DM_BAD);
			continue;
		}
		CHECK(!memcmp(buf + RECORD_HEADER, body[i], rec[i].stored) && id_equal(&r.base, &rec[i].base));
		good++;
	}
	free(v);
	pack_close(in);
	return good;
}

static void round_trip(void)
{
	struct site *s = site_new(), *other = site_new();
	struct err e = { 0 };
	struct pack_out *p = make(s);
	struct pack_name *v;
	bool damaged;
	size_t n;

	CHECK(check_read(s, p->id, &damaged, &e) == RECORDS && !damaged);
	OK(pack_list(s, &v, &n, &e), e);
	CHECK(n == 1 && !memcmp(v[0].id, p->id, PACK_ID) && v[0].id[0] == 0xab);
	free(v);
	/* A pack of another site is not taken for one of ours. */
	run("cp -r '%s'/chunks/packs/* '%s'/chunks/packs/", s->path, other->path);
	CHECK(check_read(other, p->id, &damaged, &e) == 0 && e.code == DM_BAD);
	e.code = 0;
	OK(pack_unlink(s, p->id, &e), e);
	CHECK(!pack_open(s, p->id, 0, &e) && e.code == DM_NO);
	pack_out_free(s, p);
	site_drop(s);
	site_drop(other);
}

static void damage(bool cut)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct pack_out *p = make(s);
	char name[PACK_NAME_LEN], byte;
	unsigned damaged_tables = 0, lost = 0;
	int fd;

	pack_path(p->id, name);
	fd = openat(s->dir, name, O_RDWR);
	CHECK(fd != -1);
	for (int i = 0; i < 400; i++) {
		off_t off = (off_t)rnd_below(p->size);
		bool damaged = false;
		unsigned good;

		if (!cut && i % 2)	/* also where the table and trailer are */
			off = (off_t)(p->size - 1 - rnd_below(RECORDS * PACK_ENTRY + PACK_TRAILER));
		CHECK(pread(fd, &byte, 1, off) == 1);
		if (cut) {
			run("cp '%s/%s' '%s/keep'", s->path, name, s->path);
			CHECK(!ftruncate(fd, off));
		} else {
			char flipped = (char)(byte ^ 1 << rnd_below(8));

			CHECK(pwrite(fd, &flipped, 1, off) == 1);
		}
		e.code = 0;
		good = check_read(s, p->id, &damaged, &e);
		CHECK(good < RECORDS || damaged || (off >= 48 && off < 64) || off < (off_t)PACK_HEADER);
		damaged_tables += damaged;
		lost += good < RECORDS;
		if (cut) {
			run("cat '%s/keep' >'%s/%s'", s->path, s->path, name);
			i += 9;
		} else {
			CHECK(pwrite(fd, &byte, 1, off) == 1);
		}
	}
	CHECK(damaged_tables > 20 && lost > 20);
	CHECK(check_read(s, p->id, &(bool){ 0 }, &e) == RECORDS);
	close(fd);
	pack_out_free(s, p);
	site_drop(s);
}

static void flipped_bits(void)
{
	damage(false);
}

static void cut_short(void)
{
	damage(true);
}

static void unpublished_is_removed(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct pack_out *p = pack_create(s, 1, &e);
	struct pack_name *v;
	size_t n;

	CHECK(p);
	/* A living writer's file is not touched; a dead one's goes. */
	run("touch '%s/chunks/tmp/dead.pack'", s->path);
	OK(pack_clean(s, &e), e);
	run("test \"$(ls '%s/chunks/tmp' | wc -l)\" = 1", s->path);
	pack_out_free(s, p);
	run("test -z \"$(ls '%s/chunks/tmp')\"", s->path);
	OK(pack_list(s, &v, &n, &e), e);
	CHECK(n == 0);
	free(v);
	site_drop(s);
}

int main(void)
{
	RUN(round_trip);
	RUN(flipped_bits);
	RUN(cut_short);
	RUN(unpublished_is_removed);
	return 0;
}
