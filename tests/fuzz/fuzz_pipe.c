/* Any bytes as a stream for the programs between a source and a target, the
 * first byte says which (bits 0 and 1) and how much is made right around them
 * (see frames.h): 0 dm-describe, 1 dm-recv --verify, 2 the ids of
 * dm-changed --against, 3 dm-window, whose requests are
 * answered as what follows the stream says.  Refused, or what comes out is a
 * stream that can be read. */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/extent.h"
#include "file.h"
#include "frames.h"
#include "job/against.h"
#include "job/describe_stream.h"
#include "job/filter.h"
#include "job/window_impl.h"
#include "segment.h"
#include "stream/stream_json.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#define PIPE_MADE 4u
#define PIPE_HOW 3	/* bits above it are frames.h's */
#define TURNS_MAX 64	/* one run of a few bytes can be exabytes long */

/* Standard input and output are the files that all is read from and goes to. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	setenv("TMPDIR", "/dev/shm", 1);
	assert(dup2(fuzz_file("", 0), STDIN_FILENO) == STDIN_FILENO);
	assert(dup2(fuzz_sink(), STDOUT_FILENO) == STDOUT_FILENO);
	return 0;
}

static void failed(const struct err *e)
{
	assert(e->code == DM_BAD || e->code == DM_ENV || e->code == DM_NO || e->code == DM_USAGE);
	assert(e->relayed || *e->text);
}

/* What went out; to its END if it is whole. */
static void show(bool whole)
{
	struct frame_in *in = frame_in_new(STDOUT_FILENO, "output");
	struct stream_json *s = stream_json_new();
	struct buf out = { 0 };
	struct err e = { 0 };
	struct frame f;

	fuzz_sink_read(STDOUT_FILENO);
	while (!stream_json_ended(s) && frame_read(in, &f, &e) > 0) {
		out.len = 0;
		if (json_print(s, &f, true, &out, &e))
			break;
	}
	if (whole)
		assert(!e.code && stream_json_ended(s) == FT_END && !frame_in_close(in, &e));
	buf_free(&out);
	stream_json_free(s);
	frame_in_free(in);
}

static void describe(void)
{
	const struct describe_opts o = { 0 };
	struct err e = { 0 };
	struct frame_out *out = frame_out_new(STDOUT_FILENO, "output", &e);

	assert(out);
	if (describe_stream(STDIN_FILENO, out, STDOUT_FILENO, &o, &e) == 0)
		show(true);
	else
		failed(&e);
	frame_out_free(out);
}

static void filter(void)
{
	const struct filter_options o = { .verify = true };
	struct err e = { 0 };

	if (filter_run(&o, &e) == 0)
		show(true);
	else
		failed(&e);
}

static void against(void)
{
	struct against a = { 0 };
	struct err e = { 0 };

	if (against_read(&a, STDIN_FILENO, "input", &e) == 0)
		for (uint32_t i = 0; i < a.hello.ndisks; i++) {
			const struct disk *d = &a.hello.disk[i];

			assert(against_find(&a, d->name, false));
			assert(!(d->flags & DF_TARGET_ROOT) || id_equal(&a.ids[i]->root, &d->target_root));
		}
	else
		failed(&e);
	against_free(&a);
}

/* ---- dm-window ---- */

/* The other side: it reads the requests and answers them, as the bytes of the
 * input say. */
struct target {
	struct frame_in *in;
	struct frame_out *out;
	int read, write;	/* of the acks, and the file of the output beside `in' */
	int output;
	struct hello hello;
	struct tally tally;
	uint64_t count;
	const uint8_t *p, *end;
};

enum { ACK_TWICE = 5, ACK_NOT, ACK_NAK, ACK_LATER_EPOCH, ACK_OTHER };	/* below: rightly */

static int again(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert(fd >= 0);
	return fd;
}

static void target_open(struct target *t, const uint8_t *p, size_t len)
{
	struct err e = { 0 };

	*t = (struct target){ .write = memfd_create("acks", MFD_CLOEXEC), .p = p, .end = p + len };
	assert(t->write >= 0 && !ftruncate(STDOUT_FILENO, 0));
	t->read = again(t->write);
	t->output = again(STDOUT_FILENO);
	t->in = frame_in_new(t->output, "requests");
	t->out = frame_out_new(t->write, "acks", &e);
	assert(t->out);
}

static void target_close(struct target *t)
{
	frame_in_free(t->in);
	frame_out_free(t->out);
	hello_free(&t->hello);
	close(t->read);
	close(t->write);
	close(t->output);
}

static void answer(struct target *t, const struct frame *f, struct entry *en)
{
	unsigned how = t->p < t->end ? *t->p++ : 0;
	struct nak n = { .index = en->index, .cls = CLASS_PERMANENT, .again = how >> 7 };
	struct written w = { .how = HOW_DATA };
	struct err e = { 0 };

	how %= 32;
	if (how == ACK_NAK)
		assert(!nak_put(t->out, f->disk, f->epoch, &n, &e));
	if (how == ACK_NAK || how == ACK_NOT)
		return;
	if (how == ACK_OTHER)
		en->index++;
	w.en = *en;
	tally_add(&t->tally, f->disk, en, t->hello.chunk_size);
	t->count += entry_count(en, t->hello.chunk_size);
	for (int i = 0; i <= (how == ACK_TWICE); i++)
		assert(!written_put(t->out, f->disk, f->epoch + (how == ACK_LATER_EPOCH), &w, &e));
}

static void answer_frame(struct target *t, const struct frame *f)
{
	struct cursor c = { .p = f->body, .end = f->body + f->len };
	struct err e = { 0 };
	struct entry en;

	switch (f->type) {
	case FT_HELLO:
		assert(!hello_decode(f, &t->hello, &e));
		tally_init(&t->tally, &t->hello);
		assert(!hello_put(t->out, &t->hello, &e));
		break;
	case FT_DESC: case FT_ZERO: case FT_REF: case FT_HELD:
		while (cur_left(&c)) {
			assert(!entry_decode(&c, &t->hello, f->disk, &en, &e));
			answer(t, f, &en);
		}
		break;
	case FT_BARRIER:
		assert(!durable_put(t->out, f->epoch + (t->p < t->end && *t->p++ == ACK_OTHER), t->count, &e));
		break;
	case FT_END:
		assert(!end_put(t->out, &t->tally, &e));
	}
}

/* Are there answers that were not read? */
static bool target_said(const struct target *t)
{
	return lseek(t->write, 0, SEEK_CUR) > lseek(t->read, 0, SEEK_CUR);
}

/* One round; false when nothing was asked. */
static bool target_turn(struct target *t)
{
	struct err e = { 0 };
	struct frame f;
	bool any = false;

	while (frame_fill(t->in, &e) > 0)
		while (frame_next(t->in, &f, &e) > 0) {
			answer_frame(t, &f);
			any = true;
		}
	assert(!e.code && !frame_flush(t->out, &e));
	return any;
}

/* Its input is all there before the first ack. */
static int window_all(struct window *w, struct target *t, struct err *e)
{
	while (w->input_open)
		if (window_take_input(w, e) || window_emit(w, e) || frame_pump(w->out, e) < 0)
			return -1;
	w->acks = frame_in_new(t->read, "acks");
	w->ack_open = true;
	for (int i = 0; target_turn(t); i++) {
		if (i == TURNS_MAX)
			return err_set(e, DM_ENV, "more is asked for than we answer");
		if ((target_said(t) && window_take_acks(w, e)) || window_emit(w, e) || frame_pump(w->out, e) < 0)
			return -1;
	}
	return w->ack_open ? window_take_acks(w, e) : 0;
}

static void window_free(struct window *w)
{
	progress_end(w->progress);
	window_report_close(w);
	for (size_t i = 0; i < w->nback; i++)
		free(w->back[i].body);
	free(w->back);
	free(w->disk);
	buf_free(&w->batch.body);
	schedule_free(w->schedule);
	iset_free(w->seen);
	frame_in_free(w->acks);
	frame_in_free(w->in);
	frame_out_free(w->out);
	if (w->has_hello)
		hello_free(&w->hello);
}

static void window(const uint8_t *acks, size_t len)
{
	static const struct window_options o = { .acks = "acks", .window = MIB(1), .window_min = KIB(64),
		.window_max = MIB(4), .interval = MIB(1), .timeout = 60 };
	struct window w = { .o = &o, .ack_fd = -1, .input_open = true, .output_open = true };
	struct err e = { 0 };
	struct target t;

	target_open(&t, acks, len);
	w.out = frame_out_new(STDOUT_FILENO, "output", &e);
	w.in = frame_in_new(STDIN_FILENO, "input");
	w.seen = iset_new();
	frame_out_nonblock(w.out);
	assert(!window_share_open(&w, &e));
	if (window_all(&w, &t, &e) == 0)
		show(w.end_sent);
	else
		failed(&e);
	window_free(&w);
	target_close(&t);
}

static void give(struct buf *b, const uint8_t *p, size_t len, const uint8_t how[2])
{
	if (how[0] & PIPE_MADE) {
		fuzz_frames(b, p, len, how[0] >> PIPE_HOW | (unsigned)how[1] << FRAMES_ODD_SHIFT);
	} else {
		b->len = 0;
		buf_put(b, p, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static struct buf in;
	size_t first;

	if (len < 4)
		return 0;
	first = p[0] % 4 == 3 ? get16(p + 2) % (len - 3) : len - 4;
	give(&in, p + 4, first, p);
	fuzz_file(in.p, in.len);
	fuzz_sink();
	switch (p[0] % 4) {
	case 0:
		describe();
		break;
	case 1:
		filter();
		break;
	case 2:
		against();
		break;
	default:
		window(p + 4 + first, len - 4 - first);
	}
	return 0;
}
