#include <stdlib.h>
#include <sys/stat.h>
#include <errno.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "repo/index.h"
#include "repo/tree_check.h"

#define OPEN_PACKS 32u		/* descriptors kept, a slot by ordinal */
#define CHAIN_MAX 64		/* records below one chunk; the store stops far sooner */

struct tree_check {
	struct site *site;
	struct store *store;
	struct index *index;
	struct open_pack {
		int fd;			/* -1: slot is free */
		uint32_t ordinal;
		uint64_t size;
	} pack[OPEN_PACKS];
};

struct tree_check *tree_check_new(struct site *s, struct err *e)
{
	struct tree_check *t = x_alloc(sizeof(*t));

	t->site = s;
	for (unsigned i = 0; i < OPEN_PACKS; i++)
		t->pack[i].fd = -1;
	t->store = store_open(s, STORE_READ, e);
	if (!t->store)
		goto err0;
	t->index = index_open(s, e);
	if (!t->index)
		goto err0;
	return t;
err0:
	tree_check_free(t);
	return NULL;
}

void tree_check_free(struct tree_check *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < OPEN_PACKS; i++)
		fd_close(t->pack[i].fd);
	if (t->index)
		index_close(t->index);
	if (t->store)
		store_close(t->store);
	free(t);
}

/* The pack with this ordinal, open, with its true length. */
static struct open_pack *pack_at(struct tree_check *t, uint32_t ordinal, struct err *e)
{
	struct open_pack *p = &t->pack[ordinal % OPEN_PACKS];
	struct index_pack known;
	struct stat st;

	if (p->fd >= 0 && p->ordinal == ordinal)
		return p;
	fd_close(p->fd);
	p->fd = -1;
	if (index_pack(t->index, ordinal, &known, e) < 0)
		return NULL;
	p->fd = pack_open(t->site, known.id, e);
	if (p->fd < 0)
		return NULL;
	if (fstat(p->fd, &st)) {
		err_sys(e, DM_ENV, errno, "pack");
		return NULL;
	}
	p->ordinal = ordinal;
	p->size = (uint64_t)st.st_size;
	return p;
}

static int missing(const struct id *id, const char *what, struct err *e)
{
	char hex[ID_LEN * 2 + 1];

	hex_put(hex, id->b, ID_LEN);
	return err_set(e, DM_NO, "chunk %.16s... %s: run dm-checkpoint verify", hex, what);
}

/* The record of an id must lie whole in its pack.  *base: what it is patched
 * from, the zero id when from nothing. */
static int check_record(struct tree_check *t, const struct id *id, struct id *base, struct err *e)
{
	uint8_t header[RECORD_HEADER];
	struct index_entry en;
	struct open_pack *p;
	struct record r;
	int rc;

	memset(base, 0, sizeof(*base));
	rc = index_find(t->index, id, &en, e);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return missing(id, "is not in the store", e);
	p = pack_at(t, en.pack, e);
	if (!p)
		return -1;
	if (en.len < RECORD_HEADER || (uint64_t)en.off + en.len > p->size)
		return missing(id, "lies beyond the end of its pack", e);
	if (en.type != REC_OVERLAY)
		return 0;
	if (fd_pread_full(p->fd, header, sizeof(header), en.off) != (ssize_t)sizeof(header))
		return err_sys(e, DM_ENV, errno, "pack: read");
	if (record_decode(header, &r, e))
		return -1;
	if (r.type != REC_OVERLAY || !id_equal(&r.id, id))
		return missing(id, "is not where the index has it", e);
	*base = r.base;
	return 0;
}

static int check_chunk(struct tree_check *t, const struct id *id, struct err *e)
{
	struct id at = *id, base;

	for (int i = 0; i < CHAIN_MAX; i++) {
		if (check_record(t, &at, &base, e))
			return -1;
		if (id_zero(&base))
			return 0;
		at = base;
	}
	return missing(id, "is patched from itself", e);
}

int tree_check_root(struct tree_check *t, const struct id *root, const struct id *known,
    struct err *e)
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
		if (!id_zero(&id) && check_chunk(t, &id, e)) {
			rc = -1;
			break;
		}
		n++;
	}
	if (before)
		tree_close(before);
	tree_close(now);
	return rc;
}
