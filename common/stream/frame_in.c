/* Reading frames: every byte is checked before anyone sees it, and stays
 * where it was read. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/fdio.h"
#include "stream/frame_impl.h"
#include "stream/seal.h"

/* A frame larger than READ_AHEAD is read to its end and LOOK_AHEAD further:
 * what follows may have to move to another segment. */
#define READ_AHEAD ((size_t)KIB(256))
#define LOOK_AHEAD ((size_t)KIB(4))
/* Such a frame is put so that its body ends with a page: a raw payload, which
 * comes last, can then go to a disk from where it is.  Where the next header
 * is not here yet, the last such frame tells its place. */
#define PAGE 4096u

/* How long after END the end of file is waited for. */
#define CLOSE_WAIT_MS 1000

#define FLAGS_KNOWN (FF_MAY_IGNORE | FF_SEALED)

_Static_assert(SEGMENT_LEN >= PAGE + FRAME_HEADER + FRAME_BODY_MAX + FRAME_SEAL,
    "a segment must hold the largest frame");

struct frame_in {
	int fd;
	char *what;
	struct spares *spares;
	struct segment *seg;
	size_t start, end;	/* of the bytes not yet taken */
	size_t lead;		/* where a segment's first frame begins */
	bool started, preface, ended;
	struct seal *seal;	/* or NULL */
	bool opened;		/* the seal's opening came */
	uint64_t *seq;		/* next one, by stream number */
	size_t nseq;
};

struct frame_in *frame_in_new(int fd, const char *what)
{
	struct frame_in *in = x_alloc(sizeof(*in));

	in->fd = fd;
	in->what = x_strdup(what);
	in->spares = spares_new();
	fd_pipe_grow(fd);
	return in;
}

void frame_in_seal(struct frame_in *in, struct seal *s)
{
	in->seal = s;
}

void frame_in_free(struct frame_in *in)
{
	if (!in)
		return;
	segment_drop(in->seg);
	spares_close(in->spares);
	free(in->seq);
	free(in->what);
	free(in);
}

/* What follows the body. */
static size_t tail_len(const uint8_t *h)
{
	return h[FH_FLAGS] & FF_SEALED ? FRAME_SEAL : FRAME_CHECK;
}

/* Length of the frame at the start, with header and check, when its header is
 * here; else 0. */
static size_t frame_under_way(const struct frame_in *in)
{
	const uint8_t *h;

	if (!in->preface || in->end - in->start < FRAME_HEADER)
		return 0;
	h = in->seg->p + in->start;
	return FRAME_HEADER + (size_t)get32(h + FH_LEN) + tail_len(h);
}

/* Go on in a fresh segment; what was not taken moves there. */
static int segment_turn(struct frame_in *in, struct err *e)
{
	struct segment *s = segment_new(in->spares, e);
	size_t frame = frame_under_way(in), have = in->end - in->start;

	if (!s)
		return -1;
	if (frame > READ_AHEAD)
		in->lead = (PAGE - (frame - tail_len(in->seg->p + in->start)) % PAGE) % PAGE;
	if (in->seg) {
		memcpy(s->p + in->lead, in->seg->p + in->start, have);
		segment_drop(in->seg);
	}
	in->seg = s;
	in->start = in->lead;
	in->end = in->lead + have;
	return 0;
}

long frame_fill(struct frame_in *in, struct err *e)
{
	size_t frame, have, want;
	long n;

	if (!in->seg && segment_turn(in, e) < 0)
		return -1;
	frame = frame_under_way(in);
	have = in->end - in->start;
	if (frame > SEGMENT_LEN || (frame && frame <= have))
		return 1;	/* frame_next has work: read nothing yet */
	if (in->start + (frame ? frame : LOOK_AHEAD) > SEGMENT_LEN && segment_turn(in, e) < 0)
		return -1;
	want = frame > READ_AHEAD ? frame - have + LOOK_AHEAD : READ_AHEAD;
	n = fd_read_some(in->fd, in->seg->p + in->end, min64(want, SEGMENT_LEN - in->end));
	if (n < 0) {
		if (errno == EAGAIN)
			return -1;
		return err_sys(e, DM_ENV, errno, "%s: read", in->what);
	}
	in->started |= n > 0;
	in->end += (size_t)n;
	return n;
}

/* 1 when the preface was consumed, 0 when more must be read. */
static int preface_take(struct frame_in *in, struct err *e)
{
	size_t have = min64(in->end - in->start, STREAM_PREFACE_LEN);

	if (have && memcmp(in->seg->p + in->start, STREAM_PREFACE, have))
		return err_set(e, DM_BAD, "%s: not a dm-stream", in->what);
	if (have < STREAM_PREFACE_LEN)
		return 0;
	in->start += STREAM_PREFACE_LEN;
	in->preface = true;
	return 1;
}

static bool type_known(int type)
{
	return type >= FT_HELLO && type <= FT_END;
}

/* What the header alone tells, before its length is used. */
static int header_check(const struct frame_in *in, const uint8_t *h, struct err *e)
{
	if (get32(h + FH_CHECK) != (uint32_t)XXH3_64bits(h, FH_CHECK))
		return err_set(e, DM_BAD, "%s: damaged frame header", in->what);
	if (get32(h + FH_MAGIC) != FRAME_MAGIC)
		return err_set(e, DM_BAD, "%s: not a frame header", in->what);
	if (get32(h + FH_LEN) > FRAME_BODY_MAX)
		return err_set(e, DM_BAD, "%s: a frame of %u bytes is longer than allowed",
		    in->what, get32(h + FH_LEN));
	if (h[FH_FLAGS] & ~(h[FH_FLAGS] & FF_SEALED ? FLAGS_KNOWN | FF_PADDED : FLAGS_KNOWN))
		return err_set(e, DM_BAD, "%s: unknown frame flags %#x", in->what, h[FH_FLAGS]);
	if (h[FH_FLAGS] & FF_SEALED && !in->opened)
		return err_set(e, DM_BAD, "%s: the stream is sealed", in->what);
	if (!type_known(h[FH_TYPE]) && !(h[FH_FLAGS] & FF_MAY_IGNORE))
		return err_set(e, DM_BAD, "%s: unknown frame type %u that must not be ignored",
		    in->what, h[FH_TYPE]);
	return 0;
}

static int seq_check(struct frame_in *in, unsigned stream, uint64_t seq, struct err *e)
{
	if (stream >= in->nseq) {
		in->seq = x_grow(in->seq, stream + 1, sizeof(*in->seq));
		memset(in->seq + in->nseq, 0, (stream + 1 - in->nseq) * sizeof(*in->seq));
		in->nseq = stream + 1;
	}
	if (seq != in->seq[stream])
		return err_set(e, DM_BAD, "%s: frame %llu came where %llu was due: frames are "
		    "missing, repeated or mixed up", in->what, (unsigned long long)seq,
		    (unsigned long long)in->seq[stream]);
	in->seq[stream]++;
	return 0;
}

/* A frame where a seal is due or used: the opening, whose successor is taken
 * instead, or one to be opened. */
static int frame_unseal(struct frame_in *in, struct frame *f, struct err *e)
{
	uint8_t *p = (uint8_t *)f->body;	/* of our segment, and nobody has seen it */

	if (!in->opened) {
		if (f->type != FT_HELLO)
			return err_set(e, DM_BAD, "%s: the stream is not sealed, but must be", in->what);
		if (seal_heard(in->seal, f->body, f->len, in->what, e) < 0)
			return -1;
		in->opened = true;
		return frame_next(in, f, e);
	}
	if (!(f->flags & FF_SEALED))
		return err_set(e, DM_BAD, "%s: a frame in a sealed stream is not sealed", in->what);
	if (seal_pull(in->seal, p - FRAME_HEADER, p, &f->len, in->what, e) < 0)
		return -1;
	f->body++;
	f->flags &= (uint8_t)~(FF_SEALED | FF_PADDED);
	in->ended = f->type == FT_END;
	return 1;
}

int frame_next(struct frame_in *in, struct frame *f, struct err *e)
{
	const uint8_t *h;
	size_t len, have, tail;
	int rc;

	memset(f, 0, sizeof(*f));
	/* All taken and nobody kept anything: these pages are warm. */
	if (in->seg && in->start == in->end && segment_alone(in->seg))
		in->start = in->end = in->lead;
	if (!in->preface) {
		rc = preface_take(in, e);
		if (rc <= 0)
			return rc;
	}
	have = in->end - in->start;
	if (in->ended && have)
		return err_set(e, DM_BAD, "%s: more data after END", in->what);
	if (have < FRAME_HEADER)
		return 0;
	h = in->seg->p + in->start;
	if (header_check(in, h, e) < 0)
		return -1;
	len = FRAME_HEADER + (size_t)get32(h + FH_LEN);
	tail = tail_len(h);
	if (have < len + tail)
		return 0;
	if (tail == FRAME_CHECK && get64(h + len) != XXH3_64bits(h, len))
		return err_set(e, DM_BAD, "%s: damaged frame", in->what);
	if (seq_check(in, get16(h + FH_STREAM), get64(h + FH_SEQ), e) < 0)
		return -1;
	*f = (struct frame){
		.type = h[FH_TYPE], .flags = h[FH_FLAGS], .stream = get16(h + FH_STREAM),
		.disk = get32(h + FH_DISK), .epoch = get32(h + FH_EPOCH),
		.seq = get64(h + FH_SEQ), .body = h + FRAME_HEADER,
		.len = (uint32_t)(len - FRAME_HEADER), .seg = in->seg,
	};
	in->start += len + tail;
	if (in->seal)
		return frame_unseal(in, f, e);
	in->ended = f->type == FT_END;
	return 1;
}

int frame_read(struct frame_in *in, struct frame *f, struct err *e)
{
	for (;;) {
		int rc = frame_next(in, f, e);
		long n;

		if (rc)
			return rc;
		n = frame_fill(in, e);
		if (n < 0 && !e->code) {
			struct pollfd pfd = { .fd = in->fd, .events = POLLIN };

			poll(&pfd, 1, -1);
		} else if (n < 0) {
			return -1;
		} else if (!n) {
			return err_cut(e, in->what);
		}
	}
}

int frame_in_close(struct frame_in *in, struct err *e)
{
	struct pollfd p = { .fd = in->fd, .events = POLLIN };
	uint8_t more;
	long n;

	if (in->start != in->end)
		return err_set(e, DM_BAD, "%s: more data after END", in->what);
	/* A wrapper around the writer may hold the descriptor open for longer
	 * than there is anything to say. */
	if (poll(&p, 1, CLOSE_WAIT_MS) == 0)
		return 0;
	n = fd_read_some(in->fd, &more, 1);
	if (n < 0 && errno != EAGAIN)
		return err_sys(e, DM_ENV, errno, "%s: read", in->what);
	if (n > 0)
		return err_set(e, DM_BAD, "%s: more data after END", in->what);
	return 0;
}

bool frame_in_started(const struct frame_in *in)
{
	return in->started;
}

void frame_keep(struct frame *f)
{
	segment_ref(f->seg);
}

void frame_drop(struct frame *f)
{
	segment_drop(f->seg);
	f->seg = NULL;
	f->body = NULL;
}
