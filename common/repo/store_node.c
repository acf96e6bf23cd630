/* Tree nodes and disk roots in the store. */
#include <string.h>

#include "base/bytes.h"
#include "repo/store_priv.h"

/* Nodes: a mask of the children that are not zero, then their ids. */
#define NODE_BODY_MAX (2 + NODE_WAYS * ID_LEN)

int store_put_node(struct store *st, const struct id child[NODE_WAYS], struct id *out, uint64_t *added, struct err *e)
{
	uint8_t body[NODE_BODY_MAX];
	struct iovec iov = { .iov_base = body, .iov_len = 2 };
	struct record r = { .type = REC_NODE };
	uint16_t mask = 0;
	int known;

	*added = 0;
	for (unsigned i = 0; i < NODE_WAYS; i++) {
		if (id_zero(&child[i]))
			continue;
		mask |= (uint16_t)(1u << i);
		memcpy(body + iov.iov_len, child[i].b, ID_LEN);
		iov.iov_len += ID_LEN;
	}
	put16(body, mask);
	id_node(st->site->algo, child, out);
	if (!mask)
		return 0;
	known = store_has(st, out, e);
	if (known)
		return known < 0 ? -1 : 0;
	r.id = *out;
	return store_append(st, &r, &iov, 1, added, e);
}

static int read_node(struct store *st, const struct id *id, struct id child[NODE_WAYS], struct err *e)
{
	uint8_t buf[RECORD_HEADER + NODE_BODY_MAX];
	const uint8_t *p = buf + RECORD_HEADER;
	struct record r = { 0 };
	struct loc l;
	struct id is;
	char text[80];
	uint32_t len;
	int res = store_locate(st, id, &l, e);

	if (res <= 0)
		return res ? -1 : store_unknown(st, id, e);
	memset(child, 0, NODE_WAYS * sizeof *child);
	len = (uint32_t)min64(l.en.len, sizeof buf);
	res = l.en.type != REC_NODE || len < RECORD_HEADER + 2 ? 1 : store_pread(st, &l, 0, buf, len, e);
	store_release(st, &l);
	if (res < 0)
		return -1;
	if (!res) {
		uint16_t mask = get16(p);

		r.stored = 2 + (uint32_t)__builtin_popcount(mask) * ID_LEN;
		if (len == RECORD_HEADER + r.stored) {
			p += 2;
			for (unsigned i = 0; i < NODE_WAYS; i++)
				if (mask & 1u << i) {
					memcpy(child[i].b, p, ID_LEN);
					p += ID_LEN;
				}
			id_node(st->site->algo, child, &is);
			if (id_equal(&is, id))
				return 0;
		}
	}
	return err_set(e, DM_BAD, "%s: the node %s is damaged", st->site->path, id_format(st->site->algo, id, text));
}

int store_node(struct store *st, const struct id *id, struct id child[NODE_WAYS], struct err *e)
{
	int r = read_node(st, id, child, e);

	return r && store_again(st, e) ? read_node(st, id, child, e) : r;
}

/* Roots: size u64, height u8, 7 bytes 0, top. */
#define ROOT_BODY (16 + ID_LEN)

int store_put_root(struct store *st, uint64_t size, const struct id *top, struct id *root, struct err *e)
{
	struct site *s = st->site;
	unsigned height = tree_height(div_up(size, s->chunk_size));
	uint8_t body[ROOT_BODY] = { 0 };
	struct iovec iov = { .iov_base = body, .iov_len = sizeof body };
	struct record r = { .type = REC_ROOT };
	uint64_t added;
	int known;

	id_root(s->algo, s->chunk_size, size, height, top, root);
	known = store_has(st, root, e);
	if (known)
		return known < 0 ? -1 : 0;
	put64(body, size);
	body[8] = (uint8_t)height;
	memcpy(body + 16, top->b, ID_LEN);
	r.id = *root;
	return store_append(st, &r, &iov, 1, &added, e);
}

static int read_root(struct store *st, const struct id *root, struct root_info *out, struct err *e)
{
	struct site *s = st->site;
	uint8_t buf[RECORD_HEADER + ROOT_BODY];
	struct loc l;
	struct id is;
	char text[80];
	int res = store_locate(st, root, &l, e);

	if (res <= 0)
		return res ? -1 : store_unknown(st, root, e);
	res = l.en.type == REC_ROOT && l.en.len == sizeof buf ? store_pread(st, &l, 0, buf, sizeof buf, e) : 1;
	store_release(st, &l);
	if (res < 0)
		return -1;
	if (!res) {
		out->size = get64(buf + RECORD_HEADER);
		out->height = buf[RECORD_HEADER + 8];
		memcpy(out->top.b, buf + RECORD_HEADER + 16, ID_LEN);
		id_root(s->algo, s->chunk_size, out->size, out->height, &out->top, &is);
		if (id_equal(&is, root) && out->height == tree_height(div_up(out->size, s->chunk_size)))
			return 0;
	}
	return err_set(e, DM_BAD, "%s: the root %s is damaged", s->path, id_format(s->algo, root, text));
}

int store_root(struct store *st, const struct id *root, struct root_info *out, struct err *e)
{
	int r = read_root(st, root, out, e);

	return r && store_again(st, e) ? read_root(st, root, out, e) : r;
}
