#include "repo/session_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/uri.h"
#include "content/jsontext.h"

#define SESSION_FORMAT 1
#define DISKS_MAX 1024u
#define EXACT_MAX (1ull << 53)	/* a JSON number beyond it loses digits elsewhere */

static json_t *number(uint64_t v)
{
	char text[24];

	if (v < EXACT_MAX)
		return json_integer((json_int_t)v);
	snprintf(text, sizeof text, "%llu", (unsigned long long)v);
	return json_string(text);
}

static void put_root(json_t *o, const char *key, bool has, const struct id *id, int algo)
{
	char text[80];

	if (has)
		json_object_set_new(o, key, json_string(id_format(algo, id, text)));
}

static json_t *disk_json(const struct session_disk *d, int algo)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", json_string(d->name));
	json_object_set_new(o, "size", number(d->size));
	json_object_set_new(o, "block", number(d->block));
	json_object_set_new(o, "full", json_boolean(d->full));
	json_object_set_new(o, "frozen", json_boolean(d->frozen));
	json_object_set_new(o, "base_point", json_string(d->base_point));
	json_object_set_new(o, "target_point", json_string(d->target_point));
	put_root(o, "base", d->has_base, &d->base, algo);
	put_root(o, "partial", d->has_partial, &d->partial, algo);
	put_root(o, "resume", d->has_resume, &d->resume, algo);
	put_root(o, "final", d->has_final, &d->final, algo);
	if (d->work && *d->work)
		json_object_set_new(o, "work", json_string(d->work));
	return o;
}

char *session_text(const struct session *se, int algo, struct err *e)
{
	json_t *o = json_object(), *disks = json_array();
	char *text;

	json_object_set_new(o, "format", json_integer(SESSION_FORMAT));
	json_object_set_new(o, "session", json_string(se->name));
	json_object_set_new(o, "workload", json_string(se->workload));
	json_object_set_new(o, "started", number((uint64_t)se->started));
	json_object_set_new(o, "epoch", number(se->epoch));
	if (se->outside)
		json_object_set_new(o, "outside", json_true());
	for (size_t i = 0; i < se->ndisks; i++)
		json_array_append_new(disks, disk_json(&se->disk[i], algo));
	json_object_set_new(o, "disks", disks);
	text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (!text)
		err_set(e, DM_ENV, "a session's state is no text: is a point not UTF-8?");
	return text;
}

static int bad(struct err *e, const char *key)
{
	return err_set(e, DM_BAD, "key \"%s\" is missing or wrong", key);
}

static int get_number(const json_t *o, const char *key, uint64_t hi, uint64_t *out, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_integer(v) && json_integer_value(v) >= 0)
		*out = (uint64_t)json_integer_value(v);
	else if (!json_is_string(v) || u64_parse(json_string_value(v), 0, hi, out))
		return bad(e, key);
	return *out > hi ? bad(e, key) : 0;
}

static int get_string(const json_t *o, const char *key, char **out, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
		return bad(e, key);
	*out = x_strdup(json_string_value(v));
	return 0;
}

static int get_bool(const json_t *o, const char *key, bool *out, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_boolean(v))
		return bad(e, key);
	*out = json_is_true(v);
	return 0;
}

static int get_root(const json_t *o, const char *key, int algo, bool *has, struct id *id, struct err *e)
{
	const json_t *v = json_object_get(o, key);
	int a;

	*has = v;
	if (!v)
		return 0;
	if (!json_is_string(v) || id_parse(json_string_value(v), &a, id) || a != algo || id_zero(id))
		return bad(e, key);
	return 0;
}

static int parse_disk(const json_t *o, int algo, struct session_disk *d, struct err *e)
{
	uint64_t block;

	if (get_string(o, "name", &d->name, e) || get_number(o, "size", UINT64_MAX, &d->size, e) ||
	    get_number(o, "block", UINT32_MAX, &block, e) || get_bool(o, "full", &d->full, e) ||
	    get_bool(o, "frozen", &d->frozen, e) || get_string(o, "base_point", &d->base_point, e) ||
	    get_string(o, "target_point", &d->target_point, e) ||
	    get_root(o, "base", algo, &d->has_base, &d->base, e) ||
	    get_root(o, "partial", algo, &d->has_partial, &d->partial, e) ||
	    get_root(o, "resume", algo, &d->has_resume, &d->resume, e) ||
	    get_root(o, "final", algo, &d->has_final, &d->final, e))
		return -1;
	if (json_object_get(o, "work") ? get_string(o, "work", &d->work, e) : !(d->work = x_strdup("")))
		return -1;
	d->block = (uint32_t)block;
	return name_valid(d->name) ? 0 : bad(e, "name");
}

static int parse(const json_t *o, int algo, struct session *se, struct err *e)
{
	const json_t *disks = json_object_get(o, "disks");
	uint64_t format, started, epoch;
	uint8_t id[16];

	if (get_number(o, "format", SESSION_FORMAT, &format, e) || format != SESSION_FORMAT)
		return bad(e, "format");
	if (get_string(o, "session", &se->name, e) || get_string(o, "workload", &se->workload, e) ||
	    get_number(o, "started", INT64_MAX, &started, e) || get_number(o, "epoch", UINT32_MAX, &epoch, e))
		return -1;
	if (strlen(se->name) != 32 || hex_get(se->name, id, sizeof id))
		return bad(e, "session");
	if (*se->workload && !name_valid(se->workload))
		return bad(e, "workload");
	if (json_object_get(o, "outside") && get_bool(o, "outside", &se->outside, e))
		return -1;
	se->started = (int64_t)started;
	se->epoch = (uint32_t)epoch;
	if (!json_is_array(disks) || json_array_size(disks) > DISKS_MAX)
		return bad(e, "disks");
	se->disk = x_array(json_array_size(disks) + 1, sizeof *se->disk);
	for (; se->ndisks < json_array_size(disks); se->ndisks++)
		if (parse_disk(json_array_get(disks, se->ndisks), algo, &se->disk[se->ndisks], e)) {
			se->ndisks++;	/* what it got so far is freed with the rest */
			return -1;
		}
	return 0;
}

struct session *session_parse(const char *text, size_t len, int algo, struct err *e)
{
	struct session *se;
	json_error_t je;
	json_t *o = jsontext_parse(text, len, &je);

	if (!o) {
		err_set(e, DM_BAD, "line %d: %s", je.line, je.text);
		return NULL;
	}
	se = x_alloc(sizeof *se);
	se->fd = -1;
	if (parse(o, algo, se, e)) {
		session_close(se);
		se = NULL;
	}
	json_decref(o);
	return se;
}
