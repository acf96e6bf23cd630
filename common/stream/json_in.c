/* Lines of JSON to frames. */
#include <stdlib.h>

#include "content/jsontext.h"
#include "stream/json_take.h"
#include "stream/record_impl.h"

/* Where a line goes. */
struct sink {
	struct stream_json *s;
	struct frame_out *o;
	bool renumber;
	uint32_t disk, epoch;
	uint8_t type;
};

static void take_frags(struct taker *t, struct entry *en)
{
	json_t *v = take(t, "frags", false);

	if (!v)
		return;
	en->flags |= EF_FRAGS;
	if (json_array_size(v) > ENTRY_FRAGS_MAX)
		t->bad = true;
	for (size_t i = 0; !t->bad && i < json_array_size(v); i++) {
		const json_t *pair = json_array_get(v, i);
		uint64_t off, len;

		if (json_array_size(pair) != 2 ||
		    !value_u64(json_array_get(pair, 0), UINT32_MAX, &off) ||
		    !value_u64(json_array_get(pair, 1), UINT32_MAX, &len)) {
			t->bad = true;
			break;
		}
		en->frag[i] = (struct frag){ (uint32_t)off, (uint32_t)len };
		en->nfrags++;
	}
	if (t->bad || !json_is_array(v)) {
		err_set(t->e, DM_BAD, "'frags' is not a list of up to %d [offset, length]",
		    ENTRY_FRAGS_MAX);
		t->bad = true;
	}
}

static void take_leaves(struct taker *t, struct entry *en)
{
	json_t *v = take(t, "leaves", false);
	bool good = json_is_array(v) && json_array_size(v) <= LEAVES_MAX;

	if (!v)
		return;
	en->flags |= EF_LEAVES;
	for (size_t i = 0; good && i < json_array_size(v); i++) {
		good = value_hex(json_array_get(v, i), en->leaf[i].b, ID_LEN);
		en->nleaves++;
	}
	if (!good) {
		err_set(t->e, DM_BAD, "'leaves' is not a list of up to %u ids", LEAVES_MAX);
		t->bad = true;
	}
}

/* An entry, numbered, checked and counted. */
static int take_entry(struct taker *t, struct sink *k, struct entry *en)
{
	uint8_t raw[ENTRY_MAX];
	struct cursor c = { .p = raw };

	memset(en, 0, offsetof(struct entry, frag));
	en->index = k->renumber ? take_u64_or(t, "index", UINT64_MAX, 0)
	    : take_u64(t, "index", UINT64_MAX);
	en->off = take_u64(t, "off", UINT64_MAX);
	en->len = take_u64(t, "len", UINT64_MAX);
	en->flags |= take_bool(t, "zero") ? EF_ZERO : 0;
	en->flags |= take_bool(t, "run") ? EF_RUN : 0;
	take_frags(t, en);
	en->flags |= take_bool(t, "rest_zero") ? EF_REST_ZERO : 0;
	en->flags |= take_hex(t, "id", en->id.b, ID_LEN) ? EF_ID : 0;
	take_leaves(t, en);
	if (t->bad)
		return -1;
	if (k->renumber) {
		en->index = k->s->next;
		k->s->next += entry_count(en, k->s->hello.chunk_size);
	}
	c.end = raw + entry_encode(en, raw);
	if (entry_decode(&c, &k->s->hello, k->disk, en, t->e) < 0)
		return -1;
	if (k->type == FT_REF && !(en->flags & EF_ID))
		return err_set(t->e, DM_BAD, "'id' is missing");
	return json_count(k->s, k->type, k->disk, en, t->e);
}

static int parse_extent(struct taker *t, struct sink *k)
{
	struct extent_batch *b = &k->s->extent;
	uint8_t raw[EXTENT_LEN];
	struct cursor c = { .p = raw, .end = raw + EXTENT_LEN };
	struct extent x = { .off = take_u64(t, "off", UINT64_MAX) };

	x.len = take_u64(t, "len", UINT64_MAX);
	x.kind = (enum extent_kind)take_word(t, "kind", &words_extent, EXT_SAME);
	if (take_end(t) < 0)
		return -1;
	extent_encode(&x, raw);
	if (extent_decode(&c, &k->s->hello, k->disk, &x, t->e) < 0)
		return -1;
	tally_add_extent(&k->s->tally, k->disk, &x);
	return extent_add(k->o, b, k->disk, &x, t->e);
}

static int parse_desc(struct taker *t, struct sink *k)
{
	struct desc_batch *b = &k->s->desc;
	struct entry en;

	if (take_entry(t, k, &en) < 0 || take_end(t) < 0)
		return -1;
	if (b->epoch != k->epoch && desc_flush(k->o, b, t->e) < 0)
		return -1;
	b->epoch = k->epoch;
	return desc_add(k->o, b, k->disk, &en, t->e);
}

static int parse_chunk(struct taker *t, struct sink *k)
{
	struct chunk c = { .attempt = (uint16_t)take_u64_or(t, "attempt", UINT16_MAX, 0) };
	size_t stored, len = 0;
	uint8_t *data;
	int rc = -1;

	c.codec = (uint8_t)take_word(t, "codec", &words_codec, UINT8_MAX);
	c.plain = (uint32_t)take_u64(t, "plain", UINT32_MAX);
	stored = take_u64(t, "stored", UINT32_MAX);
	if (take_bool(t, "data_omitted"))
		return err_set(t->e, DM_BAD, "a chunk without its data: make the lines with "
		    "dm-json --data");
	data = take_base64(t, "data", FRAME_BODY_MAX, &len);
	c.data = data;
	c.stored = (uint32_t)len;
	if (take_entry(t, k, &c.en) < 0 || take_end(t) < 0)
		goto out;
	if (len != stored)
		err_set(t->e, DM_BAD, "'stored' is not the length of 'data'");
	else if (!chunk_check(&c, t->e))
		rc = chunk_put(k->o, k->disk, k->epoch, &c, t->e);
out:
	free(data);
	return rc;
}

static int parse_entry(struct taker *t, struct sink *k)
{
	struct entry en;

	if (take_entry(t, k, &en) < 0 || take_end(t) < 0)
		return -1;
	return entry_frame_put(k->o, k->type, k->disk, k->epoch, &en, t->e);
}

static int parse_written(struct taker *t, struct sink *k)
{
	struct written w = { .how = (uint8_t)take_word(t, "how", &words_how, HOW_HELD) };

	w.service_us = (uint32_t)take_u64_or(t, "service_us", UINT32_MAX, 0);
	if (take_entry(t, k, &w.en) < 0 || take_end(t) < 0)
		return -1;
	return written_put(k->o, k->disk, k->epoch, &w, t->e);
}

static int parse_barrier(struct taker *t, struct sink *k)
{
	struct barrier b = { .count = take_u64(t, "count", UINT64_MAX) };

	if (k->type == FT_BARRIER)
		b.bytes = take_u64(t, "bytes", UINT64_MAX);
	if (take_end(t) < 0)
		return -1;
	return k->type == FT_BARRIER ? barrier_put(k->o, k->epoch, &b, t->e)
	    : durable_put(k->o, k->epoch, b.count, t->e);
}

static int parse_nak(struct taker *t, struct sink *k)
{
	struct nak n = { .index = take_u64(t, "index", UINT64_MAX) };

	n.cls = (uint8_t)take_word(t, "class", &words_class, CLASS_TIMEOUT);
	n.again = take_bool(t, "again");
	n.retry_ms = (uint32_t)take_u64_or(t, "retry_ms", UINT32_MAX, 0);
	return take_end(t) < 0 ? -1 : nak_put(k->o, k->disk, k->epoch, &n, t->e);
}

static int parse_final(struct taker *t, struct sink *k)
{
	struct final x = { .side = (uint8_t)take_word(t, "side", &words_side, SIDE_TARGET) };

	x.flags |= take_hex(t, "root", x.root.b, ID_LEN) ? FINAL_ROOT : 0;
	x.flags |= take_bool(t, "partial") ? FINAL_PARTIAL : 0;
	x.stored = take_u64_or(t, "stored", UINT64_MAX, 0);
	x.point = (char *)take_text(t, "point");
	if (take_end(t) < 0)
		return -1;
	if (!x.side)
		return err_set(t->e, DM_BAD, "'side' is no word known here");
	return final_put(k->o, k->disk, &x, t->e);
}

static int parse_stat(struct taker *t, struct sink *k)
{
	struct stats st = { { 0 } };

	for (int i = 1; i < (int)LEN(st.v); i++)
		st.v[i] = take_u64_or(t, word_of(&words_stat, i), UINT64_MAX, 0);
	return take_end(t) < 0 ? -1 : stat_put(k->o, k->disk, &st, t->e);
}

static int parse_progress(struct taker *t, struct sink *k)
{
	struct progress_rec p = { .stage = (uint8_t)take_word(t, "stage", &words_stage, UINT8_MAX) };

	p.done = take_u64(t, "done", UINT64_MAX);
	p.total = take_u64(t, "total", UINT64_MAX);
	return take_end(t) < 0 ? -1 : progress_put(k->o, k->disk, &p, t->e);
}

static int parse_abort(struct taker *t, struct sink *k)
{
	struct err *a = &k->s->abort;
	uint64_t code = take_u64(t, "code", DM_ENV);
	int cls = take_word(t, "class", &words_class, CLASS_TIMEOUT);
	const char *text = take_text(t, "text");

	if (take_end(t) < 0)
		return -1;
	if (!code)
		return err_set(t->e, DM_BAD, "'code' is not a number in its range");
	memset(a, 0, sizeof(*a));
	err_set(a, (int)code, "%s", text);
	a->cls = (enum err_class)cls;
	a->relayed = 1;
	k->s->ended = FT_ABORT;
	return abort_put(k->o, a, t->e);
}

static int parse_end(struct taker *t, struct sink *k)
{
	struct tally end = { .count = take_u64(t, "count", UINT64_MAX) };
	uint8_t root[ID_LEN] = { 0 };

	end.bytes = take_u64(t, "bytes", UINT64_MAX);
	take_hex(t, "root", root, sizeof(root));
	for (int i = 0; i < 4; i++)
		end.root[i] = get64(root + 8 * i);
	if (take_end(t) < 0)
		return -1;
	if (!k->renumber && json_count_end(k->s, &end, t->e) < 0)
		return err_prefix(t->e, "were lines left out (then add --renumber)?");
	k->s->ended = FT_END;
	return 0;	/* it goes out when nothing follows: json_finish */
}

static int parse_other(struct taker *t, struct sink *k)
{
	uint64_t code = take_u64(t, "code", UINT8_MAX);
	size_t len = 0;
	uint8_t *body = take_base64(t, "body", FRAME_BODY_MAX, &len);
	int rc = -1;

	if (take_end(t) < 0)
		;
	else if (!code || word_of(&words_type, (int)code))
		err_set(t->e, DM_BAD, "'code' is that of a frame with a name");
	else
		rc = frame_put1(k->o, (uint8_t)code, FF_MAY_IGNORE, k->disk, k->epoch, body, len, t->e);
	free(body);
	return rc;
}

static int dispatch(struct taker *t, struct sink *k)
{
	switch (k->type) {
	case 0: return parse_other(t, k);
	case FT_HELLO: return json_parse_hello(t, k->s, k->o);
	case FT_EXTENT: return parse_extent(t, k);
	case FT_DESC: return parse_desc(t, k);
	case FT_CHUNK: return parse_chunk(t, k);
	case FT_BARRIER:
	case FT_DURABLE: return parse_barrier(t, k);
	case FT_WRITTEN: return parse_written(t, k);
	case FT_NAK: return parse_nak(t, k);
	case FT_FINAL: return parse_final(t, k);
	case FT_STAT: return parse_stat(t, k);
	case FT_PROGRESS: return parse_progress(t, k);
	case FT_ABORT: return parse_abort(t, k);
	case FT_END: return parse_end(t, k);
	}
	return parse_entry(t, k);	/* zero, ref, held */
}

static bool type_has_disk(int type)
{
	return type != FT_HELLO && type != FT_BARRIER && type != FT_DURABLE &&
	    type != FT_ABORT && type != FT_END;
}

static bool type_has_epoch(int type)
{
	return !type || (type >= FT_DESC && type <= FT_NAK);
}

static int parse_object(struct taker *t, struct sink *k)
{
	const char *name = take_text(t, "type");
	int type;

	if (!name)
		return -1;
	type = strcmp(name, "other") ? word_find(&words_type, name) : 0;
	if (type < 0)
		return err_set(t->e, DM_BAD, "unknown type '%s'", name);
	if (!k->s->has_hello && type != FT_HELLO && type != FT_ABORT)
		return err_set(t->e, DM_BAD, "the first line is not hello");
	k->type = (uint8_t)type;
	if (type_has_disk(type))
		k->disk = (uint32_t)take_u64(t, "disk", UINT32_MAX);
	if (type_has_epoch(type))
		k->epoch = (uint32_t)take_u64_or(t, "epoch", UINT32_MAX, 1);
	if (t->bad)
		return -1;
	if ((type == FT_NAK || type == FT_FINAL) && k->disk >= k->s->hello.ndisks)
		return err_set(t->e, DM_BAD, "disk %u is not in the hello", k->disk);
	if ((type != FT_DESC && desc_flush(k->o, &k->s->desc, t->e) < 0) ||
	    (type != FT_EXTENT && extent_flush(k->o, &k->s->extent, t->e) < 0))
		return -1;
	return dispatch(t, k);
}

int json_parse(struct stream_json *s, const char *line, size_t len, bool renumber,
    struct frame_out *o, struct err *e)
{
	struct taker t = { .e = e };
	struct sink k = { .s = s, .o = o, .renumber = renumber };
	json_error_t je;
	int rc;

	if (s->ended == FT_END)
		return err_set(e, DM_BAD, "more lines after end");
	t.j = jsontext_parse(line, len, &je);
	if (!t.j)
		return err_set(e, DM_BAD, "not JSON: %s", je.text);
	if (json_is_object(t.j))
		rc = parse_object(&t, &k);
	else
		rc = err_set(e, DM_BAD, "not a JSON object");
	json_decref(t.j);
	return rc;
}

int json_flush(struct stream_json *s, struct frame_out *o, struct err *e)
{
	if (desc_flush(o, &s->desc, e) < 0 || extent_flush(o, &s->extent, e) < 0)
		return -1;
	return frame_flush(o, e);
}

int json_finish(struct stream_json *s, struct frame_out *o, struct err *e)
{
	if (end_put(o, &s->tally, e) < 0)
		return -1;
	return json_flush(s, o, e);
}
