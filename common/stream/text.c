/* Strings on the wire: UTF-8, so that every tool and JSON agree on them. */
#include <stdlib.h>

#include "stream/record_impl.h"

/* Length of the UTF-8 character at p (RFC 3629), 0 if there is none. */
static size_t char_len(const uint8_t *p, size_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 :
	    p[0] >> 3 == 30 ? 4 : 0;
	uint32_t v;

	if (!p[0] || !n || n > left)
		return 0;
	v = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 0;
	return n;
}

bool text_valid(const void *p, size_t len)
{
	const uint8_t *s = p;

	for (size_t i = 0, n; i < len; i += n) {
		n = char_len(s + i, len - i);
		if (!n)
			return false;
	}
	return true;
}

size_t text_clean(const char *s, size_t len, char *out, size_t cap)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t done = 0;

	for (size_t i = 0, n; i < len; i += n ? n : 1) {
		n = char_len(p + i, len - i);
		if (done + (n ? n : 1) > cap)
			break;
		if (n)
			memcpy(out + done, p + i, n);
		else
			out[done] = '?';
		done += n ? n : 1;
	}
	return done;
}

char *str_take(struct cursor *c, const char *what, struct err *e)
{
	size_t len = cur_u16(c);
	const uint8_t *p = cur_bytes(c, len);
	char *s;

	if (!p) {
		err_set(e, DM_BAD, "hello frame: too short");
		return NULL;
	}
	if (len > HELLO_STR_MAX || !text_valid(p, len)) {
		err_set(e, DM_BAD, "hello frame: the %s is too long or not UTF-8", what);
		return NULL;
	}
	s = x_alloc(len + 1);
	memcpy(s, p, len);
	return s;
}

int str_put(struct buf *b, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	if (len > HELLO_STR_MAX || !text_valid(s, len))
		return -1;
	put16(buf_room(b, 2), (uint16_t)len);
	buf_put(b, s, len);
	return 0;
}
