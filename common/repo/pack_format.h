/* Bytes of a pack around its records: header, table lines, trailer. */
#ifndef DM_REPO_PACK_FORMAT_H
#define DM_REPO_PACK_FORMAT_H

#include "base/bytes.h"
#include "repo/pack.h"

#define PACK_NAME_LEN 64	/* "packs/xx/<32 digits>.pack" and room */

struct pack_trailer {
	uint32_t records;
	uint32_t table;		/* offset of the table */
	uint64_t size;		/* of the whole file */
};
void pack_header_encode(const struct site *s, const uint8_t id[PACK_ID], uint8_t out[PACK_HEADER]);
/* DM_BAD unless it is a pack of this site and version, with this id. */
int pack_header_decode(const struct site *s, const uint8_t id[PACK_ID], const uint8_t p[PACK_HEADER], struct err *e);
void pack_entry_encode(const struct pack_entry *en, uint8_t out[PACK_ENTRY]);
/* DM_BAD unless it lies inside [PACK_HEADER, limit). */
int pack_entry_decode(const uint8_t p[PACK_ENTRY], uint32_t limit, struct pack_entry *en, struct err *e);
/* The trailer's check covers the table too. */
void pack_trailer_encode(const uint8_t id[PACK_ID], const struct pack_trailer *t,
    const uint8_t *table, size_t len, uint8_t out[PACK_TRAILER]);
/* Fields only; `size' is the file's. */
int pack_trailer_decode(const uint8_t p[PACK_TRAILER], const uint8_t id[PACK_ID], uint64_t size,
    struct pack_trailer *t, struct err *e);
bool pack_trailer_intact(const uint8_t p[PACK_TRAILER], const uint8_t *table, size_t len);

/* Its first bytes and length; of an object also the last ones, as far as they
 * come with one request. */
int pack_ends(struct pack_in *p, uint8_t head[PACK_HEADER], struct buf *tail, uint64_t *size, struct err *e);

void pack_path(const uint8_t id[PACK_ID], char out[PACK_NAME_LEN]);	/* relative to the site */
void pack_tmp_path(const uint8_t id[PACK_ID], char out[PACK_NAME_LEN]);

#endif
