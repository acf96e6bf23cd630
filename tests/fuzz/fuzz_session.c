/* Any bytes as a session's state: refused or understood, and what is
 * understood is written back as the same state. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "repo/session_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct err e = { 0 };
	struct session *a = session_parse((const char *)p, len, ID_BLAKE3, &e), *b;
	char *once, *twice;

	assert(a ? e.code == 0 : e.code == DM_BAD);
	if (!a)
		return 0;
	once = session_text(a, ID_BLAKE3, &e);
	assert(once);
	b = session_parse(once, strlen(once), ID_BLAKE3, &e);
	assert(b);
	twice = session_text(b, ID_BLAKE3, &e);
	assert(twice && !strcmp(once, twice));
	free(once);
	free(twice);
	session_close(a);
	session_close(b);
	return 0;
}
