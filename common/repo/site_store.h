/* A site's config.  One that is kept in an object store has one there, never
 * changed, and one in each directory that goes with it.  Private to
 * common/repo. */
#ifndef DM_REPO_SITE_STORE_H
#define DM_REPO_SITE_STORE_H

#include <jansson.h>

#include "repo/site.h"

#define STORE_FEATURE "object-store"
#define SITE_CONFIG "config"
#define SITE_CONFIG_MAX 65536

/* The directory's config, or NULL. */
json_t *site_config_load(struct site *s, struct err *e);
/* The key slots in use: of a directory's config, in a store the newest there. */
struct crypt_slots;
int site_slots_parse(struct site *s, const json_t *config, struct crypt_slots *slots, struct err *e);

/* Where the store is, and a new name for this directory, into its config. */
int store_config(json_t *j, const struct object_place *where, struct err *e);
/* The config that lies in the store; DM_NO when there is none. */
json_t *store_config_get(struct objects *o, struct err *e);
/* From the directory's config: opens the store, when there is one. */
int store_config_read(struct site *s, const json_t *j, struct err *e);

/* Key slots that were changed since the site was made: "slots/N", of which the
 * highest counts.  *j NULL: none were. */
int store_slots_get(struct site *s, json_t **j, struct err *e);
/* After store_slots_get by this site: 0; 1 another was first; -1.  Takes j. */
int store_slots_put(struct site *s, json_t *j, struct err *e);

#endif
