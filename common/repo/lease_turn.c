/* One at work, over all machines: turns with ascending numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/lease_priv.h"

/* A request may be under way for so long before the store refuses it as too
 * old: whoever held this before may still be heard then. */
#define LATE_S (16 * 60)

struct turns {
	uint64_t last;		/* highest number */
	int64_t modified;
};

static int take_turn(const struct object_row *row, void *arg)
{
	struct turns *t = arg;
	const char *slash = strchr(row->name, '/');
	uint64_t n;

	if (slash && strlen(slash + 1) == 20 && !u64_parse(slash + 1 + strspn(slash + 1, "0"), 1, INT64_MAX, &n) &&
	    n > t->last)
		*t = (struct turns){ n, row->modified };
	return 0;
}

static void turn_name(const char *kind, uint64_t n, char out[LEASE_NAME])
{
	snprintf(out, LEASE_NAME, "%s/%020llu", kind, (unsigned long long)n);
}

/* Is the turn over?  1, 0, -1.  Who is of this directory is dead: we hold its
 * lock file. */
static int turn_over(struct site *s, const char *name, int64_t modified, int64_t now, struct err *e)
{
	struct buf b = { 0 };
	int r = object_get(s->objects, name, 0, 4096, &b, NULL, e);

	if (r < 0)
		return -1;
	buf_put(&b, "", 1);
	if (r == 0 || !strncmp((char *)b.p, "free", 4) || strstr((char *)b.p, s->machine))
		r = 1;
	else
		r = !lease_fresh(s, modified, now - LATE_S * 1000000000ll);
	buf_free(&b);
	return r;
}

struct lease *lease_alone(struct site *s, const char *kind, struct err *e)
{
	char name[LEASE_NAME], prefix[64], *text;
	struct turns t = { 0, 0 };
	struct object_put q = { .name = name, .create = true };
	struct lease *l;
	int64_t now;
	int r;

	snprintf(prefix, sizeof prefix, "%s/", kind);
	if (leases_begin(s, e) || object_list(s->objects, prefix, take_turn, &t, &now, e))
		return NULL;
	turn_name(kind, t.last, name);
	r = t.last ? turn_over(s, name, t.modified, now, e) : 1;
	if (r < 0)
		return NULL;
	text = lease_text(s);
	turn_name(kind, t.last + 1, name);
	l = lease_make(s, name, text, -1);
	q.p = text;
	q.len = strlen(text);
	if (r > 0)
		r = object_put(s->objects, &q, e) == 0 ? 1 : e->code ? -1 : 0;
	if (r == 0)
		err_set(e, DM_NO, "another %s is running, on another machine", kind);
	if (r <= 0) {
		lease_drop(l);
		return NULL;
	}
	lease_begin(l);
	for (uint64_t i = t.last; i && i + 2 > t.last; i--) {
		struct err ignored = { 0 };

		turn_name(kind, i, name);
		object_remove(s->objects, name, &ignored);
	}
	return l;
}

/* The number stays, so that nobody takes it twice. */
void lease_alone_free(struct lease *l)
{
	struct err ignored = { 0 };
	struct object_put q = { .p = "free\n", .len = 5 };
	struct site *s;
	char *name;

	if (!l)
		return;
	s = lease_site(l);
	name = x_strdup(lease_object(l));
	q.name = name;
	/* One that lapsed is another's turn by now. */
	if (lease_still(l, &ignored) == 0) {
		lease_free(l, false);
		object_put(s->objects, &q, &ignored);
	} else {
		lease_free(l, false);
	}
	free(name);
}
