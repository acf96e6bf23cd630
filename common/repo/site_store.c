#include "repo/site_store.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "content/jsontext.h"
#include "repo/blocks.h"
#include "repo/lease.h"

static void set_text(json_t *o, const char *key, const char *value)
{
	if (value)
		json_object_set_new(o, key, json_string(value));
}

int store_config(json_t *j, const struct object_place *where, struct err *e)
{
	json_t *o = json_object();
	uint8_t id[SITE_MACHINE / 2];
	char hex[SITE_MACHINE + 1];

	if (getrandom(id, sizeof id, 0) != sizeof id) {
		json_decref(o);
		return err_sys(e, DM_ENV, errno, "getrandom");
	}
	hex_put(hex, id, sizeof id);
	set_text(o, "kind", where->kind);
	set_text(o, "bucket", where->bucket);
	set_text(o, "prefix", where->prefix);
	set_text(o, "endpoint", where->endpoint);
	set_text(o, "region", where->region);
	set_text(o, "profile", where->profile);
	json_object_set_new(j, "store", o);
	set_text(j, "machine", hex);
	return 0;
}

/* A JSON text in the store, or NULL. */
static json_t *value_get(struct objects *o, const char *name, struct err *e)
{
	struct buf b = { 0 };
	json_error_t je;
	json_t *j = NULL;
	int r = object_get(o, name, 0, SITE_CONFIG_MAX, &b, NULL, e);

	if (r == 0)
		err_set(e, DM_NO, "%s has no site: it has no object %s", objects_name(o), name);
	if (r > 0 && !(j = jsontext_parse((char *)b.p, b.len, &je)))
		err_set(e, DM_BAD, "%s/%s: line %d: %s", objects_name(o), name, je.line, je.text);
	buf_free(&b);
	return j;
}

json_t *store_config_get(struct objects *o, struct err *e)
{
	return value_get(o, SITE_CONFIG, e);
}

static int read_machine(struct site *s, const json_t *j, struct err *e)
{
	const char *machine = json_string_value(json_object_get(j, "machine"));
	json_int_t lease = json_integer_value(json_object_get(j, "lease"));
	uint8_t id[SITE_MACHINE / 2];

	if (!machine || hex_get(machine, id, sizeof id))
		return err_set(e, DM_BAD, "its machine is not %u hexadecimal digits", SITE_MACHINE);
	if (lease < LEASE_MIN || lease > LEASE_MAX)
		return err_set(e, DM_BAD, "its lease is not from %u to %u seconds", LEASE_MIN, LEASE_MAX);
	memcpy(s->machine, machine, SITE_MACHINE);
	s->lease_s = (unsigned)lease;
	return 0;
}

int store_config_read(struct site *s, const json_t *j, struct err *e)
{
	const json_t *o = json_object_get(j, "store");
	struct object_place where = {
		.kind = json_string_value(json_object_get(o, "kind")),
		.bucket = json_string_value(json_object_get(o, "bucket")),
		.prefix = json_string_value(json_object_get(o, "prefix")),
		.endpoint = json_string_value(json_object_get(o, "endpoint")),
		.region = json_string_value(json_object_get(o, "region")),
		.profile = json_string_value(json_object_get(o, "profile")),
	};

	if (!o)
		return 0;
	if (!where.kind || !where.bucket)
		return err_set(e, DM_BAD, "its store has no kind and no bucket");
	if (read_machine(s, j, e))
		return -1;
	s->objects = objects_open(&where, e);
	if (!s->objects)
		return -1;
	s->blocks = blocks_new(s->objects);
	return 0;
}

/* --- key slots --------------------------------------------------------------- */

static int take_number(const struct object_row *row, void *arg)
{
	uint64_t *last = arg, n;

	if (!u64_parse(row->name + 6, 1, INT64_MAX, &n) && n > *last)
		*last = n;
	return 0;
}

int store_slots_get(struct site *s, json_t **j, struct err *e)
{
	uint64_t last = 0;
	char name[32];

	*j = NULL;
	if (object_list(s->objects, "slots/", take_number, &last, NULL, e))
		return -1;
	s->slots_seen = last;
	if (!last)
		return 0;
	snprintf(name, sizeof name, "slots/%llu", (unsigned long long)last);
	*j = value_get(s->objects, name, e);
	return *j ? 0 : -1;
}

int store_slots_put(struct site *s, json_t *j, struct err *e)
{
	char *text = json_dumps(j, JSON_INDENT(2)), name[32];
	struct object_put q = { .name = name, .p = text, .create = true };
	int r;

	json_decref(j);
	if (!text)
		return err_set(e, DM_ENV, "out of memory");
	q.len = strlen(text);
	snprintf(name, sizeof name, "slots/%llu", (unsigned long long)s->slots_seen + 1);
	r = object_put(s->objects, &q, e);
	free(text);
	return r;
}
