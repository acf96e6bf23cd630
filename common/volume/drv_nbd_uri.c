/* nbd: volumes, their names: nbd://HOST[:PORT]/EXPORT, nbds:// with TLS,
 * nbd+unix:///EXPORT?socket=PATH, nbds+unix://, after the NBD project's
 * doc/uri.md, with parameters of our own. */
#include <stdlib.h>

#include "base/bytes.h"
#include "volume/drv_nbd.h"

#define CONNECTIONS_DEFAULT 4u
#define TIMEOUT_DEFAULT 60u
#define TIMEOUT_MAX 86400u
#define PORT_DEFAULT "10809"
#define NAME_CAP 4096u	/* the protocol's own limit on strings */

static int refuse(struct err *e, const char *text, const char *why)
{
	return err_set(e, DM_USAGE, "%s: %s", text, why);
}

static int take_number(char *value, unsigned lo, unsigned hi, unsigned *out)
{
	uint64_t n;
	int r = u64_parse(value, lo, hi, &n);

	if (r == 0)
		*out = (unsigned)n;
	free(value);
	return r;
}

static int take_text(char *value, char **out)
{
	*out = value;
	return *value ? 0 : -1;
}

/* value is ours to keep or free.  -1: it is malformed; -2: no such key. */
static int take_param(struct nbdv_where *w, const char *key, char *value)
{
	const struct { const char *key; char **out; } text[] = {
		{ "socket", &w->socket }, { "bitmap", &w->bitmap }, { "point", &w->point },
		{ "record", &w->record }, { "tls-certificates", &w->certificates },
		{ "tls-psk-file", &w->psk_file }, { "tls-username", &w->username },
	};
	int r = -2;

	for (size_t i = 0; i < LEN(text); i++)
		if (!strcmp(key, text[i].key))
			return take_text(value, text[i].out);
	if (!strcmp(key, "connections"))
		return take_number(value, 1, NBD_CONNECTIONS_MAX, &w->connections);
	if (!strcmp(key, "timeout"))
		return take_number(value, 1, TIMEOUT_MAX, &w->timeout);
	if (!strcmp(key, "sync")) {
		w->synced = !strcmp(value, "server");
		r = w->synced ? 0 : -1;
	}
	free(value);
	return r;
}

static int take_query(const struct uri *u, const char *text, struct nbdv_where *w, struct err *e)
{
	const char *p = u->query, *first;
	char key[32], *value;
	size_t len, klen;
	int r;

	for (; p && *p; p += len + (p[len] == '&')) {
		len = strcspn(p, "&");
		klen = strcspn(p, "=&");
		if (klen >= sizeof(key) || p[klen] != '=')
			return err_set(e, DM_USAGE, "%s: parameter \"%.*s\" is not known, or has no value",
			    text, (int)min64(len, 64), p);
		memcpy(key, p, klen);
		key[klen] = 0;
		first = u->query;
		while (strncmp(first, p, klen + 1) != 0)	/* the same key before? */
			first += strcspn(first, "&") + 1;
		if (first != p)
			return err_set(e, DM_USAGE, "%s: parameter \"%s\" is given twice", text, key);
		value = uri_query(u, key);
		r = value ? take_param(w, key, value) : -1;
		if (r == -2)
			return err_set(e, DM_USAGE, "%s: parameter \"%s\" is not known", text, key);
		if (r != 0)
			return err_set(e, DM_USAGE, "%s: parameter \"%s\": not a possible value", text, key);
	}
	return 0;
}

/* "host", "host:port", "[::1]:port". */
static int take_authority(const char *p, size_t len, struct nbdv_where *w)
{
	const char *end = p + len, *host = p, *host_end;
	uint64_t port;

	if (len && *p == '[') {
		host = p + 1;
		host_end = memchr(p, ']', len);
		if (!host_end)
			return -1;
		p = host_end + 1;
	} else {
		host_end = memchr(p, ':', len);
		if (!host_end)
			host_end = end;
		p = host_end;
	}
	if (host == host_end || (p < end && *p != ':') || memchr(host, '@', (size_t)(host_end - host)))
		return -1;
	w->host = x_strndup(host, (size_t)(host_end - host));
	w->port = p < end ? x_strndup(p + 1, (size_t)(end - p - 1)) : x_strdup(PORT_DEFAULT);
	return u64_parse(w->port, 1, 65535, &port);
}

static int take_place(const struct uri *u, const char *text, struct nbdv_where *w, struct err *e)
{
	bool local = strstr(u->scheme, "+unix");
	const char *at = u->path, *slash;

	if (strncmp(at, "//", 2) != 0)
		return refuse(e, text, local ? "write nbd+unix:///EXPORT?socket=PATH" :
		    "write nbd://HOST[:PORT]/EXPORT");
	at += 2;
	slash = at + strcspn(at, "/");
	if (local && slash != at)
		return refuse(e, text, "a socket has no host: write nbd+unix:///EXPORT?socket=PATH");
	if (local != (w->socket != NULL))
		return refuse(e, text, local ? "socket=PATH is missing" : "socket= is for nbd+unix:");
	if (!local && take_authority(at, (size_t)(slash - at), w) != 0)
		return refuse(e, text, "no host, or no port from 1 to 65535");
	at = *slash ? slash + 1 : slash;
	w->name = uri_decode(at, strlen(at));
	if (!w->name || strlen(w->name) > NAME_CAP)
		return refuse(e, text, "the export's name is malformed");
	return 0;
}

int nbdv_where_parse(const struct uri *u, const char *text, struct nbdv_where *w, struct err *e)
{
	*w = (struct nbdv_where){ .connections = CONNECTIONS_DEFAULT, .timeout = TIMEOUT_DEFAULT };
	w->tls = !strncmp(u->scheme, "nbds", 4);
	if (u->fragment)
		refuse(e, text, "what stands after '#' has no meaning here; the point is point=NAME");
	else if (take_query(u, text, w, e) == 0 && take_place(u, text, w, e) == 0 && !w->tls &&
	    (w->certificates || w->psk_file || w->username))
		refuse(e, text, "tls- parameters need nbds: or nbds+unix:");
	if (!e->code && w->certificates && w->psk_file)
		refuse(e, text, "choose one of tls-certificates and tls-psk-file");
	if (!e->code)
		return 0;
	nbdv_where_free(w);
	return -1;
}

void nbdv_where_free(struct nbdv_where *w)
{
	free(w->socket);
	free(w->host);
	free(w->port);
	free(w->name);
	free(w->certificates);
	free(w->psk_file);
	free(w->username);
	free(w->bitmap);
	free(w->point);
	free(w->record);
	*w = (struct nbdv_where){ 0 };
}
