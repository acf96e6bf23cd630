/* Servers that answer well-formed nonsense, in place of the client of HTTP:
 * lists that never end, blocks that change their size between two pages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/no_http.h"
#include "../lib/unit.h"
#include "base/object.h"
#include "volume/drv_ebs.h"

extern const struct object_ops object_s3;

/* ---- the client ---- */

static char *(*answer)(unsigned n);	/* the nth, an allocation */
static unsigned asked;
static const char *date = "Mon, 23 Nov 2026 10:00:05 GMT";

int http_do(struct http_client *c, const struct http_request *q, struct http_reply *r, struct err *e)
{
	char why[200], *text = answer(asked++);

	(void)c;
	(void)e;
	r->status = 200;
	for (size_t i = 0; i < r->nwant; i++)
		if (!strcmp(r->want[i].name, "date"))
			strcpy(r->want[i].value, date);
	buf_put(&r->body, text, strlen(text));
	free(text);
	if (q->verdict)
		CHECK(q->verdict(q->arg, r, why) == HTTP_TAKE);
	return 0;
}

/* ---- who asks ---- */

static char *same_token(unsigned n)
{
	(void)n;
	return x_strdup("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
	    "<Contents><Key>x/a</Key><Size>7</Size><LastModified>2026-11-23T10:00:05.000Z</LastModified></Contents></ListBucketResult>");
}

static char *always_empty(unsigned n)
{
	return x_printf("<ListBucketResult><IsTruncated>true</IsTruncated>"
	    "<NextContinuationToken>t%u</NextContinuationToken></ListBucketResult>", n);
}

static int row(const struct object_row *r, void *arg)
{
	(void)r;
	++*(unsigned *)arg;
	return 0;
}

static void list_of_store(char *(*how)(unsigned n), unsigned most, const char *says)
{
	const struct object_place where = { .kind = "s3", .bucket = "b", .prefix = "x", .endpoint = "http://h", .region = "r" };
	struct err e = { 0 };
	unsigned rows = 0;
	int64_t now;
	void *s;

	asked = 0;
	answer = how;
	s = object_s3.open(&where, &e);
	CHECK_ERR(s, &e);
	CHECK(object_s3.list(s, "a", row, &rows, &now, &e) < 0 && e.code == DM_ENV);
	CHECK(strstr(e.text, says) && asked <= most);
	object_s3.close(s);
}

static void lists_of_a_store(void)
{
	list_of_store(same_token, 2, "does not end");
	list_of_store(always_empty, 1100, "does not end");
	date = "Mon, 23 Nov 2263 10:00:05 GMT";
	list_of_store(always_empty, 1, "does not tell the time");
}

static char *snapshots_empty(unsigned n)
{
	return x_printf("<DescribeSnapshotsResponse><snapshotSet/><nextToken>t%u</nextToken></DescribeSnapshotsResponse>", n);
}

static char *grids(unsigned n)
{
	unsigned size = n ? 65536 : 524288, at = n ? 1500 : 0;

	return x_printf("{\"VolumeSize\": 1, \"BlockSize\": %u, \"ExpiryTime\": 4102444800.0, \"NextToken\": \"t%u\","
	    "\"Blocks\": [{\"BlockIndex\": %u, \"BlockToken\": \"b\"}]}", size, n, at);
}

static void ebs_start(struct ebs_api *a)
{
	char word[] = "ebs:snap-1?region=r&endpoint=http://h&ec2-endpoint=http://h";
	struct err e = { 0 };
	struct uri u;

	asked = 0;
	CHECK(!uri_parse(word, &u, &e));
	CHECK_ERR(!ebs_api_open(a, &u, &e), &e);
	uri_free(&u);
}

static void list_of_snapshots(void)
{
	struct ebs_api a = { 0 };
	struct ebs_snapshot *v;
	struct err e = { 0 };
	size_t n;

	ebs_start(&a);
	answer = snapshots_empty;
	CHECK(ebs_snapshot_list(&a, "o", &v, &n, &e) < 0 && e.code == DM_ENV);
	CHECK(strstr(e.text, "does not end") && asked <= 11000);
	ebs_api_close(&a);
}

/* Its index would be that of another place. */
static void blocks_of_two_sizes(void)
{
	struct ebs_reader *r;
	struct ebs_api a = { 0 };
	struct err e = { 0 };
	uint64_t index;

	ebs_start(&a);
	answer = grids;
	r = ebs_reader_new(&a, "snap-0123456789abcdef0", &e);
	CHECK_ERR(r, &e);
	CHECK(ebs_reader_next(r, 0, &index, &e) == 1 && index == 0);
	CHECK(ebs_reader_next(r, 1, &index, &e) < 0 && e.code == DM_ENV && strstr(e.text, "sizes changed"));
	ebs_reader_free(r);
	ebs_api_close(&a);
}

int main(void)
{
	setenv("AWS_ACCESS_KEY_ID", "id", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
	setenv("AWS_CONFIG_FILE", "/dev/null", 1);
	RUN(lists_of_a_store);
	RUN(list_of_snapshots);
	RUN(blocks_of_two_sizes);
	return 0;
}
