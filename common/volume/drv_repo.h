/* The repo: driver's two halves. */
#ifndef DM_VOLUME_DRV_REPO_H
#define DM_VOLUME_DRV_REPO_H

#include "repo/session.h"
#include "repo/store.h"
#include "repo/tree.h"
#include "volume/driver.h"

/* Put *e into the volume and give its -errno. */
int repo_failed(struct volume *v, const struct err *e);
/* The site that a volume is in, as site_open takes it; an allocation. */
char *repo_site_name(const struct uri *u);
/* "root:blake3:HEX" of a root; an allocation. */
char *repo_point(const struct site *s, const struct id *root);
/* Its opposite; false when it is not one of this site's hash. */
bool repo_point_parse(const struct site *s, const char *point, struct id *root);

/* --- reading (drv_repo_read.c); v->priv is a struct repo_source */
int repo_source_open(struct volume *v, const struct uri *u, const struct volume_how *how);
void repo_source_close(struct volume *v);
int repo_source_read(struct volume *v, void *p, size_t len, uint64_t off);
int repo_source_stored(struct volume *v, uint64_t off, uint32_t len, void *p, int *codec, size_t *stored_len);
int repo_source_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out);
char *repo_source_point(struct volume *v);

/* --- writing (drv_repo_write.c); v->priv is a struct repo_target */
int repo_target_open(struct volume *v, const struct uri *u, const struct volume_how *how);
void repo_target_close(struct volume *v);
int repo_target_put(struct volume *v, struct volume_chunk *c);
int repo_target_put_zero(struct volume *v, uint64_t off, uint64_t len);
int repo_target_held(struct volume *v, uint64_t off, const struct id *id);
int repo_target_ref(struct volume *v, uint64_t off, uint32_t len, const struct id *id);
int repo_target_flush(struct volume_group *g, const struct driver *drv, uint32_t epoch);
int repo_target_finalize(struct volume *v, const struct id *source_root, struct volume_final *f);

#endif
