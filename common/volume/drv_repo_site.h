/* What the volumes of one iteration share when they write to a site: one store
 * and one session. */
#ifndef DM_VOLUME_DRV_REPO_SITE_H
#define DM_VOLUME_DRV_REPO_SITE_H

#include "volume/drv_repo.h"

struct repo_site {
	struct repo_site *next;
	char *name;		/* as it was asked for */
	struct site *site;
	struct store *store;
	struct session *session;
	pthread_mutex_t lock;		/* of the session: flush and finalize */
	uint64_t reported;		/* bytes told by finalize so far */
};
struct repo_group {
	struct repo_site *sites;
};

/* The site at path, opened by the first volume of the group that names it; it
 * goes with the group.  NULL with *e. */
struct repo_site *repo_site_join(struct volume_group *g, const struct driver *drv, const char *path,
    const struct volume_how *how, struct err *e);

#endif
