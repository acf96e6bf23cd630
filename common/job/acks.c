#include "job/acks.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "job/ack_feed.h"
#include "stream/record.h"

#define QUEUE_MAX MIB(1)	/* on standard output, before acks_begin waits */
#define LINGER_MS 1000		/* for the last acks into a FIFO */
#define SILENCE_MS 5000

struct acks {
	struct ack_feed *feed;
	bool to_stdout;
	int wake;		/* eventfd */
	struct cause *cause;
	pthread_mutex_t lock;
	pthread_cond_t room;
	pthread_t thread;
	bool closing;
	int64_t said_at;	/* when something was put last */
	atomic_int owed;
	atomic_ullong written;
	struct err err;
};

static void fail(struct acks *a, const struct err *e)
{
	if (!a->err.code)
		a->err = *e;
	cause_give(a->cause, e);
}

/* Write what fits now.  Locked. */
static void pump(struct acks *a)
{
	bool had = ack_feed_out(a->feed);
	struct err e = {0};

	if (ack_feed_pump(a->feed, &e) < 0)
		fail(a, &e);
	else if (had && !ack_feed_out(a->feed) && a->to_stdout) {
		err_sys(&e, DM_ENV, EPIPE, "acks");
		fail(a, &e);
	}
	pthread_cond_broadcast(&a->room);
}

/* Break a silence.  Locked. */
static void remind(struct acks *a)
{
	struct frame_out *o = ack_feed_out(a->feed);
	struct progress_rec p = { .stage = STAGE_WRITE, .done = atomic_load(&a->written) };
	int64_t now = time_mono();
	struct err e = {0};

	if (!o || atomic_load(&a->owed) <= 0 || frame_out_queued(o) ||
	    now - a->said_at < SILENCE_MS * INT64_C(1000000))
		return;
	a->said_at = now;
	if (progress_put(o, 0, &p, &e) < 0)
		fail(a, &e);
}

/* Is nothing left to be done?  Locked. */
static bool finished(const struct acks *a)
{
	struct frame_out *o = ack_feed_out(a->feed);

	return a->closing && (!a->to_stdout || !o || !frame_out_queued(o));
}

static void *acks_main(void *arg)
{
	struct acks *a = arg;
	struct pollfd p[3] = {
		{ .fd = a->wake, .events = POLLIN },
		{ .fd = -1 },
		{ .fd = a->to_stdout ? STDOUT_FILENO : -1 },	/* for POLLERR */
	};
	struct err e = {0};
	uint64_t n;
	int timeout;

	pthread_mutex_lock(&a->lock);
	for (;;) {
		remind(a);
		pump(a);
		if (finished(a))
			break;
		timeout = ack_feed_poll(a->feed, &p[1]);
		if (timeout < 0)
			timeout = SILENCE_MS;
		if (!ack_feed_out(a->feed))
			p[2].fd = -1;
		pthread_mutex_unlock(&a->lock);
		if (poll(p, 3, timeout) > 0 && p[0].revents)
			(void)!read(a->wake, &n, sizeof(n));
		pthread_mutex_lock(&a->lock);
		if (p[2].fd >= 0 && (p[2].revents & POLLERR) && !frame_out_queued(ack_feed_out(a->feed))) {
			err_sys(&e, DM_ENV, EPIPE, "acks");
			fail(a, &e);
			p[2].fd = -1;
		}
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static void acks_free(struct acks *a)
{
	ack_feed_free(a->feed);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->room);
	fd_close(a->wake);
	free(a);
}

struct acks *acks_new(const char *path, struct cause *c, struct err *e)
{
	struct acks *a = x_alloc(sizeof(*a));
	int rc;

	a->cause = c;
	a->to_stdout = path && !strcmp(path, "-");
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->room, NULL);
	a->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->wake < 0) {
		err_sys(e, DM_ENV, errno, "eventfd");
		goto err;
	}
	a->feed = ack_feed_new(path, e);
	if (!a->feed)
		goto err;
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

struct frame_out *acks_begin(struct acks *a)
{
	struct frame_out *o;

	pthread_mutex_lock(&a->lock);
	while ((o = ack_feed_out(a->feed)) && a->to_stdout && frame_out_queued(o) > QUEUE_MAX)
		pthread_cond_wait(&a->room, &a->lock);
	if (!o)
		pthread_mutex_unlock(&a->lock);
	return o;
}

static void wake(struct acks *a)
{
	uint64_t one = 1;

	(void)!write(a->wake, &one, sizeof(one));
}

void acks_end(struct acks *a)
{
	a->said_at = time_mono();
	pthread_mutex_unlock(&a->lock);
	wake(a);
}

void acks_owe(struct acks *a, int n)
{
	atomic_fetch_add(&a->owed, n);
}

void acks_written(struct acks *a, uint64_t bytes)
{
	atomic_store(&a->written, bytes);
}

int acks_close(struct acks *a, struct err *e)
{
	int rc;

	pthread_mutex_lock(&a->lock);
	a->closing = true;
	pthread_mutex_unlock(&a->lock);
	wake(a);
	pthread_join(a->thread, NULL);
	if (!a->to_stdout && !a->err.code)
		ack_feed_finish(a->feed, LINGER_MS, &a->err);
	if (a->err.code && !e->code)
		*e = a->err;
	rc = a->err.code ? -1 : 0;
	acks_free(a);
	return rc;
}
