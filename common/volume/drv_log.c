/* log+URI?log=FILE: every call becomes a line in FILE. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "volume/wrap.h"

struct log {
	struct wrap w;
	int fd;		/* opened to append: a line is one write */
};

static bool mine(const char *key, size_t len)
{
	return len == 3 && !memcmp(key, "log", 3);
}

static int note(struct volume *v, enum wrap_op op, uint64_t off, uint64_t len)
{
	struct log *l = v->priv;
	char line[96];
	int n = snprintf(line, sizeof(line), "%s %" PRIu64 " %" PRIu64 "\n", wrap_name[op], off, len);
	int r = fd_write_full(l->fd, line, (size_t)n) == 0 ? 0 : volume_fail(v, errno, "log");

	if (op == WRAP_CLOSE)
		close(l->fd);
	return r;
}

static int log_open(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	struct log *l = x_alloc(sizeof(*l));
	char *path = uri_query(u, "log");
	int r = -1;

	l->w.before = note;
	l->fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
	if (!path)
		err_set(&v->err, DM_USAGE, "%s: needs ?log=FILE", v->uri);
	else if (l->fd < 0)
		err_sys(&v->err, DM_ENV, errno, "%s", path);
	else
		r = wrap_open(v, how, &l->w, mine);
	free(path);
	if (r == 0)
		return 0;
	fd_close(l->fd);
	free(l);
	return -1;
}

const struct driver drv_log = { .scheme = "log+", .open = log_open, WRAP_DRIVER };
