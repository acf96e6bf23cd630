/* verify: one record, read back.  Private to verify. */
#ifndef DM_REPO_VERIFY_RECORD_H
#define DM_REPO_VERIFY_RECORD_H

#include "repo/store_priv.h"

/* Read the record that an entry of the index says is in this pack, and, as far
 * as there is the key, its content; buf has room for a record.  0; -1 with *e:
 * DM_ENV it could not be read, else it is damaged, which was looked at twice. */
int verify_record(struct store *st, struct pack_in *in, const struct id *id, const struct index_entry *en,
    uint8_t *buf, struct err *e);

#endif
