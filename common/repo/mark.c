#include <stdlib.h>

#include "base/bytes.h"
#include "repo/catalog.h"
#include "repo/chain.h"
#include "repo/mark.h"
#include "repo/session.h"

int mark_begin(struct mark *m, struct store *st, struct err *e)
{
	*m = (struct mark){ .st = st };
	if (index_ordinals(st->index, &m->n, e))
		return -1;
	m->bits = x_try(m->n / 8 + 1, 1, e);
	return m->bits ? 0 : -1;
}

void mark_end(struct mark *m)
{
	free(m->bits);
	free(m->ids);
	m->bits = m->ids = NULL;
}

static bool has_bit(const uint8_t *bits, uint64_t ordinal)
{
	return bits[ordinal / 8] >> (ordinal % 8) & 1;
}

bool mark_has(const struct mark *m, uint64_t ordinal)
{
	return ordinal >= m->n || has_bit(m->bits, ordinal) || (m->ids && has_bit(m->ids, ordinal));
}

/* Mark the record of an id in `bits': 1 it was not marked before, 0 it was, -1.
 * 2: there is none. */
static int mark_in(struct mark *m, uint8_t *bits, const struct id *id, struct index_entry *en, struct err *e)
{
	struct id name;
	int rc;

	crypt_id(m->st->site, id, &name);
	rc = index_find(m->st->index, &name, en, e);
	if (rc <= 0)
		return rc < 0 ? -1 : 2;
	if (en->ordinal >= m->n)
		return 1;
	if (has_bit(bits, en->ordinal))
		return 0;
	bits[en->ordinal / 8] |= (uint8_t)(1u << (en->ordinal % 8));
	return 1;
}

/* What an overlay is patched from.  One that cannot be read needs nothing any
 * more: it counts as missing and *base is zero. */
static int overlay_base(struct mark *m, const struct id *id, struct id *base, struct err *e)
{
	uint8_t header[RECORD_HEADER];
	struct err why = { 0 };
	struct record r = { 0 };
	struct loc l;
	int rc = store_locate(m->st, id, &l, &why);

	if (rc == 1) {
		if (store_pread(m->st, &l, 0, header, sizeof(header), &why) == 0)
			record_decode(header, &r, &why);
		store_release(m->st, &l);
	}
	*base = r.base;
	if (why.code == DM_ENV) {
		*e = why;
		return -1;
	}
	if (rc != 1 || why.code) {
		memset(base, 0, sizeof(*base));
		m->missing++;
	}
	return 0;
}

static int mark_chunk(struct mark *m, const struct id *id, struct err *e)
{
	struct id at = *id, base;
	struct index_entry en;

	for (unsigned i = 0; i < CHAIN_MAX && !id_zero(&at); i++) {
		int rc = mark_in(m, m->bits, &at, &en, e);

		if (rc <= 0)
			return rc;
		if (rc == 2) {
			m->missing++;
			return 0;
		}
		if (en.type != REC_OVERLAY)
			return 0;
		if (overlay_base(m, &at, &base, e))
			return -1;
		at = base;
	}
	return 0;
}

/* The bottom of a tree of ids: leaf ids, where they are kept. */
static int mark_leaves(struct mark *m, const struct id *chunk, struct err *e)
{
	struct index_entry en;
	struct id name;

	store_leaves_name(chunk, &name);
	return mark_in(m, m->ids, &name, &en, e) < 0 ? -1 : 0;
}

/* Trees of content and trees of ids are walked alike: each has bits of its own,
 * as they share nodes, and something else at the bottom. */
struct walk {
	uint8_t *bits;
	int (*bottom)(struct mark *m, const struct id *id, struct err *e);
};

static int walk_node(struct mark *m, const struct walk *w, const struct id *id, unsigned height, struct err *e)
{
	struct id child[NODE_WAYS];
	struct index_entry en;
	int rc;

	if (id_zero(id))
		return 0;
	if (height == 0)
		return w->bottom(m, id, e);
	rc = mark_in(m, w->bits, id, &en, e);
	if (rc == 0)
		return 0;
	if (rc < 0 || store_node(m->st, id, child, e))
		return -1;
	for (unsigned i = 0; i < NODE_WAYS; i++)
		if (walk_node(m, w, &child[i], height - 1, e))
			return -1;
	return 0;
}

static int walk_root(struct mark *m, const struct walk *w, const struct id *root, struct err *e)
{
	struct root_info info;
	struct index_entry en;
	int rc;

	if (id_zero(root))
		return 0;
	rc = mark_in(m, w->bits, root, &en, e);
	if (rc == 0)
		return 0;
	if (rc < 0 || store_root(m->st, root, &info, e))
		return -1;
	return walk_node(m, w, &info.top, info.height, e);
}

int mark_root(struct mark *m, const struct id *root, struct err *e)
{
	return walk_root(m, &(struct walk){ m->bits, mark_chunk }, root, e);
}

int mark_tree(struct mark *m, const struct id *root, struct err *e)
{
	if (!m->ids)
		m->ids = x_try(m->n / 8 + 1, 1, e);
	return m->ids ? walk_root(m, &(struct walk){ m->ids, mark_leaves }, root, e) : -1;
}

static int mark_session(struct mark *m, const struct session *se, struct err *e)
{
	int (*mark)(struct mark *m, const struct id *root, struct err *e) = se->outside ? mark_tree : mark_root;

	for (size_t i = 0; i < se->ndisks; i++) {
		const struct session_disk *d = &se->disk[i];

		if ((d->has_base && mark(m, &d->base, e)) ||
		    (d->has_partial && mark(m, &d->partial, e)) ||
		    (d->has_resume && mark(m, &d->resume, e)) ||
		    (d->has_final && mark(m, &d->final, e)))
			return err_prefix(e, "session %s, disk %s", se->name, d->name);
	}
	return 0;
}

static int mark_sessions(struct mark *m, struct err *e)
{
	struct session **v;
	bool *alive;
	size_t n;
	int rc = 0;

	if (session_list(m->st->site, &v, &alive, &n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (rc == 0)
			rc = mark_session(m, v[i], e);
		session_close(v[i]);
	}
	free(v);
	free(alive);
	return rc;
}

static int mark_checkpoint(struct mark *m, const struct checkpoint *c, struct err *e)
{
	for (size_t i = 0; i < c->ndisks; i++) {
		const struct checkpoint_disk *d = &c->disk[i];

		if ((checkpoint_disk_stored(d) && mark_root(m, &d->root, e)) ||
		    (d->has_tree && mark_tree(m, &d->tree, e)))
			return err_prefix(e, "checkpoint %llu of %s, disk %s",
			    (unsigned long long)c->seq, c->workload, d->name);
	}
	return 0;
}

/* Sessions first: one that commits meanwhile is seen here or in the catalog.
 * And twice: one that takes another over appears under its own name before
 * that goes, but a list may have been made before the one and read after the
 * other. */
int mark_all(struct mark *m, struct err *e)
{
	struct checkpoint **v;
	size_t n;
	int rc = 0;

	if (mark_sessions(m, e) || mark_sessions(m, e) || catalog_list(m->st->site, NULL, &v, &n, e))
		return -1;
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = mark_checkpoint(m, v[i], e);
	catalog_list_free(v, n);
	return rc;
}
