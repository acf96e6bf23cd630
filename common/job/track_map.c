/* Maps that other tools made: qemu-img map --output=json, nbdinfo --map
 * --json, or plain lines "OFFSET LENGTH [data|zero|same]". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "content/jsontext.h"
#include "job/track.h"

#define STRETCH 2048u	/* extents told at a time */
#define ITEM_MAX 4096u	/* bytes of one object or line */
#define PAST_END 4096u	/* tools round the size up to a sector */

struct map_tracker {
	struct tracker t;
	FILE *f;
	char *what;
	uint64_t size;
	enum map_meaning meaning;
	enum { FORM_UNKNOWN, FORM_JSON, FORM_LINES } form;
	unsigned long item;	/* number of the object or line, for messages */
	bool over;
};

static int wrong(const struct map_tracker *m, const char *why, struct err *e)
{
	return err_set(e, DM_BAD, "%s: extent %lu: %s", m->what, m->item, why);
}

/* What stands between two extents: a list of changes is complete, a map that
 * says nothing about a range does not know. */
static enum extent_kind unsaid(const struct map_tracker *m)
{
	return m->form == FORM_LINES && m->meaning != MAP_ALLOCATION ? EXT_SAME : EXT_DATA;
}

static enum extent_kind judge_qemu(const json_t *o, enum map_meaning meaning)
{
	bool data = json_is_true(json_object_get(o, "data"));
	bool zero = json_is_true(json_object_get(o, "zero"));
	const json_t *depth = json_object_get(o, "depth");

	if (meaning == MAP_BITMAP)
		return data ? EXT_SAME : EXT_DATA;
	if (meaning == MAP_CHANGES && json_is_integer(depth) && json_integer_value(depth) > 0)
		return EXT_SAME;	/* comes from the file below: the base */
	return zero ? EXT_ZERO : EXT_DATA;
}

static enum extent_kind judge_nbd(const json_t *o, enum map_meaning meaning)
{
	const char *d = json_string_value(json_object_get(o, "description"));

	if (d && (!strcmp(d, "zero") || !strcmp(d, "hole,zero")))
		return EXT_ZERO;
	if (d && !strcmp(d, "clean") && meaning != MAP_ALLOCATION)
		return EXT_SAME;
	return EXT_DATA;
}

static bool take_number(const json_t *o, const char *key, uint64_t *out)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return false;
	*out = (uint64_t)json_integer_value(v);
	return true;
}

static int object_extent(const struct map_tracker *m, const char *text, size_t len,
    struct extent *x, struct err *e)
{
	json_t *o = jsontext_parse(text, len, NULL);
	bool qemu = json_object_get(o, "start") != NULL;
	int r = 0;

	if (!json_is_object(o))
		r = wrong(m, "not a JSON object", e);
	else if (!take_number(o, qemu ? "start" : "offset", &x->off) || !take_number(o, "length", &x->len))
		r = wrong(m, "without \"start\" (or \"offset\") and \"length\"", e);
	else
		x->kind = qemu ? judge_qemu(o, m->meaning) : judge_nbd(o, m->meaning);
	json_decref(o);
	return r;
}

static int next_char(FILE *f)
{
	int c;

	do
		c = getc(f);
	while (c == ' ' || c == '\t' || c == '\n' || c == '\r');
	return c;
}

/* The text of one object, from its brace on: its length, 0 when it is too long
 * or not whole. */
static size_t object_text(FILE *f, char *text)
{
	size_t n = 0;
	bool quoted = false;
	int c = '{';

	for (; c != EOF && n < ITEM_MAX; c = getc(f)) {
		text[n++] = (char)c;
		if (c == '"')
			quoted = !quoted;
		else if (c == '\\' && quoted && n < ITEM_MAX && (c = getc(f)) != EOF)
			text[n++] = (char)c;
		else if (c == '}' && !quoted)
			return n;
	}
	return 0;
}

/* 1, 0 at the end of the array, -1. */
static int next_object(struct map_tracker *m, struct extent *x, struct err *e)
{
	char text[ITEM_MAX];
	int c = next_char(m->f);
	size_t n;

	if (c == ',' && m->item)
		c = next_char(m->f);
	else if (c == '{' && m->item)
		return wrong(m, "no comma before the next", e);
	if (c == ']')
		return next_char(m->f) == EOF ? 0 : wrong(m, "more text after the array", e);
	m->item++;
	if (c == EOF)
		return err_set(e, DM_ENV, "%s: ended inside the map", m->what);
	n = c == '{' ? object_text(m->f, text) : 0;
	if (!n)
		return wrong(m, "not a JSON object", e);
	return object_extent(m, text, n, x, e) == 0 ? 1 : -1;
}

static int line_extent(const struct map_tracker *m, char *line, struct extent *x, struct err *e)
{
	char *save, *off = strtok_r(line, " \t\r\n", &save);
	char *len = strtok_r(NULL, " \t\r\n", &save);
	char *kind = strtok_r(NULL, " \t\r\n", &save);

	if (!len || (kind && strtok_r(NULL, " \t\r\n", &save)))
		return wrong(m, "not of the form OFFSET LENGTH [data|zero|same]", e);
	if (size_parse(off, 0, INT64_MAX, &x->off) != 0 || size_parse(len, 0, INT64_MAX, &x->len) != 0)
		return wrong(m, "offset and length are no sizes", e);
	if (!kind || !strcmp(kind, "data"))
		x->kind = EXT_DATA;
	else if (!strcmp(kind, "zero"))
		x->kind = EXT_ZERO;
	else if (!strcmp(kind, "same"))
		x->kind = m->meaning == MAP_ALLOCATION ? EXT_DATA : EXT_SAME;
	else
		return wrong(m, "its kind is none of data, zero, same", e);
	return 0;
}

static int next_line(struct map_tracker *m, struct extent *x, struct err *e)
{
	char line[ITEM_MAX];

	while (fgets(line, sizeof(line), m->f)) {
		size_t at = strspn(line, " \t\r\n");

		m->item++;
		if (!strchr(line, '\n') && strlen(line) == sizeof(line) - 1)
			return wrong(m, "the line is too long", e);
		if (!line[at] || line[at] == '#')
			continue;
		return line_extent(m, line, x, e) == 0 ? 1 : -1;
	}
	return 0;
}

static int next_extent(struct map_tracker *m, struct extent *x, struct err *e)
{
	int r;

	if (m->form == FORM_UNKNOWN) {
		int c = next_char(m->f);

		m->form = c == '[' ? FORM_JSON : FORM_LINES;
		if (c != '[' && c != EOF)
			ungetc(c, m->f);
	}
	r = m->form == FORM_JSON ? next_object(m, x, e) : next_line(m, x, e);
	if (r >= 0 && ferror(m->f))
		return err_sys(e, DM_ENV, errno, "%s: read", m->what);
	return r;
}

/* Check one extent against what came before and the disk; add it. */
static int take(struct map_tracker *m, struct extent *x, struct extents *out, struct err *e)
{
	uint64_t end;

	if (!add64(x->off, x->len, &end))
		return wrong(m, "offset and length overflow", e);
	if (x->off < m->t.pos && x->len)
		return wrong(m, "overlaps the one before, or is out of order", e);
	if (end > m->size && end - m->size >= PAST_END)
		return err_set(e, DM_NO, "%s: reaches to %llu, the disk has %llu bytes: is it of this disk?",
		    m->what, (unsigned long long)end, (unsigned long long)m->size);
	end = min64(end, m->size);
	if (!x->len || x->off >= end)
		return 0;
	extents_add(out, m->t.pos, x->off - m->t.pos, unsaid(m));
	extents_add(out, x->off, end - x->off, x->kind);
	m->t.pos = end;
	return 0;
}

static int next(struct tracker *t, struct extents *out, struct err *e)
{
	struct map_tracker *m = (struct map_tracker *)t;
	struct extent x;
	int r = 1;

	extents_clear(out);
	while (!m->over && out->n < STRETCH && r == 1) {
		r = next_extent(m, &x, e);
		if (r == 1 && take(m, &x, out, e) != 0)
			r = -1;
	}
	if (r == 0 && !m->over) {
		m->over = true;
		extents_add(out, t->pos, m->size - t->pos, unsaid(m));
		t->pos = m->size;
	}
	return r < 0 ? -1 : out->n > 0;
}

static void free_map(struct tracker *t)
{
	struct map_tracker *m = (struct map_tracker *)t;

	fclose(m->f);
	free(m->what);
	free(m);
}

struct tracker *track_map(FILE *f, const char *what, uint64_t size, enum map_meaning meaning)
{
	static const struct tracker_ops ops = { next, free_map };
	struct map_tracker *m = x_alloc(sizeof(*m));

	m->t.ops = &ops;
	m->f = f;
	m->what = x_strdup(what);
	m->size = size;
	m->meaning = meaning;
	return &m->t;
}
