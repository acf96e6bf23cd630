#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"

bool bytes_zero(const void *p, size_t len)
{
	const uint8_t *b = p;

	/* A block is zero when its start is and it equals itself shifted; the
	 * first words are looked at alone since most data is not zero. */
	if (len < 16) {
		for (size_t i = 0; i < len; i++)
			if (b[i])
				return false;
		return true;
	}
	if (get64(b) | get64(b + 8))
		return false;
	return !memcmp(b, b + 16, len - 16);
}

char *line_clean(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)	/* U+0080 to U+009F */
			p[0] = p[1] = '?';
	}
	return s;
}

void hex_put(char *out, const uint8_t *p, size_t len)
{
	static const char digit[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digit[p[i] >> 4];
		out[2 * i + 1] = digit[p[i] & 15];
	}
	out[2 * len] = 0;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_get(const char *s, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int hi = nibble(s[2 * i]);
		int lo = hi < 0 ? -1 : nibble(s[2 * i + 1]);

		if (lo < 0)
			return -1;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return s[2 * len] ? -1 : 0;
}

int u64_parse(const char *s, uint64_t lo, uint64_t hi, uint64_t *out)
{
	uint64_t v = 0;

	if (!*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || !mul64(v, 10, &v) || !add64(v, (uint64_t)(*s - '0'), &v))
			return -1;
	}
	if (v < lo || v > hi)
		return -1;
	*out = v;
	return 0;
}

/* The power of 1024 a suffix stands for, or -1; "", "K", "KB", "KiB". */
static int unit_power(const char *s)
{
	static const char unit[] = "KMGTP";
	const char *u;

	if (!*s || !strcmp(s, "B"))
		return 0;
	u = strchr(unit, toupper((unsigned char)*s));
	if (!u || (s[1] && strcasecmp(s + 1, "iB") && strcasecmp(s + 1, "B")))
		return -1;
	return (int)(u - unit) + 1;
}

int size_parse(const char *s, uint64_t lo, uint64_t hi, uint64_t *out)
{
	uint64_t whole = 0, part = 0, scale = 1, mul = 1, v;
	const char *p = s;
	int power;

	for (; *p >= '0' && *p <= '9'; p++)
		if (!mul64(whole, 10, &whole) || !add64(whole, (uint64_t)(*p - '0'), &whole))
			return -1;
	if (p == s)
		return -1;
	if (*p == '.') {
		const char *q = ++p;

		for (; *p >= '0' && *p <= '9'; p++, scale *= 10) {
			if (p - q >= 6)
				return -1;
			part = part * 10 + (uint64_t)(*p - '0');
		}
		if (p == q)
			return -1;
	}
	power = unit_power(p);
	if (power < 0 || (power == 0 && part))
		return -1;
	while (power--)
		mul *= 1024;
	if (!mul64(whole, mul, &v) || (part && !add64(v, (uint64_t)((double)part / (double)scale * (double)mul), &v)))
		return -1;
	if (v < lo || v > hi)
		return -1;
	*out = v;
	return 0;
}

char *size_format(uint64_t n, char out[16])
{
	static const char unit[] = "KMGTPE";
	double v = (double)n;
	int u = -1;

	if (n < 1024) {
		snprintf(out, 16, "%u B", (unsigned)n);
		return out;
	}
	while (v >= 1023.95 && u < 5) {
		v /= 1024;
		u++;
	}
	snprintf(out, 16, "%.1f %ciB", v, unit[u]);
	return out;
}

_Noreturn static void no_memory(void)
{
	err_warn("out of memory");
	_exit(DM_ENV);
}

void *x_malloc(size_t len)
{
	void *p = malloc(len ? len : 1);

	if (!p)
		no_memory();
	return p;
}

void *x_alloc(size_t len)
{
	void *p = calloc(1, len ? len : 1);

	if (!p)
		no_memory();
	return p;
}

void *x_array(size_t n, size_t each)
{
	void *p = calloc(n ? n : 1, each ? each : 1);

	if (!p)
		no_memory();
	return p;
}

void *x_grow(void *p, size_t n, size_t each)
{
	p = reallocarray(p, n ? n : 1, each);
	if (!p)
		no_memory();
	return p;
}

char *x_strdup(const char *s)
{
	char *p = strdup(s);

	if (!p)
		no_memory();
	return p;
}

char *x_strndup(const char *s, size_t n)
{
	char *p = strndup(s, n);

	if (!p)
		no_memory();
	return p;
}

char *x_printf(const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	if (vasprintf(&p, fmt, ap) < 0)
		no_memory();
	va_end(ap);
	return p;
}

void *x_try(size_t n, size_t each, struct err *e)
{
	void *p = calloc(n ? n : 1, each ? each : 1);

	if (!p)
		err_sys(e, DM_ENV, ENOMEM, "%zu bytes", n * each);
	return p;
}

void *x_pages(size_t len, struct err *e)
{
	void *p;

	if (posix_memalign(&p, 4096, len)) {
		err_sys(e, DM_ENV, ENOMEM, "%zu bytes", len);
		return NULL;
	}
	return p;
}

uint8_t *buf_room(struct buf *b, size_t len)
{
	size_t need = b->len + len;
	uint8_t *at;

	if (need < len)
		no_memory();
	if (need > b->cap) {
		size_t cap = b->cap ? b->cap : 256;

		while (cap < need)
			cap = cap > SIZE_MAX / 2 ? need : cap * 2;
		b->p = x_grow(b->p, cap, 1);
		b->cap = cap;
	}
	at = b->p + b->len;
	b->len = need;
	return at;
}

void buf_put(struct buf *b, const void *p, size_t len)
{
	if (len)
		memcpy(buf_room(b, len), p, len);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		no_memory();
	buf_put(b, s, (size_t)n);
	free(s);
}

void buf_drop(struct buf *b, size_t len)
{
	b->len -= len;
	if (len)
		memmove(b->p, b->p + len, b->len);
}

void buf_free(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

const uint8_t *cur_bytes(struct cursor *c, size_t len)
{
	const uint8_t *p = c->p;

	if (c->bad || cur_left(c) < len) {
		c->bad = true;
		return NULL;
	}
	c->p += len;
	return p;
}

uint8_t cur_u8(struct cursor *c)
{
	const uint8_t *p = cur_bytes(c, 1);

	return p ? *p : 0;
}

uint16_t cur_u16(struct cursor *c)
{
	const uint8_t *p = cur_bytes(c, 2);

	return p ? get16(p) : 0;
}

uint32_t cur_u32(struct cursor *c)
{
	const uint8_t *p = cur_bytes(c, 4);

	return p ? get32(p) : 0;
}

uint64_t cur_u64(struct cursor *c)
{
	const uint8_t *p = cur_bytes(c, 8);

	return p ? get64(p) : 0;
}
