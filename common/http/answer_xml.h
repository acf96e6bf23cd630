/* Answers that are XML, of servers that may be anybody. */
#ifndef DM_HTTP_ANSWER_XML_H
#define DM_HTTP_ANSWER_XML_H

#include <libxml/tree.h>
#include <stddef.h>

/* The document, for xmlFreeDoc; NULL when it is none, or declares entities of
 * its own: of few bytes these make any number. */
xmlDoc *answer_xml(const void *p, size_t len);

#endif
