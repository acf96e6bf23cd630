/* Any bytes as a stream for the ends of a pipeline, dm-write (first byte even)
 * and dm-send, with a file as the volume; the bits above say how much is made
 * right around them (see frames.h).  Refused, or done: then the target has the
 * size that the stream says, and acks and answers are streams that can be read. */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "file.h"
#include "frames.h"
#include "job/apply.h"
#include "job/emit.h"
#include "stream/stream_json.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#define ENDS_MADE 2u
#define ENDS_HOW 2	/* bits above it are frames.h's */
#define SOURCE_MAX MIB(16)

static char dir[] = "/dev/shm/dm-fuzz-XXXXXX";
enum { TARGET, RECORD, ACKS, SOURCE, FILES };
static char path[FILES][48];

static void clean(void)
{
	for (int i = 0; i < FILES; i++)
		unlink(path[i]);
}

static void leave(void)
{
	clean();
	rmdir(dir);
}

/* All files are of this directory, in memory. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const name[FILES] = { "d.raw", "d.raw.dm", "acks", "s.raw" };

	(void)argc;
	(void)argv;
	assert(mkdtemp(dir));
	for (int i = 0; i < FILES; i++)
		snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name[i]);
	atexit(leave);
	return 0;
}

static void failed(const struct err *e)
{
	assert(e->code == DM_BAD || e->code == DM_ENV || e->code == DM_NO || e->code == DM_USAGE);
	assert(e->relayed || *e->text);
}

/* A stream that was made, to its END.  What was asked for wrongly is answered
 * so, and only who takes the answer refuses it. */
static void show(int fd, bool sound)
{
	struct frame_in *in = frame_in_new(fd, "output");
	struct stream_json *s = stream_json_new();
	struct buf out = { 0 };
	struct err e = { 0 };
	struct frame f;

	do {
		assert(frame_read(in, &f, &e) == 1);
		out.len = 0;
		assert(!sound || !json_print(s, &f, true, &out, &e));
	} while (f.type != FT_END);
	assert(!frame_in_close(in, &e));
	buf_free(&out);
	stream_json_free(s);
	frame_in_free(in);
}

static void give(struct grants *g, const char *name)
{
	char *word = x_strdup(name);
	struct err e = { 0 };

	assert(!grants_parse(g, &word, 1, &e));
	free(word);
}

static void put(int fd)
{
	struct err e = { 0 }, of_acks = { 0 };
	struct apply_sum sum = { 0 };
	struct grants g = { 0 };
	const struct apply_how how = { .targets = &g, .threads = 2 };
	struct cause c;
	struct acks *acks;
	struct stat st;
	int ack_fd = open(path[ACKS], O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600), rc;

	assert(ack_fd >= 0 && !cause_init(&c, &e));
	give(&g, path[TARGET]);
	acks = acks_new(path[ACKS], &c, &e);
	assert(acks);
	rc = apply_run(&how, fd, acks, &c, &sum, &e);
	assert(!acks_close(acks, &of_acks));
	if (rc) {
		failed(&e);
	} else {
		assert(sum.disks <= 1 && (!sum.disks || !stat(path[TARGET], &st)));
		show(ack_fd, true);
	}
	close(ack_fd);
	grants_free(&g);
	cause_destroy(&c);
}

/* A source as large as the stream says, with content and holes. */
static void source_make(int fd)
{
	struct frame_in *in = frame_in_new(fd, "input");
	struct hello h = { .ndisks = 0 };
	struct err e = { 0 };
	int s = open(path[SOURCE], O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	assert(s >= 0);
	if (hello_read(in, &h, &e) == 0 && h.ndisks && h.disk[0].size <= SOURCE_MAX) {
		for (uint64_t at = 0; at < h.disk[0].size; at += KIB(96))
			assert(!fd_pwrite_full(s, "content", min64(7, h.disk[0].size - at), at));
		assert(!ftruncate(s, (off_t)h.disk[0].size));
	}
	hello_free(&h);
	frame_in_free(in);
	close(s);
	assert(!lseek(fd, 0, SEEK_SET));
}

static void send(int fd, enum emit_form form)
{
	struct grants g = { 0 };
	const struct emit_how how = { .grants = &g, .form = form, .level = 1, .threads = 2, .allow_change = true };
	int out = fuzz_sink();
	struct err e = { 0 };
	struct frame_out *o = frame_out_new(out, "output", &e);

	assert(o);
	source_make(fd);
	give(&g, path[SOURCE]);
	if (emit_requests(&how, fd, out, o, &e)) {
		failed(&e);
	} else {
		fuzz_sink_read(out);
		show(out, false);
	}
	grants_free(&g);
	frame_out_free(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static struct buf b;
	int fd;

	if (len < 2)
		return 0;
	b.len = 0;
	if (p[0] & ENDS_MADE)
		fuzz_frames(&b, p + 2, len - 2, p[0] >> ENDS_HOW | (unsigned)p[1] << FRAMES_ODD_SHIFT);
	else
		buf_put(&b, p + 2, len - 2);
	fd = fuzz_file(b.p, b.len);
	if (p[0] & 1)
		send(fd, p[1] % 3);
	else
		put(fd);
	clean();
	return 0;
}
