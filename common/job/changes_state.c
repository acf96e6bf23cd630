/* --state FILE: the ids this host saw last time.  FILE holds the state of a
 * base; a scan leaves what it saw in FILE.next, which becomes FILE when the
 * next iteration says that it is its base. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "job/changes.h"

/* The state at path when it is usable as the base: else NULL.  *exists: there
 * is something. */
static struct idfile *try_state(struct subject *s, const char *path, bool *exists, struct err *e)
{
	struct idfile *f;
	char text[80];

	if (access(path, F_OK) != 0 && errno == ENOENT)
		return NULL;
	*exists = true;
	f = idfile_open(path, e);
	if (!f || !s->has_base_root || id_equal(&f->root, &s->base_root))
		return f;
	err_set(e, DM_NO, "%s: is of the state %s, not of the base", path,
	    id_format(f->algo, &f->root, text));
	idfile_close(f);
	return NULL;
}

static int move_state(const char *from, const char *to, struct err *e)
{
	if (rename(from, to) != 0)
		return err_sys(e, DM_ENV, errno, "%s", to);
	return durable_name(AT_FDCWD, to, e);
}

int state_choose(struct subject *s, struct err *e)
{
	char *next = x_printf("%s.next", s->state);
	struct err first = { 0 };
	bool exists = false;
	int r = 0;

	s->old = try_state(s, next, &exists, &first);
	if (s->old)
		r = move_state(next, s->state, e);
	else
		s->old = try_state(s, s->state, &exists, &first);
	s->owns_old = s->old != NULL;
	free(next);
	if (!s->old && exists) {
		*e = first;
		r = -1;
	}
	return r;
}

int state_keep(struct subject *s, struct err *e)
{
	char *next = x_printf("%s.next", s->state);
	int r = move_state(s->new->path, next, e);

	s->kept = r == 0;
	free(next);
	return r;
}
