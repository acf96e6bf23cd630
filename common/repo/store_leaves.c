/* Leaf ids of chunks that lie elsewhere: the bottom of the trees of targets
 * other than this store.  Such a record is no chunk and must never be found
 * for one: it has the chunk's id with every bit turned. */
#include <string.h>

#include "base/bytes.h"
#include "repo/store_priv.h"

#define BODY_MAX (2 + LEAVES_MAX * ID_LEN)

void store_leaves_name(const struct id *chunk, struct id *out)
{
	for (unsigned i = 0; i < ID_LEN; i++)
		out->b[i] = (uint8_t)~chunk->b[i];
}

/* A mask of the leaves that are not zero, then their ids. */
static size_t leaves_encode(const struct id *leaf, unsigned n, uint8_t body[BODY_MAX])
{
	size_t len = 2;
	uint16_t mask = 0;

	for (unsigned i = 0; i < n; i++) {
		if (id_zero(&leaf[i]))
			continue;
		mask |= (uint16_t)(1u << i);
		memcpy(body + len, leaf[i].b, ID_LEN);
		len += ID_LEN;
	}
	put16(body, mask);
	return len;
}

static bool leaves_decode(const uint8_t *body, size_t len, unsigned n, struct id *leaf)
{
	uint16_t mask = get16(body);

	if (len != 2 + (size_t)__builtin_popcount(mask) * ID_LEN || mask >> n)
		return false;
	memset(leaf, 0, n * sizeof(*leaf));
	body += 2;
	for (unsigned i = 0; i < n; i++)
		if (mask & 1u << i) {
			memcpy(leaf[i].b, body, ID_LEN);
			body += ID_LEN;
		}
	return true;
}

int store_put_leaves(struct store *st, const struct id *leaf, uint32_t len, struct id *chunk, struct err *e)
{
	unsigned n = leaf_count(st->site->chunk_size, len);
	struct record r = { .type = REC_LEAVES, .plain = len };
	uint8_t body[BODY_MAX];
	struct iovec iov = { .iov_base = body };
	uint64_t added;
	int known;

	id_chunk(st->site->algo, leaf, n, chunk);
	if (id_zero(chunk))
		return 0;
	store_leaves_name(chunk, &r.id);
	known = store_has(st, &r.id, e);
	if (known)
		return known < 0 ? -1 : 0;
	iov.iov_len = leaves_encode(leaf, n, body);
	return store_append(st, &r, &iov, 1, &added, e);
}

/* The record of this name: leaf ids of a chunk of `plain' bytes. */
static int leaves_read(struct store *st, const struct id *name, uint32_t plain, struct id *leaf, struct err *e)
{
	uint8_t buf[RECORD_HEADER + BODY_MAX];
	unsigned n = leaf_count(st->site->chunk_size, plain);
	struct id chunk, is;
	struct loc l;
	char text[80];
	int res = store_locate(st, name, &l, e);

	if (res <= 0)
		return res ? -1 : store_unknown(st, name, e);
	if (l.en.type != REC_LEAVES || l.en.plain != plain || !n || n > LEAVES_MAX ||
	    l.en.len < RECORD_HEADER + 2 || l.en.len > sizeof(buf))
		res = 2;
	else
		res = store_pread(st, &l, 0, buf, l.en.len, e) ? -1 : 0;
	if (!res && leaves_decode(buf + RECORD_HEADER, l.en.len - RECORD_HEADER, n, leaf)) {
		id_chunk(st->site->algo, leaf, n, &chunk);
		store_leaves_name(&chunk, &is);
		res = id_equal(&is, name) ? 1 : 2;
	}
	store_release(st, &l);
	if (res < 0)
		return -1;
	return res == 1 ? 0 : err_set(e, DM_BAD, "%s: the leaf ids %s are damaged", st->site->path,
	    id_format(st->site->algo, name, text));
}

static int leaves_get(struct store *st, const struct id *name, uint32_t plain, struct id *leaf, struct err *e)
{
	int r = leaves_read(st, name, plain, leaf, e);

	return r && store_again(st, e) ? leaves_read(st, name, plain, leaf, e) : r;
}

int store_check_leaves(struct store *st, const struct id *name, uint32_t plain, struct err *e)
{
	struct id leaf[LEAVES_MAX];

	return leaves_get(st, name, plain, leaf, e);
}

int store_tree_leaves(struct store *st, const struct id *id, uint32_t len, struct id *leaf, struct err *e)
{
	struct err why = { 0 };
	struct id name;

	if (store_leaves(st, id, len, leaf, &why) == 0)
		return 0;
	if (why.code != DM_NO) {
		*e = why;
		return -1;
	}
	store_leaves_name(id, &name);
	return leaves_get(st, &name, len, leaf, e);
}
