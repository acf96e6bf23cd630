/* One checkpoint as a JSON object, and back, with every field checked. */
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "base/uri.h"
#include "content/jsontext.h"
#include "repo/catalog_chain.h"
#include "repo/catalog_record.h"

#define CHAIN_PREFIX "blake2b:"
#define EXACT_MAX ((uint64_t)1 << 53)	/* beyond it a JSON number loses digits in jq */

/* --- writing ------------------------------------------------------------ */

static json_t *number(uint64_t v)
{
	char text[24];

	if (v < EXACT_MAX)
		return json_integer((json_int_t)v);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	return json_string(text);
}

/* RFC 3339 with all nine digits, so that reading gives the same value. */
static json_t *stamp(int64_t ns)
{
	char whole[32], text[48];

	time_format(ns - ns % 1000000000, whole);
	snprintf(text, sizeof(text), "%.19s.%09lldZ", whole, (long long)(ns % 1000000000));
	return json_string(text);
}

static json_t *disk_json(const struct checkpoint_disk *d, int algo)
{
	json_t *o = json_object();
	char text[80];

	json_object_set_new(o, "name", json_string(d->name));
	json_object_set_new(o, "size", number(d->size));
	json_object_set_new(o, "block", number(d->block));
	if (d->has_root)
		json_object_set_new(o, "root", json_string(id_format(algo, &d->root, text)));
	if (d->has_tree)
		json_object_set_new(o, "tree", json_string(id_format(algo, &d->tree, text)));
	if (d->partial)
		json_object_set_new(o, "partial", json_true());
	json_object_set_new(o, "point", json_string(d->point));
	json_object_set_new(o, "source_point", json_string(d->source_point));
	json_object_set_new(o, "changed", number(d->changed));
	return o;
}

/* The record of c; a reference of the caller. */
json_t *checkpoint_record(const struct checkpoint *c)
{
	json_t *o = json_object(), *disks = json_array();
	char *links, *chain;

	json_object_set_new(o, "format", json_integer(RECORD_FORMAT));
	json_object_set_new(o, "workload", json_string(c->workload));
	json_object_set_new(o, "seq", number(c->seq));
	json_object_set_new(o, "parent", number(c->parent));
	if (c->nchain) {
		links = links_text(c->chain, c->nchain);
		chain = x_printf(CHAIN_PREFIX "%s", links);
		json_object_set_new(o, "chain", json_string(chain));
		free(chain);
		free(links);
	}
	json_object_set_new(o, "session", json_string(c->session));
	json_object_set_new(o, "kind", json_string(c->kind));
	json_object_set_new(o, "time", stamp(c->time));
	json_object_set_new(o, "started", stamp(c->started));
	json_object_set_new(o, "committed", stamp(c->committed));
	json_object_set_new(o, "hash", json_string(id_algo_name(c->algo)));
	for (size_t i = 0; i < c->ndisks; i++)
		json_array_append_new(disks, disk_json(&c->disk[i], c->algo));
	json_object_set_new(o, "disks", disks);
	json_object_set_new(o, "chunks", number(c->chunks));
	json_object_set_new(o, "changed", number(c->changed));
	json_object_set_new(o, "stored", number(c->stored));
	if (c->recovery)
		json_object_set(o, "recovery", c->recovery);
	return o;
}

/* --- reading ------------------------------------------------------------ */

/* The getters return 0, or -1 with *e naming the key. */
static int bad(struct err *e, const char *key)
{
	return err_set(e, DM_BAD, "key \"%s\" is missing or wrong", key);
}

static int get_number(const json_t *o, const char *key, uint64_t lo, uint64_t hi,
    uint64_t *out, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_integer(v) && json_integer_value(v) >= 0)
		*out = (uint64_t)json_integer_value(v);
	else if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v) ||
	    u64_parse(json_string_value(v), lo, hi, out))
		return bad(e, key);
	return *out < lo || *out > hi ? bad(e, key) : 0;
}

static int get_string(const json_t *o, const char *key, size_t max, char **out, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_string(v) || json_string_length(v) > max ||
	    strlen(json_string_value(v)) != json_string_length(v))
		return bad(e, key);
	*out = x_strdup(json_string_value(v));
	return 0;
}

/* A word out of a record, good until the record goes; NULL with *e. */
static const char *get_word(const json_t *o, const char *key, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v))
		return json_string_value(v);
	bad(e, key);
	return NULL;
}

static int get_time(const json_t *o, const char *key, int64_t *out, struct err *e)
{
	const char *s = get_word(o, key, e);

	if (!s)
		return -1;
	/* Only absolute times in UTC: what time_parse also takes, like "-2h",
	 * would mean something else at each reading. */
	if (strlen(s) < 20 || s[10] != 'T' || s[strlen(s) - 1] != 'Z' ||
	    time_parse(s, 0, out) || *out < 0)
		return bad(e, key);
	return 0;
}

static bool lower_hex(const char *s, size_t len)
{
	return strlen(s) == len && strspn(s, "0123456789abcdef") == len;
}

static int parse_root(const json_t *o, const char *key, int algo, bool *has, struct id *root,
    struct err *e)
{
	const char *s;
	int got;

	if (!json_object_get(o, key))
		return 0;
	s = get_word(o, key, e);
	if (!s)
		return -1;
	if (id_parse(s, &got, root) || got != algo || id_zero(root))
		return bad(e, key);
	*has = true;
	return 0;
}

static int parse_disk(const json_t *o, int algo, struct checkpoint_disk *d, struct err *e)
{
	const json_t *partial = json_object_get(o, "partial");
	uint64_t block;

	if (!json_is_object(o))
		return bad(e, "disks");
	if (get_string(o, "name", 64, &d->name, e) ||
	    get_number(o, "size", 0, UINT64_MAX >> 1, &d->size, e) ||
	    get_number(o, "block", 1, 1u << 20, &block, e) ||
	    parse_root(o, "root", algo, &d->has_root, &d->root, e) ||
	    parse_root(o, "tree", algo, &d->has_tree, &d->tree, e) ||
	    get_string(o, "point", RECORD_POINT_MAX, &d->point, e) ||
	    get_string(o, "source_point", RECORD_POINT_MAX, &d->source_point, e) ||
	    get_number(o, "changed", 0, UINT64_MAX, &d->changed, e))
		return -1;
	if (partial && !json_is_boolean(partial))
		return bad(e, "partial");
	d->partial = json_is_true(partial);
	d->block = (uint32_t)block;
	return 0;
}

static int parse_disks(const json_t *o, struct checkpoint *c, struct err *e)
{
	const json_t *disks = json_object_get(o, "disks");
	size_t n = json_array_size(disks);	/* 0 when it is no array */

	if (n == 0 || n > RECORD_DISKS_MAX)
		return bad(e, "disks");
	c->disk = x_try(n, sizeof(*c->disk), e);
	if (!c->disk)
		return -1;
	c->ndisks = n;
	for (size_t i = 0; i < n; i++)
		if (parse_disk(json_array_get(disks, i), c->algo, &c->disk[i], e))
			return err_prefix(e, "disk %zu", i);
	return 0;
}

/* A record without a chain is of a version that made none. */
static int parse_chain(const json_t *o, struct checkpoint *c, struct err *e)
{
	struct id links[CHAIN_LINKS];
	const char *s;
	int n;

	if (!json_object_get(o, "chain"))
		return 0;
	s = get_word(o, "chain", e);
	if (!s)
		return -1;
	if (strncmp(s, CHAIN_PREFIX, strlen(CHAIN_PREFIX)))
		return bad(e, "chain");
	n = links_parse(s + strlen(CHAIN_PREFIX), links);
	if (n < 1 || c->seq % (UINT64_C(1) << (n - 1)))
		return bad(e, "chain");
	c->nchain = (size_t)n;
	c->chain = x_array(c->nchain, sizeof(*links));
	memcpy(c->chain, links, c->nchain * sizeof(*links));
	return 0;
}

static int parse_head(const json_t *o, struct checkpoint *c, struct err *e)
{
	const char *session, *hash;
	uint64_t format;

	if (get_number(o, "format", 1, UINT64_MAX, &format, e))
		return -1;
	if (format != RECORD_FORMAT)
		return err_set(e, DM_BAD, "record format %llu is not known to this version",
		    (unsigned long long)format);
	if (get_string(o, "workload", 64, &c->workload, e) ||
	    get_number(o, "seq", 1, EXACT_MAX - 1, &c->seq, e) ||
	    get_number(o, "parent", 0, EXACT_MAX - 1, &c->parent, e) ||
	    parse_chain(o, c, e) ||
	    get_string(o, "kind", 32, &c->kind, e) ||
	    get_time(o, "time", &c->time, e) ||
	    get_time(o, "started", &c->started, e) ||
	    get_time(o, "committed", &c->committed, e))
		return -1;
	session = get_word(o, "session", e);
	if (!session)
		return -1;
	if (!lower_hex(session, 32))
		return bad(e, "session");
	memcpy(c->session, session, 33);
	hash = get_word(o, "hash", e);
	if (!hash)
		return -1;
	c->algo = id_algo_parse(hash);
	return id_algo_valid(c->algo) ? 0 : bad(e, "hash");
}

static int parse_tail(const json_t *o, struct checkpoint *c, struct err *e)
{
	json_t *recovery = json_object_get(o, "recovery");

	if (get_number(o, "chunks", 0, UINT64_MAX, &c->chunks, e) ||
	    get_number(o, "changed", 0, UINT64_MAX, &c->changed, e) ||
	    get_number(o, "stored", 0, UINT64_MAX, &c->stored, e))
		return -1;
	if (recovery && !json_is_object(recovery))
		return bad(e, "recovery");
	c->recovery = json_incref(recovery);
	return 0;
}

/* Parse and check a record; the caller owns the result. */
struct checkpoint *checkpoint_parse(const char *text, size_t len, struct err *e)
{
	struct checkpoint *c;
	json_error_t why;
	json_t *o;

	if (len > RECORD_MAX) {
		err_set(e, DM_BAD, "record of %zu bytes is too long", len);
		goto err0;
	}
	o = jsontext_parse(text, len, &why);
	if (!o) {
		err_set(e, DM_BAD, "no JSON: %s at byte %d", why.text, why.position);
		goto err0;
	}
	c = x_alloc(sizeof(*c));
	if (!json_is_object(o)) {
		err_set(e, DM_BAD, "no JSON object");
		goto err1;
	}
	if (parse_head(o, c, e) || parse_disks(o, c, e) || parse_tail(o, c, e) ||
	    checkpoint_check(c, e) || record_check(o, e))
		goto err1;
	json_decref(o);
	return c;

err1:
	checkpoint_free(c);
	json_decref(o);
err0:
	return NULL;
}

/* --- what holds for every record ---------------------------------------- */

static int check_disks(const struct checkpoint *c, struct err *e)
{
	for (size_t i = 0; i < c->ndisks; i++) {
		if (!name_valid(c->disk[i].name))
			return bad(e, "name");
		if (c->disk[i].partial && !c->disk[i].has_root && !c->disk[i].has_tree)
			return bad(e, "partial");
		for (size_t j = 0; j < i; j++)
			if (!strcmp(c->disk[i].name, c->disk[j].name))
				return err_set(e, DM_BAD, "disk \"%s\" twice", c->disk[i].name);
	}
	return 0;
}

/* Is this checkpoint fit to be written?  0 or -1. */
int checkpoint_check(const struct checkpoint *c, struct err *e)
{
	if (!name_valid(c->workload))
		return bad(e, "workload");
	if (c->seq == 0 || c->parent != c->seq - 1)
		return bad(e, "parent");
	if (strcmp(c->kind, "full") && strcmp(c->kind, "incremental"))
		return bad(e, "kind");
	if (c->ndisks == 0 || c->ndisks > RECORD_DISKS_MAX)
		return bad(e, "disks");
	return check_disks(c, e);
}
