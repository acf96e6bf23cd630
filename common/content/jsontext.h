/* JSON texts, through jansson, which is not to be trusted when memory runs out:
 * it then calls good text wrong, or corrupts its tables.  Linking this lets an
 * allocation of its that fails end the process, as one of ours would. */
#ifndef DM_CONTENT_JSONTEXT_H
#define DM_CONTENT_JSONTEXT_H

#include <jansson.h>
#include <stddef.h>

/* The value of a text, an object or an array, whose keys are all different; a
 * new reference.  NULL: it is no such text, and *why (may be NULL) tells where. */
json_t *jsontext_parse(const char *text, size_t len, json_error_t *why);

#endif
