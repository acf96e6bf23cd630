/* Sessions: two files each in open/.  HEX is the lock, never replaced; HEX.json
 * is the state, replaced at every flush. */
#include "repo/session.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "base/timefmt.h"
#include "repo/session_text.h"

#define HEX_LEN 32
#define PATH_LEN 64

static char *lock_path(char out[PATH_LEN], const char *name)
{
	snprintf(out, PATH_LEN, "open/%s", name);
	return out;
}

static char *state_path(char out[PATH_LEN], const char *name)
{
	snprintf(out, PATH_LEN, "open/%s.json", name);
	return out;
}

static void disk_clear(struct session_disk *d)
{
	free(d->name);
	free(d->base_point);
	free(d->target_point);
}

void session_close(struct session *se)
{
	if (!se)
		return;
	for (size_t i = 0; i < se->ndisks; i++)
		disk_clear(&se->disk[i]);
	fd_close(se->fd);
	free(se->disk);
	free(se->name);
	free(se->workload);
	free(se);
}

/* The lock file under a shared lock: fd; -1; -2 it is not there (make unset). */
static int lock_shared(struct site *s, const char *name, bool make, struct err *e)
{
	char path[PATH_LEN];
	struct stat st;
	int fd, r;

	for (;;) {
		fd = openat(s->dir, lock_path(path, name), O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
		if (fd == -1)
			return !make && errno == ENOENT ? -2 :
			    err_sys(e, DM_ENV, errno, "open %s/%s", s->path, path);
		r = lock_try(fd, LOCK_SHARED, e);
		/* Who takes a session over removes its lock file while
		 * holding it alone: then this one is no longer the name's. */
		if (r == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
			return fd;
		fd_close(fd);
		if (r < 0)
			return -1;
		if (r == 1 && !make)
			return -2;
	}
}

/* The state of a session: NULL with e->code 0 when it has none (yet). */
static struct session *read_state(struct site *s, const char *name, struct err *e)
{
	char path[PATH_LEN], *text;
	struct session *se;
	size_t len;
	int fd = openat(s->dir, state_path(path, name), O_RDONLY | O_CLOEXEC);

	if (fd == -1) {
		if (errno != ENOENT)
			err_sys(e, DM_ENV, errno, "open %s/%s", s->path, path);
		return NULL;
	}
	text = fd_slurp(fd, SESSION_TEXT_MAX, &len);
	if (!text) {
		err_sys(e, DM_ENV, errno, "read %s/%s", s->path, path);
		fd_close(fd);
		return NULL;
	}
	fd_close(fd);
	se = session_parse(text, len, s->algo, e);
	free(text);
	if (!se) {
		err_prefix(e, "%s/%s", s->path, path);
	} else if (strcmp(se->name, name)) {
		err_set(e, DM_BAD, "%s/%s is of another session", s->path, path);
		session_close(se);
		se = NULL;
	}
	return se;
}

int session_save(struct site *s, struct session *se, struct err *e)
{
	char path[PATH_LEN], *text = session_text(se, s->algo, e);
	int r;

	if (!text)
		return -1;
	r = durable_replace(s->dir, state_path(path, se->name), text, strlen(text), e);
	free(text);
	return r;
}

static int remove_files(struct site *s, const char *name, struct err *e)
{
	char path[PATH_LEN];

	if (unlinkat(s->dir, state_path(path, name), 0) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "remove %s/%s", s->path, path);
	if (unlinkat(s->dir, lock_path(path, name), 0) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "remove %s/%s", s->path, path);
	return durable_dir(s->dir, "open", e);
}

int session_end(struct site *s, struct session *se, struct err *e)
{
	return remove_files(s, se->name, e);
}

static const struct session_disk *find_disk(const struct session *se, const char *name)
{
	for (size_t i = 0; i < se->ndisks; i++)
		if (!strcmp(se->disk[i].name, name))
			return &se->disk[i];
	return NULL;
}

/* Is it an iteration of the same workload, disks and bases? */
static bool same_work(const struct session *old, const struct session *want)
{
	if (old->ndisks != want->ndisks || strcmp(old->workload, want->workload))
		return false;
	for (size_t i = 0; i < want->ndisks; i++) {
		const struct session_disk *w = &want->disk[i], *o = find_disk(old, w->name);

		if (!o || o->size != w->size || o->block != w->block || o->full != w->full ||
		    o->has_base != w->has_base || (w->has_base && !id_equal(&o->base, &w->base)))
			return false;
	}
	return true;
}

static bool same_point(const struct session_disk *a, const struct session_disk *b)
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
		if (!same_point(find_disk(old, want->disk[i].name), &want->disk[i]))
			return false;
	return want->ndisks > 0;
}

static char *copy(const char *s)
{
	return x_strdup(s ? s : "");
}

/* A session as wanted, with what an interrupted one (or NULL) had. */
static struct session *make(const char *name, const struct session *want, const struct session *old)
{
	struct session *se = x_alloc(sizeof *se);

	se->fd = -1;
	se->name = x_strdup(name);
	se->workload = copy(want->workload);
	se->started = time_now();
	se->disk = x_array(want->ndisks + 1, sizeof *se->disk);
	se->ndisks = want->ndisks;
	for (size_t i = 0; i < want->ndisks; i++) {
		const struct session_disk *w = &want->disk[i];
		const struct session_disk *o = old ? find_disk(old, w->name) : NULL;
		struct session_disk *d = &se->disk[i];

		*d = (struct session_disk){
			.name = x_strdup(w->name), .size = w->size, .block = w->block, .full = w->full,
			.frozen = w->frozen, .has_base = w->has_base, .base = w->base,
			.base_point = copy(w->base_point), .target_point = copy(w->target_point),
		};
		if (!o)
			continue;
		d->has_resume = o->has_resume;
		d->resume = o->resume;
		if (!o->has_partial)
			continue;
		if (same_point(o, d)) {
			d->has_partial = true;
			d->partial = o->partial;
		} else {
			d->has_resume = true;
			d->resume = o->partial;
		}
	}
	return se;
}

static bool is_session_name(const char *name)
{
	uint8_t id[HEX_LEN / 2];

	return strlen(name) == HEX_LEN && !hex_get(name, id, sizeof id);
}

/* Names of all sessions, NULL at the end; the caller frees them and the array. */
static char **list_names(struct site *s, struct err *e)
{
	int fd = openat(s->dir, "open", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *de;
	char **v = NULL;
	size_t n = 0;

	if (!d) {
		fd_close(fd);
		err_sys(e, DM_ENV, errno, "open %s/open", s->path);
		return NULL;
	}
	v = x_grow(NULL, 1, sizeof *v);
	while ((de = readdir(d))) {
		if (!is_session_name(de->d_name))
			continue;
		v = x_grow(v, n + 2, sizeof *v);
		v[n++] = x_strdup(de->d_name);
	}
	v[n] = NULL;
	closedir(d);
	return v;
}

static void free_names(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

/* The lock file, held alone: fd; -2 somebody holds it, or it is gone; -1. */
static int lock_alone(struct site *s, const char *name, struct err *e)
{
	char path[PATH_LEN];
	int fd = openat(s->dir, lock_path(path, name), O_RDWR | O_CLOEXEC), r;

	if (fd == -1)
		return errno == ENOENT ? -2 : err_sys(e, DM_ENV, errno, "open %s/%s", s->path, path);
	r = lock_try(fd, LOCK_EXCLUSIVE, e);
	if (r == 0)
		return fd;
	fd_close(fd);
	return r < 0 ? -1 : -2;
}

int session_abandon(struct site *s, const char *name, struct err *e)
{
	char path[PATH_LEN];
	int fd, r;

	if (!is_session_name(name))
		return err_set(e, DM_USAGE, "%s is no session's name", name);
	fd = lock_alone(s, name, e);
	if (fd == -1)
		return -1;
	if (fd == -2)
		return faccessat(s->dir, lock_path(path, name), F_OK, 0) == 0;
	r = remove_files(s, name, e);
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
	struct session *old = read_state(s, name, &bad);
	int fd, r = 0;

	if (old && !same_work(old, want)) {
		session_close(old);
		return 0;
	}
	if (!old && bad.code)
		return 0;	/* not ours to judge: list and prune name it */
	fd = lock_alone(s, name, e);
	if (fd == -1 || (fd == -2 && old && clash(old, want)))
		r = fd == -1 ? -1 : err_set(e, DM_NO, "%s: session %s of the same disks is still at work",
		    s->path, name);
	if (fd >= 0 && old && newer(old, *best)) {
		session_close(*best);
		old->fd = fd;
		*best = old;
		return 0;
	}
	if (fd >= 0 && !old)
		r = remove_files(s, name, e);
	if (fd >= 0)
		fd_close(fd);
	session_close(old);
	return r;
}

/* The interrupted session to go on with, held alone; NULL with e->code 0 when
 * there is none.  mine: a name to leave out, or NULL. */
static struct session *find(struct site *s, const struct session *want, const char *mine, struct err *e)
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

struct session *session_begin(struct site *s, const uint8_t id[16], const struct session *want, struct err *e)
{
	struct session *old = NULL, *se = NULL, *mine;
	char name[HEX_LEN + 1];
	int fd;

	hex_put(name, id, 16);
	fd = lock_shared(s, name, true, e);
	if (fd < 0)
		return NULL;
	/* The same session once more: a writer that was restarted. */
	mine = read_state(s, name, e);
	if (!e->code)
		old = mine && same_work(mine, want) ? NULL : find(s, want, name, e);
	if (e->code)
		goto out;
	se = make(name, want, old ? old : mine);
	se->fd = fd;
	if (session_save(s, se, e) || (old && remove_files(s, old->name, e))) {
		session_close(se);
		se = NULL;
		fd = -1;
	}
out:
	if (!se)
		fd_close(fd);
	session_close(mine);
	session_close(old);
	return se;
}

struct session *session_find(struct site *s, const struct session *want, struct err *e)
{
	struct session *old = find(s, want, NULL, e), *se = NULL;

	if (old) {
		se = make(old->name, want, old);
		se->epoch = old->epoch;
		se->started = old->started;
	}
	session_close(old);
	return se;
}

struct session *session_join(struct site *s, const uint8_t id[16], struct err *e)
{
	char name[HEX_LEN + 1];
	struct session *se;
	int fd;

	hex_put(name, id, 16);
	fd = lock_shared(s, name, false, e);
	if (fd < 0) {
		if (fd == -2)
			err_set(e, DM_NO, "%s: there is no session %s", s->path, name);
		return NULL;
	}
	se = read_state(s, name, e);
	if (!se) {
		err_set(e, DM_NO, "%s: session %s has no state", s->path, name);
		fd_close(fd);
		return NULL;
	}
	se->fd = fd;
	return se;
}

/* One entry of the list; 0 also when it ended meanwhile (*out NULL). */
static int list_one(struct site *s, const char *name, struct session **out, bool *alive, struct err *e)
{
	char path[PATH_LEN];
	int fd = openat(s->dir, lock_path(path, name), O_RDWR | O_CLOEXEC), held;

	*out = NULL;
	if (fd == -1)
		return errno == ENOENT ? 0 : err_sys(e, DM_ENV, errno, "open %s/%s", s->path, path);
	held = lock_held(fd, e);
	fd_close(fd);
	if (held < 0)
		return -1;
	*alive = held;
	*out = read_state(s, name, e);
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
