/* The chain of a workload's records: each names the links of the one before it
 * and of some far behind, so that a record that was replaced later is found
 * (dm-repository(5), CATALOG).  What was dropped leaves its part of the chain in
 * `pruned' (pruned.h). */
#ifndef DM_REPO_CATALOG_CHAIN_H
#define DM_REPO_CATALOG_CHAIN_H

#include "repo/catalog.h"
#include "repo/pruned.h"

/* Links as text: "HEX,HEX"; an allocation. */
char *links_text(const struct id *v, size_t n);
/* How many there are, from 1 to CHAIN_LINKS; -1 when it is no such list. */
int links_parse(const char *text, struct id v[CHAIN_LINKS]);

/* The content of a record, as its file has it without encryption. */
void chain_content(const struct site *s, const char *text, size_t len, struct id *out);
/* The link of a record with this chain (none: n 0) and content. */
void chain_link(const struct id *chain, size_t n, const struct id *content, struct id *out);

enum chain_state {
	CHAIN_HOLDS,
	CHAIN_OPEN,	/* nothing tells, since some record is not chained */
	CHAIN_MISSING,	/* *at is not there, and was not pruned */
	CHAIN_CUT,	/* *at was pruned, but its line is needed and gone */
	CHAIN_BROKEN,	/* *at is not what was there when c was made */
};
/* Follow the chain from c down to the next record that is there, `older' (NULL:
 * there is none), over what was pruned between them.  way: room for p->n, or
 * NULL; when the chain holds, the lines of a short way are set in it. */
enum chain_state chain_follow(const struct pruned *p, const struct checkpoint *older,
    const struct checkpoint *c, bool *way, uint64_t *at);

#endif
