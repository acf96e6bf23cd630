/* Finding sessions: all of them, and the one to go on with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "repo/files.h"
#include "repo/session_priv.h"
#include "repo/session_store.h"

const struct session_disk *session_disk_named(const struct session *se, const char *name)
{
	for (size_t i = 0; i < se->ndisks; i++)
		if (!strcmp(se->disk[i].name, name))
			return &se->disk[i];
	return NULL;
}

/* The same base, by its tree, or, where it has none, by the source's point. */
static bool same_base(const struct session_disk *a, const struct session_disk *b)
{
	if (a->full != b->full || a->has_base != b->has_base)
		return false;
	if (a->has_base)
		return id_equal(&a->base, &b->base);
	return a->full || (*a->base_point && !strcmp(a->base_point, b->base_point));
}

/* Is it an iteration of the same workload, disks and bases? */
bool session_same_work(const struct session *old, const struct session *want)
{
	if (old->ndisks != want->ndisks || strcmp(old->workload, want->workload) ||
	    old->outside != want->outside)
		return false;
	for (size_t i = 0; i < want->ndisks; i++) {
		const struct session_disk *w = &want->disk[i], *o = session_disk_named(old, w->name);

		if (!o || o->size != w->size || o->block != w->block || !same_base(o, w))
			return false;
	}
	return true;
}

bool session_same_point(const struct session_disk *a, const struct session_disk *b)
{
	return a->frozen && b->frozen && *a->target_point && !strcmp(a->target_point, b->target_point);
}

/* Can two sessions of the same work not both be right?  Without a workload's
 * name and without points they may be of different machines. */
static bool clash(const struct session *old, const struct session *want)
{
	if (*want->workload)
		return true;
	for (size_t i = 0; i < want->ndisks; i++)
		if (!session_same_point(session_disk_named(old, want->disk[i].name), &want->disk[i]))
			return false;
	return want->ndisks > 0;
}

static bool is_session_name(const char *name)
{
	uint8_t id[SESSION_NAME / 2];

	return strlen(name) == SESSION_NAME && !hex_get(name, id, sizeof id);
}

struct names {
	char **v;
	size_t n;
};

static void take_name(const char *name, void *arg)
{
	struct names *x = arg;
	char digits[SESSION_NAME + 1];

	/* In an object store only "HEX.json", and leases behind it. */
	snprintf(digits, sizeof digits, "%.*s", (int)strcspn(name, "."), name);
	if (!is_session_name(digits) || (x->n && !strcmp(x->v[x->n - 1], digits)))
		return;
	x->v = x_grow(x->v, x->n + 2, sizeof *x->v);
	x->v[x->n++] = x_strdup(digits);
	x->v[x->n] = NULL;
}

static void take_lock(const char *name, void *arg)
{
	if (is_session_name(name))
		take_name(name, arg);
}

static void free_names(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

/* Names of all sessions, NULL at the end; the caller frees them and the array. */
static char **list_names(struct site *s, struct err *e)
{
	struct names x = { x_array(1, sizeof *x.v), 0 };

	if (file_each(s, "open", s->objects ? take_name : take_lock, &x, e) == 0)
		return x.v;
	free_names(x.v);
	return NULL;
}

/* The lock file, held alone, and in an object store no lease of another
 * directory: fd; -2 somebody holds it, or it is gone; -1.  *committing: it may
 * still commit. */
static int lock_alone(struct site *s, const char *name, bool *committing, struct err *e)
{
	char path[SESSION_PATH];
	int make = s->objects ? O_CREAT : 0;
	int fd = openat(s->dir, session_lock_path(path, name), O_RDWR | O_CLOEXEC | make, 0600), r;
	struct stat st;

	*committing = false;
	if (fd == -1)
		return errno == ENOENT ? -2 : err_sys(e, DM_ENV, errno, "open %s/%s", s->path, path);
	r = lock_try(fd, LOCK_EXCLUSIVE, e);
	/* Who had it before us may have removed it: then the name is another's. */
	if (r == 0 && (fstat(fd, &st) || !st.st_nlink))
		r = 1;
	if (r == 0 && s->objects) {
		r = session_store_alone(s, name, committing, e);
		if (r)
			unlinkat(s->dir, path, 0);
	}
	if (r == 0)
		return fd;
	fd_close(fd);
	return r < 0 ? -1 : -2;
}

int session_abandon(struct site *s, const char *name, struct err *e)
{
	char path[SESSION_PATH];
	bool committing;
	int fd, r;

	if (!is_session_name(name))
		return err_set(e, DM_USAGE, "%s is no session's name", name);
	fd = lock_alone(s, name, &committing, e);
	if (fd == -1)
		return -1;
	if (fd == -2)
		return s->objects ? file_there(s, session_state_path(path, name), e) :
		    faccessat(s->dir, session_lock_path(path, name), F_OK, 0) == 0;
	if (committing) {
		fd_close(fd);
		return err_set(e, DM_NO, "session %s had begun to commit: it can be given up once its workload has "
		    "another checkpoint", name);
	}
	r = session_remove(s, name, e);
	fd_close(fd);
	return r;
}

static bool newer(const struct session *a, const struct session *b)
{
	return !b || a->epoch > b->epoch || (a->epoch == b->epoch && a->started > b->started);
}

/* One other session: become *best if it is interrupted work of the same kind.
 * One without state whose maker is dead is removed. */
static int consider(struct site *s, const char *name, const struct session *want, struct session **best,
    struct err *e)
{
	struct err bad = { 0 };
	struct session *old = session_read(s, name, &bad);
	bool committing;
	int fd, r = 0;

	if (old && !session_same_work(old, want)) {
		session_close(old);
		return 0;
	}
	if (!old && bad.code)
		return 0;	/* not ours to judge: list and prune name it */
	fd = lock_alone(s, name, &committing, e);
	if (fd == -1 || (fd == -2 && old && clash(old, want)))
		r = fd == -1 ? -1 : err_set(e, DM_NO, "%s: session %s of the same disks is still at work",
		    s->path, name);
	if (fd >= 0 && old && newer(old, *best)) {
		session_close(*best);
		old->committing = committing;
		old->fd = fd;
		*best = old;
		return 0;
	}
	if (fd >= 0 && !old && !committing)
		r = session_remove(s, name, e);
	if (fd >= 0)
		fd_close(fd);
	session_close(old);
	return r;
}

/* The interrupted session to go on with, held alone; NULL with e->code 0 when
 * there is none.  mine: a name to leave out, or NULL. */
struct session *session_interrupted(struct site *s, const struct session *want, const char *mine, struct err *e)
{
	char **name = list_names(s, e);
	struct session *best = NULL;
	int r = name ? 0 : -1;

	for (size_t i = 0; !r && name[i]; i++)
		if (!mine || strcmp(name[i], mine))
			r = consider(s, name[i], want, &best, e);
	free_names(name);
	if (!r)
		return best;
	session_close(best);
	return NULL;
}

struct session *session_find(struct site *s, const struct session *want, struct err *e)
{
	struct session *old = session_interrupted(s, want, NULL, e), *se = NULL;

	if (old) {
		se = session_make(old->name, want, old);
		se->epoch = old->epoch;
		se->started = old->started;
	}
	session_close(old);
	return se;
}

/* One entry of the list; 0 also when it ended meanwhile (*out NULL). */
static int list_one(struct site *s, const char *name, struct session **out, bool *alive, struct err *e)
{
	char path[SESSION_PATH];
	int fd = openat(s->dir, session_lock_path(path, name), O_RDWR | O_CLOEXEC), held = 0;

	*out = NULL;
	if (fd == -1 && (errno != ENOENT || !s->objects))
		return errno == ENOENT ? 0 : err_sys(e, DM_ENV, errno, "open %s/%s", s->path, path);
	if (fd != -1)
		held = lock_held(fd, e);
	fd_close(fd);
	if (held == 0 && s->objects)
		held = session_store_alive(s, name, e);
	if (held < 0)
		return -1;
	*alive = held > 0;
	if (held == 2)
		return 0;
	*out = session_read(s, name, e);
	if (e->code)
		return -1;
	if (*out)
		return 0;
	*out = x_alloc(sizeof **out);
	(*out)->fd = -1;
	(*out)->name = x_strdup(name);
	(*out)->workload = x_strdup("");
	return 0;
}

int session_list(struct site *s, struct session ***out, bool **alive, size_t *n, struct err *e)
{
	char **name = list_names(s, e);
	size_t count = 0;
	int r = name ? 0 : -1;

	*n = 0;
	*out = NULL;
	*alive = NULL;
	while (!r && name[count])
		count++;
	if (!r) {
		*out = x_array(count + 1, sizeof **out);
		*alive = x_array(count + 1, sizeof **alive);
	}
	for (size_t i = 0; !r && i < count; i++) {
		r = list_one(s, name[i], &(*out)[*n], &(*alive)[*n], e);
		if (!r && (*out)[*n])
			++*n;
	}
	free_names(name);
	if (!r)
		return 0;
	for (size_t i = 0; i < *n; i++)
		session_close((*out)[i]);
	free(*out);
	free(*alive);
	return -1;
}
