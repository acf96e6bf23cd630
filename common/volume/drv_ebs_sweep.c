/* ebs: volumes, snapshots that no catalog names any more.  A snapshot is tagged
 * with its owner in the call that makes it, so there is none that would not be
 * found here, whatever crashed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "volume/drv_ebs.h"

/* owner=NAME, else this machine; and the disk of the workload. */
char *ebs_owner(const struct uri *u, const char *workload, const char *disk)
{
	char *given = uri_query(u, "owner"), *owner;
	int fd = given ? -1 : open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	char *id = fd < 0 ? NULL : fd_slurp(fd, 256, NULL);

	fd_close(fd);
	if (id)
		id[strcspn(id, "\n")] = 0;
	owner = x_printf("%s/%s/%s", given ? given : id ? id : "", workload ? workload : "", disk);
	free(given);
	free(id);
	return owner;
}

static bool known(const struct volume_sweep *how, const char *id)
{
	for (size_t i = 0; i < how->nknown; i++)
		if (!strcmp(how->known[i], id))
			return true;
	return false;
}

/* Later than the newest that the catalog names may be of a catalog that was
 * restored from a backup, or of an iteration that has not ended: these stay. */
static const char *newest_known(const struct volume_sweep *how, const struct ebs_snapshot *v, size_t n)
{
	const char *newest = "";

	for (size_t i = 0; i < n; i++)
		if (known(how, v[i].id) && strcmp(v[i].started, newest) > 0)
			newest = v[i].started;
	return newest;
}

static int remove_one(struct ebs_api *a, const struct volume_sweep *how, const char *id,
    struct volume_swept *out, struct err *e)
{
	struct err why = { 0 };

	if (how->dry_run || ebs_snapshot_delete(a, id, &why) == 0) {
		out->removed++;
		return 0;
	}
	if (why.code != DM_NO) {
		*e = why;
		return -1;
	}
	if (!out->left++)	/* in use, by an image for instance */
		snprintf(out->why, sizeof(out->why), "%.64s: %.130s", id, why.text);
	return 0;
}

int ebs_sweep(const struct uri *u, const struct volume_sweep *how, struct volume_swept *out, struct err *e)
{
	char *owner = ebs_owner(u, how->workload, how->disk);
	struct ebs_api a = { 0 };
	struct ebs_snapshot *v = NULL;
	size_t n = 0;
	int rc = ebs_api_open(&a, u, e);

	if (rc == 0)
		rc = ebs_snapshot_list(&a, owner, &v, &n, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (!strcmp(v[i].state, "completed") && !known(how, v[i].id) &&
		    strcmp(v[i].started, newest_known(how, v, n)) < 0)
			rc = remove_one(&a, how, v[i].id, out, e);
	ebs_snapshot_list_free(v, n);
	ebs_api_close(&a);
	free(owner);
	return rc;
}
