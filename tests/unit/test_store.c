/* The chunk store against a model: what was put comes back, whole, in pieces,
 * through overlays, after reopening, after the index was lost, after a crash. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "content/codec.h"
#include "repo/index.h"
#include "repo/store.h"
#include "../lib/site.h"

#define CS (1u << 20)
#define CHUNKS 24u

static uint8_t content[CHUNKS][CS];
static struct id ids[CHUNKS];
static uint32_t lens[CHUNKS];

/* Ours is linked before the C library's: a disk that fails to sync. */
static bool sync_fails;

int fdatasync(int fd)
{
	if (sync_fails) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

static void put_whole(struct store *st, unsigned k)
{
	struct id leaf[LEAVES_MAX];
	struct err e = { 0 };
	uint64_t added;
	struct store_chunk c = { .leaf = leaf, .plain = content[k], .len = lens[k] };

	id_content(ID_BLAKE3, CS, content[k], lens[k], leaf, &c.id);
	OK(store_put_chunk(st, &c, &added, &e), e);
	ids[k] = c.id;
	CHECK(id_zero(&c.id) ? added == 0 : true);
}

static void check_reads(struct store *st, unsigned k)
{
	static uint8_t got[CS], stored[CS + CS / 8];
	struct id leaf[LEAVES_MAX], want[LEAVES_MAX], id;
	struct err e = { 0 };
	size_t n;
	int codec, r;

	OK(store_read(st, &ids[k], lens[k], 0, lens[k], got, &e), e);
	CHECK(!memcmp(got, content[k], lens[k]));
	for (int i = 0; i < 3; i++) {
		uint32_t off = (uint32_t)rnd_below(lens[k]), len = 1 + (uint32_t)rnd_below(lens[k] - off);

		OK(store_read(st, &ids[k], lens[k], off, len, got, &e), e);
		CHECK(!memcmp(got, content[k] + off, len));
	}
	OK(store_leaves(st, &ids[k], lens[k], leaf, &e), e);
	id_content(ID_BLAKE3, CS, content[k], lens[k], want, &id);
	CHECK(!memcmp(leaf, want, leaf_count(CS, lens[k]) * sizeof *leaf));
	if (id_zero(&ids[k]))
		return;
	r = store_read_stored(st, &ids[k], lens[k], stored, &codec, &n, &e);
	CHECK(r >= 0);
	if (r == 1) {
		struct codec_ctx *x = codec_new();

		OK(codec_unpack(x, codec, stored, n, got, lens[k], &e), e);
		CHECK(!memcmp(got, content[k], lens[k]));
		codec_free(x);
	}
}

static void fill_model(void)
{
	for (unsigned k = 0; k < CHUNKS; k++) {
		lens[k] = k % 5 == 4 ? 1 + (uint32_t)rnd_below(CS) : CS;
		memset(content[k], 0, CS);
		fill(content[k], lens[k], k % 6);
	}
}

static void put_and_read(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	struct id none = { { 1, 2, 3 } };
	uint8_t b[16];

	CHECK(st);
	fill_model();
	for (unsigned k = 0; k < CHUNKS; k++)
		put_whole(st, k);
	for (unsigned k = 0; k < CHUNKS; k++)
		check_reads(st, k);
	CHECK(store_has(st, &none, &e) == 0);
	CHECK(store_read(st, &none, CS, 0, 16, b, &e) == -1 && e.code == DM_NO);
	e.code = 0;
	OK(store_flush(st, &e), e);
	OK(store_flush(st, &e), e);
	for (unsigned k = 0; k < CHUNKS; k++)
		check_reads(st, k);
	store_close(st);
	st = store_open(s, STORE_READ, &e);
	CHECK(st);
	for (unsigned k = 0; k < CHUNKS; k++)
		check_reads(st, k);
	store_close(st);
	site_drop(s);
}

static void twice_is_once(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	uint64_t before;

	fill_model();
	put_whole(st, 0);
	before = store_added(st);
	CHECK(before > CS / 2);
	put_whole(st, 0);
	OK(store_flush(st, &e), e);
	put_whole(st, 0);
	CHECK(store_added(st) < before + 1024);
	store_close(st);
	site_drop(s);
}

/* Random fragments over chunks, many rounds deep, with lengths that change. */
static void patch_round(struct store *st, unsigned k, bool resize)
{
	static uint8_t plain[CS];
	struct frag f[8];
	struct err e = { 0 };
	struct id claimed, out;
	uint32_t len = lens[k], old = lens[k], at = 0, n = 0, bytes = 0;
	uint64_t added;

	if (resize)
		len = 1 + (uint32_t)rnd_below(CS);
	if (len < old)
		memset(content[k] + len, 0, old - len);
	while (n < 8 && at < len && rnd_below(5)) {
		f[n].off = at + (uint32_t)rnd_below(len - at);
		f[n].len = 1 + (uint32_t)rnd_below(min64(len - f[n].off, rnd_below(3) ? 4096 : 100000));
		fill(plain + bytes, f[n].len, rnd_below(4) ? 0 : 3);
		memcpy(content[k] + f[n].off, plain + bytes, f[n].len);
		bytes += f[n].len;
		at = f[n].off + f[n].len + 1;
		n++;
	}
	id_content(ID_BLAKE3, CS, content[k], len, NULL, &claimed);
	OK(store_patch(st, &ids[k], old, len, k, f, n, plain, rnd_below(2) ? &claimed : NULL, &out, &added, &e), e);
	CHECK(id_equal(&out, &claimed));
	ids[k] = out;
	lens[k] = len;
}

static void overlays(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);

	fill_model();
	for (unsigned k = 0; k < CHUNKS; k++)
		put_whole(st, k);
	for (int round = 0; round < 60; round++) {
		for (unsigned k = 0; k < CHUNKS; k += 3)
			patch_round(st, k, round % 7 == 6 && k % 2);
		if (round % 4 == 3)
			OK(store_flush(st, &e), e);
		if (round % 5 == 4)
			for (unsigned k = 0; k < CHUNKS; k++)
				check_reads(st, k);
	}
	OK(store_flush(st, &e), e);
	store_close(st);
	/* The index can be lost at any time. */
	run("rm -r '%s/chunks/index'", s->path);
	st = store_open(s, STORE_READ, &e);
	CHECK(st);
	for (unsigned k = 0; k < CHUNKS; k++)
		check_reads(st, k);
	store_close(st);
	site_drop(s);
}

/* 4 KiB changed in a chunk are stored as about 4 KiB, also when a whole leaf
 * or the whole chunk was sent for them. */
static void small_changes_stay_small(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	struct frag f = { .off = 3 * 65536, .len = 65536 };
	struct id leaf[LEAVES_MAX], out;
	uint64_t added;
	struct store_chunk c = { .leaf = leaf, .plain = content[0], .len = CS, .base_len = CS, .chunk = 5 };

	lens[0] = CS;
	fill(content[0], CS, 0);
	put_whole(st, 0);
	fill(content[0] + 3 * 65536 + 8192, 4096, 0);
	OK(store_patch(st, &ids[0], CS, CS, 5, &f, 1, content[0] + f.off, NULL, &out, &added, &e), e);
	CHECK(added > 4096 && added < 5120);
	ids[0] = out;
	check_reads(st, 0);
	fill(content[0] + 9 * 65536, 4096, 0);
	c.base = &out;
	id_content(ID_BLAKE3, CS, content[0], CS, leaf, &c.id);
	OK(store_put_chunk(st, &c, &added, &e), e);
	CHECK(added > 4096 && added < 5120);
	ids[0] = c.id;
	check_reads(st, 0);
	store_close(st);
	site_drop(s);
}

/* Many iterations of scattered writes: what is stored stays near what
 * changed, and no chain gets deeper than two tiers of eight. */
static void depth_is_bounded(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	struct index *ix;
	struct index_row row[64];
	struct id after = { { 0 } }, out;
	uint64_t added, total = 0;
	unsigned deepest = 0;
	size_t n;

	lens[0] = CS;
	fill(content[0], CS, 0);
	put_whole(st, 0);
	for (int i = 0; i < 100; i++) {
		struct frag f = { .off = (uint32_t)rnd_below(256) * 4096, .len = 4096 };

		fill(content[0] + f.off, 4096, 0);
		OK(store_patch(st, &ids[0], CS, CS, 7, &f, 1, content[0] + f.off, NULL, &out, &added, &e), e);
		ids[0] = out;
		total += added;
	}
	check_reads(st, 0);
	CHECK(total < 100 * 4096 * 8);
	OK(store_flush(st, &e), e);
	ix = index_open(s, &e);
	CHECK(ix);
	do {
		OK(index_rows(ix, &after, row, LEN(row), &n, &e), e);
		for (size_t i = 0; i < n; i++)
			if (row[i].en.depth > deepest)
				deepest = row[i].en.depth;
	} while (n);
	CHECK(deepest >= 8 && deepest <= 16);
	index_close(ix);
	store_close(st);
	site_drop(s);
}

static void wrong_claim_is_refused(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	struct frag f = { .off = 0, .len = 512 };
	struct id out, claimed = { { 9 } };
	uint64_t added;

	lens[0] = CS;
	fill(content[0], CS, 0);
	put_whole(st, 0);
	CHECK(store_patch(st, &ids[0], CS, CS, 0, &f, 1, content[1], &claimed, &out, &added, &e) == -1);
	CHECK(e.code == DM_BAD);
	store_close(st);
	site_drop(s);
}

/* A child puts and flushes in a loop and says after each flush what is
 * durable, until it is killed; all it said must be there. */
static void writer(struct site *s, int out, unsigned seed)
{
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);

	rnd_seed(seed);
	for (uint32_t round = 0; st; round++) {
		unsigned k = (unsigned)rnd_below(CHUNKS);

		for (unsigned i = 0; i < 4; i++) {
			lens[k] = CS;
			fill(content[k], CS, 3 + (int)rnd_below(2));
			put32(content[k], round * 16 + i);
			put_whole(st, k);
			if (i < 3)
				k = (k + 1) % CHUNKS;
		}
		if (store_flush(st, &e) || write(out, &ids[k], sizeof ids[k]) != sizeof ids[k])
			break;
	}
	_exit(1);
}

static void killed_writers_lose_nothing(void)
{
	struct site *s = site_new();
	static struct id said[10000];
	size_t n = 0;
	struct err e = { 0 };
	struct store *st;
	static uint8_t b[CS];
	struct id is;

	for (unsigned round = 0; round < 6; round++) {
		pid_t pid[2];
		int p[2];

		CHECK(!pipe(p));
		for (unsigned i = 0; i < 2; i++) {
			pid[i] = fork();
			CHECK(pid[i] >= 0);
			if (!pid[i])
				writer(s, p[1], 100 * round + i);
		}
		close(p[1]);
		for (unsigned i = 0; i < 3 + round * 2; i++)
			CHECK(read(p[0], &said[n++], sizeof *said) == sizeof *said);
		for (unsigned i = 0; i < 2; i++)
			CHECK(!kill(pid[i], SIGKILL));
		while (read(p[0], &said[n], sizeof *said) == sizeof *said)
			n++;
		for (unsigned i = 0; i < 2; i++)
			CHECK(waitpid(pid[i], NULL, 0) == pid[i]);
		close(p[0]);
		if (round == 3)
			run("rm -r '%s/chunks/index'", s->path);
		st = store_open(s, STORE_WRITE, &e);
		CHECK(st);
		for (size_t i = 0; i < n; i++) {
			OK(store_read(st, &said[i], CS, 0, CS, b, &e), e);
			id_content(ID_BLAKE3, CS, b, CS, NULL, &is);
			CHECK(id_equal(&is, &said[i]));
		}
		store_close(st);
		/* Temporary packs of the dead are gone. */
		run("test -z \"$(ls '%s/chunks/tmp')\"", s->path);
	}
	site_drop(s);
}

/* After a failed fsync nothing is called durable any more, and what was
 * durable before stays. */
static void failed_sync_is_final(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	struct id leaf[LEAVES_MAX];
	struct store_chunk c = { .leaf = leaf, .plain = content[7], .len = CS };
	uint64_t added;

	CHECK(st);
	for (unsigned k = 0; k < 4; k++) {
		lens[k] = CS;
		fill(content[k], CS, 0);
	}
	put_whole(st, 0);
	OK(store_flush(st, &e), e);
	put_whole(st, 1);
	sync_fails = true;
	CHECK(store_flush(st, &e) == -1 && e.code == DM_ENV);
	sync_fails = false;
	memset(&e, 0, sizeof e);
	CHECK(store_flush(st, &e) == -1 && e.code == DM_ENV);
	memset(&e, 0, sizeof e);
	fill(content[7], CS, 0);
	id_content(ID_BLAKE3, CS, content[7], CS, leaf, &c.id);
	CHECK(store_put_chunk(st, &c, &added, &e) == -1 && e.code == DM_ENV);
	memset(&e, 0, sizeof e);
	store_close(st);
	st = store_open(s, STORE_WRITE, &e);
	check_reads(st, 0);
	CHECK(store_has(st, &ids[1], &e) == 0);
	run("test -z \"$(ls '%s/chunks/tmp')\"", s->path);
	store_close(st);
	site_drop(s);
}

/* A full disk, here a limit on the length of files, stops the writer cleanly. */
static void full_disk(struct site *s)
{
	struct rlimit small = { 3 << 20, 3 << 20 };
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	struct id leaf[LEAVES_MAX];
	int r = 0;

	signal(SIGXFSZ, SIG_IGN);
	if (!st || setrlimit(RLIMIT_FSIZE, &small))
		_exit(2);
	for (unsigned k = 1; k < 8 && !r; k++) {
		struct store_chunk c = { .leaf = leaf, .plain = content[k], .len = CS };
		uint64_t added;

		fill(content[k], CS, 0);
		id_content(ID_BLAKE3, CS, content[k], CS, leaf, &c.id);
		r = store_put_chunk(st, &c, &added, &e);
	}
	if (!r || e.code != DM_ENV || store_flush(st, &e) != -1)
		_exit(3);
	store_close(st);
	_exit(0);
}

static void full_disk_is_clean(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	int status;
	pid_t pid;

	lens[0] = CS;
	fill(content[0], CS, 0);
	put_whole(st, 0);
	OK(store_flush(st, &e), e);
	store_close(st);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		full_disk(s);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == 0);
	st = store_open(s, STORE_WRITE, &e);
	check_reads(st, 0);
	run("test -z \"$(ls '%s/chunks/tmp')\"", s->path);
	store_close(st);
	site_drop(s);
}

/* Threads put, patch, read and flush one store at once. */
struct thread {
	struct store *st;
	unsigned first;
	pthread_t id;
};

static void *busy(void *arg)
{
	struct thread *t = arg;
	struct err e = { 0 };
	uint8_t *now = malloc(CS), *got = malloc(CS);
	struct id leaf[LEAVES_MAX], out;
	struct store_chunk c = { .leaf = leaf, .plain = now, .len = CS };
	uint64_t added, x = t->first * 7919u + 1;

	CHECK(now && got);
	for (unsigned round = 0; round < 12; round++) {
		for (uint32_t i = 0; i < CS; i += 8)
			put64(now + i, (x = x * 6364136223846793005ull + 1) & (round % 2 ? 0xff00ff00ull : ~0ull));
		id_content(ID_BLAKE3, CS, now, CS, leaf, &c.id);
		OK(store_put_chunk(t->st, &c, &added, &e), e);
		out = c.id;
		for (unsigned i = 0; i < 10; i++) {
			struct frag f = { .off = (uint32_t)(x >> 40) % 250 * 4096, .len = 4096 };

			x = x * 6364136223846793005ull + 1;
			put64(now + f.off + 8 * i, x);
			OK(store_patch(t->st, &out, CS, CS, t->first, &f, 1, now + f.off, NULL, &out, &added, &e), e);
			OK(store_read(t->st, &out, CS, 0, CS, got, &e), e);
			CHECK(!memcmp(got, now, CS));
		}
		if (round % 4 == 3)
			OK(store_flush(t->st, &e), e);
	}
	free(now);
	free(got);
	return NULL;
}

static void threads(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	struct thread t[4];

	for (unsigned i = 0; i < LEN(t); i++) {
		t[i] = (struct thread){ .st = st, .first = i };
		CHECK(!pthread_create(&t[i].id, NULL, busy, &t[i]));
	}
	for (unsigned i = 0; i < LEN(t); i++)
		CHECK(!pthread_join(t[i].id, NULL));
	OK(store_flush(st, &e), e);
	store_close(st);
	site_drop(s);
}

/* Flip each of many bytes of a pack: a read gives the right bytes or an
 * error, never others. */
static void damage_is_found(void)
{
	struct site *s = site_new();
	struct err e = { 0 };
	struct store *st = store_open(s, STORE_WRITE, &e);
	char *pack, byte;
	unsigned found = 0;
	static uint8_t got[CS];
	struct stat sb;
	int fd;

	fill_model();
	for (unsigned k = 0; k < 6; k++)
		put_whole(st, k);
	for (int i = 0; i < 3; i++)
		patch_round(st, 0, false);
	OK(store_flush(st, &e), e);
	pack = output("ls '%s'/chunks/packs/*/*", s->path);
	fd = open(pack, O_RDWR);
	CHECK(fd != -1 && !fstat(fd, &sb));
	for (int i = 0; i < 300; i++) {
		off_t off = (off_t)rnd_below((uint64_t)sb.st_size);

		CHECK(pread(fd, &byte, 1, off) == 1);
		byte ^= 1 << rnd_below(8);
		CHECK(pwrite(fd, &byte, 1, off) == 1);
		for (unsigned k = 0; k < 6; k++) {
			int codec;
			size_t n;

			memset(&e, 0, sizeof e);
			if (store_read(st, &ids[k], lens[k], 0, lens[k], got, &e)) {
				CHECK(e.code == DM_BAD);
				found++;
			} else {
				CHECK(!memcmp(got, content[k], lens[k]));
			}
			memset(&e, 0, sizeof e);
			if (!id_zero(&ids[k]) && store_read_stored(st, &ids[k], lens[k], got, &codec, &n, &e) < 0)
				CHECK(e.code == DM_BAD);
		}
		if (found > 200)
			break;
	}
	CHECK(found > 20);
	close(fd);
	free(pack);
	store_close(st);
	site_drop(s);
}

int main(void)
{
	RUN(put_and_read);
	RUN(twice_is_once);
	RUN(overlays);
	RUN(small_changes_stay_small);
	RUN(depth_is_bounded);
	RUN(wrong_claim_is_refused);
	RUN(killed_writers_lose_nothing);
	RUN(failed_sync_is_final);
	RUN(full_disk_is_clean);
	RUN(threads);
	RUN(damage_is_found);
	return 0;
}
