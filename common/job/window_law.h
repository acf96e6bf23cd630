/* How much of one disk may be in flight: the law alone, without clocks,
 * descriptors or queues, so that it can be exchanged and simulated. */
#ifndef DM_JOB_WINDOW_LAW_H
#define DM_JOB_WINDOW_LAW_H

#include <stdint.h>

struct window_law {
	uint64_t full;		/* bytes, as configured */
	uint64_t floor;		/* never less: one chunk */
	uint64_t now;		/* bytes allowed at present */
	int64_t shrunk;		/* when a refusal last halved it, nanoseconds */
	int64_t hold;		/* not before this: the refusal asked to wait */
};

void law_init(struct window_law *w, uint64_t full, uint64_t floor);
/* A request of `cost' bytes was written. */
void law_ack(struct window_law *w, uint64_t cost, int64_t now);
/* A source or target refused, and asks to be left alone for retry_ms.
 * Halves at most once in 100 ms, since one congestion refuses many. */
void law_nak(struct window_law *w, uint32_t retry_ms, int64_t now);
uint64_t law_bytes(const struct window_law *w);

#endif
