/* Any bytes as an answer of S3: a page of a list is refused or holds only what
 * a list can hold; a failure's words fit where they are put. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "http/s3_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	char code[64], message[160];
	struct s3_page page;
	struct err e = { 0 };

	if (s3_page_parse(p, len, &page, &e) == 0) {
		assert(!e.code && (!page.next || *page.next));
		for (size_t i = 0; i < page.n; i++)
			assert(page.row[i].key && *page.row[i].key && page.row[i].size <= INT64_MAX);
	} else {
		assert(e.code == DM_ENV);
	}
	s3_page_free(&page);
	s3_error_parse(p, len, code, message);
	assert(strlen(code) < sizeof(code) && strlen(message) < sizeof(message));
	return 0;
}
