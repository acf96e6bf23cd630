/* Taking values out of a line of JSON: a missing key, a wrong kind of value
 * and an unknown key are refused by name.  For json_*.c only. */
#ifndef DM_STREAM_JSON_TAKE_H
#define DM_STREAM_JSON_TAKE_H

#include "stream/json_impl.h"

#define TAKE_KEYS 32

struct taker {
	json_t *j;
	const char *key[TAKE_KEYS];	/* asked for so far */
	int n;
	struct err *e;
	bool bad;		/* something was wrong: *e tells it */
};

/* After the first failure every one gives 0 or NULL. */
json_t *take(struct taker *t, const char *key, bool need);
uint64_t take_u64(struct taker *t, const char *key, uint64_t max);
uint64_t take_u64_or(struct taker *t, const char *key, uint64_t max, uint64_t absent);
const char *take_text(struct taker *t, const char *key);
bool take_bool(struct taker *t, const char *key);	/* absent: false */
/* A word, or the number of one that has none. */
int take_word(struct taker *t, const char *key, const struct words *w, int max);
/* Exactly len bytes; false when absent. */
bool take_hex(struct taker *t, const char *key, uint8_t *out, size_t len);
/* An allocation of *len bytes, at most cap; NULL on failure. */
uint8_t *take_base64(struct taker *t, const char *key, size_t cap, size_t *len);
/* Were all keys known?  0 or -1 with *e. */
int take_end(struct taker *t);

/* Values inside of arrays. */
bool value_u64(const json_t *v, uint64_t max, uint64_t *out);
bool value_hex(const json_t *v, uint8_t *out, size_t len);

/* json_in_hello.c */
int json_parse_hello(struct taker *t, struct stream_json *s, struct frame_out *o);

#endif
