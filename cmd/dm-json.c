/* dm-json: frames to lines of JSON and back.  dm-json(1) */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/confine.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "stream/seal.h"
#include "stream/stream_json.h"

#define OUT_LEN KIB(64)
#define READ_LEN KIB(64)

struct args {
	bool reverse, data, renumber, pad;
	const char *seal, *unseal, *session;	/* key files, or NULL */
};

static void args_parse(struct args *a, int argc, char **argv)
{
	const struct opt opts[] = {
		{ "reverse", 'r', OPT_FLAG, &a->reverse, NULL,
		  "lines of JSON in, frames out", 0, 0 },
		{ "data", 'd', OPT_FLAG, &a->data, NULL,
		  "show the payload of chunks, in base64", 0, 0 },
		{ "renumber", 0, OPT_FLAG, &a->renumber, NULL,
		  "with -r: number the entries anew and make the end fit them", 0, 0 },
		{ "unseal", 0, OPT_STR, &a->unseal, "KEYFILE",
		  "the input is sealed, one way, with this key", 0, 0 },
		{ "seal", 0, OPT_STR, &a->seal, "KEYFILE",
		  "with -r: seal the output with this key", 0, 0 },
		{ "pad", 0, OPT_FLAG, &a->pad, NULL, "hide the lengths of what is sealed", 0, 0 },
		{ "session", 0, OPT_STR, &a->session, "TEXT",
		  "what the sealed stream is bound to", 0, 0 },
		{ 0 },
	};
	const struct opt_prog prog = {
		"dm-json", "", "Show a stream as lines of JSON, or make one from them.", opts, 0, 0,
	};
	char **rest;
	size_t n;

	opt_parse(&prog, argc, argv, &rest, &n, NULL);
	if (a->renumber && !a->reverse)
		opt_die("--renumber goes with --reverse only");
	if (a->data && a->reverse)
		opt_die("--data goes with frames in, not with --reverse");
	if (a->reverse ? a->unseal != NULL : a->seal || a->pad)
		opt_die("frames are read with --unseal, and written with -r --seal");
}

static int lines_write(struct buf *out, struct err *e)
{
	if (out->len && fd_write_full(1, out->p, out->len) < 0)
		return err_sys(e, DM_ENV, errno, "output: write");
	out->len = 0;
	return 0;
}

/* Frames to lines, until END or ABORT.  What waits is written before we wait
 * ourselves. */
static int print_frames(struct frame_in *in, struct stream_json *s, bool data,
    struct buf *out, struct err *e)
{
	while (!stream_json_ended(s)) {
		struct frame f;
		int rc = frame_next(in, &f, e);

		if (!rc && lines_write(out, e) < 0)
			return -1;
		if (!rc)
			rc = frame_read(in, &f, e);
		if (rc < 0)
			return -1;
		/* Nobody shall see the end before it is known to be one. */
		if ((f.type == FT_END || out->len >= OUT_LEN) && lines_write(out, e) < 0)
			return -1;
		if (json_print(s, &f, data, out, e) < 0)
			return -1;
	}
	if (stream_json_ended(s) == FT_END && frame_in_close(in, e) < 0) {
		out->len = 0;
		return -1;
	}
	return lines_write(out, e);
}

/* What ends the stream badly is its last line; we print it ourselves only
 * when no program reads our output. */
static int to_lines(const struct args *a)
{
	struct stream_json *s = stream_json_new();
	struct frame_in *in = frame_in_new(0, "input");
	struct err e = { 0 }, lost = { 0 };
	struct seal *seal = a->unseal ? seal_load(a->unseal, SEAL_READER, a->session, false, &e) : NULL;
	struct buf out = { 0 };
	int code;

	frame_in_seal(in, seal);
	confine();
	if ((e.code || print_frames(in, s, a->data, &out, &e) < 0) && !e.quiet)
		json_print_abort(&e, &out);
	else if (!e.code && stream_json_ended(s) == FT_ABORT)
		e = *stream_json_abort(s);
	code = e.code;
	if (!e.quiet && (lines_write(&out, &lost) < 0 || !fd_is_stream(1)) && code)
		err_report(&e);
	buf_free(&out);
	frame_in_free(in);
	seal_free(seal);
	stream_json_free(s);
	return code;
}

/* Lines of standard input. */
struct lines {
	struct buf buf;
	size_t start;		/* of the line under way */
	size_t seen;		/* bytes after it without a newline */
	uint64_t n;		/* number of the last line */
	bool eof;
};

/* Somebody else may have made our input non-blocking. */
static void input_wait(void)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };

	poll(&p, 1, -1);
}

/* The next line: 1, 0 at the end, -1 with *e; when none is here yet, what was
 * made of those before goes out first. */
static int line_next(struct lines *l, struct stream_json *s, struct frame_out *o,
    char **line, size_t *len, struct err *e)
{
	for (;;) {
		char *p = (char *)l->buf.p + l->start, *nl = NULL;
		size_t have = l->buf.len - l->start;
		ssize_t got;

		if (have > l->seen)
			nl = memchr(p + l->seen, '\n', have - l->seen);
		if (nl || (l->eof && have)) {
			*line = p;
			*len = nl ? (size_t)(nl - p) : have;
			l->start += *len + (nl ? 1 : 0);
			l->seen = 0;
			l->n++;
			return 1;
		}
		if (l->eof)
			return 0;
		if (have > JSON_LINE_MAX)
			return err_set(e, DM_BAD, "longer than a line can be");
		l->seen = have;
		if (json_flush(s, o, e) < 0)
			return -1;
		buf_drop(&l->buf, l->start);
		l->start = 0;
		got = fd_read_some(0, buf_room(&l->buf, READ_LEN), READ_LEN);
		l->buf.len -= READ_LEN - (size_t)(got > 0 ? got : 0);
		if (got < 0 && errno != EAGAIN)
			return err_sys(e, DM_ENV, errno, "input: read");
		if (got < 0)
			input_wait();
		l->eof = !got;
	}
}

static bool blank(const char *p, size_t len)
{
	while (len && (*p == ' ' || *p == '\t' || *p == '\r')) {
		p++;
		len--;
	}
	return !len;
}

static int parse_lines(struct lines *l, struct stream_json *s, bool renumber,
    struct frame_out *o, struct err *e)
{
	while (stream_json_ended(s) != FT_ABORT) {
		size_t len = 0;
		char *line = NULL;
		int rc = line_next(l, s, o, &line, &len, e);

		if (rc < 0)
			return e->code == DM_BAD ? err_prefix(e, "line %llu",
			    (unsigned long long)l->n + 1) : -1;
		if (!rc && !stream_json_ended(s))
			return err_cut(e, "input");
		if (!rc)
			break;
		if (!blank(line, len) && json_parse(s, line, len, renumber, o, e) < 0)
			return e->code == DM_BAD ? err_prefix(e, "line %llu",
			    (unsigned long long)l->n) : -1;
	}
	if (stream_json_ended(s) == FT_ABORT)
		return json_flush(s, o, e);
	return json_finish(s, o, e);
}

static int to_frames(const struct args *a)
{
	struct stream_json *s = stream_json_new();
	struct err e = { 0 }, lost = { 0 };
	struct seal *seal = a->seal ? seal_load(a->seal, SEAL_WRITER, a->session, a->pad, &e) : NULL;
	struct frame_out *o = e.code ? NULL : frame_out_new(1, "output", &e);
	struct lines l = { 0 };
	bool told = false;
	int code;

	if (o)
		frame_out_seal(o, seal);
	confine();
	if (o && parse_lines(&l, s, a->renumber, o, &e) < 0 && !e.quiet)
		told = !abort_put(o, &e, &lost) && !frame_flush(o, &lost);
	else if (o && !e.code && stream_json_ended(s) == FT_ABORT) {
		e = *stream_json_abort(s);
		told = true;
	}
	code = e.code;
	if (code && !(told && fd_is_stream(1)))
		err_report(&e);
	buf_free(&l.buf);
	frame_out_free(o);
	seal_free(seal);
	stream_json_free(s);
	return code;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };

	fd_startup();
	args_parse(&a, argc, argv);
	return a.reverse ? to_frames(&a) : to_lines(&a);
}
