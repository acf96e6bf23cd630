#include "repo/prune.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "base/timefmt.h"
#include "repo/catalog_chain.h"
#include "repo/dead.h"
#include "repo/prune_priv.h"
#include "repo/session.h"
#include "repo/session_store.h"

#define FOLD_EVERY 256		/* in an object store each note writes the list anew */
#define RESERVE_FREE MIB(64)	/* with less room than this the reserve is given up */
#define RESERVE_SIZE MIB(4)

void prune_report_free(struct prune_report *r)
{
	catalog_list_free(r->dropped, r->ndropped);
	catalog_list_free(r->held, r->nheld);
	*r = (struct prune_report){ 0 };
}

static void add(struct checkpoint ***v, size_t *n, struct checkpoint *c)
{
	*v = x_grow(*v, *n + 1, sizeof(**v));
	(*v)[(*n)++] = c;
}

/* --- checkpoints -------------------------------------------------------- */

/* Drop one, or only say so.  It becomes the report's.  0 dropped, 1 left, -1. */
static int drop(struct prune *p, struct checkpoint *c, struct err *e)
{
	struct prune_report *r = p->report;
	int rc = p->how->dry_run ? 0 : catalog_drop(p->site, c, e);

	if (rc == 1)
		add(&r->held, &r->nheld, c);
	else
		add(&r->dropped, &r->ndropped, c);
	return rc;
}

/* Give up what the chain names between these two and what is neither there nor
 * was pruned, so that verify is content with that. */
static int forget_between(struct prune *p, const char *workload, struct pruned *known,
    const struct checkpoint *older, const struct checkpoint *c, struct err *e)
{
	for (;;) {
		uint64_t at;
		enum chain_state state = chain_follow(known, older, c, NULL, &at);
		struct pruned_range lost = { at, at };

		if (state == CHAIN_MISSING)
			lost = pruned_lost(known, at, older ? older->seq : 0);
		else if (state != CHAIN_CUT)
			return 0;
		p->report->forgotten += lost.last - lost.first + 1;
		pruned_give_up(known, &lost);
		if (!p->how->dry_run && catalog_forget(p->site, workload, &lost, e))
			return -1;
	}
}

static int forget_missing(struct prune *p, const char *workload, struct checkpoint *const *v,
    size_t n, struct err *e)
{
	struct pruned known;
	int rc = pruned_read(p->site, workload, &known, e);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = forget_between(p, workload, &known, i ? v[i - 1] : NULL, v[i], e);
	pruned_free(&known);
	return rc;
}

/* v: what the list was; NULL where one was dropped. */
static int fold(struct prune *p, const char *workload, struct checkpoint *const *v, size_t n, struct err *e)
{
	struct checkpoint **left = x_array(n + 1, sizeof(*left));
	size_t k = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		if (v[i])
			left[k++] = v[i];
	rc = p->how->dry_run ? 0 : pruned_fold(p->site, workload, left, k, e);
	free(left);
	return rc;
}

/* there: v to begin with. */
static int drop_those(struct prune *p, const char *workload, struct checkpoint **v, const bool *keep,
    size_t n, struct checkpoint **there, struct err *e)
{
	size_t dropped = 0;
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		if (keep[i] || rc < 0) {
			p->report->kept++;
			continue;
		}
		rc = drop(p, v[i], e);
		v[i] = NULL;
		if (rc)
			continue;
		there[i] = NULL;
		if (++dropped % FOLD_EVERY == 0)
			rc = fold(p, workload, there, n, e);
	}
	return rc < 0 ? -1 : fold(p, workload, there, n, e);
}

static int drop_old(struct prune *p, const char *workload, struct err *e)
{
	struct checkpoint **v, **there;
	bool *keep;
	size_t n;
	int rc;

	if (catalog_list(p->site, workload, &v, &n, e))
		return -1;
	if (p->how->forget_missing && forget_missing(p, workload, v, n, e)) {
		catalog_list_free(v, n);
		return -1;
	}
	keep = x_array(n + 1, sizeof(*keep));
	there = x_array(n + 1, sizeof(*there));
	if (n)
		memcpy(there, v, n * sizeof(*there));
	retention_apply(&p->how->keep, v, n, time_now(), keep);
	rc = drop_those(p, workload, v, keep, n, there, e);
	free(there);
	free(keep);
	catalog_list_free(v, n);
	return rc;
}

static int drop_all(struct prune *p, struct err *e)
{
	char **names;
	size_t n;
	int rc = 0;

	if (p->how->workload)
		return drop_old(p, p->how->workload, e);
	if (catalog_workloads(p->site, &names, &n, e))
		return -1;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = drop_old(p, names[i], e);
	catalog_names_free(names, n);
	return rc;
}

static int abandon_old(struct prune *p, struct err *e)
{
	struct session **v;
	bool *alive;
	size_t n;
	int rc = 0;

	if (!p->how->abandon)
		return 0;
	if (session_list(p->site, &v, &alive, &n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		int64_t age = (time_now() - v[i]->started) / 1000000000;

		if (rc == 0 && !alive[i] && age > 0 && (uint64_t)age > p->how->abandon) {
			rc = p->how->dry_run ? 0 : session_abandon(p->site, v[i]->name, e);
			p->report->abandoned += rc == 0;
			rc = rc < 0 ? -1 : 0;
		}
		session_close(v[i]);
	}
	free(v);
	free(alive);
	return rc;
}

/* --- the reserve -------------------------------------------------------- */

/* On a full disk even prune needs room, for the index and for packs written
 * anew: the reserve is given up first and made again at the end. */
static void reserve_release(struct prune *p)
{
	struct statvfs f;
	int fd;

	if (fstatvfs(p->site->dir, &f) || (uint64_t)f.f_bavail * f.f_frsize >= RESERVE_FREE)
		return;
	fd = openat(p->site->dir, "reserve", O_WRONLY | O_CLOEXEC);
	p->gave_reserve = fd >= 0 && ftruncate(fd, 0) == 0;
	fd_close(fd);
}

static void reserve_restore(struct prune *p)
{
	int fd;

	if (!p->gave_reserve)
		return;
	fd = openat(p->site->dir, "reserve", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		posix_fallocate(fd, 0, RESERVE_SIZE);
	fd_close(fd);
}

/* --- the store ---------------------------------------------------------- */

static int sweep_marked(struct prune *p, bool more, bool sweep, struct err *e)
{
	struct mark m;
	int rc = mark_begin(&m, p->st, e);

	if (rc == 0)
		rc = mark_all(&m, e);
	if (rc) {
		/* What is stored is damaged, not what we were given. */
		if (e->code == DM_BAD)
			e->code = DM_NO;
		err_prefix(e, "nothing was removed from the store");
	}
	p->report->missing = m.missing;
	if (rc == 0 && sweep)
		rc = prune_sweep(p, &m, e);
	if (rc == 0)
		rc = prune_doom(p, &m, more, e);
	/* Nothing to delete and nothing to wait for: small packs can be merged. */
	if (rc == 0 && more && !sweep && p->report->doomed == 0)
		rc = prune_sweep(p, &m, e);
	mark_end(&m);
	return rc;
}

/* Doom what is unmarked; delete what may be: what was doomed by an earlier
 * prune when its sessions have ended, and all of it when none is at work. */
static int collect(struct prune *p, struct err *e)
{
	int old = prune_may_delete(p, false, e), now;

	/* More is doomed now, which the note knows nothing of: without it, who
	 * comes after a crash lists the sessions again. */
	if (old < 0 || prune_forget(p, e) || sweep_marked(p, true, old, e))
		return -1;
	if (p->report->doomed == 0)
		return prune_forget(p, e);
	now = prune_may_delete(p, true, e);
	if (now <= 0)
		return now;
	return sweep_marked(p, false, true, e) ? -1 : prune_forget(p, e);
}

static int collect_here(struct prune *p, struct err *e)
{
	int rc = pack_clean(p->site, e);

	if (rc == 0) {
		p->st = store_open(p->site, STORE_READ, e);
		rc = p->st ? collect(p, e) : -1;
		store_close(p->st);
	}
	return rc;
}

/* One at a time, with the records too, since what is noted of them is folded: on
 * this machine by a lock, among machines by turns. */
static int begin_alone(struct prune *p, struct err *e)
{
	int rc, fd = openat(p->site->dir, "chunks/prune.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, DM_ENV, errno, "%s/chunks/prune.lock", p->site->path);
	rc = lock_try(fd, LOCK_EXCLUSIVE, e);
	if (rc == 1)
		rc = err_set(e, DM_NO, "another prune is running");
	if (rc == 0 && p->site->objects && !(p->site->turn = lease_alone(p->site, "prune", e)))
		rc = -1;
	if (rc == 0)
		return fd;
	fd_close(fd);
	return -1;
}

static void end_alone(struct prune *p, int fd)
{
	lease_alone_free(p->site->turn);
	p->site->turn = NULL;
	fd_close(fd);
}

static int run_alone(struct prune *p, struct err *e)
{
	struct site *s = p->site;
	int rc, fd = begin_alone(p, e);

	if (fd < 0)
		return -1;
	rc = drop_all(p, e) || abandon_old(p, e) || dead_clear(s, e) || collect_here(p, e) ||
	    (s->objects && session_store_clean(s, e)) ? -1 : 0;
	end_alone(p, fd);
	return rc;
}

int prune_run(struct site *s, const struct prune_how *how, struct prune_report *r, struct err *e)
{
	struct prune p = { .site = s, .how = how, .report = r };
	int rc;

	*r = (struct prune_report){ 0 };
	if (how->dry_run)
		return drop_all(&p, e) || abandon_old(&p, e) ? -1 : 0;
	if (!s->objects)
		reserve_release(&p);
	rc = run_alone(&p, e);
	reserve_restore(&p);
	return rc;
}
