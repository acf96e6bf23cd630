/* Requests under way: what was asked for and is not there yet, by index.
 * dm-window keeps what is in flight here, dm-recv what its workers owe. */
#ifndef DM_JOB_REQUESTS_H
#define DM_JOB_REQUESTS_H

#include "stream/record.h"

struct request {
	struct request *hash;		/* of the table */
	struct request *next, *prev;	/* of the list it is on */
	uint64_t index, count;		/* first index, how many */
	uint64_t cost;			/* credit it holds */
	int64_t due;			/* not before (time_mono()); 0: at once */
	int64_t since;			/* when it was first refused; 0: never */
	void *owner;			/* who owes it */
	uint32_t disk, epoch;
	uint16_t attempt;
	uint8_t type;			/* enum frame_type it was sent as */
	uint16_t len;			/* of the encoded entry */
	uint8_t enc[];
};

/* A list in the order of arrival; requests link themselves into at most one. */
struct request_list {
	struct request *first, *last;
	uint64_t n, cost;
};
void request_append(struct request_list *l, struct request *r);
void request_unlink(struct request_list *l, struct request *r);
/* Move all of `from' behind the end of `to'. */
void request_splice(struct request_list *to, struct request_list *from);

struct requests;
struct requests *requests_new(void);
void requests_free(struct requests *t);		/* and every request in it */
/* Remember one; NULL with *e (DM_BAD) when the index is there already. */
struct request *requests_add(struct requests *t, uint8_t type, uint32_t disk, uint32_t epoch,
    const struct entry *en, uint32_t chunk_size, struct err *e);
struct request *requests_find(const struct requests *t, uint64_t index);
/* Take it out of the table and free it; it must be on no list any more. */
void requests_remove(struct requests *t, struct request *r);
uint64_t requests_n(const struct requests *t);

/* Is this reply's entry, byte for byte, what was asked for on that disk? */
bool request_matches(const struct request *r, uint32_t disk, const struct entry *en);
int request_entry(const struct request *r, const struct hello *h, struct entry *en, struct err *e);

#endif
