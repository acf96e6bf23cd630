/* The writing half of the store. */
#ifndef DM_REPO_STORE_WRITE_H
#define DM_REPO_STORE_WRITE_H

/* Seal and sync one pack (struct opack) of a store: the syncer's job. */
void store_sync_job(void *job, void *arg);

#endif
