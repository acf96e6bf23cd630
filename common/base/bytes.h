/* Bytes and numbers: little-endian access, checked arithmetic, hex, sizes as
 * people write them, a growing buffer. */
#ifndef DM_BASE_BYTES_H
#define DM_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "err.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void put16(void *p, uint16_t v) { v = htole16(v); memcpy(p, &v, 2); }
static inline void put32(void *p, uint32_t v) { v = htole32(v); memcpy(p, &v, 4); }
static inline void put64(void *p, uint64_t v) { v = htole64(v); memcpy(p, &v, 8); }
static inline uint16_t get16(const void *p) { uint16_t v; memcpy(&v, p, 2); return le16toh(v); }
static inline uint32_t get32(const void *p) { uint32_t v; memcpy(&v, p, 4); return le32toh(v); }
static inline uint64_t get64(const void *p) { uint64_t v; memcpy(&v, p, 8); return le64toh(v); }

static inline uint64_t min64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t max64(uint64_t a, uint64_t b) { return a > b ? a : b; }
/* ceil(a / b), without overflow; b > 0. */
static inline uint64_t div_up(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
static inline bool is_pow2(uint64_t v) { return v && !(v & (v - 1)); }

/* *out = a + b (or a * b); false on overflow. */
static inline bool add64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool mul64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_mul_overflow(a, b, out); }

/* How many of the n elements of v, which ascend by that field, are below key. */
#define BELOW(v, n, field, key) __extension__ ({ \
	size_t lo_ = 0, hi_ = (n); \
	while (lo_ < hi_) { \
		size_t mid_ = lo_ + (hi_ - lo_) / 2; \
		if ((v)[mid_].field < (key)) \
			lo_ = mid_ + 1; \
		else \
			hi_ = mid_; \
	} \
	lo_; \
})

/* Are all len bytes at p zero? */
bool bytes_zero(const void *p, size_t len);
/* Put '?' for what a terminal would obey; s. */
char *line_clean(char *s);

/* 2*len digits and a NUL into out. */
void hex_put(char *out, const uint8_t *p, size_t len);
/* Exactly 2*len digits from s.  Returns 0 or -1. */
int hex_get(const char *s, uint8_t *out, size_t len);

/* "4096", "32M", "1.5G", "512KiB": K, M, G, T, P are powers of 1024.
 * The whole string must parse and lie in [lo, hi].  Returns 0 or -1. */
int size_parse(const char *s, uint64_t lo, uint64_t hi, uint64_t *out);
/* Decimal only, whole string, in [lo, hi].  Returns 0 or -1. */
int u64_parse(const char *s, uint64_t lo, uint64_t hi, uint64_t *out);
/* "512 B", "1.5 MiB"; out has room for 16. */
char *size_format(uint64_t n, char out[16]);

/* Allocate or exit DM_ENV with "out of memory": for small, bounded things.
 * Anything sized by input uses x_try. */
void *x_malloc(size_t len);		/* not zeroed */
void *x_alloc(size_t len);		/* zeroed */
void *x_array(size_t n, size_t each);	/* zeroed, overflow-checked */
void *x_grow(void *p, size_t n, size_t each);
char *x_strdup(const char *s);
char *x_strndup(const char *s, size_t n);
char *x_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Zeroed, or NULL with *e filled (DM_ENV). */
void *x_try(size_t n, size_t each, struct err *e);
/* Uninitialised, page aligned, or NULL with *e filled; freed with free(). */
void *x_pages(size_t len, struct err *e);

/* A growing byte string. */
struct buf {
	uint8_t *p;
	size_t len, cap;
};
void buf_put(struct buf *b, const void *p, size_t len);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint8_t *buf_room(struct buf *b, size_t len);	/* extends len, returns where */
void buf_drop(struct buf *b, size_t len);	/* from the front */
void buf_free(struct buf *b);			/* harmless twice */

/* A cursor over bytes that came from outside.  After the first overrun every
 * getter returns 0 and `bad' stays set; check it once at the end. */
struct cursor {
	const uint8_t *p, *end;
	bool bad;
};
uint8_t cur_u8(struct cursor *c);
uint16_t cur_u16(struct cursor *c);
uint32_t cur_u32(struct cursor *c);
uint64_t cur_u64(struct cursor *c);
const uint8_t *cur_bytes(struct cursor *c, size_t len);	/* NULL on overrun */
static inline size_t cur_left(const struct cursor *c) { return (size_t)(c->end - c->p); }

#endif
