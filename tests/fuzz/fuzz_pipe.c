/* Any bytes as a stream for the programs between a source and a target, the
 * first byte says which (bits 0 and 1) and how much is made right around them
 * (see frames.h): 0 dm-describe, 1 dm-recv --verify, 2 the ids of
 * dm-changed --against, 3 dm-window with acks.  Refused, or what comes out is
 * a stream that can be read. */
#include <assert.h>
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

/* ---- dm-window: its input is all there before the first ack ---- */

static int window_all(struct window *w, int acks, struct err *e)
{
	while (w->input_open)
		if (window_take_input(w, e) || window_emit(w, e) || frame_pump(w->out, e) < 0)
			return -1;
	w->acks = frame_in_new(acks, "acks");
	for (w->ack_open = true; w->ack_open;)
		if (window_take_acks(w, e) || window_emit(w, e) || frame_pump(w->out, e) < 0)
			return -1;
	return 0;
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

static void window(const struct buf *acks)
{
	static const struct window_options o = { .acks = "acks", .window = MIB(1), .window_min = KIB(64),
		.window_max = MIB(4), .interval = MIB(1), .timeout = 60 };
	struct window w = { .o = &o, .ack_fd = -1, .input_open = true, .output_open = true };
	static int fd = -1;
	struct err e = { 0 };

	if (fd < 0)
		fd = memfd_create("acks", MFD_CLOEXEC);
	assert(!ftruncate(fd, (off_t)acks->len) && !fd_pwrite_full(fd, acks->p, acks->len, 0) && !lseek(fd, 0, SEEK_SET));
	w.out = frame_out_new(STDOUT_FILENO, "output", &e);
	w.in = frame_in_new(STDIN_FILENO, "input");
	w.seen = iset_new();
	frame_out_nonblock(w.out);
	assert(!window_share_open(&w, &e));
	if (window_all(&w, fd, &e) == 0)
		show(w.end_sent);
	else
		failed(&e);
	window_free(&w);
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
	static struct buf in, acks;
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
		give(&acks, p + 4 + first, len - 4 - first, p);
		window(&acks);
	}
	return 0;
}
