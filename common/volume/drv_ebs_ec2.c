/* ebs: volumes, the life of snapshots: EC2's query API, whose answers are XML. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "http/answer_xml.h"
#include "volume/drv_ebs.h"

#define VERSION "2016-11-15"
#define SNAPSHOTS_MAX 100000u
#define PAGES_MAX 10000u

void ebs_snapshot_free(struct ebs_snapshot *s)
{
	free(s->id);
	free(s->state);
	free(s->point);
	free(s->root);
	free(s->started);
	free(s->owner);
	*s = (struct ebs_snapshot){ 0 };
}

/* POST with the parameters as a form; the answer's root element.  young: of a
 * snapshot that was just started. */
static xmlDoc *ec2_call(struct ebs_api *a, const struct http_pair *form, size_t n, bool young, struct err *e)
{
	struct http_pair all[10], type = { "content-type", "application/x-www-form-urlencoded" };
	struct ebs_call c = { .method = "POST", .path = "/", .header = &type, .nheaders = 1,
		.service = EBS_EC2, .missing_ok = young };
	struct http_reply r = { 0 };
	xmlDoc *doc = NULL;
	char *body;

	memcpy(all, form, n * sizeof(*form));
	all[n] = (struct http_pair){ "Version", VERSION };
	body = sigv4_query(all, n + 1);
	c.body = body;
	c.len = strlen(body);
	if (ebs_call(a, &c, &r, e) == 0) {
		doc = answer_xml(r.body.p, r.body.len);
		if (!doc)
			err_set(e, DM_ENV, "EC2 %s: the answer is no XML", form[0].value);
	}
	http_reply_free(&r);
	free(body);
	return doc;
}

/* A call whose answer says nothing but that it was done. */
static int ec2_do(struct ebs_api *a, const struct http_pair *form, size_t n, struct err *e)
{
	xmlDoc *doc = ec2_call(a, form, n, false, e);

	if (!doc)
		return -1;
	xmlFreeDoc(doc);
	return 0;
}

static xmlNode *child(const xmlNode *n, const char *name)
{
	for (xmlNode *c = n ? n->children : NULL; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE && !strcmp((const char *)c->name, name))
			return c;
	return NULL;
}

/* The text of a child, "" if there is none; an allocation of libc's. */
static char *text_of(const xmlNode *n, const char *name)
{
	xmlChar *s = xmlNodeGetContent(child(n, name));
	char *out = x_strdup(s ? (char *)s : "");

	xmlFree(s);
	return out;
}

static char *tag_of(const xmlNode *snapshot, const char *key)
{
	const xmlNode *set = child(snapshot, "tagSet");

	for (xmlNode *i = set ? set->children : NULL; i; i = i->next) {
		char *k = i->type == XML_ELEMENT_NODE ? text_of(i, "key") : NULL;
		bool found = k && !strcmp(k, key);

		free(k);
		if (found)
			return text_of(i, "value");
	}
	return x_strdup("");
}

static int take_snapshot(const xmlNode *n, struct ebs_snapshot *out, struct err *e)
{
	char *size = text_of(n, "volumeSize");
	uint64_t gib = 0;

	*out = (struct ebs_snapshot){
		.id = text_of(n, "snapshotId"), .state = text_of(n, "status"),
		.started = text_of(n, "startTime"), .point = tag_of(n, EBS_TAG_POINT),
		.root = tag_of(n, EBS_TAG_ROOT), .owner = tag_of(n, EBS_TAG_OWNER),
	};
	if (!ebs_id_valid(out->id) || u64_parse(size, 1, 65536, &gib) < 0) {
		ebs_snapshot_free(out);
		free(size);
		return err_set(e, DM_ENV, "EC2 DescribeSnapshots: a snapshot that cannot be");
	}
	out->volume = GIB(gib);
	free(size);
	return 1;
}

int ebs_snapshot_find(struct ebs_api *a, const char *id, bool young, struct ebs_snapshot *out, struct err *e)
{
	struct http_pair form[] = { { "Action", "DescribeSnapshots" }, { "SnapshotId.1", id } };
	xmlDoc *doc = ec2_call(a, form, LEN(form), young, e);
	xmlNode *item;
	int rc;

	*out = (struct ebs_snapshot){ 0 };
	if (!doc)
		return -1;
	item = child(child(xmlDocGetRootElement(doc), "snapshotSet"), "item");
	rc = item ? take_snapshot(item, out, e) : 0;
	xmlFreeDoc(doc);
	return rc;
}

void ebs_snapshot_list_free(struct ebs_snapshot *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ebs_snapshot_free(&v[i]);
	free(v);
}

static int take_page(const xmlNode *root, struct ebs_snapshot **v, size_t *n, struct err *e)
{
	const xmlNode *set = child(root, "snapshotSet");

	for (xmlNode *i = set ? set->children : NULL; i; i = i->next) {
		if (i->type != XML_ELEMENT_NODE)
			continue;
		if (*n == SNAPSHOTS_MAX)
			return err_set(e, DM_ENV, "EC2 DescribeSnapshots: more than %u of one disk", SNAPSHOTS_MAX);
		*v = x_grow(*v, *n + 1, sizeof(**v));
		if (take_snapshot(i, &(*v)[*n], e) < 0)
			return -1;
		++*n;
	}
	return 0;
}

int ebs_snapshot_list(struct ebs_api *a, const char *owner, struct ebs_snapshot **out, size_t *n, struct err *e)
{
	char *next = NULL;
	unsigned pages = 0;
	int rc = 0;

	*out = NULL;
	*n = 0;
	do {
		struct http_pair form[6] = { { "Action", "DescribeSnapshots" }, { "Owner.1", "self" },
			{ "Filter.1.Name", "tag:" EBS_TAG_OWNER }, { "Filter.1.Value.1", owner },
			{ "MaxResults", "1000" } };
		xmlDoc *doc;

		if (next)
			form[5] = (struct http_pair){ "NextToken", next };
		doc = ec2_call(a, form, next ? 6 : 5, false, e);
		rc = doc ? take_page(xmlDocGetRootElement(doc), out, n, e) : -1;
		free(next);
		next = rc == 0 ? text_of(xmlDocGetRootElement(doc), "nextToken") : NULL;
		xmlFreeDoc(doc);
		if (rc == 0 && *next && ++pages > PAGES_MAX)
			rc = err_set(e, DM_ENV, "EC2 DescribeSnapshots: the list does not end");
	} while (rc == 0 && *next);
	free(next);
	if (rc == 0)
		return 0;
	ebs_snapshot_list_free(*out, *n);
	*out = NULL;
	*n = 0;
	return -1;
}

int ebs_snapshot_delete(struct ebs_api *a, const char *id, struct err *e)
{
	struct http_pair form[] = { { "Action", "DeleteSnapshot" }, { "SnapshotId", id } };

	if (ec2_do(a, form, LEN(form), e) == 0)
		return 0;
	if (e->code != DM_NO || !strstr(e->text, "InvalidSnapshot.NotFound"))
		return -1;
	*e = (struct err){ 0 };
	return 0;
}

/* Of one that was just started. */
int ebs_snapshot_tag(struct ebs_api *a, const char *id, const char *key, const char *value, struct err *e)
{
	struct http_pair form[] = { { "Action", "CreateTags" }, { "ResourceId.1", id },
		{ "Tag.1.Key", key }, { "Tag.1.Value", value } };
	xmlDoc *doc = ec2_call(a, form, LEN(form), true, e);

	if (!doc)
		return -1;
	xmlFreeDoc(doc);
	return 0;
}
