/* Frames: reading and writing dm-stream, one header at a time, verified.
 *
 * A reader works on blocking and non-blocking descriptors.  Bodies stay where
 * they were read: a frame may be kept (frame_keep) while others are read, so
 * payloads are never copied between the pipe and the volume. */
#ifndef DM_STREAM_FRAME_H
#define DM_STREAM_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "stream/format.h"

struct seal;
struct segment;			/* reference-counted bytes read */

struct frame {
	uint8_t type, flags;
	uint16_t stream;
	uint32_t disk, epoch;
	uint64_t seq;
	const uint8_t *body;	/* verified; valid until the next frame_next
				 * or, when kept, until frame_drop */
	uint32_t len;
	struct segment *seg;
};

struct frame_in;
/* `what' names the input in messages ("input", "acks", "worker 2"); fd is not
 * closed.  Sequences of every stream number are checked. */
struct frame_in *frame_in_new(int fd, const char *what);
void frame_in_free(struct frame_in *in);	/* kept frames stay valid */
/* Before anything is read: the stream must be sealed, and what comes is opened
 * with `s', which stays the caller's and must outlive the reader. */
void frame_in_seal(struct frame_in *in, struct seal *s);

/* Read once what the descriptor has, at most to the end of the frame under
 * way and a little more.  > 0 bytes; 0 at end of file; -1 and *e filled, or
 * -1 with e->code 0 when it would block. */
long frame_fill(struct frame_in *in, struct err *e);

/* Take the next whole, verified frame: 1; 0 when more must be read; -1 with
 * *e (DM_BAD).  The preface is consumed and checked first. */
int frame_next(struct frame_in *in, struct frame *f, struct err *e);

/* Blocking: the next frame, 1; -1 with *e.  End of file is DM_ENV, "ended
 * before its END", wherever it comes. */
int frame_read(struct frame_in *in, struct frame *f, struct err *e);

/* After END: nothing may follow.  Waits for the end of file, but not for long:
 * END was verified.  0 or -1 with *e (DM_BAD). */
int frame_in_close(struct frame_in *in, struct err *e);
/* Has any byte been read?  Was the preface seen? */
bool frame_in_started(const struct frame_in *in);

void frame_keep(struct frame *f);	/* takes a reference */
void frame_drop(struct frame *f);	/* gives it back; any thread */

struct frame_out;
/* Writes the preface with the first frame.  fd is not closed.  Refuses (NULL,
 * *e DM_USAGE) when fd is a terminal. */
struct frame_out *frame_out_new(int fd, const char *what, struct err *e);
void frame_out_free(struct frame_out *o);
/* Before anything is put: seal what is put from now on.  In a conversation
 * only frame_open may be called until seal_ready. */
void frame_out_seal(struct frame_out *o, struct seal *s);
/* Put preface and, in a sealed stream, opening now. */
void frame_open(struct frame_out *o);
/* Where a non-blocking writer made with fd -1 writes from now on: what was
 * put before waits in its queue. */
void frame_out_fd(struct frame_out *o, int fd);

/* Queue one frame whose body is these pieces.  On a descriptor that blocks, a
 * frame with a piece of 16 KiB or more leaves before this returns, from where
 * it is; others are copied and leave with the next flush or when 64 KiB wait.
 * 0 or -1 with *e (EPIPE: quiet, DM_ENV). */
int frame_put(struct frame_out *o, uint8_t type, uint8_t flags, uint32_t disk,
    uint32_t epoch, const struct iovec *body, int n, struct err *e);
int frame_put1(struct frame_out *o, uint8_t type, uint8_t flags, uint32_t disk,
    uint32_t epoch, const void *body, size_t len, struct err *e);
/* Pass on a frame as it came, with this writer's sequence and check. */
int frame_pass(struct frame_out *o, const struct frame *f, struct err *e);
/* Waits until all is written, on a non-blocking writer too. */
int frame_flush(struct frame_out *o, struct err *e);

/* Non-blocking writers (poll loops; the caller has made fd non-blocking):
 * frames queue in memory, frame_pump writes what fits: 1 all gone, 0 some
 * left, -1 with *e.  frame_pass_keep takes a reference of its own to a large
 * body instead of copying it. */
void frame_out_nonblock(struct frame_out *o);
int frame_pass_keep(struct frame_out *o, struct frame *f, struct err *e);
int frame_pump(struct frame_out *o, struct err *e);
size_t frame_out_queued(const struct frame_out *o);

/* Payload by vmsplice: buffers of `len' bytes whose pages move into the pipe
 * instead of being copied, when the descriptor is a pipe and the payload a
 * quarter of it or longer.  A buffer comes back only when two whole pipes'
 * worth has followed it.  Callers fill a buffer, give it (or a part of it) to
 * frame_put once, then to ring_sent, and do not touch it afterwards.  As long
 * as no more than `extra' are taken and not yet sent, ring_take gives one.
 * One ring for each writer; free it before the writer. */
struct ring;
struct ring *ring_new(struct frame_out *o, size_t len, unsigned extra, struct err *e);
void *ring_take(struct ring *r);	/* page aligned; NULL: too many are taken */
void ring_sent(struct ring *r, void *p);	/* after frame_put, or unused */
void ring_free(struct ring *r);

#endif
