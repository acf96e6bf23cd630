/* Reading packs: their tables, their records, their list. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "repo/blocks.h"
#include "repo/pack_format.h"

int pack_unlink(struct site *s, const uint8_t id[PACK_ID], struct err *e)
{
	char name[PACK_NAME_LEN];

	if (s->objects)
		return object_remove(s->objects, pack_object(id, name), e);
	pack_path(id, name);
	if (unlinkat(s->dir, name, 0) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "remove %s/%s", s->path, name);
	return 0;
}

/* len bytes at off: of the tail that is here, else read. */
static int read_end(struct pack_in *in, const struct buf *tail, uint64_t size, void *p, size_t len, uint64_t off,
    struct err *e)
{
	uint64_t from = size - tail->len;

	if (!tail->len || off < from || off + len > size)
		return pack_pread(in, p, len, off, e);
	memcpy(p, tail->p + (off - from), len);
	return 0;
}

static int read_table(struct pack_in *in, const struct buf *end, const uint8_t id[PACK_ID], uint64_t size,
    struct pack_entry **v, size_t *n, struct err *e)
{
	struct pack_trailer t;
	uint8_t tail[PACK_TRAILER], *buf;
	size_t len;

	if (size < PACK_HEADER + PACK_TRAILER)
		return err_set(e, DM_BAD, "it is cut short");
	if (read_end(in, end, size, tail, sizeof tail, size - PACK_TRAILER, e) ||
	    pack_trailer_decode(tail, id, size, &t, e))
		return -1;
	len = (size_t)t.records * PACK_ENTRY;
	buf = x_try(len + 1, 1, e);
	*v = x_try(t.records + 1, sizeof **v, e);
	*n = t.records;
	if (!buf || !*v || read_end(in, end, size, buf, len, t.table, e))
		goto fail;
	if (!pack_trailer_intact(tail, buf, len)) {
		err_set(e, DM_BAD, "its table is damaged");
		goto fail;
	}
	for (size_t i = 0; i < t.records; i++)
		if (pack_entry_decode(buf + i * PACK_ENTRY, t.table, &(*v)[i], e))
			goto fail;
	free(buf);
	return 0;
fail:
	free(buf);
	free(*v);
	*v = NULL;
	return -1;
}

/* One record at off: 1 and *en; 0 nothing believable lies there; -1. */
static int scan_one(struct pack_in *in, uint64_t off, uint64_t size, uint8_t *buf, struct pack_entry *en, struct err *e)
{
	struct record r;
	struct err bad = { 0 };

	if (size - off < RECORD_HEADER)
		return 0;
	if (pack_pread(in, buf, RECORD_HEADER, off, e))
		return -1;
	if (record_decode(buf, &r, &bad) || r.stored > size - off - RECORD_HEADER)
		return 0;
	*en = (struct pack_entry){
		.id = r.id, .off = (uint32_t)off, .len = RECORD_HEADER + r.stored, .plain = r.plain,
		.type = r.type, .codec = r.codec, .depth = r.depth, .tier = r.tier,
	};
	return pack_pread(in, buf + RECORD_HEADER, r.stored, off + RECORD_HEADER, e) ? -1 : 1;
}

/* Walk the records themselves.  A damaged header ends the walk: where the next
 * record starts is not known then. */
static int scan(struct pack_in *in, uint64_t size, struct pack_entry **v, size_t *n, struct err *e)
{
	uint8_t *buf = x_try(RECORD_HEADER + RECORD_BODY_MAX, 1, e);
	struct pack_entry en;
	size_t cap = 0;
	int r = buf ? 1 : -1;

	*v = NULL;
	*n = 0;
	for (uint64_t off = PACK_HEADER; r > 0 && off < size; off += en.len) {
		r = scan_one(in, off, size, buf, &en, e);
		if (r <= 0 || !record_intact(buf, buf + RECORD_HEADER, en.len - RECORD_HEADER))
			continue;
		if (*n == cap) {
			cap = cap ? cap * 2 : 64;
			*v = x_grow(*v, cap, sizeof **v);
		}
		(*v)[(*n)++] = en;
	}
	free(buf);
	if (r >= 0)
		return 0;
	free(*v);
	*v = NULL;
	return -1;
}

int pack_read(struct site *s, struct pack_in *in, const uint8_t id[PACK_ID], struct pack_entry **v, size_t *n,
    uint64_t *size, bool *damaged, struct err *e)
{
	uint8_t head[PACK_HEADER];
	struct buf tail = { 0 };
	struct err bad = { 0 };
	int r = -1;

	*damaged = false;
	*v = NULL;
	if (pack_ends(in, head, &tail, size, e))
		goto out;
	if (*size > PACK_MAX) {
		err_set(e, DM_BAD, "it is too long to be a pack");
		goto out;
	}
	if (pack_header_decode(s, id, head, e))
		goto out;
	r = read_table(in, &tail, id, *size, v, n, &bad);
	if (r && bad.code != DM_BAD) {
		*e = bad;
	} else if (r) {
		*damaged = true;
		r = scan(in, *size, v, n, e);
	}
out:
	buf_free(&tail);
	return r;
}

int pack_record(struct pack_in *in, const struct pack_entry *en, uint8_t *buf, struct record *r, struct err *e)
{
	if (pack_pread(in, buf, en->len, en->off, e) || record_decode(buf, r, e))
		return -1;
	if (r->stored != en->len - RECORD_HEADER || !id_equal(&r->id, &en->id) ||
	    !record_intact(buf, buf + RECORD_HEADER, r->stored))
		return err_set(e, DM_BAD, "a record is damaged");
	return 0;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, PACK_ID);
}

struct names {
	struct pack_name *v;
	size_t n, cap;
};

/* Add the packs of one directory "xx". */
static int list_one(int packs, const char *sub, struct names *x)
{
	int fd = openat(packs, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *de;
	uint8_t id[PACK_ID];
	char hex[2 * PACK_ID + 1];

	if (!d) {
		fd_close(fd);
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	}
	while ((de = readdir(d))) {
		if (strlen(de->d_name) != 2 * PACK_ID + 5 || strcmp(de->d_name + 2 * PACK_ID, ".pack"))
			continue;
		memcpy(hex, de->d_name, 2 * PACK_ID);
		hex[2 * PACK_ID] = 0;
		if (hex_get(hex, id, PACK_ID) || strncmp(hex, sub, 2))
			continue;
		if (x->n == x->cap) {
			x->cap = x->cap ? x->cap * 2 : 64;
			x->v = x_grow(x->v, x->cap, sizeof *x->v);
		}
		x->v[x->n] = (struct pack_name){ .size = 0 };
		memcpy(x->v[x->n++].id, id, PACK_ID);
	}
	closedir(d);
	return 0;
}

/* "packs/<digits>.pack" */
static int list_object(const struct object_row *row, void *arg)
{
	struct names *x = arg;
	const char *name = row->name + strlen("packs/");
	char hex[2 * PACK_ID + 1];
	uint8_t id[PACK_ID];

	if (strlen(name) != 2 * PACK_ID + 5 || strcmp(name + 2 * PACK_ID, ".pack"))
		return 0;
	memcpy(hex, name, 2 * PACK_ID);
	hex[2 * PACK_ID] = 0;
	if (hex_get(hex, id, PACK_ID))
		return 0;
	if (x->n == x->cap) {
		x->cap = x->cap ? x->cap * 2 : 64;
		x->v = x_grow(x->v, x->cap, sizeof *x->v);
	}
	x->v[x->n] = (struct pack_name){ .size = row->size, .modified = row->modified };
	memcpy(x->v[x->n++].id, id, PACK_ID);
	return 0;
}

static int list_objects(struct site *s, struct pack_name **v, size_t *n, struct err *e)
{
	struct names x = { 0 };

	if (object_list(s->objects, "packs/", list_object, &x, NULL, e)) {
		free(x.v);
		return -1;
	}
	if (x.n)
		qsort(x.v, x.n, sizeof *x.v, by_id);
	*v = x.v;
	*n = x.n;
	return 0;
}

static int list_files(struct site *s, struct pack_name **v, size_t *n, struct err *e)
{
	int fd = openat(s->dir, "chunks/packs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *de;
	struct names x = { 0 };
	int r = 0;

	if (!d) {
		fd_close(fd);
		return err_sys(e, DM_ENV, errno, "open %s/chunks/packs", s->path);
	}
	while (!r && (de = readdir(d)))
		if (strlen(de->d_name) == 2 && de->d_name[0] != '.')
			r = list_one(fd, de->d_name, &x);
	if (r) {
		err_sys(e, DM_ENV, errno, "list %s/chunks/packs", s->path);
		free(x.v);
		closedir(d);
		return -1;
	}
	closedir(d);
	if (x.n)
		qsort(x.v, x.n, sizeof *x.v, by_id);
	*v = x.v;
	*n = x.n;
	return 0;
}

int pack_list(struct site *s, struct pack_name **v, size_t *n, struct err *e)
{
	return s->objects ? list_objects(s, v, n, e) : list_files(s, v, n, e);
}
