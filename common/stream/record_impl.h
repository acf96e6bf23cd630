/* Inside of record_*.c; nobody else includes this. */
#ifndef DM_STREAM_RECORD_IMPL_H
#define DM_STREAM_RECORD_IMPL_H

#include "stream/record.h"

static inline struct cursor body_of(const struct frame *f)
{
	return (struct cursor){ .p = f->body, .end = f->body + f->len };
}

/* Was the body read exactly to its end? 0 or -1 with *e. */
int body_end(const struct cursor *c, const struct frame *f, struct err *e);
/* The frame's disk is in HELLO's table? 0 or -1 with *e. */
int disk_check(const struct frame *f, const struct hello *h, struct err *e);

/* Do codec, lengths and entry of a chunk go together? 0 or -1 with *e. */
int chunk_check(const struct chunk *c, struct err *e);
void extent_encode(const struct extent *x, uint8_t p[EXTENT_LEN]);

/* Strings are a u16 length and so many bytes of UTF-8 without NUL. */
bool text_valid(const void *p, size_t len);
/* Write s with everything that is not UTF-8 as '?', at most cap bytes. */
size_t text_clean(const char *s, size_t len, char *out, size_t cap);
/* An allocation, or NULL with *e when it is no such string of at most
 * HELLO_STR_MAX bytes. */
char *str_take(struct cursor *c, const char *what, struct err *e);
/* -1 when s is no such string. */
int str_put(struct buf *b, const char *s);

#endif
