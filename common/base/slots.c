#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/slots.h"

#define MAGIC "dm-slots/1\n\0\0\0\0"	/* 16 bytes with its NUL */
#define SLOTS_AT 4096u
#define NAMES_AT (SLOTS_AT + SLOTS_MAX * SLOT_BYTES)
#define FILE_BYTES (NAMES_AT + SLOTS_MAX * SLOT_NAME)

struct head {
	char magic[16];
	uint8_t user[48];
};

struct slots {
	int fd;
	uint8_t *map;
	int own;	/* slot, -1 none */
};

/* Lock `len' bytes at `at': 0, 1 when another has it, -1 with errno. */
static int range_lock(int fd, int cmd, short type, off_t at, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = len };
	int r;

	do
		r = fcntl(fd, cmd, &l);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return errno == EAGAIN || errno == EACCES ? 1 : -1;
	return cmd == F_OFD_GETLK && l.l_type != F_UNLCK;
}

int slots_lock(struct slots *s, struct err *e)
{
	if (range_lock(s->fd, F_OFD_SETLKW, F_WRLCK, 0, SLOT_BYTES) == 0)
		return 0;
	return err_sys(e, DM_ENV, errno, "lock");
}

void slots_unlock(struct slots *s)
{
	range_lock(s->fd, F_OFD_SETLK, F_UNLCK, 0, SLOT_BYTES);
}

static int file_check(int fd, const char *path, struct stat *st, struct err *e)
{
	if (fstat(fd, st) < 0)
		return err_sys(e, DM_ENV, errno, "%s", path);
	if (!S_ISREG(st->st_mode))
		return err_set(e, DM_USAGE, "%s: no regular file", path);
	if (st->st_uid != geteuid())
		return err_set(e, DM_USAGE, "%s: belongs to another user", path);
	return 0;
}

/* A new file gets its room at once: to touch a page that cannot be had would
 * be a signal.  Locked. */
static int file_make(struct slots *s, const char *path, off_t size, struct err *e)
{
	int r;

	if (size != 0 && size != FILE_BYTES)
		return err_set(e, DM_USAGE, "%s: is something else (choose a file of its own)", path);
	if (size == 0 && (r = posix_fallocate(s->fd, 0, FILE_BYTES)) != 0)
		return err_sys(e, DM_ENV, r, "%s", path);
	s->map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		return err_sys(e, DM_ENV, errno, "%s", path);
	}
	if (bytes_zero(s->map, 16))
		memcpy(s->map, MAGIC, 16);
	if (memcmp(s->map, MAGIC, 16))
		return err_set(e, DM_USAGE, "%s: is something else (choose a file of its own)", path);
	return 0;
}

struct slots *slots_open(const char *path, bool create, struct err *e)
{
	struct slots *s = x_alloc(sizeof *s);
	struct stat st;
	int rc;

	s->own = -1;
	s->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (s->fd < 0) {
		err_sys(e, errno == ENOENT && !create ? DM_NO : DM_ENV, errno, "%s", path);
		goto err;
	}
	if (file_check(s->fd, path, &st, e) < 0 || slots_lock(s, e) < 0)
		goto err;
	rc = file_check(s->fd, path, &st, e);	/* its size now */
	if (rc == 0)
		rc = file_make(s, path, st.st_size, e);
	slots_unlock(s);
	if (rc == 0)
		return s;
err:
	slots_close(s);
	return NULL;
}

void slots_close(struct slots *s)
{
	if (!s)
		return;
	if (s->map)
		munmap(s->map, FILE_BYTES);
	fd_close(s->fd);
	free(s);
}

void *slots_header(struct slots *s)
{
	return s->map + 16;
}

void *slots_cell(struct slots *s, unsigned cell)
{
	return s->map + SLOT_BYTES * (1 + cell);
}

static off_t slot_offset(unsigned slot)
{
	return SLOTS_AT + (off_t)slot * SLOT_BYTES;
}

void *slots_at(const struct slots *s, unsigned slot)
{
	return s->map + slot_offset(slot);
}

void slots_name(const struct slots *s, unsigned slot, char *out)
{
	memcpy(out, s->map + NAMES_AT + slot * SLOT_NAME, SLOT_NAME);
	out[SLOT_NAME - 1] = 0;
}

int slots_take(struct slots *s, const char *name, struct err *e)
{
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		char *n = (char *)s->map + NAMES_AT + i * SLOT_NAME;
		int r = range_lock(s->fd, F_OFD_SETLK, F_WRLCK, slot_offset(i), SLOT_BYTES);

		if (r < 0)
			return err_sys(e, DM_ENV, errno, "lock");
		if (r)
			continue;
		memset(slots_at(s, i), 0, SLOT_BYTES);
		memset(n, 0, SLOT_NAME);
		memcpy(n, name, min64(strlen(name), SLOT_NAME - 1));
		if (!*n)
			*n = '-';
		s->own = (int)i;
		return s->own;
	}
	return err_set(e, DM_ENV, "all %u slots are taken", SLOTS_MAX);
}

bool slots_alive(const struct slots *s, unsigned slot)
{
	return (int)slot != s->own &&
	    range_lock(s->fd, F_OFD_GETLK, F_WRLCK, slot_offset(slot), SLOT_BYTES) == 1;
}

/* Slots are taken from the front, so behind one that never had a name there
 * is none that has. */
unsigned slots_end(const struct slots *s)
{
	unsigned i = 0;

	while (i < SLOTS_MAX && s->map[NAMES_AT + i * SLOT_NAME])
		i++;
	return i;
}
