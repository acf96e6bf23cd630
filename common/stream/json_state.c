/* What a stream as JSON has said so far, and the words in it. */
#include <stdlib.h>

#include "stream/json_impl.h"

#define WORDS(name, ...) \
	static const char *const name##_v[] = { __VA_ARGS__ }; \
	const struct words words_##name = { name##_v, LEN(name##_v) }

WORDS(type, NULL, "hello", "extent", "desc", "chunk", "zero", "ref", "held", "barrier",
    "written", "durable", "nak", "final", "stat", "progress", "abort", "end");
WORDS(kind, NULL, "full", "incremental", "recovery", "ids");
WORDS(extent, "data", "zero", "same");
WORDS(codec, "raw", "zstd");
WORDS(how, "data", "zero", "ref", "held");
WORDS(side, NULL, "source", "target");
WORDS(class, "permanent", "throttle", "transient", "timeout");
WORDS(stat, NULL, "read", "sent", "stored", "dedup", "window", "flight", "flushing", "why",
    "key9", "key10", "key11", "key12", "key13", "key14", "key15");
WORDS(stage, NULL, "scan", "read", "write", "commit");

const char *word_of(const struct words *w, int n)
{
	return n >= 0 && n < w->n ? w->v[n] : NULL;
}

int word_find(const struct words *w, const char *s)
{
	for (int i = 0; i < w->n; i++)
		if (w->v[i] && !strcmp(w->v[i], s))
			return i;
	return -1;
}

struct stream_json *stream_json_new(void)
{
	struct stream_json *s = x_alloc(sizeof(*s));

	s->seen = iset_new();
	s->refs = iset_new();
	return s;
}

void stream_json_free(struct stream_json *s)
{
	if (!s)
		return;
	hello_free(&s->hello);
	buf_free(&s->desc.body);
	buf_free(&s->extent.body);
	iset_free(s->seen);
	iset_free(s->refs);
	free(s);
}

int stream_json_ended(const struct stream_json *s)
{
	return s->ended;
}

const struct err *stream_json_abort(const struct stream_json *s)
{
	return &s->abort;
}

int json_count(struct stream_json *s, uint8_t type, uint32_t disk, const struct entry *en,
    struct err *e)
{
	unsigned long long index = en->index;
	uint64_t n = entry_count(en, s->hello.chunk_size);
	int rc = iset_add(s->seen, en->index, n);

	if (rc > 0 && n == 1 && type != FT_REF && iset_has(s->refs, en->index))
		return 0;
	if (rc > 0)
		return err_set(e, DM_BAD, "entry %llu came twice", index);
	if (rc < 0 || (type == FT_REF && iset_add(s->refs, en->index, n) < 0))
		return err_set(e, DM_ENV, "out of memory");
	tally_add(&s->tally, disk, en, s->hello.chunk_size);
	return 0;
}

int json_count_end(const struct stream_json *s, const struct tally *end, struct err *e)
{
	if (!tally_equal(&s->tally, end))
		return err_set(e, DM_BAD, "end stands for %llu entries of %llu bytes, but "
		    "%llu of %llu came, or others", (unsigned long long)end->count,
		    (unsigned long long)end->bytes, (unsigned long long)s->tally.count,
		    (unsigned long long)s->tally.bytes);
	if (!iset_full(s->seen, iset_count(s->seen)))
		return err_set(e, DM_BAD, "indices are missing");
	return 0;
}
