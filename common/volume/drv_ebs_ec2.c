/* ebs: volumes, the life of snapshots: EC2's query API, whose answers are XML. */
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "volume/drv_ebs.h"

#define VERSION "2016-11-15"

void ebs_snapshot_free(struct ebs_snapshot *s)
{
	free(s->id);
	free(s->state);
	free(s->point);
	free(s->root);
	free(s->session);
	*s = (struct ebs_snapshot){ 0 };
}

/* POST with the parameters as a form; the answer's root element. */
static xmlDoc *ec2_call(struct ebs_api *a, const struct http_pair *form, size_t n, struct err *e)
{
	struct http_pair all[10], type = { "content-type", "application/x-www-form-urlencoded" };
	struct ebs_call c = { .method = "POST", .path = "/", .header = &type, .nheaders = 1,
		.service = EBS_EC2 };
	struct http_reply r = { 0 };
	xmlDoc *doc = NULL;
	char *body;

	memcpy(all, form, n * sizeof(*form));
	all[n] = (struct http_pair){ "Version", VERSION };
	body = sigv4_query(all, n + 1);
	c.body = body;
	c.len = strlen(body);
	if (ebs_call(a, &c, &r, e) == 0) {
		doc = xmlReadMemory((char *)r.body.p, (int)r.body.len, NULL, NULL,
		    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
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
	xmlDoc *doc = ec2_call(a, form, n, e);

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
		.point = tag_of(n, EBS_TAG_POINT), .root = tag_of(n, EBS_TAG_ROOT),
		.session = tag_of(n, EBS_TAG_SESSION),
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

int ebs_snapshot_find(struct ebs_api *a, const char *id, const char *owner, struct ebs_snapshot *out, struct err *e)
{
	struct http_pair form[8] = { { "Action", "DescribeSnapshots" } };
	size_t n = 1;
	xmlDoc *doc;
	xmlNode *set, *item;
	int rc;

	*out = (struct ebs_snapshot){ 0 };
	if (id) {
		form[n++] = (struct http_pair){ "SnapshotId.1", id };
	} else {
		form[n++] = (struct http_pair){ "Filter.1.Name", "status" };
		form[n++] = (struct http_pair){ "Filter.1.Value.1", "pending" };
		form[n++] = (struct http_pair){ "Filter.2.Name", "tag:" EBS_TAG_OWNER };
		form[n++] = (struct http_pair){ "Filter.2.Value.1", owner };
	}
	doc = ec2_call(a, form, n, e);
	if (!doc)
		return -1;
	set = child(xmlDocGetRootElement(doc), "snapshotSet");
	item = child(set, "item");
	rc = item ? take_snapshot(item, out, e) : 0;
	xmlFreeDoc(doc);
	return rc;
}

int ebs_snapshot_delete(struct ebs_api *a, const char *id, struct err *e)
{
	struct http_pair form[3] = { { "Action", "DeleteSnapshot" }, { "SnapshotId", id } };

	return ec2_do(a, form, 2, e);
}

int ebs_snapshot_tag(struct ebs_api *a, const char *id, const char *key, const char *value, struct err *e)
{
	struct http_pair form[5] = { { "Action", "CreateTags" }, { "ResourceId.1", id },
		{ "Tag.1.Key", key }, { "Tag.1.Value", value } };

	return ec2_do(a, form, 4, e);
}
