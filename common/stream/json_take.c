/* Taking values out of a line of JSON. */
#include <sodium.h>
#include <stdlib.h>

#include "stream/json_take.h"

static void refuse(struct taker *t, const char *key, const char *what)
{
	err_set(t->e, DM_BAD, "'%s' %s", key, what);
	t->bad = true;
}

json_t *take(struct taker *t, const char *key, bool need)
{
	json_t *v = json_object_get(t->j, key);

	if (t->n < TAKE_KEYS)
		t->key[t->n++] = key;
	if (t->bad)
		return NULL;
	if (!v && need)
		refuse(t, key, "is missing");
	return v;
}

bool value_u64(const json_t *v, uint64_t max, uint64_t *out)
{
	if (json_is_integer(v) && json_integer_value(v) >= 0) {
		*out = (uint64_t)json_integer_value(v);
		return *out <= max;
	}
	return json_is_string(v) && !u64_parse(json_string_value(v), 0, max, out);
}

bool value_hex(const json_t *v, uint8_t *out, size_t len)
{
	return json_is_string(v) && json_string_length(v) == 2 * len &&
	    !hex_get(json_string_value(v), out, len);
}

static uint64_t number(struct taker *t, const char *key, const json_t *v, uint64_t max)
{
	uint64_t n = 0;

	if (v && !value_u64(v, max, &n)) {
		refuse(t, key, "is not a number in its range");
		return 0;
	}
	return n;
}

uint64_t take_u64(struct taker *t, const char *key, uint64_t max)
{
	return number(t, key, take(t, key, true), max);
}

uint64_t take_u64_or(struct taker *t, const char *key, uint64_t max, uint64_t absent)
{
	const json_t *v = take(t, key, false);

	return v ? number(t, key, v, max) : absent;
}

const char *take_text(struct taker *t, const char *key)
{
	const json_t *v = take(t, key, true);

	if (v && !json_is_string(v)) {
		refuse(t, key, "is not a string");
		return NULL;
	}
	return v ? json_string_value(v) : NULL;
}

bool take_bool(struct taker *t, const char *key)
{
	const json_t *v = take(t, key, false);

	if (v && !json_is_boolean(v))
		refuse(t, key, "is neither true nor false");
	return json_is_true(v);
}

int take_word(struct taker *t, const char *key, const struct words *w, int max)
{
	const json_t *v = take(t, key, true);
	uint64_t n;
	int found;

	if (!v)
		return 0;
	if (json_is_string(v)) {
		found = word_find(w, json_string_value(v));
		if (found >= 0)
			return found;
	} else if (value_u64(v, (uint64_t)max, &n)) {
		return (int)n;
	}
	refuse(t, key, "is no word known here");
	return 0;
}

bool take_hex(struct taker *t, const char *key, uint8_t *out, size_t len)
{
	const json_t *v = take(t, key, false);

	if (v && !value_hex(v, out, len)) {
		refuse(t, key, "is not so many hexadecimal digits as it should be");
		return false;
	}
	return v;
}

uint8_t *take_base64(struct taker *t, const char *key, size_t cap, size_t *len)
{
	const char *text = take_text(t, key);
	size_t n = text ? strlen(text) : 0, room = n / 4 * 3 + 3;
	uint8_t *p;

	if (!text)
		return NULL;
	p = x_try(room, 1, t->e);
	if (!p) {
		t->bad = true;
		return NULL;
	}
	if (sodium_base642bin(p, room, text, n, NULL, len, NULL,
	    sodium_base64_VARIANT_ORIGINAL) != 0 || *len > cap) {
		refuse(t, key, "is not base64, or too long");
		free(p);
		return NULL;
	}
	return p;
}

int take_end(struct taker *t)
{
	const char *key;
	json_t *v;

	if (t->bad)
		return -1;
	json_object_foreach(t->j, key, v) {
		int i = 0;

		while (i < t->n && strcmp(t->key[i], key))
			i++;
		if (i == t->n)
			return err_set(t->e, DM_BAD, "unknown key '%s'", key);
	}
	return 0;
}
