/* The first phase of prune: what nothing refers to is hidden, and who might
 * have found it before is noted in chunks/doomed. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "content/jsontext.h"
#include "repo/doomed.h"
#include "repo/prune_priv.h"
#include "repo/session.h"

#define ROWS 4096u		/* of the index at a time */
#define DOOMED_MAX (1u << 20)

struct batch {
	struct index_row row[ROWS];
	struct id doom[ROWS], save[ROWS];
	size_t ndoom, nsave;
};

static void sort_out(struct prune *p, const struct mark *m, bool more, struct batch *b, size_t n)
{
	b->ndoom = b->nsave = 0;
	for (size_t i = 0; i < n; i++) {
		const struct index_entry *en = &b->row[i].en;
		bool marked = mark_has(m, en->ordinal);

		if (!marked && !en->doomed && more)
			b->doom[b->ndoom++] = b->row[i].id;
		if (marked && en->doomed)
			b->save[b->nsave++] = b->row[i].id;
		if (!marked && (more || en->doomed)) {
			p->report->doomed++;
			p->report->doomed_bytes += en->len;
		}
	}
}

int prune_doom(struct prune *p, const struct mark *m, bool more, struct err *e)
{
	struct batch *b = x_try(1, sizeof(*b), e);
	struct id after = { { 0 } };
	size_t n;
	int rc;

	if (!b)
		return -1;
	p->report->doomed = p->report->doomed_bytes = 0;
	do {
		rc = index_rows(p->st->index, &after, b->row, ROWS, &n, e);
		if (rc)
			break;
		sort_out(p, m, more, b, n);
		if (index_doom(p->st->index, b->doom, b->ndoom, true, e) ||
		    index_doom(p->st->index, b->save, b->nsave, false, e))
			rc = -1;
	} while (rc == 0 && n);
	free(b);
	/* Other machines have an index of their own. */
	if (rc == 0 && more && p->site->objects)
		rc = doomed_publish(p->site, p->st->index, e);
	return rc;
}

/* --- who is waited for -------------------------------------------------- */

static bool is_complete(const struct session *se)
{
	for (size_t i = 0; i < se->ndisks; i++)
		if (!se->disk[i].has_final)
			return false;
	return se->ndisks > 0;
}

static json_t *sessions_alive(struct prune *p, struct err *e)
{
	json_t *names = json_array();
	struct session **v;
	bool *alive;
	size_t n;

	if (session_list(p->site, &v, &alive, &n, e)) {
		json_decref(names);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (alive[i])
			json_array_append_new(names, json_string(v[i]->name));
		/* Silent is not dead: it must not come back and commit, but
		 * with what its state names. */
		else if (!e->code && !is_complete(v[i]))
			session_fence(p->site, v[i]->name, e);
		session_close(v[i]);
	}
	free(v);
	free(alive);
	if (!e->code)
		return names;
	json_decref(names);
	return NULL;
}

static bool has_name(const json_t *names, const json_t *name)
{
	for (size_t i = 0; i < json_array_size(names); i++)
		if (json_equal(json_array_get(names, i), name))
			return true;
	return false;
}

static json_t *generation(struct prune *p, struct err *e)
{
	char hex[17];
	uint8_t b[8];
	uint64_t v;

	if (index_generation(p->st->index, &v, e))
		return NULL;
	put64(b, v);
	hex_put(hex, b, sizeof(b));
	return json_string(hex);
}

/* Publish first, then list: a session that begins now does not find what is
 * doomed any more, and one that began before is in the list. */
static int note(struct prune *p, json_t *names, struct err *e)
{
	json_t *o, *gen = generation(p, e);
	char *text;
	int rc;

	if (!gen)
		return -1;
	o = json_pack("{s:i, s:o, s:O}", "format", 1, "generation", gen, "sessions", names);
	text = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (!text)
		return err_set(e, DM_ENV, "out of memory");
	rc = durable_replace(p->site->dir, DOOMED_NOTE, text, strlen(text), e);
	free(text);
	return rc;
}

/* The sessions noted, a new reference; NULL with e->code 0 when nothing that
 * still holds was noted. */
static json_t *noted(struct prune *p, struct err *e)
{
	int fd = openat(p->site->dir, DOOMED_NOTE, O_RDONLY | O_CLOEXEC);
	json_t *o, *gen, *names = NULL;
	char *text;
	size_t len;

	if (fd < 0 && errno == ENOENT)
		return NULL;
	text = fd < 0 ? NULL : fd_slurp(fd, DOOMED_MAX, &len);
	if (!text)
		err_sys(e, DM_ENV, errno, "%s/" DOOMED_NOTE, p->site->path);
	fd_close(fd);
	if (!text)
		return NULL;
	o = jsontext_parse(text, len, NULL);
	free(text);
	gen = generation(p, e);
	/* An index that was rebuilt has forgotten what was doomed. */
	if (gen && json_equal(json_object_get(o, "generation"), gen) &&
	    json_is_array(json_object_get(o, "sessions")))
		names = json_incref(json_object_get(o, "sessions"));
	json_decref(gen);
	json_decref(o);
	return names;
}

int prune_may_delete(struct prune *p, bool fresh, struct err *e)
{
	json_t *now, *then = NULL;
	uint64_t waits = 0;
	int rc = 0;

	if (!fresh) {
		then = noted(p, e);
		if (!then)
			return e->code ? -1 : 0;
	}
	now = sessions_alive(p, e);
	if (!now) {
		json_decref(then);
		return -1;
	}
	for (size_t i = 0; i < json_array_size(now); i++)
		waits += fresh || has_name(then, json_array_get(now, i));
	if (fresh) {
		p->report->waits = waits;
		rc = note(p, now, e);
	}
	json_decref(then);
	json_decref(now);
	return rc ? -1 : waits == 0;
}

int prune_forget(struct prune *p, struct err *e)
{
	if (unlinkat(p->site->dir, DOOMED_NOTE, 0) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "%s/" DOOMED_NOTE, p->site->path);
	return 0;
}
