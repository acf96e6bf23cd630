/* Open-file-description locks: they die with their holder and do not vanish
 * when another descriptor of the same file closes. */
#ifndef DM_BASE_LOCK_H
#define DM_BASE_LOCK_H

#include <stdbool.h>

#include "err.h"

enum lock_kind { LOCK_SHARED, LOCK_EXCLUSIVE };

/* Lock the whole file without waiting.  0 locked, 1 held by another, -1. */
int lock_try(int fd, enum lock_kind kind, struct err *e);
/* The same, waiting. 0 or -1. */
int lock_wait(int fd, enum lock_kind kind, struct err *e);
int lock_drop(int fd);
/* Would an exclusive lock be refused now?  1 held, 0 free, -1. */
int lock_held(int fd, struct err *e);

#endif
