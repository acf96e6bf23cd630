/* ebs: volumes, lists of blocks: pages of ListSnapshotBlocks and
 * ListChangedBlocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "volume/drv_ebs.h"

#define PAGE_MIN 100u
#define PAGE_MAX 10000u
#define VOLUME_MAX GIB(65536)
#define EMPTY_MAX 10000		/* empty pages one after another */

void ebs_page_free(struct ebs_page *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->block[i].token);
	free(p->block);
	*p = (struct ebs_page){ 0 };
}

const struct ebs_block *ebs_page_find(const struct ebs_page *p, uint64_t index)
{
	size_t i = BELOW(p->block, p->n, index, index);

	return i < p->n ? &p->block[i] : NULL;
}

static int take_sizes(const json_t *v, struct ebs_page *p, struct err *e)
{
	json_int_t gib = json_integer_value(json_object_get(v, "VolumeSize"));
	json_int_t block = json_integer_value(json_object_get(v, "BlockSize"));

	if (gib <= 0 || (uint64_t)gib > VOLUME_MAX / GIB(1) || block < 512 || block > CHUNK_MAX || !is_pow2((uint64_t)block))
		return err_set(e, DM_ENV, "an answer with a volume of %lld GiB in blocks of %lld bytes",
		    (long long)gib, (long long)block);
	if ((p->block_size && p->block_size != block) || (p->volume && p->volume != GIB((uint64_t)gib)))
		return err_set(e, DM_ENV, "sizes changed between two pages of a list");
	p->volume = GIB((uint64_t)gib);
	p->block_size = (uint32_t)block;
	return 0;
}

/* One page: its blocks, in order, at or after p->from, inside the volume. */
static int take_blocks(const json_t *v, bool changes, struct ebs_page *p, struct err *e)
{
	const json_t *list = json_object_get(v, changes ? "ChangedBlocks" : "Blocks"), *b;
	const char *key = changes ? "SecondBlockToken" : "BlockToken";
	size_t i;

	p->block = x_grow(p->block, p->n + json_array_size(list) + 1, sizeof(*p->block));
	json_array_foreach(list, i, b) {
		const json_t *index = json_object_get(b, "BlockIndex");
		const char *token = json_string_value(json_object_get(b, key));
		uint64_t at = (uint64_t)json_integer_value(index);

		if (!json_is_integer(index) || at >= p->volume / p->block_size || (!token && !changes))
			return err_set(e, DM_ENV, "a list with a block that cannot be");
		if (at < p->from)
			continue;	/* some servers begin earlier than asked */
		if (p->n > 0 && p->block[p->n - 1].index >= at)
			return err_set(e, DM_ENV, "a list whose blocks are not in order");
		p->block[p->n++] = (struct ebs_block){ at, token ? x_strdup(token) : NULL };
	}
	return 0;
}

static json_t *list_page(struct ebs_api *a, const char *snapshot, const char *first, uint64_t from,
    uint64_t want, const char *next, struct err *e)
{
	char *path = x_printf("/snapshots/%s/%s", snapshot, first ? "changedblocks" : "blocks");
	char start[24], most[24];
	struct http_pair query[4];
	struct ebs_call c = { .method = "GET", .path = path, .query = query };
	json_t *v;

	snprintf(start, sizeof(start), "%llu", (unsigned long long)from);
	snprintf(most, sizeof(most), "%llu", (unsigned long long)(want < PAGE_MIN ? PAGE_MIN :
	    want > PAGE_MAX ? PAGE_MAX : want));
	query[c.nquery++] = (struct http_pair){ "maxResults", most };
	query[c.nquery++] = next ? (struct http_pair){ "pageToken", next } :
	    (struct http_pair){ "startingBlockIndex", start };
	if (first)
		query[c.nquery++] = (struct http_pair){ "firstSnapshotId", first };
	v = ebs_json(a, &c, e);
	free(path);
	return v;
}

/* A page may be empty and still not be the last. */
int ebs_list(struct ebs_api *a, const char *snapshot, const char *first, uint64_t want,
    struct ebs_page *out, struct err *e)
{
	char *next = NULL;
	unsigned empty = 0;
	int rc = 0;

	*out = (struct ebs_page){ .from = out->from, .block_size = out->block_size };
	do {
		json_t *v = list_page(a, snapshot, first, out->from, want, next, e);
		const char *token = json_string_value(json_object_get(v, "NextToken"));

		free(next);
		next = NULL;
		rc = v ? take_sizes(v, out, e) : -1;
		if (rc == 0)
			rc = take_blocks(v, first != NULL, out, e);
		if (rc == 0 && token && *token)
			next = x_strdup(token);
		if (next && out->n == 0 && ++empty > EMPTY_MAX)
			rc = err_set(e, DM_ENV, "a list of nothing but empty pages");
		json_decref(v);
	} while (rc == 0 && next && out->n == 0);
	out->to = next && out->n ? out->block[out->n - 1].index + 1 : UINT64_MAX;
	free(next);
	if (rc < 0)
		ebs_page_free(out);
	return rc;
}
