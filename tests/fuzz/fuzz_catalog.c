/* Any bytes as a catalog record: refused or understood, and what is
 * understood is written back as the same record. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "repo/catalog_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static char *text_of(const struct checkpoint *c)
{
	json_t *o = checkpoint_record(c);
	char *text = json_dumps(o, JSON_COMPACT);

	json_decref(o);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct err e = { 0 };
	struct checkpoint *a = checkpoint_parse((const char *)p, len, &e), *b;
	char *once, *twice;

	assert(a ? e.code == 0 : e.code == DM_BAD);
	if (!a)
		return 0;
	once = text_of(a);
	b = checkpoint_parse(once, strlen(once), &e);
	assert(b);
	twice = text_of(b);
	assert(!strcmp(once, twice));
	free(once);
	free(twice);
	checkpoint_free(a);
	checkpoint_free(b);
	return 0;
}
