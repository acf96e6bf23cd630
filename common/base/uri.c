#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/uri.h"

#define NAME_MAX_LEN 64

bool name_valid(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > NAME_MAX_LEN || *s == '.' || *s == '-')
		return false;
	return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

/* Length of a scheme in front of ':', 0 if s is a plain path. */
static size_t scheme_len(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789+.-");

	return n >= 2 && s[n] == ':' && s[0] >= 'a' && s[0] <= 'z' ? n : 0;
}

char *uri_decode(const char *s, size_t len)
{
	char *out = x_alloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char two[3];
		uint8_t c;

		if (s[i] != '%') {
			out[n++] = s[i];
			continue;
		}
		if (len - i < 3)
			goto bad;
		memcpy(two, s + i + 1, 2);
		two[2] = 0;
		if (hex_get(two, &c, 1) < 0 || !c)
			goto bad;
		out[n++] = (char)c;
		i += 2;
	}
	return out;
bad:
	free(out);
	return NULL;
}

int uri_parse(const char *s, struct uri *u, struct err *e)
{
	size_t scheme = scheme_len(s);
	const char *path = scheme ? s + scheme + 1 : s;
	size_t len = strlen(path);
	const char *q, *f;

	*u = (struct uri){ 0 };
	if (!scheme) {
		if (!*s)
			return err_set(e, DM_USAGE, "empty volume name");
		u->scheme = x_strdup("file");
		u->path = x_strdup(s);
		return 0;
	}
	u->scheme = x_strndup(s, scheme);
	f = strchr(path, '#');
	if (f) {
		u->fragment = x_strdup(f + 1);
		len = (size_t)(f - path);
	}
	q = memchr(path, '?', len);
	if (q) {
		u->query = x_strndup(q + 1, (size_t)(path + len - q - 1));
		len = (size_t)(q - path);
	}
	if (!strcmp(u->scheme, "file") && len >= 2 && !strncmp(path, "//", 2)) {
		path += 2;
		len -= 2;
	}
	if (!strcmp(u->scheme, "file") || !strcmp(u->scheme, "repo")) {
		u->path = uri_decode(path, len);
	} else {
		u->path = x_strndup(path, len);
	}
	if (!u->path || !*u->path) {
		uri_free(u);
		return err_set(e, DM_USAGE, "%s: not a volume name", s);
	}
	return 0;
}

char *uri_query(const struct uri *u, const char *key)
{
	size_t klen = strlen(key);
	const char *p = u->query;

	while (p && *p) {
		size_t len = strcspn(p, "&");

		if (len > klen && !strncmp(p, key, klen) && p[klen] == '=')
			return uri_decode(p + klen + 1, len - klen - 1);
		p += len + (p[len] == '&');
	}
	return NULL;
}

char *uri_of_file(const char *path)
{
	struct buf b = { 0 };

	buf_printf(&b, "file:");
	for (const char *c = path; *c; c++)
		buf_printf(&b, strchr("%#?", *c) ? "%%%02X" : "%c", (unsigned char)*c);
	buf_put(&b, "", 1);
	return (char *)b.p;
}

void uri_free(struct uri *u)
{
	free(u->scheme);
	free(u->path);
	free(u->query);
	free(u->fragment);
	*u = (struct uri){ 0 };
}

/* The last part of a path, without an image suffix, made a valid name; but '='
 * stays, and is refused, as it may be a NAME= gone wrong. */
static char *default_name(const char *uri)
{
	static const char *const suffix[] = { ".raw", ".img", ".qcow2", ".disk", ".bin" };
	size_t len = strcspn(uri, "?#");
	const char *from = uri;
	char *name;

	while (len > 1 && uri[len - 1] == '/')
		len--;
	for (size_t i = 0; i < len; i++)
		if (uri[i] == '/' || (uri[i] == ':' && scheme_len(uri) == i))
			from = uri + i + 1;
	name = x_strndup(from, (size_t)(uri + len - from));
	len = strlen(name);
	for (size_t i = 0; i < LEN(suffix); i++) {
		size_t n = strlen(suffix[i]);

		if (len > n && !strcmp(name + len - n, suffix[i])) {
			name[len - n] = 0;
			break;
		}
	}
	for (char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-=", *p))
			*p = '_';
	if (*name == '.' || *name == '-')
		*name = '_';
	return name;
}

int volume_arg_parse(const char *s, struct volume_arg *a, struct err *e)
{
	const char *eq = strchr(s, '=');
	size_t n = eq ? (size_t)(eq - s) : 0;

	*a = (struct volume_arg){ 0 };
	/* NAME=URI only when what stands before '=' can be a name: a path or a
	 * query may hold '=' too. */
	if (eq && strcspn(s, "/:?") > n) {
		a->name = x_strndup(s, n);
		a->uri = x_strdup(eq + 1);
		a->named = true;
	} else {
		a->uri = x_strdup(s);
		a->name = default_name(s);
	}
	if (!*a->uri || !name_valid(a->name)) {
		err_set(e, DM_USAGE, "%s: %s", s, *a->uri ?
		    "give the disk a name: NAME=VOLUME, of letters, digits, '.', '_', '-'" : "no volume named");
		volume_arg_free(a);
		return -1;
	}
	return 0;
}

void volume_arg_free(struct volume_arg *a)
{
	free(a->name);
	free(a->uri);
	*a = (struct volume_arg){ 0 };
}
