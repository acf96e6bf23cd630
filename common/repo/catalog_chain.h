/* The chain of a workload's records: each names the link of the one before it,
 * so that a record that was replaced later is found (dm-repository(5),
 * CATALOG).  What was dropped leaves its part of the chain in `pruned'. */
#ifndef DM_REPO_CATALOG_CHAIN_H
#define DM_REPO_CATALOG_CHAIN_H

#include "repo/catalog.h"

/* What is known of a record that is no longer there. */
struct pruned_line {
	uint64_t seq;
	bool chained, gone;	/* gone: nothing but that it is not there */
	struct id chain, content;
};
struct pruned {
	struct pruned_line *v;	/* by seq, each once */
	size_t n;
};
/* Lines that make no sense (a crash cuts the last one) are passed over. */
void pruned_parse(char *text, struct pruned *p);
/* All of a workload: 0, also when there are none, or -1 with *e. */
int pruned_read(struct site *s, const char *workload, struct pruned *p, struct err *e);
void pruned_free(struct pruned *p);
/* Note a record that is about to be dropped (content NULL: one that is not
 * there), in catalog/WORKLOAD = dir.  Durable when it returns 0; -1 with *e. */
int pruned_note(int dir, uint64_t seq, const struct checkpoint *c, struct err *e);
/* The same in an object store; by who has the turn to prune. */
int pruned_note_store(struct site *s, const char *workload, uint64_t seq, const struct checkpoint *c, struct err *e);

/* The content of a record, as its file has it without encryption. */
void chain_content(const struct site *s, const char *text, size_t len, struct id *out);

enum chain_state {
	CHAIN_HOLDS,
	CHAIN_OPEN,	/* nothing tells, since some record is not chained */
	CHAIN_MISSING,	/* *at is not there, and was not pruned */
	CHAIN_BROKEN,	/* *at is not what was there when c was made */
};
/* Follow the chain from c down to the next record that is there, `older' (NULL:
 * there is none), over what was pruned between them. */
enum chain_state chain_follow(const struct pruned *p, const struct checkpoint *older,
    const struct checkpoint *c, uint64_t *at);

#endif
