#include "job/acks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"

#define QUEUE_MAX MIB(1)		/* before acks_begin waits */
#define OPEN_EVERY_MS 20		/* there is no event for "a reader came" */
#define LINGER_NS 5000000000LL		/* for the last acks into a FIFO */

struct acks {
	int fd;			/* -1: nowhere */
	char *path;		/* of a FIFO, else NULL */
	int wake;		/* eventfd */
	struct frame_out *out;
	struct cause *cause;
	struct err err;
	pthread_mutex_t lock;
	pthread_cond_t room;
	pthread_t thread;
	bool open, gone, closing;
	int64_t deadline;	/* once closing, of a FIFO */
};

/* A FIFO opens for writing only once it has a reader.  Until then fd holds
 * the null device's place.  Locked. */
static void try_open(struct acks *a)
{
	int fd;

	if (a->open || a->gone)
		return;
	fd = open(a->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		if (errno == ENXIO || errno == EINTR)
			return;
		err_sys(&a->err, DM_ENV, errno, "%s", a->path);
		a->gone = true;
		cause_give(a->cause, &a->err);
		return;
	}
	if (dup3(fd, a->fd, O_CLOEXEC) < 0) {
		err_sys(&a->err, DM_ENV, errno, "%s", a->path);
		a->gone = true;
		cause_give(a->cause, &a->err);
	}
	close(fd);
	a->open = true;
}

/* Nobody reads any more.  Locked. */
static void lost(struct acks *a, const struct err *e)
{
	a->gone = true;
	pthread_cond_broadcast(&a->room);
	if (a->path && e->quiet)
		return;
	a->err = *e;
	cause_give(a->cause, e);
}

/* Write what goes.  Does anything wait for room in the pipe?  Locked. */
static bool pump(struct acks *a)
{
	struct err e = {0};
	int rc;

	try_open(a);
	if (a->gone || !a->open)
		return false;
	rc = frame_pump(a->out, &e);
	if (rc < 0)
		lost(a, &e);
	pthread_cond_broadcast(&a->room);
	return rc == 0;
}

static bool finished(const struct acks *a, bool waits)
{
	if (!a->closing)
		return false;
	if (a->gone || (a->open && !waits))
		return true;
	return a->path && time_mono() >= a->deadline;
}

/* Until there is something to do; fd -1: only the wake-up.  Not locked. */
static void sleep_on(struct acks *a, int fd, bool waits, int timeout)
{
	struct pollfd p[2] = {
		{ .fd = a->wake, .events = POLLIN },
		{ .fd = fd, .events = waits ? POLLOUT : 0 },
	};
	struct err e = {0};
	uint64_t n;

	if (poll(p, 2, timeout) <= 0)
		return;
	if (p[0].revents)
		(void)!read(a->wake, &n, sizeof(n));
	if (p[1].revents & POLLERR) {
		err_sys(&e, DM_ENV, EPIPE, "acks");
		pthread_mutex_lock(&a->lock);
		if (!a->gone)
			lost(a, &e);
		pthread_mutex_unlock(&a->lock);
	}
}

static void *acks_main(void *arg)
{
	struct acks *a = arg;
	int fd, timeout;
	bool waits;

	pthread_mutex_lock(&a->lock);
	for (;;) {
		waits = pump(a);
		if (finished(a, waits))
			break;
		/* A reader that went away has nothing more to say. */
		fd = a->open && !a->gone ? a->fd : -1;
		timeout = a->gone || (a->open && !(a->closing && a->path)) ? -1 : OPEN_EVERY_MS;
		pthread_mutex_unlock(&a->lock);
		sleep_on(a, fd, waits, timeout);
		pthread_mutex_lock(&a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static void acks_free(struct acks *a)
{
	frame_out_free(a->out);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->room);
	fd_close(a->wake);
	/* Whoever shares the descriptor expects it to block. */
	if (a->path)
		fd_close(a->fd);
	else if (a->fd >= 0)
		fd_nonblock(a->fd, false);
	free(a->path);
	free(a);
}

struct acks *acks_new_none(void)
{
	struct acks *a = x_alloc(sizeof(*a));

	a->fd = a->wake = -1;
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->room, NULL);
	return a;
}

/* The rest of both constructors; frees a on failure. */
static struct acks *start(struct acks *a, struct cause *c, struct err *e)
{
	int rc;

	a->cause = c;
	a->out = frame_out_new(a->fd, "acks", e);
	if (!a->out)
		goto err;
	frame_out_nonblock(a->out);
	a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->wake < 0) {
		err_sys(e, DM_ENV, errno, "eventfd");
		goto err;
	}
	rc = pthread_create(&a->thread, NULL, acks_main, a);
	if (rc) {
		err_sys(e, DM_ENV, rc, "thread");
		goto err;
	}
	return a;
err:
	acks_free(a);
	return NULL;
}

struct acks *acks_new_fd(int fd, struct cause *c, struct err *e)
{
	struct acks *a = acks_new_none();

	a->fd = fd;
	a->open = true;
	if (fd_nonblock(fd, true) < 0) {
		err_sys(e, DM_ENV, errno, "acks");
		acks_free(a);
		return NULL;
	}
	return start(a, c, e);
}

struct acks *acks_new_path(const char *path, struct cause *c, struct err *e)
{
	struct acks *a = acks_new_none();

	a->path = x_strdup(path);
	a->fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (a->fd < 0)
		err_sys(e, DM_ENV, errno, "/dev/null");
	else if (access(path, W_OK) < 0)
		err_sys(e, DM_USAGE, errno, "--acks %s (mkfifo makes one)", path);
	if (e->code) {
		acks_free(a);
		return NULL;
	}
	return start(a, c, e);
}

struct frame_out *acks_begin(struct acks *a)
{
	if (a->fd < 0)
		return NULL;
	pthread_mutex_lock(&a->lock);
	while (!a->path && !a->gone && frame_out_queued(a->out) > QUEUE_MAX)
		pthread_cond_wait(&a->room, &a->lock);
	if (!a->gone)
		return a->out;
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static void wake(struct acks *a)
{
	uint64_t one = 1;

	(void)!write(a->wake, &one, sizeof(one));
}

void acks_end(struct acks *a)
{
	pthread_mutex_unlock(&a->lock);
	wake(a);
}

int acks_close(struct acks *a, struct err *e)
{
	int rc = 0;

	if (a->fd < 0) {
		acks_free(a);
		return 0;
	}
	pthread_mutex_lock(&a->lock);
	a->closing = true;
	a->deadline = time_mono() + LINGER_NS;
	pthread_mutex_unlock(&a->lock);
	wake(a);
	pthread_join(a->thread, NULL);
	if (a->err.code) {
		if (!e->code)
			*e = a->err;
		rc = -1;
	}
	acks_free(a);
	return rc;
}
