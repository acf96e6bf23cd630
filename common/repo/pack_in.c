/* A published pack, open for reading: a file, or an object. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "repo/blocks.h"
#include "repo/pack_format.h"

struct pack_in {
	struct site *site;
	int fd;			/* -1: an object */
	uint8_t id[PACK_ID];
	uint64_t size;		/* of an object; 0: not known yet */
};

struct pack_in *pack_open_fd(struct site *s, int fd, const uint8_t id[PACK_ID])
{
	struct pack_in *p = x_alloc(sizeof *p);

	*p = (struct pack_in){ .site = s, .fd = fd };
	memcpy(p->id, id, PACK_ID);
	return p;
}

struct pack_in *pack_open(struct site *s, const uint8_t id[PACK_ID], uint64_t size, struct err *e)
{
	struct pack_in *p;
	char name[PACK_NAME_LEN];
	int fd = -1;

	if (!s->objects) {
		pack_path(id, name);
		fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC);
		if (fd == -1) {
			err_sys(e, errno == ENOENT ? DM_NO : DM_ENV, errno, "open %s/%s", s->path, name);
			return NULL;
		}
	}
	p = pack_open_fd(s, fd, id);
	p->size = size;
	return p;
}

void pack_close(struct pack_in *p)
{
	if (!p)
		return;
	fd_close(p->fd);
	free(p);
}

int pack_pread(struct pack_in *p, void *to, size_t len, uint64_t off, struct err *e)
{
	ssize_t n;

	if (p->fd == -1)
		return blocks_read(p->site->blocks, p->id, p->size, to, len, off, e);
	n = fd_pread_full(p->fd, to, len, off);
	if (n < 0)
		return err_sys(e, DM_ENV, errno, "read a pack at %llu", (unsigned long long)off);
	if ((size_t)n < len)
		return err_set(e, DM_BAD, "it is cut short");
	return 0;
}

/* [off, off+len) of an object, past the cache. */
static int object_part(struct pack_in *p, uint64_t off, size_t len, struct buf *out, struct err *e)
{
	char name[PACK_OBJECT];
	int r = object_get(p->site->objects, pack_object(p->id, name), off, len, out, &p->size, e);

	if (r == 0)
		return err_set(e, DM_NO, "%s/%s is gone", objects_name(p->site->objects), name);
	return r < 0 ? -1 : 0;
}

int pack_size(struct pack_in *p, uint64_t *size, struct err *e)
{
	struct buf b = { 0 };
	struct stat st;
	int r = 0;

	if (p->fd != -1) {
		if (fstat(p->fd, &st))
			return err_sys(e, DM_ENV, errno, "stat of a pack");
		*size = (uint64_t)st.st_size;
		return 0;
	}
	if (!p->size)
		r = object_part(p, OBJECT_TAIL, 1, &b, e);
	buf_free(&b);
	*size = p->size;
	return r;
}

/* Most tables come with one request. */
#define TAIL (32u << 10)

int pack_ends(struct pack_in *p, uint8_t head[PACK_HEADER], struct buf *tail, uint64_t *size, struct err *e)
{
	struct buf b = { 0 };
	int r;

	if (p->fd != -1)
		return pack_size(p, size, e) || pack_pread(p, head, PACK_HEADER, 0, e) ? -1 : 0;
	r = object_part(p, 0, PACK_HEADER, &b, e);
	if (!r && b.len < PACK_HEADER)
		r = err_set(e, DM_BAD, "it is cut short");
	if (!r)
		memcpy(head, b.p, PACK_HEADER);
	buf_free(&b);
	if (!r)
		r = object_part(p, OBJECT_TAIL, TAIL, tail, e);
	*size = p->size;
	return r;
}
