/* Inside of json_*.c; nobody else includes this. */
#ifndef DM_STREAM_JSON_IMPL_H
#define DM_STREAM_JSON_IMPL_H

#include <jansson.h>

#include "stream/stream_json.h"

struct stream_json {
	struct hello hello;
	bool has_hello;
	int ended;		/* FT_END, FT_ABORT or 0 */
	struct err abort;
	struct tally tally;	/* of what came, or of what was put */
	struct iset *seen, *refs;	/* indices, and those of references */
	uint64_t next;		/* index, when renumbering */
	struct desc_batch desc;
	struct extent_batch extent;
};

/* Count an entry.  One that came as a reference may come once more with data,
 * and counts once.  0 or -1 with *e. */
int json_count(struct stream_json *s, uint8_t type, uint32_t disk, const struct entry *en,
    struct err *e);
/* END: does it stand for what came? */
int json_count_end(const struct stream_json *s, const struct tally *end, struct err *e);

/* Words for numbers.  Words end with NULL at index n; unknown numbers have no
 * word. */
struct words {
	const char *const *v;
	int n;
};
extern const struct words words_type, words_kind, words_extent, words_codec, words_how,
    words_side, words_class, words_stat, words_stage;
const char *word_of(const struct words *w, int n);	/* or NULL */
int word_find(const struct words *w, const char *s);	/* or -1 */

/* Making lines.  Without memory they end the program. */
void json_set(json_t *j, const char *key, json_t *v);	/* takes v */
void json_set_u64(json_t *j, const char *key, uint64_t v);
void json_set_text(json_t *j, const char *key, const char *s);
void json_set_base64(json_t *j, const char *key, const uint8_t *p, size_t len);
void json_set_word(json_t *j, const char *key, const struct words *w, int n);
json_t *json_hex(const uint8_t *p, size_t len);
json_t *json_frame(const struct frame *f, bool disk, bool epoch);
void json_entry(const struct entry *en, json_t *j);
void json_hello(const struct hello *h, json_t *j);
void json_line(json_t *j, struct buf *out);	/* takes j */

#endif
