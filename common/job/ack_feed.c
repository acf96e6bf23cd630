#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "job/ack_feed.h"
#include "stream/record.h"

#define RETRY_MS 20	/* between looks for a FIFO's reader */

struct ack_feed {
	char *path;		/* NULL: standard output */
	int fd;			/* -1 until the FIFO has a reader */
	int flags;		/* of standard output as we found it, -1: untouched */
	struct frame_out *out;	/* NULL once nobody listens */
};

static int use_stdout(struct ack_feed *a, struct err *e)
{
	a->fd = STDOUT_FILENO;
	a->out = frame_out_new(a->fd, "acks", e);
	if (!a->out)
		return -1;
	if (fd_is_stream(a->fd)) {
		a->flags = fcntl(a->fd, F_GETFL);
		fd_nonblock(a->fd, true);
	}
	return 0;
}

static int use_path(struct ack_feed *a, const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st))
		return err_sys(e, err_code_named(errno), errno, "--acks %s", path);
	if (S_ISDIR(st.st_mode))
		return err_set(e, DM_USAGE, "--acks %s: is a directory, not a FIFO", path);
	a->path = x_strdup(path);
	a->out = frame_out_new(-1, path, e);
	return a->out ? 0 : -1;
}

struct ack_feed *ack_feed_new(const char *path, struct err *e)
{
	struct ack_feed *a = x_alloc(sizeof(*a));
	int rc = 0;

	a->fd = -1;
	a->flags = -1;
	if (path)
		rc = strcmp(path, "-") ? use_path(a, path, e) : use_stdout(a, e);
	if (rc) {
		ack_feed_free(a);
		return NULL;
	}
	if (a->out)
		frame_out_nonblock(a->out);
	return a;
}

void ack_feed_free(struct ack_feed *a)
{
	if (!a)
		return;
	if (a->flags != -1)
		fcntl(a->fd, F_SETFL, a->flags);
	if (a->path)
		fd_close(a->fd);
	frame_out_free(a->out);
	free(a->path);
	free(a);
}

struct frame_out *ack_feed_out(struct ack_feed *a)
{
	return a->out;
}

int ack_feed_pass(struct ack_feed *a, const struct frame *f, struct err *e)
{
	return a->out ? frame_pass(a->out, f, e) : 0;
}

int ack_feed_abort(struct ack_feed *a, const struct err *why, struct err *e)
{
	return a->out ? abort_put(a->out, why, e) : 0;
}

/* A FIFO can be opened for writing without waiting only while somebody reads
 * it (ENXIO). */
static int try_open(struct ack_feed *a, struct err *e)
{
	int fd = open(a->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno == ENXIO || errno == EINTR ? 0 :
		    err_sys(e, DM_ENV, errno, "--acks %s", a->path);
	a->fd = fd;
	frame_out_fd(a->out, fd);
	return 0;
}

static void stop_feeding(struct ack_feed *a)
{
	frame_out_free(a->out);
	a->out = NULL;
}

int ack_feed_pump(struct ack_feed *a, struct err *e)
{
	struct err why = { 0 };

	if (!a->out)
		return 0;
	if (a->fd < 0 && try_open(a, e))
		return -1;
	if (a->fd < 0 || frame_pump(a->out, &why) >= 0)
		return 0;
	stop_feeding(a);
	if (why.quiet)
		return 0;
	*e = why;
	return -1;
}

int ack_feed_poll(const struct ack_feed *a, struct pollfd *p)
{
	bool waiting = a->out && frame_out_queued(a->out);

	*p = (struct pollfd){ .fd = waiting ? a->fd : -1, .events = POLLOUT };
	return waiting && a->fd < 0 ? RETRY_MS : -1;
}

int ack_feed_finish(struct ack_feed *a, unsigned ms, struct err *e)
{
	int64_t end = time_mono() + (int64_t)ms * 1000000;

	for (;;) {
		struct pollfd p;
		int64_t left = (end - time_mono()) / 1000000;
		int wait;

		if (ack_feed_pump(a, e))
			return -1;
		if (!a->out || !frame_out_queued(a->out) || left <= 0)
			return 0;
		wait = ack_feed_poll(a, &p);
		poll(&p, 1, wait > 0 && wait < left ? wait : (int)left);
	}
}
