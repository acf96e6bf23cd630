#include <stdlib.h>

#include "job/have.h"
#include "repo/site.h"
#include "repo/store.h"

struct have {
	struct site *site;
	struct store *store;	/* NULL: its chunks are others than the stream's */
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

int have_classify(struct have *x, const struct entry *en, struct err *e)
{
	int r;

	if (!x->store || !(en->flags & EF_ID) || id_zero(&en->id))
		return FT_DESC;
	r = store_has(x->store, &en->id, e);
	return r < 0 ? -1 : r ? FT_REF : FT_DESC;
}
