#include <stdlib.h>

#include "job/have.h"
#include "repo/site.h"
#include "repo/store.h"

#define WARM_LEAST 16		/* ids that are worth threads */
#define WARM_SLOW 50000		/* ns: below it a look-up found its page in memory */
#define WARM_AGAIN 16		/* batches */

struct have {
	struct site *site;
	struct store *store;	/* NULL: its chunks are others than the stream's */
	unsigned rest;		/* batches that are left alone */
};

struct have *have_open(const char *site, const struct hello *h, struct err *e)
{
	struct have *x = x_alloc(sizeof *x);

	x->site = site_open(site, e);
	if (!x->site)
		goto err0;
	if (x->site->chunk_size != h->chunk_size || x->site->algo != h->algo)
		return x;
	x->store = store_open(x->site, STORE_READ, e);
	if (!x->store)
		goto err0;
	return x;
err0:
	have_close(x);
	return NULL;
}

void have_close(struct have *x)
{
	if (!x)
		return;
	if (x->store)
		store_close(x->store);
	if (x->site)
		site_close(x->site);
	free(x);
}

void have_expect(struct have *x, const struct id *v, size_t n)
{
	/* Threads cost more than they bring while the index is in memory; now and
	 * then that is tried again. */
	if (!x->store || n < WARM_LEAST || (x->rest && x->rest--))
		return;
	if (store_warm(x->store, v, n) < WARM_SLOW)
		x->rest = WARM_AGAIN;
}

int have_classify(struct have *x, const struct entry *en, struct err *e)
{
	int r;

	if (!x->store || !(en->flags & EF_ID) || id_zero(&en->id))
		return FT_DESC;
	r = store_has(x->store, &en->id, e);
	return r < 0 ? -1 : r ? FT_REF : FT_DESC;
}
