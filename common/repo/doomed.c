#include "repo/doomed.h"

#define XXH_STATIC_LINKING_ONLY
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>


#include "base/durable.h"
#include "base/fdio.h"

/* An object "doomed/<16 digits>": magic, u64 number of the list, u64 ids, u64
 * reserved; the ids; XXH3-64 of all before. */
#define HEAD 32u
#define ROWS 4096u
#define PART (1u << 20)

static const char magic[8] = "dm-doom\n";

static void list_name(uint64_t list, char out[32])
{
	snprintf(out, 32, "doomed/%016llx", (unsigned long long)list);
}

/* --- the lists that are there ---------------------------------------------- */

struct lists {
	uint64_t *v;
	size_t n;
};

static int take_list(const struct object_row *row, void *arg)
{
	struct lists *l = arg;
	uint64_t number;
	uint8_t b[8];

	if (strlen(row->name) != 7 + 16 || hex_get(row->name + 7, b, 8))
		return 0;
	memcpy(&number, b, sizeof number);
	number = be64toh(number);
	l->v = x_grow(l->v, l->n + 1, sizeof *l->v);
	l->v[l->n++] = number;
	return 0;
}

static int find_lists(struct site *s, struct lists *l, struct err *e)
{
	*l = (struct lists){ .n = 0 };
	return object_list(s->objects, "doomed/", take_list, l, NULL, e);
}

/* --- publishing -------------------------------------------------------------- */

/* All doomed ids of the index behind a header, in fd. */
static int write_ids(struct index *ix, int fd, uint64_t *count, struct err *e)
{
	struct index_row *row = x_try(ROWS, sizeof *row, e);
	struct id *id = x_try(ROWS, sizeof *id, e), after = { { 0 } };
	size_t n = 1, k;
	int r = row && id ? 0 : -1;

	*count = 0;
	while (!r && n) {
		r = index_rows(ix, &after, row, ROWS, &n, e);
		k = 0;
		for (size_t i = 0; !r && i < n; i++)
			if (row[i].en.doomed)
				id[k++] = row[i].id;
		if (!r && k && fd_pwrite_full(fd, id, k * sizeof *id, HEAD + *count * sizeof *id))
			r = err_sys(e, DM_ENV, errno, "write to a temporary file");
		*count += k;
	}
	free(row);
	free(id);
	return r;
}

static int put_list(struct site *s, int fd, uint64_t list, uint64_t count, struct err *e)
{
	size_t len = HEAD + count * ID_LEN + 8;
	uint8_t *p;
	char name[32];
	struct object_put q = { .name = name, .len = len, .create = true };
	int r;

	if (ftruncate(fd, (off_t)len))
		return err_sys(e, DM_ENV, errno, "temporary file");
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, DM_ENV, errno, "map a temporary file");
	memcpy(p, magic, 8);
	put64(p + 8, list);
	put64(p + 16, count);
	put64(p + len - 8, XXH3_64bits(p, len - 8));
	list_name(list, name);
	q.p = p;
	r = object_put(s->objects, &q, e);
	munmap(p, len);
	return r ? -1 : 0;
}

int doomed_publish(struct site *s, struct index *ix, struct err *e)
{
	struct lists old;
	uint64_t list, count;
	char name[32];
	int fd, r;

	if (find_lists(s, &old, e))
		return -1;
	fd = durable_tmp(e);
	r = fd == -1 ? -1 : 0;
	if (!r && getrandom(&list, sizeof list, 0) != sizeof list)
		r = err_sys(e, DM_ENV, errno, "getrandom");
	if (!r)
		r = write_ids(ix, fd, &count, e) || put_list(s, fd, list, count, e) ||
		    index_doomed_note(ix, list, e) ? -1 : 0;
	for (size_t i = 0; !r && i < old.n; i++) {
		list_name(old.v[i], name);
		r = object_remove(s->objects, name, e);
	}
	free(old.v);
	fd_close(fd);
	return r;
}

/* --- applying ---------------------------------------------------------------- */

static int apply_ids(struct index *ix, const struct buf *b, struct err *e)
{
	struct id *id = x_try(b->len / ID_LEN + 1, sizeof *id, e);
	int r;

	if (!id)
		return -1;
	memcpy(id, b->p, b->len / ID_LEN * ID_LEN);
	r = index_doom(ix, id, b->len / ID_LEN, true, e);
	free(id);
	return r;
}

/* One list, part by part; what was doomed too much is only stored once more.
 * 1; 0 it went meanwhile; -1. */
static int apply_list(struct site *s, struct index *ix, uint64_t list, struct err *e)
{
	uint64_t size, count, at = HEAD;
	struct buf b = { 0 };
	XXH3_state_t sum;
	char name[32];
	int r;

	list_name(list, name);
	r = object_get(s->objects, name, 0, HEAD, &b, &size, e);
	if (r <= 0)
		return r;
	XXH3_64bits_reset(&sum);
	XXH3_64bits_update(&sum, b.p, b.len);
	count = b.len == HEAD ? get64(b.p + 16) : 0;
	if (b.len != HEAD || memcmp(b.p, magic, 8) || get64(b.p + 8) != list || size < HEAD + 8 ||
	    (size - HEAD - 8) % ID_LEN || count != (size - HEAD - 8) / ID_LEN)
		r = err_set(e, DM_BAD, "%s: %s is damaged", s->path, name);
	for (; r > 0 && at < size - 8; at += PART) {
		size_t n = (size_t)min64(PART, size - 8 - at);

		b.len = 0;
		r = object_get(s->objects, name, at, n, &b, NULL, e);
		if (r > 0 && b.len != n)
			r = err_set(e, DM_ENV, "%s: %s came short", s->path, name);
		if (r > 0)
			r = apply_ids(ix, &b, e) ? -1 : 1;
		XXH3_64bits_update(&sum, b.p, b.len);
	}
	if (r > 0) {
		b.len = 0;
		r = object_get(s->objects, name, size - 8, 8, &b, NULL, e);
		if (r > 0 && (b.len != 8 || get64(b.p) != XXH3_64bits_digest(&sum)))
			r = err_set(e, DM_ENV, "%s: %s does not agree with its check", s->path, name);
	}
	buf_free(&b);
	return r;
}

/* What another machine doomed it let wait for the sessions of that time; those
 * that a prune of ours noted before say nothing about it. */
static int forget_note(struct site *s, struct err *e)
{
	if (unlinkat(s->dir, DOOMED_NOTE, 0) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "%s/" DOOMED_NOTE, s->path);
	return 0;
}

int doomed_apply(struct site *s, struct index *ix, struct err *e)
{
	struct lists now;
	uint64_t done;
	int r = 1;

	if (find_lists(s, &now, e))
		return -1;
	r = index_doomed_list(ix, &done, e) ? -1 : 1;
	for (size_t i = 0; r >= 0 && i < now.n; i++)
		if (now.v[i] != done && (r = forget_note(s, e) ? -1 : apply_list(s, ix, now.v[i], e)) > 0)
			r = index_doomed_note(ix, now.v[i], e) ? -1 : 1;
	free(now.v);
	return r < 0 ? -1 : 0;
}
