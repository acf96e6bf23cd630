/* What changes the catalog, and the locks that keep it whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "repo/catalog_chain.h"
#include "repo/catalog_dir.h"
#include "repo/catalog_record.h"
#include "repo/catalog_store.h"
#include "repo/crypt.h"
#include "repo/files.h"

static int already_there(struct site *s, const struct checkpoint *c, struct err *e)
{
	struct checkpoint *old = catalog_read(s, c->workload, c->seq, e);
	bool same = old && !strcmp(old->session, c->session);

	checkpoint_free(old);
	if (same)
		return 0;
	return err_set(e, DM_NO, "another writer committed checkpoint %llu of %s",
	    (unsigned long long)c->seq, c->workload);
}

/* The text of a record, or NULL.  It is read back first: what could not be
 * (a point that is no UTF-8, say) must not become a checkpoint. */
static char *record_text(const struct checkpoint *c, struct err *e)
{
	json_t *o = checkpoint_record(c);
	char *dump = record_check_put(o, e) ? NULL : json_dumps(o, JSON_INDENT(2)), *text;
	struct checkpoint *back;

	json_decref(o);
	if (!dump) {
		err_set(e, DM_ENV, "out of memory");
		return NULL;
	}
	text = x_printf("%s\n", dump);
	free(dump);
	back = checkpoint_parse(text, strlen(text), e);
	checkpoint_free(back);
	if (back)
		return text;
	err_prefix(e, "this iteration cannot be recorded");
	free(text);
	return NULL;
}

int catalog_commit(struct site *s, const struct checkpoint *c, struct err *e)
{
	char path[CATALOG_PATH], place[CATALOG_PLACE], *text;
	struct buf b = { 0 };
	int dir, rc;

	text = record_text(c, e);
	if (!text)
		return -1;
	if (crypt_text_seal(s, catalog_place(place, c->workload, c->seq), text, &b, e) < 0) {
		free(text);
		return -1;
	}
	dir = catalog_dir(s, c->workload, true, e);
	if (dir < 0) {
		rc = err_set(e, DM_ENV, "%s/catalog/%s vanished", s->path, c->workload);
		goto out;
	}
	fd_close(dir);
	rc = file_create(s, catalog_file(path, c->workload, c->seq, ".json"), b.p, b.len, e);
	if (rc == 1)
		rc = already_there(s, c, e);
out:
	buf_free(&b);
	free(text);
	return rc;
}

int catalog_lock_workload(struct site *s, const char *workload, struct err *e)
{
	int dir, fd, rc;

	dir = catalog_dir(s, workload, true, e);
	if (dir < 0)
		return err_set(e, DM_ENV, "%s/catalog/%s vanished", s->path, workload);
	fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	fd_close(dir);
	if (fd < 0)
		return err_sys(e, DM_ENV, errno, "%s/catalog/%s/lock", s->path, workload);
	rc = lock_try(fd, LOCK_EXCLUSIVE, e);
	if (rc == 0)
		return fd;
	fd_close(fd);
	return rc == 1 ? err_set(e, DM_NO, "another iteration of %s is running", workload) : -1;
}

/* --- holding and dropping ----------------------------------------------- */

/* Open the record under a lock of this kind, and make sure that what was
 * locked is still the record: prune may have removed it in between.
 * fd; -1 with *e; -2 when someone holds it (exclusive only). */
static int lock_record(int dir, const struct checkpoint *c, enum lock_kind kind, struct err *e)
{
	struct stat mine, now;
	char name[CATALOG_NAME];
	int fd, rc;

	catalog_name(name, c->seq, ".json");
	fd = openat(dir, name, (kind == LOCK_SHARED ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "%s of %s", name, c->workload);
	if (fd < 0)
		goto gone;
	rc = kind == LOCK_SHARED ? lock_wait(fd, kind, e) : lock_try(fd, kind, e);
	if (rc) {
		fd_close(fd);
		return rc == 1 ? -2 : -1;
	}
	if (fstat(fd, &mine) == 0 && fstatat(dir, name, &now, 0) == 0 &&
	    mine.st_dev == now.st_dev && mine.st_ino == now.st_ino)
		return fd;
	fd_close(fd);
gone:
	return err_set(e, DM_NO, "checkpoint %llu of %s is gone: it was pruned",
	    (unsigned long long)c->seq, c->workload);
}

int catalog_hold(struct site *s, const struct checkpoint *c, struct err *e)
{
	int dir, fd;

	if (s->objects)
		return catalog_store_hold(s, c, e);
	dir = catalog_dir(s, c->workload, false, e);
	if (dir < 0)
		return err_set(e, DM_NO, "checkpoint %llu of %s is gone",
		    (unsigned long long)c->seq, c->workload);
	fd = lock_record(dir, c, LOCK_SHARED, e);
	fd_close(dir);
	return fd;
}


/* The shared lock keeps prune away between its look at the pin and the
 * removal of the record. */
int catalog_pin(struct site *s, const struct checkpoint *c, bool on, struct err *e)
{
	char path[CATALOG_PATH];
	int fd = catalog_hold(s, c, e), rc;

	if (fd < 0)
		return -1;
	catalog_file(path, c->workload, c->seq, ".pin");
	if (on)
		rc = file_create(s, path, "", 0, e) < 0 ? -1 : 0;
	else
		rc = file_remove(s, path, e);
	fd_close(fd);
	return rc;
}

/* Is some disk of it kept outside of the chunk store? */
bool checkpoint_is_external(const struct checkpoint *c)
{
	for (size_t i = 0; i < c->ndisks; i++)
		if (*c->disk[i].point && strncmp(c->disk[i].point, "root:", 5))
			return true;
	return false;
}

/* Take the record out of the catalog.  What it names outside of the store is
 * deleted later, from dead/, where the record is not lost by a crash. */
static int take_out(struct site *s, int dir, const struct checkpoint *c, const char *name,
    struct err *e)
{
	char *dead;
	int rc;

	if (!checkpoint_is_external(c)) {
		if (unlinkat(dir, name, 0))
			return err_sys(e, DM_ENV, errno, "%s of %s", name, c->workload);
		return durable_dir(dir, ".", e);
	}
	if (mkdirat(s->dir, "dead", 0700) && errno != EEXIST)
		return err_sys(e, DM_ENV, errno, "%s/dead", s->path);
	dead = x_printf("dead/%s.%s", c->workload, name);
	rc = renameat(dir, name, s->dir, dead);
	if (rc)
		err_sys(e, DM_ENV, errno, "%s of %s", name, c->workload);
	free(dead);
	if (rc || durable_dir(s->dir, "dead", e) || durable_dir(s->dir, ".", e))
		return -1;
	return durable_dir(dir, ".", e);
}

/* Remove a checkpoint's record.  0 removed; 1 left: someone reads it, or it
 * is pinned or was removed meanwhile; -1. */
int catalog_drop(struct site *s, const struct checkpoint *c, struct err *e)
{
	struct err gone = { 0 };
	char name[CATALOG_NAME];
	int dir, fd, rc = 1;

	if (s->objects)
		return catalog_store_drop(s, c, checkpoint_is_external(c), e);
	dir = catalog_dir(s, c->workload, false, e);
	if (dir < 0)
		return e->code ? -1 : 1;
	fd = lock_record(dir, c, LOCK_EXCLUSIVE, &gone);
	if (fd == -1 && gone.code != DM_NO) {
		*e = gone;
		rc = -1;
	}
	if (fd < 0)
		goto out;
	if (faccessat(dir, catalog_name(name, c->seq, ".pin"), F_OK, 0))
		rc = pruned_note(dir, c, NULL, e) ? -1 : take_out(s, dir, c, catalog_name(name, c->seq, ".json"), e);
out:
	fd_close(fd);
	fd_close(dir);
	return rc;
}

int catalog_forget(struct site *s, const char *workload, const struct pruned_range *lost, struct err *e)
{
	int dir, rc;

	if (s->objects)
		return pruned_note_store(s, workload, NULL, lost, e);
	dir = catalog_dir(s, workload, false, e);
	if (dir < 0)
		return e->code ? -1 : 0;
	rc = pruned_note(dir, NULL, lost, e);
	fd_close(dir);
	return rc;
}
