/* common/repo/prune, verify: what is needed stays, what is not goes, and what
 * is damaged is found, with sessions and readers at work. */
#include <dirent.h>
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
#include "repo/index.h"
#include "repo/prune.h"
#include "repo/session.h"
#include "repo/tree.h"
#include "repo/verify.h"

#define CHUNK 65536u
#define CHUNKS 40u

static char *dir;
static struct site *site;
static struct err err;

#define OK(call) do { \
	if ((call) != 0) { \
		fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, err.text); \
		exit(1); \
	} \
} while (0)

static void begin(void)
{
	const struct site_options o = { .chunk_size = CHUNK };

	dir = x_strdup("/tmp/dm-prune-XXXXXX");
	CHECK(mkdtemp(dir));
	err = (struct err){ 0 };
	OK(site_init(dir, &o, &err));
	site = site_open(dir, &err);
	CHECK(site);
}

static void end(void)
{
	char *clean = x_printf("rm -r %s", dir);

	site_close(site);
	CHECK(system(clean) == 0);
	free(clean);
	free(dir);
}

/* Content number `seed', which does not compress. */
static void fill(uint64_t seed, uint8_t *p)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < CHUNK; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		put64(p + i, x);
	}
}

static struct id content_id(uint64_t seed)
{
	uint8_t p[CHUNK];
	struct id id;

	fill(seed, p);
	id_content(site->algo, CHUNK, p, CHUNK, NULL, &id);
	return id;
}

static struct id put(struct store *st, uint64_t seed)
{
	struct store_chunk c = { .len = CHUNK };
	uint8_t p[CHUNK];
	struct id leaf[LEAVES_MAX];
	uint64_t added;

	fill(seed, p);
	c.plain = p;
	c.leaf = leaf;
	id_content(site->algo, CHUNK, p, CHUNK, leaf, &c.id);
	OK(store_put_chunk(st, &c, &added, &err));
	return c.id;
}

/* A disk of contents from, from+1, ... : its root. */
static struct id put_disk(struct store *st, uint64_t from)
{
	struct chunk_update up[CHUNKS];
	struct id root;

	for (uint64_t i = 0; i < CHUNKS; i++)
		up[i] = (struct chunk_update){ .n = i, .count = 1, .id = put(st, from + i) };
	OK(tree_update(st, NULL, CHUNKS * CHUNK, up, CHUNKS, &root, &err));
	OK(store_flush(st, &err));
	return root;
}

static void commit(uint64_t seq, const struct id *root)
{
	struct checkpoint_disk d = { .name = "vdb", .size = CHUNKS * CHUNK, .block = 512,
		.has_root = true, .root = *root, .source_point = "" };
	struct checkpoint c = { .workload = "web1", .seq = seq, .parent = seq - 1, .kind = "full",
		.algo = ID_BLAKE3, .time = time_now(), .disk = &d, .ndisks = 1 };

	c.started = c.committed = c.time;
	snprintf(c.session, sizeof(c.session), "%032llx", (unsigned long long)seq);
	d.point = "root:x";
	OK(catalog_commit(site, &c, &err));
}

static struct id add_checkpoint(uint64_t seq, uint64_t from)
{
	struct store *st = store_open(site, STORE_WRITE, &err);
	struct id root;

	CHECK(st);
	root = put_disk(st, from);
	store_close(st);
	commit(seq, &root);
	return root;
}

/* Is all of a disk there, as it was written? */
static bool disk_reads(const struct id *root, uint64_t from)
{
	struct store *st = store_open(site, STORE_READ, &err);
	struct tree *t = tree_open(st, root, &err);
	uint8_t want[CHUNK], got[CHUNK];
	struct err e = { 0 };
	bool ok = t != NULL;

	for (uint64_t i = 0; ok && i < CHUNKS; i++) {
		struct id id;

		fill(from + i, want);
		ok = tree_chunk(t, i, &id, &e) == 0 &&
		    store_read(st, &id, CHUNK, 0, CHUNK, got, &e) == 0 && !memcmp(want, got, CHUNK);
	}
	tree_close(t);
	store_close(st);
	return ok;
}

static int has(uint64_t seed)
{
	struct store *st = store_open(site, STORE_READ, &err);
	struct id id = content_id(seed);
	int rc = store_has(st, &id, &err);

	store_close(st);
	return rc;
}

static struct prune_report prune(uint64_t keep_last)
{
	struct prune_how how = { .keep.last = keep_last };
	struct prune_report r;

	OK(prune_run(site, &how, &r, &err));
	return r;
}

static void prune_once(uint64_t keep_last)
{
	struct prune_report r = prune(keep_last);

	prune_report_free(&r);
}

static bool index_lists(const struct id *id)
{
	struct index *ix = index_open(site, &err);
	struct index_entry en;
	int rc = index_find(ix, id, &en, &err);

	index_close(ix);
	return rc == 1;
}

static struct session *new_session(uint8_t number)
{
	struct session_disk d = { .name = "vdb", .size = CHUNKS * CHUNK, .block = 512, .full = true,
		.base_point = "", .target_point = "" };
	struct session want = { .workload = "web1", .disk = &d, .ndisks = 1 }, *se;
	uint8_t id[16] = { number };

	se = session_begin(site, id, &want, &err);
	CHECK(se);
	return se;
}

static struct pack_name *packs(size_t *n)
{
	struct pack_name *v;

	OK(pack_list(site, &v, n, &err));
	return v;
}

static uint64_t pack_bytes(void)
{
	struct pack_name *v;
	uint64_t sum = 0, size;
	size_t n;

	v = packs(&n);
	for (size_t i = 0; i < n; i++) {
		struct pack_in *in = pack_open(site, v[i].id, 0, &err);

		CHECK(in && pack_size(in, &size, &err) == 0);
		sum += size;
		pack_close(in);
	}
	free(v);
	return sum;
}

/* --- prune -------------------------------------------------------------- */

static void test_drop(void)
{
	struct id b;
	struct prune_report r;
	uint64_t before;

	begin();
	add_checkpoint(1, 0);
	b = add_checkpoint(2, 30);	/* shares ten chunks with the first */
	before = pack_bytes();
	r = prune(1);
	CHECK(r.ndropped == 1 && r.dropped[0]->seq == 1 && r.kept == 1 && r.doomed == 0);
	CHECK(r.deleted >= 30 && r.freed > 0);
	prune_report_free(&r);
	CHECK(has(0) == 0 && has(29) == 0 && has(30) == 1 && has(69) == 1);
	CHECK(disk_reads(&b, 30));
	CHECK(before - pack_bytes() > 29 * CHUNK);
	r = prune(1);			/* nothing is left to do */
	CHECK(r.ndropped == 0 && r.deleted == 0 && r.packs_rewritten == 0 && r.freed == 0);
	prune_report_free(&r);
	end();
}

static void test_merge(void)
{
	struct id root[5];
	struct prune_report r;
	size_t n;

	begin();
	for (uint64_t i = 0; i < 5; i++)
		root[i] = add_checkpoint(i + 1, i * 100);
	free(packs(&n));
	CHECK(n >= 5);
	r = prune(0);
	CHECK(r.ndropped == 0 && r.deleted == 0 && r.packs_rewritten == n);
	prune_report_free(&r);
	free(packs(&n));
	CHECK(n == 1);
	for (uint64_t i = 0; i < 5; i++)
		CHECK(disk_reads(&root[i], i * 100));
	end();
}

/* A session that found garbage before it was doomed links it: rescued. */
static void test_rescue(void)
{
	struct session *se;
	struct store *st;
	struct id root;
	struct prune_report r;

	begin();
	add_checkpoint(1, 0);
	add_checkpoint(2, 100);
	se = new_session(1);
	st = store_open(site, STORE_WRITE, &err);
	CHECK(st);
	root = put_disk(st, 0);			/* all of it is found in checkpoint 1 */
	CHECK(store_added(st) == 0);
	r = prune(1);
	CHECK(r.ndropped == 1 && r.deleted == 0 && r.doomed >= CHUNKS && r.waits == 1);
	prune_report_free(&r);
	CHECK(has(0) == 0);			/* hidden */
	CHECK(disk_reads(&root, 0));		/* and readable */
	r = prune(1);				/* still at work */
	CHECK(r.deleted == 0 && r.waits == 1);
	prune_report_free(&r);
	store_close(st);
	commit(3, &root);
	OK(session_end(site, se, &err));
	session_close(se);
	r = prune(2);
	CHECK(r.deleted == 0 && r.doomed == 0 && r.waits == 0);
	prune_report_free(&r);
	CHECK(has(0) == 1 && disk_reads(&root, 0));
	end();
}

/* The same, but the session ends without having linked it. */
static void test_no_rescue(void)
{
	struct session *se;
	struct id b;
	struct prune_report r;

	begin();
	add_checkpoint(1, 0);
	b = add_checkpoint(2, 100);
	se = new_session(1);
	r = prune(1);
	CHECK(r.deleted == 0 && r.waits == 1);
	prune_report_free(&r);
	OK(session_end(site, se, &err));
	session_close(se);
	se = new_session(2);			/* begun later: waits for nobody */
	r = prune(1);
	CHECK(r.deleted >= CHUNKS);
	prune_report_free(&r);
	session_close(se);
	CHECK(disk_reads(&b, 100));
	end();
}

/* What is hidden is stored anew by who needs it, and that stays. */
/* A tree of ids alone shares nodes with one of content: both stay whole, and
 * neither keeps what only the other needs. */
static void test_ids_only(void)
{
	struct prune_how how = { .keep = { .last = 1 } };
	struct prune_report r;
	struct verify_report v;
	struct chunk_update up[CHUNKS];
	struct checkpoint_disk d = { .name = "vdb", .size = CHUNKS * CHUNK, .block = 512,
		.has_tree = true, .point = (char *)"/disks/vdb.000001.raw", .source_point = (char *)"" };
	struct checkpoint c = { .workload = (char *)"a", .seq = 1, .algo = ID_BLAKE3, .kind = (char *)"full",
		.disk = &d, .ndisks = 1, .session = "00000000000000000000000000000077" };
	struct store *st;
	struct progress *line = progress_new("verify", false);
	struct id root, leaf[LEAVES_MAX], id;
	uint8_t p[CHUNK];

	begin();
	st = store_open(site, STORE_WRITE, &err);
	for (uint64_t i = 0; i < CHUNKS; i++) {
		fill(100 + i, p);
		id_content(site->algo, CHUNK, p, CHUNK, leaf, &id);
		up[i] = (struct chunk_update){ .n = i, .count = 1 };
		OK(store_put_leaves(st, leaf, CHUNK, &up[i].id, &err));
		CHECK(id_equal(&id, &up[i].id));
	}
	OK(tree_update(st, NULL, CHUNKS * CHUNK, up, CHUNKS, &d.tree, &err));
	OK(store_flush(st, &err));
	c.time = c.started = c.committed = time_now();
	OK(catalog_commit(site, &c, &err));
	root = put_disk(st, 100);	/* the same content, stored: workload after "a" */
	CHECK(id_equal(&root, &d.tree));
	commit(1, &root);
	put_disk(st, 1000);		/* of nobody */
	store_close(st);
	OK(prune_run(site, &how, &r, &err));
	CHECK(r.missing == 0);
	prune_report_free(&r);
	OK(verify_run(site, line, &v, &err));
	progress_end(line);
	CHECK(v.ndamage == 0 && v.nloss == 0 && v.outside == 1);
	/* 40 chunks and their leaves, 3 nodes and the top, a root */
	CHECK(v.records == 2 * CHUNKS + 4 + 1);
	verify_report_free(&v);
	end();
}

static void test_doomed_stored_anew(void)
{
	struct session *se;
	struct id root;
	struct prune_report r;

	begin();
	add_checkpoint(1, 0);
	add_checkpoint(2, 100);
	se = new_session(1);
	r = prune(1);
	CHECK(r.waits == 1);
	prune_report_free(&r);
	root = add_checkpoint(3, 0);
	session_close(se);			/* interrupted */
	r = prune(1);
	prune_report_free(&r);
	CHECK(disk_reads(&root, 0));
	end();
}

/* An interrupted iteration's partial state can be gone on with. */
static void test_partial(void)
{
	struct session *se;
	struct store *st;
	struct id root;
	struct prune_report r;
	char name[33];

	begin();
	add_checkpoint(1, 0);
	se = new_session(1);
	snprintf(name, sizeof(name), "%s", se->name);
	st = store_open(site, STORE_WRITE, &err);
	root = put_disk(st, 500);
	store_close(st);
	se->disk[0].has_partial = true;
	se->disk[0].partial = root;
	OK(session_save(site, se, &err));
	r = prune(1);
	CHECK(r.deleted == 0);
	prune_report_free(&r);
	session_close(se);
	r = prune(1);
	CHECK(r.deleted == 0 && disk_reads(&root, 500));
	prune_report_free(&r);
	OK(session_abandon(site, name, &err));
	r = prune(1);
	CHECK(r.deleted >= CHUNKS && has(500) == 0 && has(0) == 1);
	prune_report_free(&r);
	end();
}

static void test_held(void)
{
	struct checkpoint *c;
	struct prune_report r;
	struct id a;
	int fd;

	begin();
	a = add_checkpoint(1, 0);
	add_checkpoint(2, 100);
	c = catalog_read(site, "web1", 1, &err);
	fd = catalog_hold(site, c, &err);
	CHECK(fd >= 0);
	r = prune(1);
	CHECK(r.ndropped == 0 && r.nheld == 1 && r.deleted == 0);
	prune_report_free(&r);
	CHECK(disk_reads(&a, 0));
	close(fd);
	OK(catalog_pin(site, c, true, &err));
	r = prune(1);
	CHECK(r.ndropped == 0 && r.kept == 2);
	prune_report_free(&r);
	OK(catalog_pin(site, c, false, &err));
	r = prune(1);
	CHECK(r.ndropped == 1 && r.deleted >= CHUNKS);
	prune_report_free(&r);
	checkpoint_free(c);
	end();
}

/* A chunk that only a patch refers to stays. */
static void test_overlay_base(void)
{
	struct frag f = { .off = 4096, .len = 512 };
	struct chunk_update up = { .n = 3, .count = 1 };
	uint8_t bytes[512], want[CHUNK], got[CHUNK];
	struct id a, b, base;
	struct prune_report r;
	struct store *st;
	uint64_t added;

	begin();
	a = add_checkpoint(1, 0);
	st = store_open(site, STORE_WRITE, &err);
	memset(bytes, 0x5a, sizeof(bytes));
	base = content_id(3);
	OK(store_patch(st, &base, CHUNK, CHUNK, 3, &f, 1, bytes, NULL, &up.id, &added, &err));
	OK(tree_update(st, &a, CHUNKS * CHUNK, &up, 1, &b, &err));
	OK(store_flush(st, &err));
	store_close(st);
	commit(2, &b);
	r = prune(1);
	CHECK(r.ndropped == 1);
	prune_report_free(&r);
	st = store_open(site, STORE_READ, &err);
	fill(3, want);
	memcpy(want + f.off, bytes, f.len);
	OK(store_read(st, &up.id, CHUNK, 0, CHUNK, got, &err));
	CHECK(!memcmp(want, got, CHUNK));
	store_close(st);
	end();
}

/* An index that was rebuilt has forgotten what was doomed: all begins again. */
static void test_rebuilt(void)
{
	struct session *se;
	struct prune_report r;

	begin();
	add_checkpoint(1, 0);
	add_checkpoint(2, 100);
	se = new_session(1);
	r = prune(1);
	CHECK(r.waits == 1 && has(0) == 0);
	prune_report_free(&r);
	OK(index_remake(site, &err));
	CHECK(has(0) == 1);
	session_close(se);
	se = new_session(2);		/* may have found it */
	r = prune(1);
	CHECK(r.deleted == 0 && r.waits == 1 && r.doomed >= CHUNKS);
	prune_report_free(&r);
	session_close(se);
	r = prune(1);
	CHECK(r.deleted >= CHUNKS && has(0) == 0);
	prune_report_free(&r);
	end();
}

/* A dead patch stays in a pack that is mostly needed, and what it was patched
 * from goes.  An index made anew has it again: it must not be reused. */
static void test_patch_without_base(void)
{
	struct frag f = { .off = 4096, .len = 512 };
	struct chunk_update up = { .n = 3, .count = 1 };
	struct store_chunk c = { .len = CHUNK };
	uint8_t bytes[512], want[CHUNK], got[CHUNK];
	struct id a, b, base, root, leaf[LEAVES_MAX];
	struct store *st;
	uint64_t added;

	begin();
	a = add_checkpoint(1, 0);
	st = store_open(site, STORE_WRITE, &err);
	memset(bytes, 0x5a, sizeof(bytes));
	base = content_id(3);
	OK(store_patch(st, &base, CHUNK, CHUNK, 3, &f, 1, bytes, NULL, &up.id, &added, &err));
	CHECK(added < CHUNK / 2);
	OK(tree_update(st, &a, CHUNKS * CHUNK, &up, 1, &b, &err));
	for (uint64_t i = 0; i < 20 * MIB(1) / CHUNK; i++)	/* too long to be merged */
		put(st, 1000 + i);
	root = put_disk(st, 1000);
	store_close(st);
	commit(2, &b);
	commit(3, &root);
	for (unsigned i = 0; i < 7; i++) {	/* all that was put stays needed */
		struct chunk_update all[CHUNKS];

		for (uint64_t k = 0; k < CHUNKS; k++)
			all[k] = (struct chunk_update){ k, 1, content_id(1000 + i * CHUNKS + k) };
		st = store_open(site, STORE_WRITE, &err);
		OK(tree_update(st, NULL, CHUNKS * CHUNK, all, CHUNKS, &root, &err));
		OK(store_flush(st, &err));
		store_close(st);
		commit(4 + i, &root);
	}
	prune_once(8);
	CHECK(has(3) == 0 && has(1000) == 1);
	OK(index_remake(site, &err));
	fill(3, want);
	memcpy(want + f.off, bytes, f.len);
	c.plain = want;
	c.leaf = leaf;
	id_content(site->algo, CHUNK, want, CHUNK, leaf, &c.id);
	CHECK(id_equal(&c.id, &up.id));
	st = store_open(site, STORE_WRITE, &err);
	CHECK(index_lists(&up.id) && store_has(st, &up.id, &err) == 0);
	OK(store_put_chunk(st, &c, &added, &err));
	CHECK(added > CHUNK / 2);
	OK(store_flush(st, &err));
	CHECK(store_has(st, &up.id, &err) == 1);
	OK(store_read(st, &up.id, CHUNK, 0, CHUNK, got, &err));
	CHECK(!memcmp(want, got, CHUNK));
	store_close(st);
	end();
}

static void test_one_prune(void)
{
	struct prune_how how = { .dry_run = false };
	struct prune_report r;
	struct err e = { 0 };
	int fd;

	begin();
	add_checkpoint(1, 0);
	fd = openat(site->dir, "chunks/prune.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && lock_try(fd, LOCK_EXCLUSIVE, &e) == 0);
	CHECK(prune_run(site, &how, &r, &e) < 0 && e.code == DM_NO);
	prune_report_free(&r);
	close(fd);
	end();
}

/* --- verify ------------------------------------------------------------- */

static struct verify_report verify(void)
{
	struct progress *p = progress_new("verify", false);
	struct verify_report r;

	OK(verify_run(site, p, &r, &err));
	progress_end(p);
	return r;
}

/* Turn one bit in the middle of the record of this content. */
static void damage(uint64_t seed)
{
	struct index *ix = index_open(site, &err);
	struct id id = content_id(seed);
	struct index_entry en;
	struct index_pack p;
	char hex[2 * PACK_ID + 1], *path;
	uint8_t b;
	int fd;

	CHECK(index_find(ix, &id, &en, &err) == 1 && index_pack(ix, en.pack, &p, &err) == 1);
	index_close(ix);
	hex_put(hex, p.id, PACK_ID);
	path = x_printf("%s/chunks/packs/%.2s/%s.pack", dir, hex, hex);
	fd = open(path, O_RDWR);
	CHECK(fd >= 0 && pread(fd, &b, 1, en.off + en.len / 2) == 1);
	b ^= 4;
	CHECK(pwrite(fd, &b, 1, en.off + en.len / 2) == 1);
	close(fd);
	free(path);
}

static void test_verify(void)
{
	struct verify_report r;
	struct id root;

	begin();
	add_checkpoint(1, 0);
	root = add_checkpoint(2, 30);
	r = verify();
	CHECK(r.ndamage == 0 && r.nloss == 0 && r.records >= 70 && r.checkpoints == 2);
	verify_report_free(&r);
	damage(5);
	r = verify();
	CHECK(r.ndamage == 1 && r.nloss == 1 && r.loss[0].seq == 1 && r.damage[0].type == REC_CHUNK);
	verify_report_free(&r);
	damage(35);			/* both have it */
	r = verify();
	CHECK(r.ndamage == 1 && r.nloss == 2);
	verify_report_free(&r);
	CHECK(has(35) == 0 && !disk_reads(&root, 30));
	add_checkpoint(3, 30);		/* stores it anew */
	r = verify();			/* and looks for the other in all packs */
	CHECK(r.ndamage == 1 && r.nloss == 1 && r.loss[0].seq == 1);
	verify_report_free(&r);
	CHECK(disk_reads(&root, 30));
	end();
}

static void test_verify_lost_pack(void)
{
	struct pack_name *v;
	struct verify_report r;
	size_t n;

	begin();
	add_checkpoint(1, 0);
	v = packs(&n);
	CHECK(n == 1);
	add_checkpoint(2, 100);
	OK(pack_unlink(site, v[0].id, &err));
	free(v);
	r = verify();
	CHECK(r.ndamage >= CHUNKS && r.nloss == 1 && r.loss[0].seq == 1);
	verify_report_free(&r);
	end();
}

int main(void)
{
	RUN(test_drop);
	RUN(test_merge);
	RUN(test_ids_only);
	RUN(test_rescue);
	RUN(test_no_rescue);
	RUN(test_doomed_stored_anew);
	RUN(test_partial);
	RUN(test_held);
	RUN(test_overlay_base);
	RUN(test_rebuilt);
	RUN(test_patch_without_base);
	RUN(test_one_prune);
	RUN(test_verify);
	RUN(test_verify_lost_pack);
	return 0;
}
