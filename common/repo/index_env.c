/* The LMDB environment under the index: opening, transactions, growth. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "repo/index_priv.h"

#define DISTRUST "chunks/index.rebuild"

#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xff534d42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xfe534d42
#endif
#ifndef CEPH_SUPER_MAGIC
#define CEPH_SUPER_MAGIC 0x00c36400
#endif

void index_distrust(int site_dir)
{
	fd_close(openat(site_dir, DISTRUST, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

/* Results that only a damaged environment gives. */
static bool means_damage(int rc)
{
	return rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ||
	    rc == MDB_VERSION_MISMATCH || rc == MDB_PANIC || rc == MDB_BAD_VALSIZE ||
	    rc == MDB_INCOMPATIBLE;
}

int index_failed(struct index *ix, int rc, const char *what, struct err *e)
{
	if (rc > 0)
		return err_sys(e, DM_ENV, rc, "index %s: %s", ix->path, what);
	if (means_damage(rc)) {
		index_distrust(ix->site_dir);
		return err_set(e, DM_ENV, "index %s: %s: %s; it will be rebuilt when it is next opened",
		    ix->path, what, mdb_strerror(rc));
	}
	return err_set(e, DM_ENV, "index %s: %s: %s", ix->path, what, mdb_strerror(rc));
}

/* LMDB needs coherent mappings and locks, which network file systems lack. */
static int check_local(const char *path, struct err *e)
{
	static const unsigned long remote[] = {
		NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC,
		CEPH_SUPER_MAGIC, AFS_SUPER_MAGIC, CODA_SUPER_MAGIC, V9FS_MAGIC,
	};
	struct statfs f;

	if (statfs(path, &f))
		return err_sys(e, DM_ENV, errno, "%s", path);
	for (size_t i = 0; i < LEN(remote); i++)
		if ((uint32_t)f.f_type == (uint32_t)remote[i])
			return err_set(e, DM_ENV, "%s is on a network file system: name a local "
			    "directory as \"index\" in the site's config", path);
	return 0;
}

/* A file cut short would be a bus error later. */
static bool whole(MDB_env *env)
{
	MDB_envinfo info;
	MDB_stat st;
	struct stat f;
	int fd;

	return !mdb_env_info(env, &info) && !mdb_env_stat(env, &st) && !mdb_env_get_fd(env, &fd) &&
	    !fstat(fd, &f) && (uint64_t)f.st_size >= ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
}

/* The databases; an environment of another format or site is as good as
 * damaged. */
static int open_dbs(struct site *s, struct index *ix, MDB_txn *t, bool make)
{
	unsigned f = make ? MDB_CREATE : 0;
	uint64_t format, lo, hi;
	int rc;

	if ((rc = mdb_dbi_open(t, "ids", f, &ix->ids)) || (rc = mdb_dbi_open(t, "packs", f, &ix->packs)) ||
	    (rc = mdb_dbi_open(t, "names", f, &ix->names)) || (rc = mdb_dbi_open(t, "meta", f, &ix->meta)))
		return rc;
	if (make)
		return 0;
	if ((rc = index_meta_get(ix, t, "format", &format)) || (rc = index_meta_get(ix, t, "site0", &lo)) ||
	    (rc = index_meta_get(ix, t, "site1", &hi)))
		return rc;
	return format == INDEX_FORMAT && lo == get64(s->id) && hi == get64(s->id + 8) ? 0 : MDB_INVALID;
}

/* Failures that another attempt after a rebuild would not have.  A damaged
 * header asks for a map that the system refuses. */
static bool unusable(int rc)
{
	return means_damage(rc) || rc == MDB_NOTFOUND || rc == ENOENT || rc == EINVAL || rc == ENOMEM;
}

int index_env_open(struct site *s, const char *path, unsigned flags, bool make, struct index *ix, struct err *e)
{
	MDB_txn *t = NULL;
	struct stat st;
	int rc, dead;

	*ix = (struct index){ .refs = 1, .site_dir = s->dir, .path = x_strdup(path) };
	pthread_rwlock_init(&ix->map_lock, NULL);
	pthread_mutex_init(&ix->idle_lock, NULL);
	pthread_mutex_init(&ix->write_lock, NULL);
	if (!make && !faccessat(s->dir, DISTRUST, F_OK, 0))
		goto none;
	if (stat(path, &st)) {
		if (errno == ENOENT)
			goto none;
		err_sys(e, DM_ENV, errno, "%s", path);
		goto fail;
	}
	ix->dev = st.st_dev;
	ix->ino = st.st_ino;
	if (check_local(path, e))
		goto fail;
	if ((rc = mdb_env_create(&ix->env)) || (rc = mdb_env_set_maxdbs(ix->env, 8)) ||
	    (rc = mdb_env_set_maxreaders(ix->env, 1024)) || (rc = mdb_env_set_mapsize(ix->env, s->index_map)))
		goto bad;
	/* NOMETASYNC: a crash may take the last transaction back, and opening
	 * ingests its packs again. */
	rc = mdb_env_open(ix->env, path, flags | MDB_NOTLS | MDB_NOMETASYNC | MDB_NORDAHEAD, 0600);
	if (!rc && !whole(ix->env))
		rc = MDB_CORRUPTED;
	if (rc || (rc = mdb_reader_check(ix->env, &dead)) ||
	    (rc = mdb_txn_begin(ix->env, NULL, make ? 0 : MDB_RDONLY, &t)))
		goto bad;
	rc = open_dbs(s, ix, t, make);
	if (rc) {
		mdb_txn_abort(t);
		goto bad;
	}
	rc = mdb_txn_commit(t);
	if (rc)
		goto bad;
	return 0;
bad:
	if (make || !unusable(rc)) {
		index_failed(ix, rc, "open", e);
		goto fail;
	}
none:
	index_env_close(ix);
	return 1;
fail:
	index_env_close(ix);
	return -1;
}

void index_env_close(struct index *ix)
{
	while (ix->nidle)
		mdb_txn_abort(ix->idle[--ix->nidle]);
	if (ix->env)
		mdb_env_close(ix->env);
	pthread_rwlock_destroy(&ix->map_lock);
	pthread_mutex_destroy(&ix->idle_lock);
	pthread_mutex_destroy(&ix->write_lock);
	free(ix->path);
}

/* Make room; size 0 adopts what another process made.  No transaction of ours
 * is open: readers hold the read lock and the caller is the only writer. */
static int resize(struct index *ix, bool grow)
{
	MDB_envinfo info;
	int rc = mdb_env_info(ix->env, &info);

	return rc ? rc : mdb_env_set_mapsize(ix->env, grow ? info.me_mapsize * 2 : 0);
}

static int write_once(struct index *ix, int (*fn)(struct index *, MDB_txn *, void *), void *arg)
{
	MDB_txn *t;
	int rc = mdb_txn_begin(ix->env, NULL, 0, &t);

	if (rc)
		return rc;
	rc = fn(ix, t, arg);
	if (rc) {
		mdb_txn_abort(t);
		return rc;
	}
	rc = mdb_txn_commit(t);
	if (rc && rc != MDB_MAP_FULL)
		index_distrust(ix->site_dir);
	return rc;
}

int index_write(struct index *ix, int (*fn)(struct index *, MDB_txn *, void *), void *arg,
    const char *what, struct err *e)
{
	int rc;

	pthread_mutex_lock(&ix->write_lock);
	while ((rc = write_once(ix, fn, arg)) == MDB_MAP_FULL || rc == MDB_MAP_RESIZED) {
		pthread_rwlock_wrlock(&ix->map_lock);
		rc = resize(ix, rc == MDB_MAP_FULL);
		pthread_rwlock_unlock(&ix->map_lock);
		if (rc)
			break;
	}
	pthread_mutex_unlock(&ix->write_lock);
	return rc ? index_failed(ix, rc, what, e) : 0;
}

static MDB_txn *idle_take(struct index *ix)
{
	MDB_txn *t = NULL;

	pthread_mutex_lock(&ix->idle_lock);
	if (ix->nidle)
		t = ix->idle[--ix->nidle];
	pthread_mutex_unlock(&ix->idle_lock);
	return t;
}

static void idle_give(struct index *ix, MDB_txn *t)
{
	pthread_mutex_lock(&ix->idle_lock);
	if (ix->nidle < INDEX_READERS) {
		ix->idle[ix->nidle++] = t;
		t = NULL;
	}
	pthread_mutex_unlock(&ix->idle_lock);
	if (t)
		mdb_txn_abort(t);
}

static int read_once(struct index *ix, MDB_txn **t)
{
	int rc;

	pthread_rwlock_rdlock(&ix->map_lock);
	*t = idle_take(ix);
	rc = *t ? mdb_txn_renew(*t) : mdb_txn_begin(ix->env, NULL, MDB_RDONLY, t);
	if (!rc)
		return 0;
	if (*t)
		idle_give(ix, *t);
	pthread_rwlock_unlock(&ix->map_lock);
	return rc;
}

int index_read_begin(struct index *ix, MDB_txn **t, struct err *e)
{
	int rc = read_once(ix, t);

	if (rc == MDB_MAP_RESIZED) {
		pthread_rwlock_wrlock(&ix->map_lock);
		rc = resize(ix, false);
		pthread_rwlock_unlock(&ix->map_lock);
		if (!rc)
			rc = read_once(ix, t);
	}
	return rc ? index_failed(ix, rc, "read", e) : 0;
}

void index_read_end(struct index *ix, MDB_txn *t)
{
	mdb_txn_reset(t);
	idle_give(ix, t);
	pthread_rwlock_unlock(&ix->map_lock);
}

int index_meta_get(struct index *ix, MDB_txn *t, const char *key, uint64_t *out)
{
	MDB_val k = { strlen(key), (void *)key }, v;
	int rc = mdb_get(t, ix->meta, &k, &v);

	if (rc)
		return rc;
	if (v.mv_size != 8)
		return MDB_CORRUPTED;
	*out = get64(v.mv_data);
	return 0;
}

int index_meta_put(struct index *ix, MDB_txn *t, const char *key, uint64_t value)
{
	uint8_t b[8];
	MDB_val k = { strlen(key), (void *)key }, v = { 8, b };

	put64(b, value);
	return mdb_put(t, ix->meta, &k, &v, 0);
}
