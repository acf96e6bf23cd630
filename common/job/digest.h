/* Descriptors get the ids of their content: every chunk is read. */
#ifndef DM_JOB_DIGEST_H
#define DM_JOB_DIGEST_H

#include "job/describe.h"

struct digest;
/* Takes entries like a describe_sink and gives them on, one chunk each, in
 * order.  Chunks that read as zeros become EF_ZERO.  out_fd: where our reader
 * may go away.  NULL with *e: a volume is missing or has another size. */
struct digest *digest_new(const struct hello *h, char **volume, size_t nvolumes, int out_fd,
    describe_sink *sink, void *arg, struct err *e);
int digest_entry(void *digest, uint32_t disk, const struct entry *en, struct err *e);
/* Give on all that was taken. */
int digest_flush(struct digest *g, struct err *e);
void digest_free(struct digest *g);

#endif
