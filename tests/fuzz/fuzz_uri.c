/* Any word as a volume: refused with 2, or a name and a URI that hold what
 * they promise. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	char *word = strndup((const char *)p, len), *value;
	struct volume_arg a;
	struct err e = { 0 };
	struct uri u;

	if (volume_arg_parse(word, &a, &e) == 0) {
		assert(name_valid(a.name) && *a.uri && !e.code);
		if (uri_parse(a.uri, &u, &e) == 0) {
			assert(*u.scheme && *u.path);
			value = uri_query(&u, "record");
			free(value);
			uri_free(&u);
		} else {
			assert(e.code == DM_USAGE);
		}
		volume_arg_free(&a);
	} else {
		assert(e.code == DM_USAGE);
	}
	free(word);
	return 0;
}
