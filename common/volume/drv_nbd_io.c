/* nbd: volumes, transfers: cut into requests that go out together, rounded to
 * the server's blocks where it has any. */
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "volume/drv_nbd.h"

#define REQUEST KIB(256)	/* each; several make a transfer */
#define ZERO_REQUEST MIB(128)
#define ZEROS KIB(256)

enum op { OP_READ, OP_WRITE, OP_WRITE_ZEROS, OP_ZERO };

/* A transfer on the server's blocks, or one request of it: [off, off + len). */
struct transfer {
	struct nbdv_vol *n;
	enum op op;
	uint8_t *p;		/* OP_READ, OP_WRITE */
	uint64_t off, len;
};

static const uint8_t zeros[ZEROS];

static uint64_t request_len(const struct transfer *t)
{
	uint64_t len = t->op == OP_ZERO ? ZERO_REQUEST : min64(REQUEST, t->n->max);

	len = len / t->n->min * t->n->min;
	return t->op == OP_WRITE_ZEROS ? min64(max64(len, t->n->min), ZEROS) : max64(len, t->n->min);
}

static int64_t send_one(const struct transfer *t, struct nbd_handle *h, nbd_completion_callback end)
{
	uint32_t fua = t->n->flushes || t->n->where.synced ? 0 : LIBNBD_CMD_FLAG_FUA;

	switch (t->op) {
	case OP_READ:
		return nbd_aio_pread(h, t->p, t->len, t->off, end, 0);
	case OP_WRITE:
		return nbd_aio_pwrite(h, t->p, t->len, t->off, end, fua);
	case OP_WRITE_ZEROS:
		return nbd_aio_pwrite(h, zeros, t->len, t->off, end, fua);
	default:
		return nbd_aio_zero(h, t->len, t->off, end, fua);
	}
}

#define AT_ONCE 64u

/* Requests that go out together and are awaited together. */
struct together {
	struct volume *v;
	struct nbdv_call call;
	struct nbdv_part part[AT_ONCE];
	struct transfer request[AT_ONCE];	/* each is one request */
	unsigned n;
};

static void request_send(struct together *g, unsigned i)
{
	const struct transfer *q = &g->request[i];
	struct nbdv_conn *conn = nbdv_part_begin(&g->call, &g->part[i], q->off, q->op == OP_ZERO);

	if (conn)
		nbdv_part_sent(&g->part[i], conn, send_one(q, conn->h, nbdv_part_end(&g->part[i])));
}

/* Only those that failed are left: true when that is all of them. */
static bool done_drop(struct together *g)
{
	unsigned n = g->n;

	g->n = 0;
	for (unsigned i = 0; i < n; i++)
		if (g->part[i].errnum)
			g->request[g->n++] = g->request[i];
	return g->n == n;
}

static int together_end(struct together *g)
{
	static const char *const what[] = { "read", "write", "zero", "zero" };
	struct nbdv_patience patience = { 0 };
	enum op op = g->request[0].op;

	if (!g->n)
		return 0;
	nbdv_call_wait(&g->call);
	while (nbdv_again(&g->call, &patience, done_drop(g))) {
		nbdv_call_begin(&g->call, g->call.vol);
		for (unsigned i = 0; i < g->n; i++)
			request_send(g, i);
		nbdv_call_wait(&g->call);
	}
	g->n = 0;
	return nbdv_call_result(&g->call, g->v, what[op]);
}

/* 0, or what those that had to be awaited first gave. */
static int together_add(struct together *g, const struct transfer *t)
{
	uint64_t each = request_len(t), at = 0;
	int r = 0;

	for (; r == 0 && at < t->len; at += min64(each, t->len - at)) {
		if (g->n == AT_ONCE && (r = together_end(g)) != 0)
			break;
		if (!g->n)
			nbdv_call_begin(&g->call, t->n);
		g->request[g->n] = (struct transfer){ .n = t->n, .op = t->op, .p = t->p ? t->p + at : NULL,
		    .off = t->off + at, .len = min64(each, t->len - at) };
		request_send(g, g->n++);
	}
	return r;
}

static int transfer(struct volume *v, enum op op, void *p, uint64_t off, uint64_t len)
{
	struct transfer t = { .n = v->priv, .op = op, .p = p, .off = off, .len = len };
	struct together g = { .v = v };
	int r = together_add(&g, &t);

	if (r == 0)
		r = together_end(&g);
	if (r == -ENOTSUP && op != OP_ZERO)
		return volume_fail(v, EIO, "at %llu: the server does not support the request",
		    (unsigned long long)off);
	return r;
}

/* ---- places that are not on the blocks ---- */

static uint64_t block_start(const struct nbdv_vol *n, uint64_t off)
{
	return off & ~((uint64_t)n->min - 1);
}

static uint64_t block_end(const struct nbdv_vol *n, uint64_t off)
{
	return off >= n->size ? n->size : min64(block_start(n, off + n->min - 1), n->size);
}

static void *bounce_new(struct volume *v, size_t len)
{
	struct err e = { 0 };
	void *p = x_pages(len, &e);

	if (!p)
		volume_fail(v, ENOMEM, "a buffer");
	return p;
}

int nbdv_read(struct volume *v, void *p, size_t len, uint64_t off)
{
	struct nbdv_vol *n = v->priv;
	uint64_t lo = block_start(n, off), hi = block_end(n, off + len);
	uint8_t *bounce;
	int r;

	if (lo == off && hi == off + len)
		return transfer(v, OP_READ, p, off, len);
	bounce = bounce_new(v, hi - lo);
	if (!bounce)
		return -ENOMEM;
	r = transfer(v, OP_READ, bounce, lo, hi - lo);
	if (r == 0)
		memcpy(p, bounce + (off - lo), len);
	free(bounce);
	return r;
}

/* Part of one block: read it, put len bytes of p (NULL: zeros) in, write it
 * back.  One thread at a time, as several may mean the same block. */
static int patch_block(struct volume *v, const void *p, size_t len, uint64_t off)
{
	struct nbdv_vol *n = v->priv;
	uint64_t lo = block_start(n, off), hi = block_end(n, off + len);
	uint8_t *block = bounce_new(v, hi - lo);
	int r;

	if (!block)
		return -ENOMEM;
	pthread_mutex_lock(&n->patch);
	r = transfer(v, OP_READ, block, lo, hi - lo);
	if (r == 0) {
		if (p)
			memcpy(block + (off - lo), p, len);
		else
			memset(block + (off - lo), 0, len);
		r = transfer(v, OP_WRITE, block, lo, hi - lo);
	}
	pthread_mutex_unlock(&n->patch);
	free(block);
	return r;
}

/* Zeros on the blocks, by whatever the server can do. */
static int whole_zeros(struct volume *v, uint64_t off, uint64_t len)
{
	struct nbdv_vol *n = v->priv;

	if (n->can_zero && !n->no_zero) {
		int r = transfer(v, OP_ZERO, NULL, off, len);

		if (r != -ENOTSUP)
			return r;
		n->no_zero = true;
	}
	return transfer(v, OP_WRITE_ZEROS, NULL, off, len);
}

/* The parts of a range: the end of a block, whole blocks, the start of one.
 * p NULL: zeros. */
static int put_range(struct volume *v, const uint8_t *p, uint64_t len, uint64_t off)
{
	struct nbdv_vol *n = v->priv;
	uint64_t end = off + len, lo = min64(block_end(n, off), end), hi;
	int r = 0;

	if (lo > off)
		r = patch_block(v, p, lo - off, off);
	if (r != 0 || lo == end)
		return r;
	hi = block_end(n, end) == end ? end : block_start(n, end);
	if (hi > lo)
		r = p ? transfer(v, OP_WRITE, (void *)(uintptr_t)(p + (lo - off)), lo, hi - lo) :
		    whole_zeros(v, lo, hi - lo);
	if (r == 0 && hi < end)
		r = patch_block(v, p ? p + (hi - off) : NULL, end - hi, hi);
	return r;
}

int nbdv_put_bytes(struct volume *v, const void *p, size_t len, uint64_t off)
{
	return put_range(v, p, len, off);
}

int nbdv_put_zeros(struct volume *v, uint64_t off, uint64_t len)
{
	return put_range(v, NULL, len, off);
}

static bool on_blocks(const struct nbdv_vol *n, const struct nbdv_piece *p)
{
	uint64_t end = p->off + p->len;

	return block_start(n, p->off) == p->off && block_end(n, end) == end;
}

/* All of them together; -ENOTSUP when the server cannot zero after all. */
static int put_together(struct volume *v, const struct nbdv_piece *p, size_t k)
{
	struct nbdv_vol *n = v->priv;
	enum op zero = n->can_zero && !n->no_zero ? OP_ZERO : OP_WRITE_ZEROS;
	struct together g = { .v = v };
	int r = 0;

	for (size_t i = 0; r == 0 && i < k; i++) {
		struct transfer t = { .n = n, .op = p[i].p ? OP_WRITE : zero,
		    .p = (void *)(uintptr_t)p[i].p, .off = p[i].off, .len = p[i].len };

		r = together_add(&g, &t);
	}
	return r != 0 ? r : together_end(&g);
}

int nbdv_put_pieces(struct volume *v, const struct nbdv_piece *p, size_t k)
{
	struct nbdv_vol *n = v->priv;
	bool whole = true;
	int r = -ENOTSUP;

	for (size_t i = 0; whole && i < k; i++)
		whole = on_blocks(n, &p[i]);
	if (whole)
		r = put_together(v, p, k);
	if (r != -ENOTSUP)
		return r;
	r = 0;
	for (size_t i = 0; r == 0 && i < k; i++)
		r = put_range(v, p[i].p, p[i].len, p[i].off);
	return r;
}

int nbdv_sync(struct volume *v)
{
	struct nbdv_vol *n = v->priv;
	struct nbdv_conn *conn;
	struct nbdv_part part;
	struct nbdv_call c;
	int r;

	if (!n->flushes)
		return 0;
	nbdv_call_begin(&c, n);
	conn = nbdv_part_begin(&c, &part, 0, true);
	if (conn)
		nbdv_part_sent(&part, conn, nbd_aio_flush(conn->h, nbdv_part_end(&part), 0));
	r = nbdv_call_end(&c, v, "flush");
	return r == -ENOTSUP ? volume_fail(v, EIO, "flush: the server does not support it") : r;
}
