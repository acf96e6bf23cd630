#include "repo/catalog_store.h"

#define XXH_STATIC_LINKING_ONLY
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "repo/catalog_chain.h"
#include "repo/catalog_dir.h"
#include "repo/catalog_record.h"
#include "repo/files.h"
#include "repo/lease.h"

/* Who reads a checkpoint puts SEQ.hold.MACHINE.RANDOM beside its record, and
 * then looks whether the record is still there and nobody has begun to drop
 * it.  Who drops it puts SEQ.drop there, and then looks whether somebody holds
 * it.  Whichever was first, at least one of the two sees the other. */
struct beside {
	const struct site *site;
	size_t skip;		/* of a name, up to what follows SEQ */
	bool record, pin, drop, held;
	const char *mine;	/* the hold not to be counted, or NULL */
	int64_t fresh;		/* the newest hold's time */
	bool any;
};

static int take_beside(const struct object_row *row, void *arg)
{
	struct beside *b = arg;
	const char *what = row->name + b->skip;
	bool ours;

	b->record |= !strcmp(what, ".json");
	b->pin |= !strcmp(what, ".pin");
	b->drop |= !strcmp(what, ".drop");
	if (strncmp(what, ".hold.", 6) || !lease_name_parse(b->site, row->name, &ours) ||
	    (b->mine && !strcmp(b->mine, row->name)))
		return 0;
	b->any = true;
	if (row->modified > b->fresh)
		b->fresh = row->modified;
	return 0;
}

/* What lies beside a record. */
static int look(struct site *s, const char *workload, uint64_t seq, const char *mine, struct beside *b,
    struct err *e)
{
	char prefix[CATALOG_PATH];
	int64_t now;

	catalog_file(prefix, workload, seq, "");
	*b = (struct beside){ .site = s, .skip = strlen(prefix), .mine = mine, .fresh = INT64_MIN };
	strcat(prefix, ".");
	if (object_list(s->objects, prefix, take_beside, b, &now, e))
		return -1;
	b->held = b->any && lease_fresh(s, b->fresh, now);
	return 0;
}

/* --- reading --------------------------------------------------------------- */

/* The copy in the directory, or NULL; one that is damaged is as good as none. */
static char *copy_get(struct site *s, const char *path, size_t *len)
{
	int fd = openat(s->dir, path, O_RDONLY | O_CLOEXEC);
	uint8_t sum[8];
	char *text = fd == -1 ? NULL : fd_slurp(fd, RECORD_MAX + sizeof sum, len);

	fd_close(fd);
	if (!text)
		return NULL;
	if (*len > sizeof sum) {
		*len -= sizeof sum;
		put64(sum, XXH3_64bits(text, *len));
		if (!memcmp(text + *len, sum, sizeof sum)) {
			text[*len] = 0;
			return text;
		}
	}
	free(text);
	return NULL;
}

/* What fails here costs another request some day. */
static void copy_put(struct site *s, const char *workload, const char *path, const char *text, size_t len)
{
	struct err ignored = { 0 };
	struct buf b = { 0 };
	int dir = catalog_dir(s, workload, true, &ignored);
	uint8_t sum[8];

	put64(sum, XXH3_64bits(text, len));
	buf_put(&b, text, len);
	buf_put(&b, sum, sizeof sum);
	if (dir >= 0)
		durable_replace(s->dir, path, b.p, b.len, &ignored);
	fd_close(dir);
	buf_free(&b);
}

int catalog_store_get(struct site *s, const char *workload, uint64_t seq, char **text, size_t *len, bool *pinned,
    struct err *e)
{
	char path[CATALOG_PATH], copy[CATALOG_PATH];
	struct beside b;
	int r;

	if (look(s, workload, seq, NULL, &b, e))
		return -1;
	if (!b.record)
		return 0;
	*pinned = b.pin;
	catalog_file(copy, workload, seq, ".copy");
	*text = copy_get(s, copy, len);
	if (*text)
		return 1;
	r = file_get(s, catalog_file(path, workload, seq, ".json"), RECORD_MAX, text, len, e);
	if (r > 0)
		copy_put(s, workload, copy, *text, *len);
	return r;
}

/* --- holding ---------------------------------------------------------------- */

int catalog_store_hold(struct site *s, const struct checkpoint *c, struct err *e)
{
	char prefix[CATALOG_PATH], name[LEASE_NAME];
	struct beside b;
	int fd;

	catalog_file(prefix, c->workload, c->seq, ".hold");
	if (lease_name(s, prefix, name, e))
		return -1;
	fd = lease_fd(s, name, e);
	if (fd < 0)
		return -1;
	if (look(s, c->workload, c->seq, name, &b, e)) {
		fd_close(fd);
		return -1;
	}
	if (b.record && !b.drop)
		return fd;
	fd_close(fd);
	return err_set(e, DM_NO, "checkpoint %llu of %s is gone: it was pruned",
	    (unsigned long long)c->seq, c->workload);
}

/* --- dropping --------------------------------------------------------------- */

/* What lies outside of the store is on this machine: so is the record from
 * which it is deleted later. */
static int keep_dead(struct site *s, const struct checkpoint *c, const char *path, struct err *e)
{
	char *text = NULL, *name;
	size_t len;
	int r = file_get(s, path, RECORD_MAX, &text, &len, e);

	if (r <= 0)
		return r;
	name = x_printf("dead/%s.%llu.json", c->workload, (unsigned long long)c->seq);
	if (mkdirat(s->dir, "dead", 0700) && errno != EEXIST)
		r = err_sys(e, DM_ENV, errno, "%s/dead", s->path);
	else
		r = durable_dir(s->dir, ".", e) || durable_replace(s->dir, name, text, len, e) ? -1 : 0;
	free(name);
	free(text);
	return r;
}

int catalog_store_drop(struct site *s, const struct checkpoint *c, bool external, struct err *e)
{
	char path[CATALOG_PATH], mark[CATALOG_PATH];
	const struct object_put q = { .name = mark, .p = "", .create = true, .still = lease_still, .arg = s->turn };
	struct beside b;
	int r;

	catalog_file(path, c->workload, c->seq, ".json");
	catalog_file(mark, c->workload, c->seq, ".drop");
	if (object_put(s->objects, &q, e) < 0)
		return -1;
	r = look(s, c->workload, c->seq, NULL, &b, e);
	if (!r && (!b.record || b.pin || b.held))
		r = 1;
	if (!r && external)
		r = keep_dead(s, c, path, e);
	if (!r)
		r = pruned_note_store(s, c->workload, c, NULL, e);
	if (!r)
		r = object_remove_while(s->objects, path, lease_still, s->turn, e);
	if (!r) {
		catalog_file(path, c->workload, c->seq, ".copy");
		unlinkat(s->dir, path, 0);
	}
	return r < 0 || file_remove(s, mark, e) ? -1 : r;
}
