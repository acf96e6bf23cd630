/* verify: are the checkpoints whole? */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "repo/tree_check.h"
#include "repo/verify.h"

static void note_loss(struct verify_report *r, const struct checkpoint *c, const char *disk, const char *why)
{
	r->loss = x_grow(r->loss, r->nloss + 1, sizeof(*r->loss));
	r->loss[r->nloss++] = (struct verify_loss){
		.workload = x_strdup(c->workload), .disk = x_strdup(disk), .why = x_strdup(why),
		.seq = c->seq,
	};
}

/* Was this disk of the checkpoint before found whole?  Then only what differs
 * needs a look. */
static const struct id *whole_before(const struct verify_report *r, const struct checkpoint *before,
    const char *workload, const char *disk)
{
	const struct checkpoint_disk *d;

	if (!before || strcmp(before->workload, workload))
		return NULL;
	d = checkpoint_disk(before, disk);
	if (!d || !d->has_root || strncmp(d->point, "root:", 5))
		return NULL;
	for (size_t i = 0; i < r->nloss; i++)
		if (r->loss[i].seq == before->seq &&
		    !strcmp(r->loss[i].workload, workload) &&
		    !strcmp(r->loss[i].disk, disk))
			return NULL;
	return &d->root;
}

static int check_checkpoint(struct verify_report *r, struct tree_check *t, const struct checkpoint *c,
    const struct checkpoint *before, struct err *e)
{
	for (size_t i = 0; i < c->ndisks; i++) {
		const struct checkpoint_disk *d = &c->disk[i];
		struct err why = { 0 };

		if (!d->has_root || strncmp(d->point, "root:", 5)) {
			r->outside++;
			continue;
		}
		if (tree_check_root(t, &d->root, whole_before(r, before, c->workload, d->name), &why) == 0)
			continue;
		if (why.code == DM_ENV) {
			*e = why;
			return -1;
		}
		note_loss(r, c, d->name, why.text);
	}
	r->checkpoints++;
	return 0;
}

int verify_checkpoints(struct site *s, struct verify_report *r, struct err *e)
{
	struct tree_check *t = tree_check_new(s, e);
	struct checkpoint **c, *before = NULL;
	size_t n;
	int rc = 0, held = -1;	/* `before', so that it can be compared with */

	if (!t)
		return -1;
	if (catalog_list(s, NULL, &c, &n, e)) {
		tree_check_free(t);
		return -1;
	}
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct err gone = { 0 };
		int fd = catalog_hold(s, c[i], &gone);

		if (fd < 0 && gone.code == DM_NO)
			continue;	/* pruned meanwhile */
		if (fd < 0)
			*e = gone;
		rc = fd < 0 ? -1 : check_checkpoint(r, t, c[i], before, e);
		before = c[i];
		fd_close(held);
		held = fd;
	}
	fd_close(held);
	catalog_list_free(c, n);
	tree_check_free(t);
	return rc;
}
