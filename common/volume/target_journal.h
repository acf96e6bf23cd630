/* What an interrupted step has put into a target that cannot be read back: a
 * file that the driver writes, and that dm-window reads to know what need not
 * be asked for again.
 *
 * It has a head that names the step, 32 bytes for each block (the digest of
 * what was put, zeros: nothing), and a byte for each chunk of the stream that
 * the target holds whole.  A chunk's byte is written after the digests of its
 * blocks are durable, so that it never says too much. */
#ifndef DM_VOLUME_TARGET_JOURNAL_H
#define DM_VOLUME_TARGET_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "content/id.h"

/* A step, as HELLO tells of it. */
struct journal_step {
	const char *base_point, *target_point;	/* the source's, "" if unknown */
	const struct id *base_root;		/* NULL if unknown */
	bool full, frozen;
	int algo;
	uint64_t size;
	uint32_t chunk_size;
};

struct target_journal;

/* To write: locked; path NULL is a file without a name, that nothing survives
 * in.  NULL with *e (DM_NO: somebody writes it). */
struct target_journal *journal_open(const char *path, struct err *e);
/* To read what a step has left; NULL with e->code 0 when there is nothing of
 * this one. */
struct target_journal *journal_read(const char *path, const struct journal_step *s, struct err *e);
void journal_close(struct target_journal *j);	/* NULL is harmless */

/* Go on with a step: the name of the thing that it was writing to, and the size
 * of its blocks; NULL if the journal is of another step. */
const char *journal_resume(struct target_journal *j, const struct journal_step *s, uint32_t *block);
/* Empty it, and begin this step.  0 or -1. */
int journal_begin(struct target_journal *j, const struct journal_step *s, const char *target,
    uint32_t block, struct err *e);
/* Can it be gone on with when the process ends now? */
bool journal_lasts(const struct target_journal *j);
/* No step is under way any more.  0 or -1. */
int journal_end(struct target_journal *j, struct err *e);

/* Several threads may call these. */
int journal_put(struct target_journal *j, uint64_t block, const uint8_t digest[32], struct err *e);
/* Was exactly this put? 1, 0, -1. */
int journal_has(struct target_journal *j, uint64_t block, const uint8_t digest[32], struct err *e);
int journal_chunk(struct target_journal *j, uint64_t chunk, struct err *e);	/* all of it was put */
int journal_has_chunk(struct target_journal *j, uint64_t chunk, struct err *e);	/* 1, 0, -1 */
int journal_sync(struct target_journal *j, struct err *e);

/* All digests in the order of their blocks.  0 or -1. */
int journal_each(struct target_journal *j, void (*take)(void *arg, const uint8_t digest[32]),
    void *arg, struct err *e);

#endif
