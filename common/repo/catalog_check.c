/* The check in a catalog record: text rots like any other, and most of a record
 * would be good JSON still. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "repo/catalog_record.h"

#define KEY "check"

/* Over the object without its check, whatever its layout in the file. */
static int check_of(const json_t *o, char out[RECORD_CHECK], struct err *e)
{
	json_t *rest = json_copy((json_t *)o);
	char *text;

	json_object_del(rest, KEY);
	text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(rest);
	if (!text)
		return err_set(e, DM_ENV, "out of memory");
	snprintf(out, RECORD_CHECK, "xxh3:%016llx", (unsigned long long)XXH3_64bits(text, strlen(text)));
	free(text);
	return 0;
}

int record_check_put(json_t *o, struct err *e)
{
	char check[RECORD_CHECK];

	if (check_of(o, check, e))
		return -1;
	return json_object_set_new(o, KEY, json_string(check)) ? err_set(e, DM_ENV, "out of memory") : 0;
}

int record_check(const json_t *o, struct err *e)
{
	const json_t *is = json_object_get(o, KEY);
	char check[RECORD_CHECK];

	if (!is)
		return 0;	/* of a version that made none */
	if (check_of(o, check, e))
		return -1;
	return json_is_string(is) && !strcmp(json_string_value(is), check) ? 0 :
	    err_set(e, DM_BAD, "it is damaged: it does not agree with its check");
}
