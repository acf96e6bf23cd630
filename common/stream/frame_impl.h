/* Inside of frame_in.c, frame_out.c, frame_queue.c, segment.c and ring.c; nobody
 * else includes this. */
#ifndef DM_STREAM_FRAME_IMPL_H
#define DM_STREAM_FRAME_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "base/bytes.h"
#include "stream/frame.h"

/* ---- segment.c ---- */
/* A segment holds the largest frame, or several smaller ones. */
#define SEGMENT_LEN ((size_t)KIB(1280))
/* Bytes read, shared by the reader and the frames that were kept. */
struct segment {
	atomic_uint refs;
	struct spares *home;
	struct segment *next;
	uint8_t *p;		/* SEGMENT_LEN bytes */
};
/* Where a reader's segments come from and go back to. */
struct spares *spares_new(void);
void spares_close(struct spares *x);	/* goes when the last segment has */
struct segment *segment_new(struct spares *home, struct err *e);	/* with one reference; NULL with *e */
struct segment *segment_ref(struct segment *s);
void segment_drop(struct segment *s);	/* any thread */
bool segment_alone(const struct segment *s);	/* does nobody else have a reference? */

/* Pieces of this size and more are not copied. */
#define PIECE_LARGE ((size_t)KIB(16))
/* Small frames leave together when so many bytes wait. */
#define SMALL_MAX ((size_t)KIB(64))
#define IOV_MAX_PUT 16		/* pieces that are written at once */

/* One stretch of a non-blocking writer's queue: bytes of its own, or part of
 * a segment. */
struct stretch {
	struct stretch *next;
	const uint8_t *p;
	size_t len;		/* not yet written */
	struct segment *seg;	/* NULL: own[] */
	size_t used;		/* of own[] */
	uint8_t own[];
};

struct frame_out {
	int fd;
	char *what;
	bool nonblock, started;
	uint64_t seq;		/* of the next frame */
	uint64_t written;	/* bytes so far */
	size_t pipe;		/* size of the pipe's buffer, 0: no pipe */
	struct buf small;	/* blocking: waits for the next flush */
	struct ring *ring;	/* whose pages may be moved, or NULL */
	struct stretch *head, *tail;
	size_t queued;
	struct seal *seal;	/* or NULL */
};
/* A write failed of errnum.  Returns -1. */
int frame_out_failed(const struct frame_out *o, int errnum, struct err *e);

/* ---- frame_queue.c ---- */
uint8_t *frame_queue_room(struct frame_out *o, size_t len);	/* for len more bytes at its end */
void frame_queue_segment(struct frame_out *o, const struct frame *f);	/* its body, not copied */
void frame_queue_free(struct frame_out *o);

/* Does this piece lie in a buffer of the ring, and is it long enough to move
 * its pages? */
bool ring_holds(const struct ring *r, const void *p, size_t len);
/* Its pages are in the pipe now; the last byte is number `end'. */
void ring_moved(struct ring *r, const void *p, uint64_t end);

#endif
