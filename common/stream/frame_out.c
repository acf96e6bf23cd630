/* Writing frames: at once on a descriptor that blocks, through the queue of
 * frame_queue.c on one that does not. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/fdio.h"
#include "stream/frame_impl.h"
#include "stream/seal.h"

int frame_out_failed(const struct frame_out *o, int errnum, struct err *e)
{
	return err_sys(e, DM_ENV, errnum, "%s: write", o->what);
}

struct frame_out *frame_out_new(int fd, const char *what, struct err *e)
{
	struct frame_out *o;

	if (isatty(fd)) {
		err_set(e, DM_USAGE, "%s: a binary stream is not written to a terminal: "
		    "redirect it, or look at it with dm-json", what);
		return NULL;
	}
	o = x_alloc(sizeof(*o));
	o->fd = fd;
	o->what = x_strdup(what);
	o->pipe = fd_pipe_grow(fd);
	return o;
}

void frame_out_fd(struct frame_out *o, int fd)
{
	o->fd = fd;
	o->pipe = fd_pipe_grow(fd);
}

void frame_out_free(struct frame_out *o)
{
	if (!o)
		return;
	frame_queue_free(o);
	buf_free(&o->small);
	free(o->what);
	free(o);
}

void frame_out_seal(struct frame_out *o, struct seal *s)
{
	o->seal = s;
}

void frame_out_nonblock(struct frame_out *o)
{
	o->nonblock = true;
}

size_t frame_out_queued(const struct frame_out *o)
{
	return o->nonblock ? o->queued : o->small.len;
}

static size_t body_len(const struct iovec *body, int n)
{
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += body[i].iov_len;
	return len;
}

static void header_make(struct frame_out *o, uint8_t h[FRAME_HEADER], uint8_t type,
    uint8_t flags, uint32_t disk, uint32_t epoch, size_t len)
{
	put32(h + FH_MAGIC, FRAME_MAGIC);
	h[FH_TYPE] = type;
	h[FH_FLAGS] = flags;
	put16(h + FH_STREAM, 0);
	put64(h + FH_SEQ, o->seq++);
	put32(h + FH_LEN, (uint32_t)len);
	put32(h + FH_DISK, disk);
	put32(h + FH_EPOCH, epoch);
	put32(h + FH_CHECK, (uint32_t)XXH3_64bits(h, FH_CHECK));
}

static uint64_t frame_check(const uint8_t h[FRAME_HEADER], const struct iovec *body, int n)
{
	XXH3_state_t s;

	XXH3_64bits_reset(&s);
	XXH3_64bits_update(&s, h, FRAME_HEADER);
	for (int i = 0; i < n; i++)
		XXH3_64bits_update(&s, body[i].iov_base, body[i].iov_len);
	return XXH3_64bits_digest(&s);
}

/* Room for bytes that wait for the next flush, or for the pump. */
static uint8_t *small_room(struct frame_out *o, size_t len)
{
	return o->nonblock ? frame_queue_room(o, len) : buf_room(&o->small, len);
}

static int small_write(struct frame_out *o, struct err *e)
{
	if (o->small.len && fd_write_full(o->fd, o->small.p, o->small.len) < 0)
		return frame_out_failed(o, errno, e);
	o->written += o->small.len;
	o->small.len = 0;
	return 0;
}

static int iov_write(struct frame_out *o, struct iovec *v, int *n, struct err *e)
{
	size_t len = body_len(v, *n);

	if (*n && fd_writev_full(o->fd, v, *n) < 0)
		return frame_out_failed(o, errno, e);
	o->written += len;
	*n = 0;
	return 0;
}

/* Move the pages of p into the pipe. */
static int move_pages(struct frame_out *o, const void *p, size_t len, struct err *e)
{
	struct iovec v = { .iov_base = (void *)p, .iov_len = len };

	while (v.iov_len) {
		ssize_t n = vmsplice(o->fd, &v, 1, 0);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd pfd = { .fd = o->fd, .events = POLLOUT };

			poll(&pfd, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			return frame_out_failed(o, errno, e);
		} else if (n > 0) {
			v.iov_base = (uint8_t *)v.iov_base + n;
			v.iov_len -= (size_t)n;
			o->written += (size_t)n;
		}
	}
	ring_moved(o->ring, p, o->written);
	return 0;
}

/* Header, pieces and check of a frame with a large piece: all of it leaves
 * now, behind what waited. */
static int put_large(struct frame_out *o, const uint8_t h[FRAME_HEADER],
    const struct iovec *body, int n, struct err *e)
{
	struct iovec v[IOV_MAX_PUT];
	uint8_t check[FRAME_CHECK];
	int k = 0;

	put64(check, frame_check(h, body, n));
	memcpy(small_room(o, FRAME_HEADER), h, FRAME_HEADER);
	v[k++] = (struct iovec){ o->small.p, o->small.len };
	for (int i = 0; i < n; i++) {
		if (o->ring && ring_holds(o->ring, body[i].iov_base, body[i].iov_len)) {
			if (iov_write(o, v, &k, e) < 0 ||
			    move_pages(o, body[i].iov_base, body[i].iov_len, e) < 0)
				return -1;
			continue;
		}
		if (k == IOV_MAX_PUT - 1 && iov_write(o, v, &k, e) < 0)
			return -1;
		v[k++] = body[i];
	}
	v[k++] = (struct iovec){ check, FRAME_CHECK };
	if (iov_write(o, v, &k, e) < 0)
		return -1;
	o->small.len = 0;
	return 0;
}

/* A frame whose pieces are copied. */
static int put_small(struct frame_out *o, const uint8_t h[FRAME_HEADER],
    const struct iovec *body, int n, size_t len, struct err *e)
{
	uint8_t *room = small_room(o, FRAME_HEADER + len + FRAME_CHECK), *p = room;

	memcpy(p, h, FRAME_HEADER);
	p += FRAME_HEADER;
	for (int i = 0; i < n; i++) {
		if (body[i].iov_len)
			memcpy(p, body[i].iov_base, body[i].iov_len);
		p += body[i].iov_len;
	}
	put64(p, XXH3_64bits(room, FRAME_HEADER + len));
	return o->small.len >= SMALL_MAX ? small_write(o, e) : 0;
}

/* The one frame of a sealed stream that is not. */
static void put_opening(struct frame_out *o)
{
	uint8_t *p = small_room(o, FRAME_HEADER + SEAL_OPENING + FRAME_CHECK);

	header_make(o, p, FT_HELLO, 0, 0, 0, SEAL_OPENING);
	seal_opening(o->seal, p + FRAME_HEADER);
	put64(p + FRAME_HEADER + SEAL_OPENING, XXH3_64bits(p, FRAME_HEADER + SEAL_OPENING));
}

static void start(struct frame_out *o)
{
	if (o->started)
		return;
	memcpy(small_room(o, STREAM_PREFACE_LEN), STREAM_PREFACE, STREAM_PREFACE_LEN);
	o->started = true;
	if (o->seal)
		put_opening(o);
}

void frame_open(struct frame_out *o)
{
	start(o);
}

/* Pieces are put together where they are sealed. */
static int put_sealed(struct frame_out *o, uint8_t type, uint8_t flags, uint32_t disk,
    uint32_t epoch, const struct iovec *body, int n, size_t len, struct err *e)
{
	size_t whole = seal_len(o->seal, len);
	uint8_t *p, *at;

	if (!seal_ready(o->seal))
		return err_set(e, DM_ENV, "%s: the other side has not opened its sealed stream",
		    o->what);
	if (whole > FRAME_BODY_MAX)
		return err_set(e, DM_ENV, "%s: a frame of %zu bytes is longer than allowed",
		    o->what, whole);
	p = small_room(o, FRAME_HEADER + whole + FRAME_SEAL);
	header_make(o, p, type, flags | seal_flags(o->seal), disk, epoch, whole);
	at = p + FRAME_HEADER + 1;
	for (int i = 0; i < n; i++) {
		if (body[i].iov_len)
			memcpy(at, body[i].iov_base, body[i].iov_len);
		at += body[i].iov_len;
	}
	seal_push(o->seal, p, p + FRAME_HEADER, len);
	return o->small.len >= SMALL_MAX ? small_write(o, e) : 0;
}

int frame_put(struct frame_out *o, uint8_t type, uint8_t flags, uint32_t disk,
    uint32_t epoch, const struct iovec *body, int n, struct err *e)
{
	uint8_t h[FRAME_HEADER];
	size_t len = body_len(body, n);
	bool large = false;

	if (len > FRAME_BODY_MAX)
		return err_set(e, DM_ENV, "%s: a frame of %zu bytes is longer than allowed",
		    o->what, len);
	start(o);
	if (o->seal)
		return put_sealed(o, type, flags, disk, epoch, body, n, len, e);
	header_make(o, h, type, flags, disk, epoch, len);
	for (int i = 0; i < n; i++)
		large |= body[i].iov_len >= PIECE_LARGE;
	if (large && !o->nonblock)
		return put_large(o, h, body, n, e);
	return put_small(o, h, body, n, len, e);
}

int frame_put1(struct frame_out *o, uint8_t type, uint8_t flags, uint32_t disk,
    uint32_t epoch, const void *body, size_t len, struct err *e)
{
	struct iovec v = { .iov_base = (void *)body, .iov_len = len };

	return frame_put(o, type, flags, disk, epoch, &v, 1, e);
}

int frame_pass(struct frame_out *o, const struct frame *f, struct err *e)
{
	return frame_put1(o, f->type, f->flags, f->disk, f->epoch, f->body, f->len, e);
}

int frame_pass_keep(struct frame_out *o, struct frame *f, struct err *e)
{
	struct iovec v = { .iov_base = (void *)f->body, .iov_len = f->len };
	uint8_t h[FRAME_HEADER];

	if (!o->nonblock || o->seal || f->len < PIECE_LARGE)
		return frame_pass(o, f, e);
	start(o);
	header_make(o, h, f->type, f->flags, f->disk, f->epoch, f->len);
	memcpy(frame_queue_room(o, FRAME_HEADER), h, FRAME_HEADER);
	frame_queue_segment(o, f);
	put64(frame_queue_room(o, FRAME_CHECK), frame_check(h, &v, 1));
	return 0;
}

int frame_flush(struct frame_out *o, struct err *e)
{
	int rc;

	if (!o->nonblock)
		return small_write(o, e);
	while (!(rc = frame_pump(o, e))) {
		struct pollfd pfd = { .fd = o->fd, .events = POLLOUT };

		poll(&pfd, 1, -1);
	}
	return rc < 0 ? -1 : 0;
}
