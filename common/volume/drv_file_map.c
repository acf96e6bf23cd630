/* file: volumes, what they hold and what changed: holes by SEEK_DATA, and
 * pairs of clones by FIEMAP. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "volume/drv_file.h"

#define MAP_BATCH 512u

/* Data and holes of [off, off+len).  A file system that cannot tell calls all
 * of it data. */
static int map_holes(struct volume *v, struct file_vol *f, uint64_t off, uint64_t len,
    struct extents *out)
{
	uint64_t end = off + len, at = off;

	while (at < end) {
		off_t data = lseek(f->fd, (off_t)at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			data = (off_t)end;	/* a hole to the end of the file */
		else if (data < 0 && errno == EINVAL)
			data = (off_t)at;
		else if (data < 0)
			return volume_fail(v, errno, "map at %" PRIu64, at);
		data = (off_t)min64((uint64_t)data, end);
		extents_add(out, at, (uint64_t)data - at, EXT_ZERO);
		at = (uint64_t)data;
		if (at >= end)
			break;
		hole = lseek(f->fd, (off_t)at, SEEK_HOLE);
		if (hole < 0 && errno == EINVAL)
			hole = (off_t)end;
		else if (hole < 0)
			return volume_fail(v, errno, "map at %" PRIu64, at);
		hole = (off_t)min64((uint64_t)hole, end);
		extents_add(out, at, (uint64_t)hole - at, EXT_DATA);
		at = (uint64_t)hole;
	}
	return 0;
}

/* One stretch of a file's map. */
struct stretch {
	uint64_t off, len;
	uint64_t physical;
	enum { HOLE, UNWRITTEN, BLOCKS, DOUBTFUL } what;
	bool shared;
};

/* Walks the map of one file in order, holes included. */
struct walk {
	int fd;
	uint64_t at, end;	/* what is left to hand out */
	uint64_t asked;		/* up to here the kernel was asked */
	uint32_t n, i;		/* extents in map, and the next one */
	struct fiemap *map;
};

static int walk_fill(struct walk *w)
{
	memset(w->map, 0, sizeof(*w->map));
	w->map->fm_start = w->asked;
	w->map->fm_length = w->end - w->asked;
	w->map->fm_flags = FIEMAP_FLAG_SYNC;
	w->map->fm_extent_count = MAP_BATCH;
	if (ioctl(w->fd, FS_IOC_FIEMAP, w->map) != 0)
		return -errno;
	w->n = w->map->fm_mapped_extents;
	w->i = 0;
	if (w->n > MAP_BATCH)
		return -EIO;
	if (w->n < MAP_BATCH) {
		w->asked = w->end;
	} else {
		const struct fiemap_extent *x = &w->map->fm_extents[w->n - 1];

		if (x->fe_logical + x->fe_length <= w->asked)
			return -EIO;
		w->asked = min64(x->fe_logical + x->fe_length, w->end);
	}
	return 0;
}

static void stretch_from(const struct fiemap_extent *x, struct stretch *s)
{
	/* Whatever could make equal addresses mean different bytes. */
	const uint32_t doubtful = FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC |
	    FIEMAP_EXTENT_ENCODED | FIEMAP_EXTENT_DATA_ENCRYPTED | FIEMAP_EXTENT_NOT_ALIGNED |
	    FIEMAP_EXTENT_DATA_INLINE | FIEMAP_EXTENT_DATA_TAIL | FIEMAP_EXTENT_MERGED;

	s->physical = x->fe_physical;
	s->shared = x->fe_flags & FIEMAP_EXTENT_SHARED;
	if (x->fe_flags & doubtful)
		s->what = DOUBTFUL;
	else if (x->fe_flags & FIEMAP_EXTENT_UNWRITTEN)
		s->what = UNWRITTEN;
	else
		s->what = BLOCKS;
}

/* The stretch at w->at: 0, or -errno.  Does not move. */
static int walk_peek(struct walk *w, struct stretch *s)
{
	const struct fiemap_extent *x;
	int r;

	for (;;) {
		while (w->i < w->n && w->map->fm_extents[w->i].fe_logical +
		    w->map->fm_extents[w->i].fe_length <= w->at)
			w->i++;
		if (w->i < w->n || w->asked >= w->end)
			break;
		r = walk_fill(w);
		if (r != 0)
			return r;
	}
	*s = (struct stretch){ .off = w->at, .what = HOLE };
	if (w->i >= w->n) {
		s->len = w->end - w->at;
		return 0;
	}
	x = &w->map->fm_extents[w->i];
	if (x->fe_logical > w->at) {
		s->len = min64(x->fe_logical, w->end) - w->at;
		return 0;
	}
	stretch_from(x, s);
	s->physical += w->at - x->fe_logical;
	s->len = min64(x->fe_logical + x->fe_length, w->end) - w->at;
	return 0;
}

static int walk_init(struct walk *w, int fd, uint64_t off, uint64_t end)
{
	*w = (struct walk){ .fd = fd, .at = off, .end = end, .asked = off };
	w->map = malloc(sizeof(struct fiemap) + MAP_BATCH * sizeof(struct fiemap_extent));
	return w->map ? 0 : -ENOMEM;
}

/* What the newer file's stretch means, beside the older one's. */
static enum extent_kind judge(const struct stretch *now, const struct stretch *old)
{
	bool now_zero = now->what == HOLE || now->what == UNWRITTEN;
	bool old_zero = old->what == HOLE || old->what == UNWRITTEN;

	if (now_zero)
		return old_zero ? EXT_SAME : EXT_ZERO;
	if (now->what == BLOCKS && old->what == BLOCKS && now->shared && old->shared &&
	    now->physical == old->physical)
		return EXT_SAME;
	return EXT_DATA;
}

/* Compare both maps over [off, end), which both files have. */
static int compare(int now_fd, int old_fd, uint64_t off, uint64_t end, struct extents *out)
{
	struct walk now, old;
	struct stretch a, b;
	uint64_t n;
	int r = walk_init(&now, now_fd, off, end);

	if (r != 0)
		return r;
	r = walk_init(&old, old_fd, off, end);
	while (r == 0 && now.at < end) {
		r = walk_peek(&now, &a);
		if (r == 0)
			r = walk_peek(&old, &b);
		if (r != 0)
			break;
		n = min64(a.len, b.len);
		extents_add(out, now.at, n, judge(&a, &b));
		now.at += n;
		old.at += n;
	}
	free(now.map);
	free(old.map);
	return r;
}

void file_base_close(struct file_base *b)
{
	fd_close(b->fd);
	b->fd = -1;
	free(b->name);
	free(b->point);
	b->name = b->point = NULL;
}

/* The older clone: "PATH", or "file:DEV:INO:SIZE:MTIME:CTIME@PATH", which must
 * be as it was named. */
static int base_open(struct volume *v, struct file_vol *f, const char *since)
{
	const char *at = !strncmp(since, "file:", 5) ? strchr(since, '@') : NULL;
	const char *path = at ? at + 1 : !strncmp(since, "file:", 5) ? since + 5 : since;
	struct stat st, now;

	if (f->base.name && !strcmp(f->base.name, since))
		return 0;
	file_base_close(&f->base);
	f->base.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->base.fd < 0)
		return volume_fail(v, ESTALE, "the base %s cannot be opened: %s", path, strerror(errno));
	if (fstat(f->base.fd, &st) != 0 || fstat(f->fd, &now) != 0)
		return volume_fail(v, errno, "stat");
	if (!S_ISREG(st.st_mode) || !S_ISREG(now.st_mode) || st.st_dev != now.st_dev)
		return volume_fail(v, ESTALE, "the base %s is no clone: not a file of the same file system", path);
	f->base.point = file_identity(&st, (uint64_t)st.st_size, true);
	if (at && (strlen(f->base.point) != (size_t)(at - since) ||
	    memcmp(f->base.point, since, (size_t)(at - since)) != 0))
		return volume_fail(v, ESTALE, "the base %s is no longer what it was", path);
	f->base.size = (uint64_t)st.st_size;
	f->base.name = x_strdup(since);
	return 0;
}

/* What both files have can be the same, except the chunk in which the shorter
 * one ends: its length changed. */
static uint64_t comparable(const struct volume *v, const struct file_base *b)
{
	uint64_t least = min64(v->size, b->size);

	return v->size == b->size ? least : least & ~(uint64_t)(CHUNK_MAX - 1);
}

static int map_pair(struct volume *v, struct file_vol *f, uint64_t off, uint64_t len,
    struct extents *out)
{
	uint64_t end = off + len, both = comparable(v, &f->base);
	int r = 0;

	if (off < both)
		r = compare(f->fd, f->base.fd, off, min64(end, both), out);
	if (r == -EOPNOTSUPP || r == -ENOTTY)
		return volume_fail(v, ENOTSUP, "this file system cannot say what clones share; "
		    "use --against or --state");
	if (r != 0)
		return volume_fail(v, -r, "map of clones at %" PRIu64, off);
	if (end > both)
		r = map_holes(v, f, max64(off, both), end - max64(off, both), out);
	return r;
}

static int no_device_map(struct volume *v)
{
	return volume_fail(v, ENOTSUP, "a block device does not record what changed; "
	    "use --against, --state or --extents");
}

/* Also asks both maps for their first page, so that a file system that has
 * none is known before anything was sent. */
char *file_base_point(struct volume *v, const char *since)
{
	struct file_vol *f = v->priv;
	struct extents x = { 0 };
	char *point = NULL;
	int r = f->device ? no_device_map(v) : 0;

	pthread_mutex_lock(&f->lock);
	if (r == 0)
		r = base_open(v, f, since);
	if (r == 0)
		r = map_pair(v, f, 0, min64(v->size, 4096), &x);
	if (r == 0)
		point = x_strdup(f->base.point);
	pthread_mutex_unlock(&f->lock);
	extents_free(&x);
	return point;
}

int file_extents(struct volume *v, const char *since, uint64_t off, uint64_t len,
    struct extents *out)
{
	struct file_vol *f = v->priv;
	int r;

	if (f->device) {
		if (since)
			return no_device_map(v);
		extents_add(out, off, len, EXT_DATA);
		return 0;
	}
	if (!since)
		return map_holes(v, f, off, len, out);
	pthread_mutex_lock(&f->lock);
	r = base_open(v, f, since);
	if (r == 0)
		r = map_pair(v, f, off, len, out);
	pthread_mutex_unlock(&f->lock);
	return r;
}
