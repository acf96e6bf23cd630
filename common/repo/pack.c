/* Writing packs. */
#include "repo/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "repo/blocks.h"
#include "repo/pack_format.h"

/* Create and lock the temporary file.  pack_clean of another process may get
 * hold of it between the two; then it is unlinked, and we take another. */
static int create_locked(struct site *s, const char *name, struct err *e)
{
	struct stat st;
	int fd = openat(s->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd == -1)
		return err_sys(e, DM_ENV, errno, "create %s/%s", s->path, name);
	r = lock_try(fd, LOCK_EXCLUSIVE, e);
	if (r == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
		return fd;
	fd_close(fd);
	return r < 0 ? -1 : -2;
}

struct pack_out *pack_create(struct site *s, uint8_t prefix, struct err *e)
{
	struct pack_out *p = x_alloc(sizeof *p);
	char name[PACK_NAME_LEN];
	uint8_t head[PACK_HEADER];

	do {
		if (getrandom(p->id, PACK_ID, 0) != PACK_ID) {
			err_sys(e, DM_ENV, errno, "getrandom");
			free(p);
			return NULL;
		}
		p->id[0] = prefix;
		pack_tmp_path(p->id, name);
		p->fd = create_locked(s, name, e);
	} while (p->fd == -2);
	if (p->fd == -1) {
		free(p);
		return NULL;
	}
	pack_header_encode(s, p->id, head);
	if (fd_pwrite_full(p->fd, head, sizeof head, 0)) {
		err_sys(e, DM_ENV, errno, "write %s/%s", s->path, name);
		pack_out_free(s, p);
		return NULL;
	}
	p->size = PACK_HEADER;
	return p;
}

uint32_t pack_reserve(struct pack_out *p, const struct record *r)
{
	struct pack_entry *en;

	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 64;
		p->v = x_grow(p->v, p->cap, sizeof *p->v);
	}
	en = &p->v[p->n++];
	*en = (struct pack_entry){
		.id = r->id, .off = (uint32_t)p->size, .len = RECORD_HEADER + r->stored,
		.plain = r->plain, .type = r->type, .codec = r->codec,
		.depth = r->depth, .tier = r->tier,
	};
	p->size += en->len;
	return en->off;
}

int pack_write(struct pack_out *p, uint32_t off, struct iovec *iov, int n, struct err *e)
{
	if (fd_pwritev_full(p->fd, iov, n, off))
		return err_sys(e, DM_ENV, errno, "write to a pack");
	return 0;
}

int pack_append(struct pack_out *p, const uint8_t *rec, size_t len, struct err *e)
{
	struct record r;
	uint32_t off;

	if (len < RECORD_HEADER || record_decode(rec, &r, e) || len != RECORD_HEADER + r.stored)
		return err_set(e, DM_BAD, "a record's length is damaged");
	off = pack_reserve(p, &r);
	if (fd_pwrite_full(p->fd, rec, len, off))
		return err_sys(e, DM_ENV, errno, "write to a pack");
	return 0;
}

int pack_seal(struct site *s, struct pack_out *p, struct err *e)
{
	struct pack_trailer t = { .records = (uint32_t)p->n, .table = (uint32_t)p->size };
	size_t len = p->n * PACK_ENTRY;
	uint8_t *buf = x_try(len + PACK_TRAILER, 1, e);

	if (!buf)
		return -1;
	for (size_t i = 0; i < p->n; i++)
		pack_entry_encode(&p->v[i], buf + i * PACK_ENTRY);
	t.size = p->size + len + PACK_TRAILER;
	pack_trailer_encode(p->id, &t, buf, len, buf + len);
	if (fd_pwrite_full(p->fd, buf, len + PACK_TRAILER, p->size)) {
		err_sys(e, DM_ENV, errno, "%s: write to a pack", s->path);
		free(buf);
		return -1;
	}
	free(buf);
	p->size = t.size;
	p->sealed = true;
	if (s->objects)
		return 0;
	/* Only a hint: what fails here fails again in pack_sync. */
	sync_file_range(p->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return 0;
}

/* The file as it is: mapped, it takes no memory of ours. */
static int upload(struct site *s, struct pack_out *p, struct err *e)
{
	struct object_put q = { .len = (size_t)p->size };
	char name[PACK_OBJECT];
	void *map = mmap(NULL, q.len, PROT_READ, MAP_SHARED, p->fd, 0);
	int r;

	if (map == MAP_FAILED)
		return err_sys(e, DM_ENV, errno, "map a pack");
	q.name = pack_object(p->id, name);
	q.p = map;
	r = object_put(s->objects, &q, e);
	munmap(map, q.len);
	return r ? -1 : 0;
}

int pack_sync(struct site *s, struct pack_out *p, struct err *e)
{
	if (s->objects) {
		p->synced = !upload(s, p, e);
		return p->synced ? 0 : -1;
	}
	if (fdatasync(p->fd))
		return err_sys(e, DM_ENV, errno, "fdatasync of a pack");
	p->synced = true;
	return 0;
}

/* The first pack of a directory makes it. */
static int make_dir_of(struct site *s, const char *name, struct err *e)
{
	char dir[PACK_NAME_LEN];

	snprintf(dir, sizeof dir, "%s", name);
	*strrchr(dir, '/') = 0;
	if (mkdirat(s->dir, dir, 0700) == 0)
		return durable_dir(s->dir, "chunks/packs", e);
	return errno == EEXIST ? 0 : err_sys(e, DM_ENV, errno, "mkdir %s/%s", s->path, dir);
}

int pack_publish(struct site *s, struct pack_out *p, struct err *e)
{
	char from[PACK_NAME_LEN], to[PACK_NAME_LEN];

	pack_tmp_path(p->id, from);
	pack_path(p->id, to);
	if (s->objects) {
		unlinkat(s->dir, from, 0);
		p->published = true;
		return 0;
	}
	if (make_dir_of(s, to, e))
		return -1;
	if (renameat(s->dir, from, s->dir, to))
		return err_sys(e, DM_ENV, errno, "rename %s/%s", s->path, from);
	p->published = true;
	return 0;
}

/* Sync the directories packs/XX whose first byte is set. */
static int sync_dirs(struct site *s, const bool xx[256], struct err *e)
{
	char name[PACK_NAME_LEN];

	for (unsigned i = 0; i < 256; i++) {
		if (!xx[i])
			continue;
		snprintf(name, sizeof name, "chunks/packs/%02x", i);
		if (durable_dir(s->dir, name, e))
			return -1;
	}
	return 0;
}

int pack_sync_dirs(struct site *s, struct pack_out *const *p, size_t n, struct err *e)
{
	bool xx[256] = { false };

	if (s->objects)
		return 0;
	for (size_t i = 0; i < n; i++)
		xx[p[i]->id[0]] = true;
	return sync_dirs(s, xx, e);
}

int pack_sync_names(struct site *s, const struct pack_name *v, size_t n, struct err *e)
{
	bool xx[256] = { false };

	if (s->objects)
		return 0;
	for (size_t i = 0; i < n; i++)
		xx[v[i].id[0]] = true;
	return durable_dir(s->dir, "chunks/packs", e) || sync_dirs(s, xx, e) ? -1 : 0;
}

void pack_out_free(struct site *s, struct pack_out *p)
{
	char name[PACK_NAME_LEN];

	if (!p)
		return;
	if (!p->published) {
		pack_tmp_path(p->id, name);
		unlinkat(s->dir, name, 0);
	}
	fd_close(p->fd);
	free(p->v);
	free(p);
}

int pack_clean(struct site *s, struct err *e)
{
	int fd = openat(s->dir, "chunks/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *de;
	int f, r = 0;

	if (!d) {
		fd_close(fd);
		return err_sys(e, DM_ENV, errno, "open %s/chunks/tmp", s->path);
	}
	while (!r && (de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		f = openat(fd, de->d_name, O_RDWR | O_CLOEXEC);
		if (f == -1)
			continue;
		r = lock_try(f, LOCK_EXCLUSIVE, e);
		if (r == 0)
			unlinkat(fd, de->d_name, 0);
		r = r < 0 ? -1 : 0;
		fd_close(f);
	}
	closedir(d);
	return r;
}
