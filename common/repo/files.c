#include "repo/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"

static int object_text(struct site *s, const char *name, size_t max, char **text, size_t *len, struct err *e)
{
	struct buf b = { 0 };
	uint64_t size;
	int r = object_get(s->objects, name, 0, max, &b, &size, e);

	if (r > 0 && size > max)
		r = err_set(e, DM_BAD, "%s: it is too long", name);
	*len = b.len;
	if (r > 0) {
		buf_put(&b, "", 1);
		*text = (char *)b.p;
		b = (struct buf){ 0 };
	}
	buf_free(&b);
	return r;
}

int file_get(struct site *s, const char *name, size_t max, char **text, size_t *len, struct err *e)
{
	int fd;

	*text = NULL;
	if (s->objects)
		return object_text(s, name, max, text, len, e);
	fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC);
	if (fd == -1 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	*text = fd == -1 ? NULL : fd_slurp(fd, max, len);
	if (!*text)
		err_sys(e, errno == EFBIG ? DM_BAD : DM_ENV, errno, "read %s/%s", s->path, name);
	fd_close(fd);
	return *text ? 1 : -1;
}

int file_there(struct site *s, const char *name, struct err *e)
{
	struct buf b = { 0 };
	int r;

	if (s->objects) {
		r = object_get(s->objects, name, 0, 1, &b, NULL, e);
		buf_free(&b);
		return r;
	}
	if (faccessat(s->dir, name, F_OK, 0) == 0)
		return 1;
	return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(e, DM_ENV, errno, "%s/%s", s->path, name);
}

int file_create(struct site *s, const char *name, const void *p, size_t len, struct err *e)
{
	const struct object_put q = { .name = name, .p = p, .len = len, .create = true };

	return s->objects ? object_put(s->objects, &q, e) : durable_create(s->dir, name, p, len, e);
}

int file_replace(struct site *s, const char *name, const void *p, size_t len,
    int (*still)(void *arg, struct err *e), void *arg, struct err *e)
{
	const struct object_put q = { .name = name, .p = p, .len = len, .still = still, .arg = arg };

	return s->objects ? object_put(s->objects, &q, e) : durable_replace(s->dir, name, p, len, e);
}

int file_remove(struct site *s, const char *name, struct err *e)
{
	char *dir, *slash;
	int r;

	if (s->objects)
		return object_remove(s->objects, name, e);
	if (unlinkat(s->dir, name, 0) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "remove %s/%s", s->path, name);
	dir = x_strdup(name);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	r = durable_dir(s->dir, slash ? dir : ".", e);
	free(dir);
	return r;
}

struct each {
	void (*each)(const char *name, void *arg);
	void *arg;
	size_t skip;
};

static int each_object(const struct object_row *row, void *arg)
{
	struct each *x = arg;
	const char *name = row->name + x->skip;
	char *part = x_strndup(name, strcspn(name, "/"));

	x->each(part, x->arg);
	free(part);
	return 0;
}

static int each_entry(struct site *s, const char *dir, const struct each *x, struct err *e)
{
	int fd = openat(s->dir, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (fd == -1 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (!d) {
		r = err_sys(e, DM_ENV, errno, "open %s/%s", s->path, dir);
		fd_close(fd);
		return r;
	}
	for (;;) {
		errno = 0;
		de = readdir(d);
		if (!de)
			break;
		x->each(de->d_name, x->arg);
	}
	if (errno)
		r = err_sys(e, DM_ENV, errno, "read %s/%s", s->path, dir);
	closedir(d);
	return r;
}

int file_each(struct site *s, const char *dir, void (*each)(const char *name, void *arg), void *arg, struct err *e)
{
	struct each x = { each, arg, strlen(dir) + 1 };
	char *prefix;
	int r;

	if (!s->objects)
		return each_entry(s, dir, &x, e);
	prefix = x_printf("%s/", dir);
	r = object_list(s->objects, prefix, each_object, &x, NULL, e);
	free(prefix);
	return r;
}
