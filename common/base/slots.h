/* A file of 64-byte slots, mapped by every process that uses it.  A slot
 * belongs to whoever holds the open-file-description lock on its bytes; the
 * lock dies with its owner, however that ends, and what is in a slot that
 * nobody locks means nothing.  There is no server and nothing to clean up.
 *
 *   0     header: magic, and 48 bytes of the user's; its lock is the short one
 *   64    63 cells of 64 bytes, the user's
 *   4096  slots
 *   then  a name of 64 bytes for each slot, NUL-terminated                   */
#ifndef DM_BASE_SLOTS_H
#define DM_BASE_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

#define SLOT_BYTES 64u
#define SLOTS_MAX 1024u
#define SLOT_CELLS 63u
#define SLOT_NAME 64u

struct slots;
/* Make or open it: a regular file of this user, on a local file system, that
 * belongs to nothing else.  create false: it must exist (DM_NO).  NULL with *e. */
struct slots *slots_open(const char *path, bool create, struct err *e);
void slots_close(struct slots *s);	/* gives the slot back; NULL is harmless */

/* Take a free one, zeroed: its number, or -1 with *e (DM_ENV: all are taken). */
int slots_take(struct slots *s, const char *name, struct err *e);
/* Is this slot somebody else's who lives? */
bool slots_alive(const struct slots *s, unsigned slot);
/* No slot behind this one was ever used. */
unsigned slots_end(const struct slots *s);

/* The short lock, for changes that depend on other slots.  0 or -1 with *e. */
int slots_lock(struct slots *s, struct err *e);
void slots_unlock(struct slots *s);

void *slots_header(struct slots *s);		/* 48 bytes, aligned to 8 */
void *slots_cell(struct slots *s, unsigned cell);
void *slots_at(const struct slots *s, unsigned slot);
/* A copy of its name; out has SLOT_NAME bytes.  It may be torn only while its
 * owner comes or goes. */
void slots_name(const struct slots *s, unsigned slot, char *out);

#endif
