/* Any bytes as the list of what was pruned: lines that make no sense are
 * passed over, and a chain is followed to its end or not. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/catalog_chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct id links[2] = { { { 0 } } };
	struct checkpoint older = { .seq = 2 }, c = { .seq = 6, .chain = links };
	char *text = x_alloc(len + 1);
	struct pruned list;
	uint64_t at;
	bool *way;

	memcpy(text, p, len);
	pruned_parse(text, &list);
	for (size_t i = 1; i < list.n; i++)
		assert(list.v[i - 1].seq < list.v[i].seq);
	for (size_t i = 1; i < list.nranges; i++)
		assert(list.range[i - 1].last + 1 < list.range[i].first);
	way = x_array(list.n + 1, sizeof(*way));
	for (c.nchain = 0; c.nchain < 3; c.nchain++) {
		/* No list can make a chain of records that are not chained. */
		assert(chain_follow(&list, &older, &c, way, &at) != CHAIN_HOLDS);
		assert(at >= older.seq && at <= c.seq);
		chain_follow(&list, NULL, &c, way, &at);
	}
	pruned_free(&list);
	free(way);
	free(text);
	return 0;
}
