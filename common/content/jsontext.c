#include "content/jsontext.h"

#include <stdlib.h>

#include "base/bytes.h"

/* Before main: values are also made where no text was ever read. */
__attribute__((constructor)) static void use_our_memory(void)
{
	json_set_alloc_funcs(x_malloc, free);
}

json_t *jsontext_parse(const char *text, size_t len, json_error_t *why)
{
	return json_loadb(text, len, JSON_REJECT_DUPLICATES, why);
}
