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
	struct checkpoint older = { .seq = 2 }, c = { .seq = 6 };
	char *text = x_alloc(len + 1);
	struct pruned list;
	uint64_t at;

	memcpy(text, p, len);
	pruned_parse(text, &list);
	for (size_t i = 1; i < list.n; i++)
		assert(list.v[i - 1].seq < list.v[i].seq);
	for (int chained = 0; chained < 2; chained++) {
		c.has_chain = chained;
		/* No list can make a chain of records that are not chained. */
		assert(chain_follow(&list, &older, &c, &at) != CHAIN_HOLDS);
		assert(at >= older.seq && at <= c.seq);
		chain_follow(&list, NULL, &c, &at);
	}
	pruned_free(&list);
	free(text);
	return 0;
}
