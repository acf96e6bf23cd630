/* What dm-send does: requests in, chunks out, read by several threads and put
 * in the order of the requests. */
#ifndef DM_JOB_EMIT_H
#define DM_JOB_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/progress.h"
#include "job/grants.h"
#include "stream/frame.h"

enum emit_form {
	EMIT_AS_IT_IS,	/* raw, or as the source has it stored */
	EMIT_RAW,	/* raw always */
	EMIT_ZSTD,	/* compressed where that saves enough */
};

#define EMIT_THREADS_MAX 64u
#define EMIT_LEVEL_AUTO 0	/* as the link leaves time for (adapt.h) */

struct emit_how {
	const struct grants *grants;
	enum emit_form form;
	int level;		/* of EMIT_ZSTD, or EMIT_LEVEL_AUTO */
	unsigned threads;	/* 1 to EMIT_THREADS_MAX; 0: as the volumes want */
	bool allow_change;	/* the source may change while it is read */
	uint32_t chunk_size;	/* emit_all: of the stream it makes */
	uint64_t interval;	/* emit_all: bytes between barriers; 0: none but the end's */
	const char *resume;	/* emit_all: a site whose interrupted session has some of
				 * it, or NULL */
	struct progress *progress;	/* or NULL */
	struct seal *seal;	/* of a conversation, the output's too; or NULL */
	struct seal *unseal;	/* of requests that come one way, or NULL */
};

/* Answer the requests of `in_fd' on `o', whose descriptor is `out_fd', to
 * their END.  0, or -1 with *e; then the caller puts ABORT on `o'. */
int emit_requests(const struct emit_how *how, int in_fd, int out_fd,
    struct frame_out *o, struct err *e);

/* Without requests: all granted volumes, whole, as a full iteration. */
int emit_all(const struct emit_how *how, int out_fd, struct frame_out *o,
    struct err *e);

#endif
