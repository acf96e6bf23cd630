#include "repo/session_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/uri.h"
#include "repo/catalog_dir.h"
#include "repo/files.h"
#include "repo/session_priv.h"

/* "fate/HEX" is created once, by whoever is first: "commit WORKLOAD SEQ" by
 * the session itself, just before it checks what it has and makes the record;
 * "ended" by who takes the session over, gives it up, or deletes what it might
 * still have counted on. */
#define FATE_MAX 256u
#define FATE_DAYS 30

static char *fate_path(char out[SESSION_PATH], const char *name)
{
	snprintf(out, SESSION_PATH, "fate/%s", name);
	return out;
}

/* What was decided: 1 and *text (the caller's), 0 nothing yet, -1. */
static int fate_get(struct site *s, const char *name, char **text, struct err *e)
{
	char path[SESSION_PATH];
	size_t len;
	int r = file_get(s, fate_path(path, name), FATE_MAX, text, &len, e);

	if (r > 0)
		(*text)[strcspn(*text, "\n")] = 0;
	return r;
}

/* Is the number taken that it would commit as?  1, 0, -1. */
static int number_taken(struct site *s, const char *fate, struct err *e)
{
	char workload[80], path[CATALOG_PATH];
	unsigned long long seq;

	if (sscanf(fate, "commit %70s %llu", workload, &seq) != 2 || !name_valid(workload))
		return 1;	/* "ended" */
	return file_there(s, catalog_file(path, workload, seq, ".json"), e);
}

int session_decide(struct site *s, struct session *se, const char *workload, uint64_t seq, struct err *e)
{
	char path[SESSION_PATH], *mine, *is = NULL;
	struct object_put q = { .name = fate_path(path, se->name), .create = true, .still = lease_still,
		.arg = se->lease };
	int r;

	if (!s->objects)
		return 0;
	mine = x_printf("commit %s %llu\n", workload, (unsigned long long)seq);
	q.p = mine;
	q.len = strlen(mine);
	r = object_put(s->objects, &q, e);
	if (r == 1)
		r = fate_get(s, se->name, &is, e);
	mine[q.len - 1] = 0;
	if (r == 1 && !strcmp(is, mine))
		r = 0;		/* a dm-checkpoint before this one, that did not come further */
	if (r == 1)
		r = err_set(e, DM_NO, "session %s was given up after its lease had lapsed: run the iteration again",
		    se->name);
	free(is);
	free(mine);
	return r;
}

/* 0 it cannot commit; 1 it may (*committing); -1. */
static int fence(struct site *s, const char *name, bool *committing, struct err *e)
{
	char path[SESSION_PATH], *is = NULL;
	int r = file_create(s, fate_path(path, name), "ended\n", 6, e);

	*committing = false;
	if (r == 1)
		r = fate_get(s, name, &is, e);
	if (r == 1)
		r = number_taken(s, is, e);
	else if (r == 0 && !is)
		r = 1;
	free(is);
	*committing = r == 0;
	return r < 0 ? -1 : *committing;
}

int session_fence(struct site *s, const char *name, struct err *e)
{
	bool committing;

	/* One that may commit has all it needs in its state. */
	return s->objects && fence(s, name, &committing, e) < 0 ? -1 : 0;
}

struct lease *session_store_join(struct site *s, const char *name, struct err *e)
{
	char prefix[SESSION_PATH], full[LEASE_NAME], *is = NULL;
	struct lease *l;
	int r;

	snprintf(prefix, sizeof prefix, "open/%s", name);
	if (lease_name(s, prefix, full, e))
		return NULL;
	l = lease_new(s, full, e);
	if (!l)
		return NULL;
	r = fate_get(s, name, &is, e);
	if (r > 0 && !strcmp(is, "ended"))
		r = err_set(e, DM_NO, "session %s was given up after its lease had lapsed: run the iteration again", name);
	free(is);
	if (r >= 0)
		return l;
	lease_free(l, true);
	return NULL;
}

/* --- who is at work ----------------------------------------------------------- */

struct around {
	const struct site *site;
	bool state, any, here;	/* here: a lease of this directory */
	int64_t newest;		/* of the leases of other directories */
};

static int take_around(const struct object_row *row, void *arg)
{
	struct around *a = arg;
	bool ours;

	a->state |= !strcmp(row->name + strlen("open/") + SESSION_NAME, ".json");
	if (!lease_name_parse(a->site, row->name, &ours))
		return 0;
	a->here |= ours;
	if (ours)
		return 0;
	if (!a->any || row->modified > a->newest)
		a->newest = row->modified;
	a->any = true;
	return 0;
}

static int look(struct site *s, const char *name, struct around *a, bool *alive, struct err *e)
{
	char prefix[SESSION_PATH];
	int64_t now;

	*a = (struct around){ .site = s };
	snprintf(prefix, sizeof prefix, "open/%s.", name);
	if (object_list(s->objects, prefix, take_around, a, &now, e))
		return -1;
	*alive = a->any && lease_fresh(s, a->newest, now);
	return 0;
}

int session_store_alone(struct site *s, const char *name, bool *committing, struct err *e)
{
	struct around a;
	bool alive;

	if (look(s, name, &a, &alive, e))
		return -1;
	if (alive || (!a.state && !a.any && !a.here))
		return 1;
	return fence(s, name, committing, e) < 0 ? -1 : 0;
}

int session_store_alive(struct site *s, const char *name, struct err *e)
{
	struct around a;
	bool alive;

	if (look(s, name, &a, &alive, e))
		return -1;
	return !a.state && !a.any && !a.here ? 2 : alive;
}

static int remove_row(const struct object_row *row, void *arg)
{
	struct buf *names = arg;

	buf_put(names, row->name, strlen(row->name) + 1);
	return 0;
}

int session_store_remove(struct site *s, const char *name, struct err *e)
{
	struct buf names = { 0 };
	char prefix[SESSION_PATH];
	int r;

	snprintf(prefix, sizeof prefix, "open/%s.", name);
	r = object_list(s->objects, prefix, remove_row, &names, NULL, e);
	for (size_t at = 0; r == 0 && at < names.len; at += strlen((char *)names.p + at) + 1)
		r = object_remove(s->objects, (char *)names.p + at, e);
	buf_free(&names);
	return r;
}

/* --- what was decided long ago -------------------------------------------------- */

struct old {
	struct buf names;
	struct buf when;	/* int64_t each */
};

static int take_old(const struct object_row *row, void *arg)
{
	struct old *o = arg;

	buf_put(&o->names, row->name, strlen(row->name) + 1);
	buf_put(&o->when, &row->modified, sizeof row->modified);
	return 0;
}

/* Nobody who wrote under such a name can still be at work, nor a request of
 * his under way. */
int session_store_clean(struct site *s, struct err *e)
{
	struct old o = { { 0 }, { 0 } };
	int64_t now, when;
	size_t at = 0, i = 0;
	int r = object_list(s->objects, "fate/", take_old, &o, &now, e);

	for (; r == 0 && at < o.names.len; at += strlen((char *)o.names.p + at) + 1, i++) {
		const char *name = (char *)o.names.p + at;
		char path[SESSION_PATH];

		memcpy(&when, o.when.p + i * sizeof when, sizeof when);
		if (now - when < FATE_DAYS * 86400ll * 1000000000 || strlen(name) != 5 + SESSION_NAME)
			continue;
		r = file_there(s, session_state_path(path, name + 5), e);
		if (r == 0)
			r = object_remove(s->objects, name, e);
		else if (r > 0)
			r = 0;
	}
	buf_free(&o.names);
	buf_free(&o.when);
	return r;
}
