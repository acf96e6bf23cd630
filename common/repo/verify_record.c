#include "repo/verify_record.h"

#include "base/bytes.h"
#include "repo/blocks.h"

static int read_content(struct store *st, const struct id *id, const struct index_entry *en, uint8_t *buf, struct err *e)
{
	uint32_t len = en->len;
	struct id child[NODE_WAYS];
	struct root_info info;

	/* Its check was right; with the key it is also known who wrote it.  The
	 * id of its content is not known from its name. */
	if (st->site->sealed)
		return st->site->crypt ? crypt_record_open(st->site, NULL, buf, &len, e) : 0;
	if (en->type == REC_NODE)
		return store_node(st, id, child, e);
	if (en->type == REC_ROOT)
		return store_root(st, id, &info, e);
	if (en->type == REC_LEAVES)
		return store_check_leaves(st, id, en->plain, e);
	if (en->plain == 0 || en->plain > CHUNK_MAX)
		return err_set(e, DM_BAD, "its length is wrong");
	return store_read(st, id, en->plain, 0, en->plain, buf, e);
}

static int read_back(struct store *st, struct pack_in *in, const struct id *id, const struct index_entry *en,
    uint8_t *buf, struct err *e)
{
	struct pack_entry at = {
		.id = *id, .off = en->off, .len = en->len, .plain = en->plain, .type = en->type,
		.codec = en->codec, .depth = en->depth, .tier = en->tier,
	};
	struct record r;

	return pack_record(in, &at, buf, &r, e) || read_content(st, id, en, buf, e) ? -1 : 0;
}

int verify_record(struct store *st, struct pack_in *in, const struct id *id, const struct index_entry *en,
    uint8_t *buf, struct err *e)
{
	struct err first = { 0 };

	if (read_back(st, in, id, en, buf, &first) == 0)
		return 0;
	if (first.code == DM_ENV) {
		*e = first;
		return -1;
	}
	/* It may have been damaged on its way here: what is called damaged is
	 * given up, so it is got and looked at once more. */
	if (st->site->blocks)
		blocks_forget(st->site->blocks);
	return read_back(st, in, id, en, buf, e);
}
