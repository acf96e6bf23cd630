#include "base/object.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/module.h"

struct objects {
	const struct object_ops *ops;
	void *at;
	char *name;
};

struct objects *objects_open(const struct object_place *where, struct err *e)
{
	struct objects *o;
	const struct object_ops *ops;

	if (strcmp(where->kind, "s3")) {
		err_set(e, DM_BAD, "a store of the kind '%s' is unknown to this version", where->kind);
		return NULL;
	}
	ops = module_symbol("object_s3");
	if (!ops) {
		err_set(e, DM_ENV, "s3://%s: this build lacks lib/dm/object_s3.so (libcurl and libxml2)", where->bucket);
		return NULL;
	}
	o = x_alloc(sizeof(*o));
	o->ops = ops;
	o->name = x_printf("s3://%s%s%s", where->bucket, where->prefix && *where->prefix ? "/" : "",
	    where->prefix ? where->prefix : "");
	o->at = ops->open(where, e);
	if (o->at)
		return o;
	objects_close(o);
	return NULL;
}

void objects_close(struct objects *o)
{
	if (!o)
		return;
	if (o->at)
		o->ops->close(o->at);
	free(o->name);
	free(o);
}

const char *objects_name(const struct objects *o)
{
	return o->name;
}

/* A refusal by the store says nothing about what lies there. */
static int failed(struct objects *o, struct err *e)
{
	if (e->code == DM_NO)
		e->code = DM_ENV;
	return err_prefix(e, "%s", o->name);
}

/* Does the object hold these bytes?  1, 0, -1. */
static int same_content(struct objects *o, const struct object_put *q, struct err *e)
{
	struct buf b = { 0 };
	uint64_t size;
	int r = object_get(o, q->name, 0, q->len + 1, &b, &size, e);

	if (r > 0)
		r = b.len == q->len && (!b.len || !memcmp(b.p, q->p, b.len));
	buf_free(&b);
	return r;
}

int object_put(struct objects *o, const struct object_put *q, struct err *e)
{
	int r = o->ops->put(o->at, q, e);

	/* 2: it exists, and an attempt before this one may have made it. */
	if (r == 2) {
		r = same_content(o, q, e);
		r = r < 0 ? -1 : !r;
	}
	return r < 0 ? failed(o, e) : r;
}

int object_get(struct objects *o, const char *name, uint64_t off, size_t len, struct buf *out, uint64_t *size,
    struct err *e)
{
	uint64_t whole;
	int r = o->ops->get(o->at, name, off, len, out, size ? size : &whole, e);

	return r < 0 ? failed(o, e) : r;
}

int object_remove_while(struct objects *o, const char *name, int (*still)(void *arg, struct err *e), void *arg,
    struct err *e)
{
	return o->ops->remove(o->at, name, still, arg, e) ? failed(o, e) : 0;
}

int object_remove(struct objects *o, const char *name, struct err *e)
{
	return object_remove_while(o, name, NULL, NULL, e);
}

int object_list(struct objects *o, const char *prefix, int (*each)(const struct object_row *row, void *arg),
    void *arg, int64_t *now, struct err *e)
{
	int64_t when;
	int r = o->ops->list(o->at, prefix, each, arg, now ? now : &when, e);

	return r < 0 && e->code ? failed(o, e) : r;
}

/* --- proof --------------------------------------------------------------- */

static int count_row(const struct object_row *row, void *arg)
{
	unsigned *n = arg;

	(void)row;
	++*n;
	return 0;
}

static int probe_with(struct objects *o, const char *name, struct err *e)
{
	struct object_put one = { .name = name, .p = "one", .len = 3, .create = true };
	struct object_put two = { .name = name, .p = "two", .len = 3, .create = true };
	unsigned seen = 0;
	int r, same;

	r = object_put(o, &one, e);
	if (r)
		return r < 0 ? -1 : err_set(e, DM_NO, "%s: it says that a name nobody used exists", o->name);
	r = object_put(o, &two, e);
	if (r < 0)
		return -1;
	same = same_content(o, &one, e);
	if (same < 0 || object_list(o, name, count_row, &seen, NULL, e))
		return -1;
	if (r == 0 || !same)
		return err_set(e, DM_NO, "%s: the store ignores the condition of a put (If-None-Match), "
		    "so that two writers would both commit: no site can be kept there", o->name);
	if (seen != 1)
		return err_set(e, DM_NO, "%s: the store does not list what was just put: no site can be kept there",
		    o->name);
	return 0;
}

int object_probe(struct objects *o, struct err *e)
{
	struct err ignored = { 0 };
	uint8_t salt[8];
	char name[32] = "probe/";
	int r;

	if (getrandom(salt, sizeof(salt), 0) != sizeof(salt))
		return err_set(e, DM_ENV, "getrandom failed");
	hex_put(name + 6, salt, sizeof(salt));
	r = probe_with(o, name, e);
	object_remove(o, name, r ? &ignored : e);
	return r || e->code ? -1 : 0;
}

bool object_uri_parse(const char *uri, char **bucket, char **prefix)
{
	size_t n;

	if (strncmp(uri, "s3:", 3))
		return false;
	uri += 3;
	uri += strncmp(uri, "//", 2) ? 0 : 2;
	n = strcspn(uri, "/");
	if (n < 3 || n > 63 || strspn(uri, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") < n)
		return false;
	*bucket = x_strndup(uri, n);
	uri += n;
	while (*uri == '/')
		uri++;
	*prefix = x_strdup(uri);
	for (n = strlen(*prefix); n && (*prefix)[n - 1] == '/';)
		(*prefix)[--n] = 0;
	return true;
}
