/* common/http/s3_list: what a store that is not to be trusted answers. */
#include <stdio.h>
#include <string.h>

#include "../lib/unit.h"
#include "http/s3_list.h"

#define ROW "<Contents><Key>%s</Key><Size>7</Size><LastModified>2026-11-23T10:00:05.000Z</LastModified></Contents>"

static int page(const char *before, const char *key, struct s3_page *p)
{
	struct err e = { 0 };
	char xml[1024];

	snprintf(xml, sizeof(xml), "%s<ListBucketResult><IsTruncated>false</IsTruncated>" ROW "</ListBucketResult>",
	    before, key);
	return s3_page_parse(xml, strlen(xml), p, &e);
}

static void lists(void)
{
	struct s3_page p;

	CHECK(page("", "a%2Fb+c", &p) == 0 && p.n == 1 && !strcmp(p.row[0].key, "a/b c") && p.row[0].size == 7);
	s3_page_free(&p);
	CHECK(page("", "a%zz", &p) < 0);
	s3_page_free(&p);
}

/* Few bytes that would become many. */
static void entities(void)
{
	static const char dtd[] = "<!DOCTYPE x [<!ENTITY a \"SlowDown\">]>";
	char xml[256], code[64], message[160];
	struct s3_page p;

	CHECK(page(dtd, "&a;", &p) < 0);
	s3_page_free(&p);
	snprintf(xml, sizeof(xml), "%s<Error><Code>&a;</Code><Message>m</Message></Error>", dtd);
	s3_error_parse(xml, strlen(xml), code, message);
	CHECK(!*code && !*message);
	s3_error_parse(xml + sizeof(dtd) - 1, strlen(xml) - sizeof(dtd) + 1, code, message);
	CHECK(!*code);
	snprintf(xml, sizeof(xml), "<Error><Code>SlowDown</Code><Message>a &lt; b</Message></Error>");
	s3_error_parse(xml, strlen(xml), code, message);
	CHECK(!strcmp(code, "SlowDown") && !strcmp(message, "a < b"));
}

int main(void)
{
	RUN(lists);
	RUN(entities);
	return 0;
}
