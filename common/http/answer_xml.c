#include "http/answer_xml.h"

#include <libxml/parser.h>
#include <limits.h>

/* Nothing is fetched and no entity replaced. */
xmlDoc *answer_xml(const void *p, size_t len)
{
	xmlDoc *doc;

	if (!len || len > INT_MAX)
		return NULL;
	doc = xmlReadMemory(p, (int)len, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (doc && (doc->intSubset || doc->extSubset)) {
		xmlFreeDoc(doc);
		doc = NULL;
	}
	return doc;
}
