/* Any bytes as nodes and roots of disks: each node is of zeros, chunks that
 * nobody has, nodes made before, and may be stored damaged under its id.  Two
 * disks of the same size lie over them; reading and comparing them gives what
 * a plain walk gives, or says that they are damaged. */
#include <string.h>

#include "base/bytes.h"
#include "repo/tree_priv.h"
#include "store.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#define CS     CHUNK_MIN
#define NODES  24u
#define STEPS  300u	/* a few nodes make endless disks: no walk is longer */

struct input { const uint8_t *p; size_t len; };
struct node { struct id id, child[NODE_WAYS]; bool damaged; };
struct graph { struct node node[NODES]; unsigned n; };

static unsigned take(struct input *in)
{
	if (!in->len)
		return 0;
	in->len--;
	return *in->p++;
}

static void child_of(struct graph *g, struct input *in, struct id *out)
{
	unsigned b = take(in);

	memset(out, 0, sizeof *out);
	if (b >= 128 && g->n)
		*out = g->node[b % g->n].id;
	else if (b)
		out->b[0] = (uint8_t)b, out->b[31] = (uint8_t)take(in);
}

/* One node more; the two bits above its sixteen ways damage what is stored. */
static void add_node(struct store *st, struct graph *g, struct input *in)
{
	struct node *x = &g->node[g->n];
	uint8_t body[2 + NODE_WAYS * ID_LEN + 8] = { 0 };
	struct iovec iov = { .iov_base = body, .iov_len = 2 };
	struct record r = { .type = REC_NODE };
	unsigned mask = take(in), how;
	uint64_t added;
	struct err e = { 0 };

	mask |= take(in) << 8;
	how = take(in);
	for (unsigned i = 0; i < NODE_WAYS; i++) {
		memset(&x->child[i], 0, sizeof x->child[i]);
		if (mask & 1u << i)
			child_of(g, in, &x->child[i]);
		if (id_zero(&x->child[i]))
			continue;
		put16(body, get16(body) | 1u << i);
		memcpy(body + iov.iov_len, x->child[i].b, ID_LEN);
		iov.iov_len += ID_LEN;
	}
	id_node(ID_BLAKE3, x->child, &x->id);
	if (id_zero(&x->id))
		return;
	/* An id of its own for what is damaged, so that no sound node has it. */
	x->damaged = how & 1;
	if (x->damaged) {
		x->id.b[16] ^= 1;
		iov.iov_len -= how & 2 ? how % iov.iov_len : 0;
		body[how % 2] ^= how & 4 ? (uint8_t)how : 0;
		r.type = how & 8 ? REC_CHUNK : REC_NODE;
	}
	r.id = x->id;
	r.plain = r.type == REC_CHUNK ? CS : 0;
	assert(!store_append(st, &r, &iov, 1, &added, &e));
	g->n++;
}

static const struct node *find(const struct graph *g, const struct id *id)
{
	for (unsigned i = 0; i < g->n; i++)
		if (id_equal(&g->node[i].id, id))
			return &g->node[i];
	return NULL;
}

/* Chunk n by a plain walk: 0, or -1 when a node on the way is no good. */
static int walk(const struct graph *g, const struct root_info *r, uint64_t n, struct id *out)
{
	*out = r->top;
	for (unsigned l = r->height; l && !id_zero(out); l--) {
		const struct node *x = find(g, out);

		if (!x || x->damaged)
			return -1;
		*out = x->child[n >> 4 * (l - 1) & (NODE_WAYS - 1)];
	}
	return 0;
}

static struct tree *disk_of(struct store *st, struct graph *g, struct input *in, uint64_t chunks, struct root_info *r)
{
	struct err e = { 0 };
	struct id root;
	struct tree *t;

	*r = (struct root_info){ .size = chunks * CS - take(in) % CS, .height = (uint8_t)tree_height(chunks) };
	child_of(g, in, &r->top);
	assert(!store_put_root(st, r->size, &r->top, &root, &e));
	t = tree_open(st, &root, &e);
	assert(t && tree_size(t) == r->size);
	return t;
}

static void read_disk(const struct graph *g, const struct root_info *r, struct tree *t, uint64_t from, uint64_t chunks)
{
	uint64_t n = from, before = from;
	struct id id, want;
	struct err e = { 0 };
	int rc = 0;

	for (unsigned i = 0; i < STEPS && (rc = tree_next(t, &n, &id, &e)) == 1; i++, before = ++n) {
		assert(n >= before && n < chunks && !id_zero(&id));
		assert(!walk(g, r, n, &want) && id_equal(&id, &want));
		for (uint64_t k = before; k < n && k < before + 20; k++)
			assert(!walk(g, r, k, &want) && id_zero(&want));
		assert(!tree_chunk(t, n, &want, &e) && id_equal(&id, &want));
	}
	assert(rc >= 0 || e.code == DM_BAD);
}

static void compare(const struct graph *g, const struct root_info r[2], struct tree *t[2], uint64_t from,
    uint64_t chunks)
{
	uint64_t n = from;
	struct id id[2], want[2];
	struct err e = { 0 };
	int rc = 0;

	for (unsigned i = 0; i < STEPS && (rc = tree_next_diff(t[0], t[1], &n, &id[0], &id[1], &e)) == 1; i++, n++) {
		assert(n < chunks);
		assert(!walk(g, &r[0], n, &want[0]) && !walk(g, &r[1], n, &want[1]));
		assert(id_equal(&id[0], &want[0]) && id_equal(&id[1], &want[1]) && !id_equal(&id[0], &id[1]));
	}
	assert(rc >= 0 || e.code == DM_BAD);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct store *st = fuzz_store(CS);
	struct input in = { p, len };
	struct graph g = { .n = 0 };
	struct root_info r[2];
	struct tree *t[2];
	uint64_t chunks, from;

	chunks = 1 + (take(&in) | (uint64_t)take(&in) << 8) * (take(&in) + 1ull);
	from = (take(&in) | (uint64_t)take(&in) << 8) % chunks;
	while (in.len > 6 && g.n < NODES)
		add_node(st, &g, &in);
	for (unsigned i = 0; i < 2; i++)
		t[i] = disk_of(st, &g, &in, chunks, &r[i]);
	for (unsigned i = 0; i < 2; i++)
		read_disk(&g, &r[i], t[i], from, chunks);
	compare(&g, r, t, from, chunks);
	for (unsigned i = 0; i < 2; i++)
		tree_close(t[i]);
	return 0;
}
