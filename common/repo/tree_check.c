#include <stdlib.h>

#include "base/bytes.h"
#include "repo/chain.h"
#include "repo/tree_check.h"

struct tree_check {
	struct store *store;
};

struct tree_check *tree_check_new(struct site *s, struct err *e)
{
	struct tree_check *t = x_alloc(sizeof(*t));

	t->store = store_open(s, STORE_READ, e);
	if (t->store)
		return t;
	free(t);
	return NULL;
}

void tree_check_free(struct tree_check *t)
{
	if (!t)
		return;
	store_close(t->store);
	free(t);
}

static int missing(const struct id *id, const char *what, struct err *e)
{
	char hex[ID_LEN * 2 + 1];

	hex_put(hex, id->b, ID_LEN);
	return err_set(e, DM_NO, "chunk %.16s... %s: run dm-checkpoint verify", hex, what);
}

static int check_located(struct tree_check *t, const struct id *id, struct loc *l,
    struct id *base, struct err *e)
{
	uint8_t header[RECORD_HEADER];
	struct record r;
	uint64_t size = l->in ? UINT64_MAX : 0;

	if (l->pack && pack_size(l->pack, &size, e))
		return -1;
	if ((uint64_t)l->en.off + l->disk_len > size)
		return missing(id, "lies beyond the end of its pack", e);
	if (l->en.type != REC_OVERLAY)
		return 0;
	if (store_pread(t->store, l, 0, header, sizeof(header), e) || record_decode(header, &r, e))
		return -1;
	if (r.type != REC_OVERLAY || !id_equal(&r.id, id))
		return missing(id, "is not where the index has it", e);
	*base = r.base;
	return 0;
}

/* The record of an id must lie whole in its pack.  *base: what it is patched
 * from, the zero id when from nothing. */
static int check_record(struct tree_check *t, const struct id *id, struct id *base, struct err *e)
{
	struct loc l;
	int rc = store_locate(t->store, id, &l, e);

	memset(base, 0, sizeof(*base));
	if (rc < 0)
		return -1;
	if (rc == 0)
		return missing(id, "is not in the store", e);
	rc = check_located(t, id, &l, base, e);
	store_release(t->store, &l);
	return rc;
}

static int check_chunk(struct tree_check *t, const struct id *id, struct err *e)
{
	struct id at = *id, base;

	for (unsigned i = 0; i < CHAIN_MAX; i++) {
		if (check_record(t, &at, &base, e))
			return -1;
		if (id_zero(&base))
			return 0;
		at = base;
	}
	return missing(id, "is patched from too many others", e);
}

static int check_leaves(struct tree_check *t, const struct id *id, struct err *e)
{
	struct id name, base;

	store_leaves_name(id, &name);
	return check_record(t, &name, &base, e);
}

static int check_tree(struct tree_check *t, const struct id *root, const struct id *known,
    int (*check)(struct tree_check *t, const struct id *id, struct err *e), struct err *e)
{
	struct tree *now, *before;
	struct id id, old;
	uint64_t n = 0;
	int rc = -1;

	if (known && id_equal(known, root))
		return 0;
	now = tree_open(t->store, root, e);
	if (!now)
		return -1;
	before = tree_open(t->store, known, e);
	while (before && (rc = tree_next_diff(now, before, &n, &id, &old, e)) == 1) {
		if (!id_zero(&id) && check(t, &id, e)) {
			rc = -1;
			break;
		}
		n++;
	}
	tree_close(before);
	tree_close(now);
	return rc;
}

int tree_check_root(struct tree_check *t, const struct id *root, const struct id *known,
    struct err *e)
{
	return check_tree(t, root, known, check_chunk, e);
}

int tree_check_ids(struct tree_check *t, const struct id *root, const struct id *known,
    struct err *e)
{
	return check_tree(t, root, known, check_leaves, e);
}
