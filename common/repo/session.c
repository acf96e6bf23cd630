/* Sessions: two files each in open/.  HEX is the lock, never replaced; HEX.json
 * is the state, replaced at every flush. */
#include "repo/session.h"

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
#include "base/uri.h"
#include "repo/files.h"
#include "repo/lease.h"
#include "repo/session_priv.h"
#include "repo/session_store.h"
#include "repo/crypt.h"
#include "repo/session_text.h"

char *session_lock_path(char out[SESSION_PATH], const char *name)
{
	snprintf(out, SESSION_PATH, "open/%s", name);
	return out;
}

char *session_state_path(char out[SESSION_PATH], const char *name)
{
	snprintf(out, SESSION_PATH, "open/%s.json", name);
	return out;
}

static void disk_clear(struct session_disk *d)
{
	free(d->name);
	free(d->base_point);
	free(d->target_point);
	free(d->work);
}

void session_close(struct session *se)
{
	if (!se)
		return;
	for (size_t i = 0; i < se->ndisks; i++)
		disk_clear(&se->disk[i]);
	lease_free(se->lease, true);
	fd_close(se->fd);
	free(se->disk);
	free(se->name);
	free(se->workload);
	free(se);
}

/* The lock file under a shared lock: fd; -1; -2 it is not there (make unset). */
static int lock_shared(struct site *s, const char *name, bool make, struct err *e)
{
	char path[SESSION_PATH];
	struct stat st;
	int fd, r;

	for (;;) {
		fd = openat(s->dir, session_lock_path(path, name), O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600);
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
struct session *session_read(struct site *s, const char *name, struct err *e)
{
	char path[SESSION_PATH], *text;
	struct session *se;
	size_t len;

	if (file_get(s, session_state_path(path, name), SESSION_TEXT_MAX, &text, &len, e) <= 0)
		return NULL;
	text = crypt_text_open(s, path, text, &len, e);
	if (!text) {
		err_prefix(e, "%s/%s", s->path, path);
		return NULL;
	}
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
	char path[SESSION_PATH], *text = session_text(se, s->algo, e);
	struct buf b = { 0 };
	int r;

	if (!text)
		return -1;
	session_state_path(path, se->name);
	r = crypt_text_seal(s, path, text, &b, e);
	if (!r)
		r = file_replace(s, path, b.p, b.len, lease_still, se->lease, e);
	buf_free(&b);
	free(text);
	return r;
}

int session_remove(struct site *s, const char *name, struct err *e)
{
	char path[SESSION_PATH];

	if (s->objects && session_store_remove(s, name, e))
		return -1;
	if (!s->objects && unlinkat(s->dir, session_state_path(path, name), 0) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "remove %s/%s", s->path, path);
	if (unlinkat(s->dir, session_lock_path(path, name), 0) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "remove %s/%s", s->path, path);
	return durable_dir(s->dir, "open", e);
}

int session_end(struct site *s, struct session *se, struct err *e)
{
	lease_free(se->lease, false);
	se->lease = NULL;
	return session_remove(s, se->name, e);
}

static char *copy(const char *s)
{
	return x_strdup(s ? s : "");
}

/* What an interrupted session had of a disk, for the one that goes on. */
static void take_over(struct session_disk *d, const struct session_disk *o, bool outside)
{
	bool same = session_same_point(o, d);

	if (outside && !same)
		return;		/* its content is of another state, and only there */
	d->has_resume = o->has_resume;
	d->resume = o->resume;
	if (!o->has_partial)
		return;
	if (same) {
		d->has_partial = true;
		d->partial = o->partial;
		free(d->work);
		d->work = copy(o->work);
	} else {
		d->has_resume = true;
		d->resume = o->partial;
	}
}

/* A session as wanted, with what an interrupted one (or NULL) had. */
struct session *session_make(const char *name, const struct session *want, const struct session *old)
{
	struct session *se = x_alloc(sizeof *se);

	se->fd = -1;
	se->name = x_strdup(name);
	se->workload = copy(want->workload);
	se->started = time_now();
	se->disk = x_array(want->ndisks + 1, sizeof *se->disk);
	se->ndisks = want->ndisks;
	se->outside = want->outside;
	for (size_t i = 0; i < want->ndisks; i++) {
		const struct session_disk *w = &want->disk[i];
		const struct session_disk *o = old ? session_disk_named(old, w->name) : NULL;
		struct session_disk *d = &se->disk[i];

		*d = (struct session_disk){
			.name = x_strdup(w->name), .size = w->size, .block = w->block, .full = w->full,
			.frozen = w->frozen, .has_base = w->has_base, .base = w->base,
			.base_point = copy(w->base_point), .target_point = copy(w->target_point),
			.work = copy(""),
		};
		if (o)
			take_over(d, o, se->outside);
	}
	return se;
}

struct session *session_begin(struct site *s, const uint8_t id[16], const struct session *want, struct err *e)
{
	struct session *old = NULL, *se = NULL, *mine;
	struct lease *lease;
	char name[SESSION_NAME + 1];
	int fd;

	/* It comes from the source; its state could not be read again. */
	if (want->workload && *want->workload && !name_valid(want->workload)) {
		err_set(e, DM_BAD, "'%s' cannot be the name of a workload", want->workload);
		return NULL;
	}
	hex_put(name, id, 16);
	fd = lock_shared(s, name, true, e);
	if (fd < 0)
		return NULL;
	lease = s->objects ? session_store_join(s, name, e) : NULL;
	/* The same session once more: a writer that was restarted. */
	mine = e->code ? NULL : session_read(s, name, e);
	if (!e->code)
		old = mine && session_same_work(mine, want) ? NULL : session_interrupted(s, want, name, e);
	if (e->code)
		goto out;
	se = session_make(name, want, old ? old : mine);
	se->fd = fd;
	se->lease = lease;
	lease = NULL;
	if (session_save(s, se, e) || (old && !old->committing && session_remove(s, old->name, e))) {
		session_close(se);
		se = NULL;
		fd = -1;
	}
out:
	lease_free(lease, true);
	if (!se)
		fd_close(fd);
	session_close(mine);
	session_close(old);
	return se;
}

struct session *session_join(struct site *s, const uint8_t id[16], struct err *e)
{
	char name[SESSION_NAME + 1];
	struct session *se;
	int fd;

	hex_put(name, id, 16);
	/* In an object store it may have been made by another machine. */
	fd = lock_shared(s, name, s->objects, e);
	if (fd < 0) {
		if (fd == -2)
			err_set(e, DM_NO, "%s: there is no session %s", s->path, name);
		return NULL;
	}
	se = session_read(s, name, e);
	if (se && s->objects && !(se->lease = session_store_join(s, name, e))) {
		session_close(se);
		se = NULL;
	}
	if (!se) {
		err_set(e, DM_NO, "%s: session %s has no state", s->path, name);
		fd_close(fd);
		return NULL;
	}
	se->fd = fd;
	return se;
}
