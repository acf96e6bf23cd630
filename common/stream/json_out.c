/* Frames to lines of JSON. */
#include <stdlib.h>

#include "stream/json_impl.h"
#include "stream/record_impl.h"

static int print_extents(struct stream_json *s, const struct frame *f, struct buf *out,
    struct err *e)
{
	struct cursor c = { .p = f->body, .end = f->body + f->len };

	while (cur_left(&c)) {
		struct extent x;
		json_t *j;

		if (extent_decode(&c, &s->hello, f->disk, &x, e) < 0)
			return -1;
		tally_add_extent(&s->tally, f->disk, &x);
		j = json_frame(f, true, false);
		json_set_u64(j, "off", x.off);
		json_set_u64(j, "len", x.len);
		json_set_word(j, "kind", &words_extent, x.kind);
		json_line(j, out);
	}
	return 0;
}

static int print_descs(struct stream_json *s, const struct frame *f, struct buf *out,
    struct err *e)
{
	struct cursor c = { .p = f->body, .end = f->body + f->len };

	while (cur_left(&c)) {
		struct entry en;
		json_t *j;

		if (entry_decode(&c, &s->hello, f->disk, &en, e) < 0 ||
		    json_count(s, f->type, f->disk, &en, e) < 0)
			return -1;
		j = json_frame(f, true, true);
		json_entry(&en, j);
		json_line(j, out);
	}
	return 0;
}

static int print_chunk(struct stream_json *s, const struct frame *f, bool data,
    struct buf *out, struct err *e)
{
	struct chunk c;
	json_t *j;

	if (chunk_decode(f, &s->hello, &c, e) < 0 ||
	    json_count(s, f->type, f->disk, &c.en, e) < 0)
		return -1;
	j = json_frame(f, true, true);
	json_entry(&c.en, j);
	json_set_u64(j, "attempt", c.attempt);
	json_set_word(j, "codec", &words_codec, c.codec);
	json_set_u64(j, "plain", c.plain);
	json_set_u64(j, "stored", c.stored);
	if (data)
		json_set_base64(j, "data", c.data, c.stored);
	else
		json_set(j, "data_omitted", json_true());
	json_line(j, out);
	return 0;
}

static int print_entry(struct stream_json *s, const struct frame *f, struct buf *out,
    struct err *e)
{
	struct entry en;
	json_t *j;

	if (entry_frame_decode(f, &s->hello, &en, e) < 0 ||
	    json_count(s, f->type, f->disk, &en, e) < 0)
		return -1;
	j = json_frame(f, true, true);
	json_entry(&en, j);
	json_line(j, out);
	return 0;
}

static int print_written(struct stream_json *s, const struct frame *f, struct buf *out,
    struct err *e)
{
	struct written w;
	json_t *j;

	if (written_decode(f, &s->hello, &w, e) < 0 ||
	    json_count(s, f->type, f->disk, &w.en, e) < 0)
		return -1;
	j = json_frame(f, true, true);
	json_set_word(j, "how", &words_how, w.how);
	json_set_u64(j, "service_us", w.service_us);
	json_entry(&w.en, j);
	json_line(j, out);
	return 0;
}

static int print_barrier(const struct frame *f, struct buf *out, struct err *e)
{
	struct barrier b = { 0 };
	json_t *j;

	if (f->type == FT_BARRIER ? barrier_decode(f, &b, e) < 0 : durable_decode(f, &b.count, e) < 0)
		return -1;
	j = json_frame(f, false, true);
	json_set_u64(j, "count", b.count);
	if (f->type == FT_BARRIER)
		json_set_u64(j, "bytes", b.bytes);
	json_line(j, out);
	return 0;
}

static int print_nak(const struct stream_json *s, const struct frame *f, struct buf *out,
    struct err *e)
{
	struct nak n;
	json_t *j;

	if (disk_check(f, &s->hello, e) < 0 || nak_decode(f, &n, e) < 0)
		return -1;
	j = json_frame(f, true, true);
	json_set_u64(j, "index", n.index);
	json_set_word(j, "class", &words_class, n.cls);
	json_set(j, "again", json_boolean(n.again));
	json_set_u64(j, "retry_ms", n.retry_ms);
	json_line(j, out);
	return 0;
}

static int print_final(const struct stream_json *s, const struct frame *f, struct buf *out,
    struct err *e)
{
	struct final x;
	json_t *j;

	if (disk_check(f, &s->hello, e) < 0 || final_decode(f, &x, e) < 0)
		return -1;
	j = json_frame(f, true, false);
	json_set_word(j, "side", &words_side, x.side);
	if (x.flags & FINAL_ROOT)
		json_set(j, "root", json_hex(x.root.b, ID_LEN));
	if (x.flags & FINAL_PARTIAL)
		json_set(j, "partial", json_true());
	json_set_u64(j, "stored", x.stored);
	json_set_text(j, "point", x.point);
	final_free(&x);
	json_line(j, out);
	return 0;
}

static int print_stat(const struct frame *f, struct buf *out, struct err *e)
{
	struct stats st;
	json_t *j;

	if (stat_decode(f, &st, e) < 0)
		return -1;
	j = json_frame(f, true, false);
	for (int i = 1; i < (int)LEN(st.v); i++)
		if (st.v[i])
			json_set_u64(j, word_of(&words_stat, i), st.v[i]);
	json_line(j, out);
	return 0;
}

static int print_progress(const struct frame *f, struct buf *out, struct err *e)
{
	struct progress_rec p;
	json_t *j;

	if (progress_decode(f, &p, e) < 0)
		return -1;
	j = json_frame(f, true, false);
	json_set_word(j, "stage", &words_stage, p.stage);
	json_set_u64(j, "done", p.done);
	json_set_u64(j, "total", p.total);
	json_line(j, out);
	return 0;
}

static int print_other(const struct frame *f, struct buf *out)
{
	json_t *j = json_object();

	json_set_text(j, "type", "other");
	json_set_u64(j, "code", f->type);
	json_set_u64(j, "disk", f->disk);
	json_set_u64(j, "epoch", f->epoch);
	json_set_base64(j, "body", f->body, f->len);
	json_line(j, out);
	return 0;
}

static int print_end(struct stream_json *s, const struct frame *f, struct buf *out,
    struct err *e)
{
	struct tally t;
	json_t *j;

	if (end_decode(f, &t, e) < 0 || json_count_end(s, &t, e) < 0)
		return -1;
	j = json_frame(f, false, false);
	json_set_u64(j, "count", t.count);
	json_set_u64(j, "bytes", t.bytes);
	json_set(j, "root", json_hex(f->body + f->len - ID_LEN, ID_LEN));
	json_line(j, out);
	s->ended = FT_END;
	return 0;
}

void json_print_abort(const struct err *e, struct buf *out)
{
	json_t *j = json_object();
	char *text = e->relayed ? x_strdup(e->text) : x_printf("%s: %s", err_program(), e->text);
	char clean[sizeof(e->text)];
	size_t len = text_clean(text, strlen(text), clean, sizeof(clean));

	json_set_text(j, "type", "abort");
	json_set_u64(j, "code", (uint64_t)e->code);
	json_set_word(j, "class", &words_class, e->cls);
	json_set(j, "text", json_stringn(clean, len));
	free(text);
	json_line(j, out);
}

static int print_abort(struct stream_json *s, const struct frame *f, struct buf *out,
    struct err *e)
{
	memset(&s->abort, 0, sizeof(s->abort));
	abort_decode(f, &s->abort);
	if (!s->abort.relayed)
		return err_set(e, DM_BAD, "%s", s->abort.text);
	json_print_abort(&s->abort, out);
	s->ended = FT_ABORT;
	return 0;
}

static int print_hello(struct stream_json *s, const struct frame *f, struct buf *out,
    struct err *e)
{
	json_t *j;

	if (s->has_hello)
		return err_set(e, DM_BAD, "a second hello");
	if (hello_decode(f, &s->hello, e) < 0)
		return -1;
	s->has_hello = true;
	tally_init(&s->tally, &s->hello);
	j = json_frame(f, false, false);
	json_hello(&s->hello, j);
	json_line(j, out);
	return 0;
}

int json_print(struct stream_json *s, const struct frame *f, bool data, struct buf *out,
    struct err *e)
{
	if (f->type == FT_ABORT)
		return print_abort(s, f, out, e);
	if (!word_of(&words_type, f->type))
		return print_other(f, out);
	if (f->type != FT_HELLO && !s->has_hello && !(f->flags & FF_MAY_IGNORE))
		return err_set(e, DM_BAD, "the stream begins with %s instead of hello",
		    frame_type_name(f->type));
	switch (f->type) {
	case FT_HELLO: return print_hello(s, f, out, e);
	case FT_EXTENT: return print_extents(s, f, out, e);
	case FT_DESC: return print_descs(s, f, out, e);
	case FT_CHUNK: return print_chunk(s, f, data, out, e);
	case FT_BARRIER:
	case FT_DURABLE: return print_barrier(f, out, e);
	case FT_WRITTEN: return print_written(s, f, out, e);
	case FT_NAK: return print_nak(s, f, out, e);
	case FT_FINAL: return print_final(s, f, out, e);
	case FT_STAT: return print_stat(f, out, e);
	case FT_PROGRESS: return print_progress(f, out, e);
	case FT_END: return print_end(s, f, out, e);
	}
	return print_entry(s, f, out, e);	/* zero, ref, held */
}
