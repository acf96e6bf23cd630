/* catalog/WORKLOAD/pruned: what is known of records that are no longer there,
 * so that the chain can be followed over them (dm-repository(5), CATALOG). */
#ifndef DM_REPO_PRUNED_H
#define DM_REPO_PRUNED_H

#include "repo/catalog.h"

struct pruned_line {
	uint64_t seq;
	size_t first, nchain;	/* its chain, in `chain'; none: it was not chained */
	bool gone;		/* nothing but that it is not there */
	struct id content;
};
struct pruned_range {
	uint64_t first, last;
};
struct pruned {
	struct pruned_line *v;	/* by seq, each once */
	size_t n;
	struct id *chain;
	size_t nchain;
	struct pruned_range *range;	/* not there, nor needed for the chain; in order, apart */
	size_t nranges;
};
/* Lines that make no sense (a crash cuts the last one) are passed over. */
void pruned_parse(char *text, struct pruned *p);
/* All of a workload: 0, also when there are none, or -1 with *e. */
int pruned_read(struct site *s, const char *workload, struct pruned *p, struct err *e);
void pruned_free(struct pruned *p);
/* How many lines are of numbers below seq: the first of those that are not. */
size_t pruned_below(const struct pruned *p, uint64_t seq);
/* NULL when there is no line of it. */
const struct pruned_line *pruned_find(const struct pruned *p, uint64_t seq);
static inline const struct id *pruned_chain(const struct pruned *p, const struct pruned_line *l)
{
	return l->nchain ? p->chain + l->first : NULL;
}
/* The range that this number is in, or NULL. */
const struct pruned_range *pruned_range(const struct pruned *p, uint64_t seq);

/* The numbers from seq down of which nothing is noted, above end. */
struct pruned_range pruned_lost(const struct pruned *p, uint64_t seq, uint64_t end);
/* Take them as given up: the last of them ends the chain. */
void pruned_give_up(struct pruned *p, const struct pruned_range *lost);

/* Note a record that is about to be dropped, or (c NULL) numbers that are given
 * up, in catalog/WORKLOAD = dir.  Durable when it returns 0; -1 with *e. */
int pruned_note(int dir, const struct checkpoint *c, const struct pruned_range *lost, struct err *e);
/* The same in an object store; by who has the turn to prune. */
int pruned_note_store(struct site *s, const char *workload, const struct checkpoint *c,
    const struct pruned_range *lost, struct err *e);
/* Leave of each run of lines only what links the records on its two sides, and
 * of those before the oldest nothing.  v: the records that are there, in order.
 * By who has the turn to prune: nobody notes anything meanwhile. */
int pruned_fold(struct site *s, const char *workload, struct checkpoint *const *v, size_t n, struct err *e);

#endif
