/* Reading packs: their tables, their records, their list. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "repo/pack_format.h"

int pack_open(struct site *s, const uint8_t id[PACK_ID], struct err *e)
{
	char name[PACK_NAME_LEN];
	int fd;

	pack_path(id, name);
	fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(e, errno == ENOENT ? DM_NO : DM_ENV, errno, "open %s/%s", s->path, name);
	return fd;
}

int pack_unlink(struct site *s, const uint8_t id[PACK_ID], struct err *e)
{
	char name[PACK_NAME_LEN];

	pack_path(id, name);
	if (unlinkat(s->dir, name, 0) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "remove %s/%s", s->path, name);
	return 0;
}

static int read_at(int fd, void *p, size_t len, uint64_t off, struct err *e)
{
	ssize_t n = fd_pread_full(fd, p, len, off);

	if (n < 0)
		return err_sys(e, DM_ENV, errno, "read a pack at %llu", (unsigned long long)off);
	if ((size_t)n < len)
		return err_set(e, DM_BAD, "it is cut short");
	return 0;
}

static int read_table(int fd, const uint8_t id[PACK_ID], uint64_t size, struct pack_entry **v, size_t *n,
    struct err *e)
{
	struct pack_trailer t;
	uint8_t tail[PACK_TRAILER], *buf;
	size_t len;

	if (size < PACK_HEADER + PACK_TRAILER)
		return err_set(e, DM_BAD, "it is cut short");
	if (read_at(fd, tail, sizeof tail, size - PACK_TRAILER, e) ||
	    pack_trailer_decode(tail, id, size, &t, e))
		return -1;
	len = (size_t)t.records * PACK_ENTRY;
	buf = x_try(len + 1, 1, e);
	*v = x_try(t.records + 1, sizeof **v, e);
	*n = t.records;
	if (!buf || !*v || read_at(fd, buf, len, t.table, e))
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
static int scan_one(int fd, uint64_t off, uint64_t size, uint8_t *buf, struct pack_entry *en, struct err *e)
{
	struct record r;
	struct err bad = { 0 };

	if (size - off < RECORD_HEADER)
		return 0;
	if (read_at(fd, buf, RECORD_HEADER, off, e))
		return -1;
	if (record_decode(buf, &r, &bad) || r.stored > size - off - RECORD_HEADER)
		return 0;
	*en = (struct pack_entry){
		.id = r.id, .off = (uint32_t)off, .len = RECORD_HEADER + r.stored, .plain = r.plain,
		.type = r.type, .codec = r.codec, .depth = r.depth, .tier = r.tier,
	};
	return read_at(fd, buf + RECORD_HEADER, r.stored, off + RECORD_HEADER, e) ? -1 : 1;
}

/* Walk the records themselves.  A damaged header ends the walk: where the next
 * record starts is not known then. */
static int scan(int fd, uint64_t size, struct pack_entry **v, size_t *n, struct err *e)
{
	uint8_t *buf = x_try(RECORD_HEADER + RECORD_BODY_MAX, 1, e);
	struct pack_entry en;
	size_t cap = 0;
	int r = buf ? 1 : -1;

	*v = NULL;
	*n = 0;
	for (uint64_t off = PACK_HEADER; r > 0 && off < size; off += en.len) {
		r = scan_one(fd, off, size, buf, &en, e);
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

int pack_read(struct site *s, int fd, const uint8_t id[PACK_ID], struct pack_entry **v, size_t *n,
    uint64_t *size, bool *damaged, struct err *e)
{
	uint8_t head[PACK_HEADER];
	struct err bad = { 0 };
	struct stat st;

	*damaged = false;
	if (fstat(fd, &st))
		return err_sys(e, DM_ENV, errno, "stat of a pack");
	*size = (uint64_t)st.st_size;
	if (*size > PACK_MAX)
		return err_set(e, DM_BAD, "it is too long to be a pack");
	if (read_at(fd, head, sizeof head, 0, e) || pack_header_decode(s, id, head, e))
		return -1;
	if (!read_table(fd, id, *size, v, n, &bad))
		return 0;
	if (bad.code != DM_BAD) {
		*e = bad;
		return -1;
	}
	*damaged = true;
	return scan(fd, *size, v, n, e);
}

int pack_record(int fd, const struct pack_entry *en, uint8_t *buf, struct record *r, struct err *e)
{
	if (read_at(fd, buf, en->len, en->off, e) || record_decode(buf, r, e))
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
		memcpy(x->v[x->n++].id, id, PACK_ID);
	}
	closedir(d);
	return 0;
}

int pack_list(struct site *s, struct pack_name **v, size_t *n, struct err *e)
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
