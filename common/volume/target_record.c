/* What a target holds, as JSON. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "content/jsontext.h"
#include "volume/target_record.h"

#define RECORD_CAP (64u << 10)
#define RECORD_VERSION 1

static char *take_string(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return x_strdup(s ? s : "");
}

static int state_from_json(const json_t *o, struct target_state *s, int *algo)
{
	const char *root = json_string_value(json_object_get(o, "root"));

	s->point = take_string(o, "point");
	s->has_root = root != NULL;
	return root ? id_parse(root, algo, &s->root) : 0;
}

static int record_from_json(const json_t *o, struct target_record *r)
{
	const char *state = json_string_value(json_object_get(o, "state"));

	if (json_integer_value(json_object_get(o, "dm-record")) != RECORD_VERSION || !state)
		return -1;
	if (!strcmp(state, "complete"))
		r->state = RECORD_COMPLETE;
	else if (!strcmp(state, "writing"))
		r->state = RECORD_WRITING;
	else
		return -1;
	r->full = json_is_true(json_object_get(o, "full"));
	r->frozen = json_is_true(json_object_get(o, "frozen"));
	r->identity = take_string(o, "identity");
	r->site = take_string(o, "site");
	r->session = take_string(o, "session");
	if (state_from_json(json_object_get(o, "base"), &r->base, &r->algo) != 0)
		return -1;
	return state_from_json(json_object_get(o, "target"), &r->target, &r->algo);
}

int target_record_load(const char *path, struct target_record *r, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), bad;
	json_t *o;
	char *text;
	size_t len;

	*r = (struct target_record){ .state = RECORD_NONE, .algo = ID_BLAKE3 };
	if (fd < 0 && errno == ENOENT)
		return 0;
	text = fd < 0 ? NULL : fd_slurp(fd, RECORD_CAP, &len);
	if (!text)
		err_sys(e, DM_ENV, errno, "%s", path);
	fd_close(fd);
	if (!text)
		return -1;
	o = jsontext_parse(text, len, NULL);
	free(text);
	bad = !json_is_object(o) || record_from_json(o, r) != 0;
	json_decref(o);
	if (!bad)
		return 0;
	target_record_free(r);
	return err_set(e, DM_NO, "%s: not a record of a target; remove it and send a full iteration", path);
}

static json_t *state_to_json(const struct target_state *s, int algo)
{
	json_t *o = json_pack("{s:s}", "point", s->point ? s->point : "");
	char text[80];

	if (s->has_root)
		json_object_set_new(o, "root", json_string(id_format(algo, &s->root, text)));
	return o;
}

int target_record_save(const char *path, const struct target_record *r, struct err *e)
{
	json_t *o = json_pack("{s:i, s:s, s:b, s:b, s:s, s:o, s:o}",
	    "dm-record", RECORD_VERSION,
	    "state", r->state == RECORD_COMPLETE ? "complete" : "writing",
	    "full", r->full, "frozen", r->frozen, "identity", r->identity ? r->identity : "",
	    "base", state_to_json(&r->base, r->algo), "target", state_to_json(&r->target, r->algo));
	struct buf b = { 0 };
	char *text;
	int n;

	if (o && r->site && *r->site) {
		json_object_set_new(o, "site", json_string(r->site));
		json_object_set_new(o, "session", json_string(r->session));
	}
	text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
	json_decref(o);
	if (!text)
		return err_set(e, DM_ENV, "%s: its points are not text (UTF-8)", path);
	buf_printf(&b, "%s\n", text);
	free(text);
	n = durable_replace(AT_FDCWD, path, b.p, b.len, e);
	buf_free(&b);
	return n;
}

void target_record_free(struct target_record *r)
{
	free(r->base.point);
	free(r->target.point);
	free(r->identity);
	free(r->site);
	free(r->session);
	*r = (struct target_record){ .state = RECORD_NONE };
}

/* Roots decide when both sides know one, else points; nothing known is no. */
static bool is_state(const struct target_state *s, const char *point, const struct id *root)
{
	if (s->has_root && root)
		return id_equal(&s->root, root);
	return s->point && *s->point && point && !strcmp(s->point, point);
}

bool target_record_is_base(const struct target_record *r, const struct volume_how *how)
{
	return r->state == RECORD_COMPLETE && is_state(&r->target, how->base_point, how->base_root);
}

bool target_record_resumes(const struct target_record *r, const struct volume_how *how)
{
	return r->state != RECORD_NONE && r->full == how->full && r->frozen && how->frozen &&
	    (how->full || is_state(&r->base, how->base_point, how->base_root)) &&
	    is_state(&r->target, how->target_point, NULL);
}

void target_record_step(struct target_record *r, const struct volume_how *how)
{
	target_record_free(r);
	r->state = RECORD_WRITING;
	r->algo = how->algo ? how->algo : ID_BLAKE3;
	r->full = how->full;
	r->frozen = how->frozen;
	r->base.point = x_strdup(!how->full && how->base_point ? how->base_point : "");
	r->base.has_root = !how->full && how->base_root;
	if (r->base.has_root)
		r->base.root = *how->base_root;
	r->target.point = x_strdup(how->target_point ? how->target_point : "");
	target_record_own(r, how);
}

static char *digits(const uint8_t id[16])
{
	char hex[33] = "";

	if (id)
		hex_put(hex, id, 16);
	return x_strdup(hex);
}

void target_record_own(struct target_record *r, const struct volume_how *how)
{
	free(r->site);
	free(r->session);
	r->site = digits(how->site);
	r->session = digits(how->session);
}

void target_record_done(struct target_record *r, const char *point, const struct id *root,
    char *identity)
{
	r->state = RECORD_COMPLETE;
	free(r->target.point);
	r->target.point = x_strdup(point ? point : "");
	r->target.has_root = root != NULL;
	if (root)
		r->target.root = *root;
	free(r->identity);
	r->identity = identity;
}

int target_record_admit(const struct target_record *r, const char *path, const char *uri,
    const struct volume_how *how, struct err *e)
{
	if (r->state == RECORD_NONE)
		return err_set(e, DM_NO, "%s: nothing says what it holds (no %s); "
		    "give --verify-base, or send a full iteration", uri, path);
	if (r->state == RECORD_WRITING && !target_record_resumes(r, how))
		return err_set(e, DM_NO, "%s: an interrupted iteration left it between two "
		    "states; repeat that one, or send a full iteration", uri);
	if (r->state == RECORD_COMPLETE && !target_record_is_base(r, how) && !target_record_resumes(r, how))
		return err_set(e, DM_NO, "%s: does not hold the base of this iteration; "
		    "send the changes since its own state, or a full iteration", uri);
	return 0;
}
