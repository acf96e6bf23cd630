#include "http/s3_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "base/uri.h"
#include "http/answer_xml.h"

#define KEY_MAX 1024u	/* bytes of a key, as S3 has it */

static bool is_named(const xmlNode *n, const char *name)
{
	return n && n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name);
}

/* The text of a child; NULL if there is none.  An allocation. */
static char *text_of(const xmlNode *n, const char *name)
{
	xmlChar *s = NULL;
	char *out;

	for (xmlNode *c = n->children; c && !s; c = c->next)
		if (is_named(c, name))
			s = xmlNodeGetContent(c);
	out = s ? x_strdup((char *)s) : NULL;
	xmlFree(s);
	return out;
}

/* "2026-11-23T10:00:05.000Z", as time_parse takes it. */
static int row_parse(const xmlNode *n, struct s3_row *row, struct err *e)
{
	char *key = text_of(n, "Key"), *size = text_of(n, "Size"), *modified = text_of(n, "LastModified");
	int r = -1;

	for (char *c = key ? strchr(key, '+') : NULL; c; c = strchr(c, '+'))
		*c = ' ';
	*row = (struct s3_row){ .key = key ? uri_decode(key, strlen(key)) : NULL };
	if (row->key && *row->key && strlen(row->key) <= KEY_MAX && size &&
	    !u64_parse(size, 0, INT64_MAX, &row->size) && modified &&
	    !time_parse(modified, 0, &row->modified))
		r = 0;
	else
		err_set(e, DM_ENV, "a list of objects with a line that cannot be");
	free(key);
	free(size);
	free(modified);
	return r;
}

static int rows_parse(const xmlNode *root, struct s3_page *out, struct err *e)
{
	size_t cap = 0;

	for (xmlNode *c = root->children; c; c = c->next) {
		if (!is_named(c, "Contents"))
			continue;
		if (out->n == cap) {
			cap = cap ? cap * 2 : 64;
			out->row = x_grow(out->row, cap, sizeof(*out->row));
		}
		if (row_parse(c, &out->row[out->n++], e))
			return -1;
	}
	return 0;
}

int s3_page_parse(const void *xml, size_t len, struct s3_page *out, struct err *e)
{
	xmlDoc *doc = answer_xml(xml, len);
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	char *more;
	int r = -1;

	*out = (struct s3_page){ .n = 0 };
	if (!is_named(root, "ListBucketResult")) {
		err_set(e, DM_ENV, "the answer is no list of objects");
		goto out;
	}
	r = rows_parse(root, out, e);
	more = text_of(root, "IsTruncated");
	if (r == 0 && more && !strcmp(more, "true")) {
		out->next = text_of(root, "NextContinuationToken");
		if (!out->next || !*out->next)
			r = err_set(e, DM_ENV, "a list of objects that goes on, and does not say where");
	} else if (r == 0 && (!more || strcmp(more, "false"))) {
		r = err_set(e, DM_ENV, "a list of objects that does not say whether it ends");
	}
	free(more);
out:
	if (doc)
		xmlFreeDoc(doc);
	return r;
}

void s3_page_free(struct s3_page *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->row[i].key);
	free(p->row);
	free(p->next);
	*p = (struct s3_page){ .n = 0 };
}

void s3_error_parse(const void *xml, size_t len, char code[64], char message[160])
{
	xmlDoc *doc = answer_xml(xml, len);
	xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
	char *c = NULL, *m = NULL;

	if (is_named(root, "Error")) {
		c = text_of(root, "Code");
		m = text_of(root, "Message");
	}
	snprintf(code, 64, "%s", c ? c : "");
	snprintf(message, 160, "%s", m ? m : "");
	free(c);
	free(m);
	if (doc)
		xmlFreeDoc(doc);
}
