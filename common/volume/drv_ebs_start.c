/* ebs: volumes, a new snapshot: its parent is checked, what an earlier run left
 * is gone on with or cleared away, and it is started. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "volume/drv_ebs_target.h"

#define IDLE_MINUTES 1440	/* after so long without a block AWS gives up */

static void target_free(struct ebs_target *t)
{
	ebs_reader_free(t->parent);
	ebs_api_close(&t->api);
	journal_close(t->journal);
	free(t->snapshot);
	free(t->owner);
	free(t->session);
	free(t);
}

/* Is the parent the state that the iteration starts from? */
static int check_parent(struct volume *v, struct ebs_target *t, const char *parent,
    const struct volume_how *how)
{
	struct ebs_snapshot s;
	char root[80] = "";
	int rc = ebs_snapshot_find(&t->api, parent, false, &s, &v->err), known;

	if (rc < 0)
		return err_prefix(&v->err, "%s", v->uri);
	if (rc == 0)
		return err_set(&v->err, DM_NO, "%s: there is no snapshot %s", v->uri, parent);
	if (how->base_root)
		id_format(how->algo, how->base_root, root);
	known = (*root && !strcmp(s.root, root)) ||
	    (how->base_point && *how->base_point && !strcmp(s.point, how->base_point));
	rc = 0;
	if (strcmp(s.state, "completed") != 0)
		rc = err_set(&v->err, DM_NO, "%s: snapshot %s is %s", v->uri, parent, s.state);
	else if (!known)
		rc = err_set(&v->err, DM_NO, "%s: snapshot %s does not hold the state this iteration starts "
		    "from; send a full one", v->uri, parent);
	else if (s.volume > t->volume)
		rc = err_set(&v->err, DM_NO, "%s: snapshot %s is larger than the disk; send a full one",
		    v->uri, parent);
	ebs_snapshot_free(&s);
	return rc;
}

/* What an iteration that was killed left: pending, and not the one that is gone
 * on with. */
static int clear_pending(struct volume *v, struct ebs_target *t)
{
	struct ebs_snapshot *s;
	size_t n;
	int rc = ebs_snapshot_list(&t->api, t->owner, &s, &n, &v->err);

	if (rc < 0)
		return err_prefix(&v->err, "%s: snapshots of earlier runs", v->uri);
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (strcmp(s[i].state, "completed") != 0 && (!t->snapshot || strcmp(s[i].id, t->snapshot) != 0))
			rc = ebs_snapshot_delete(&t->api, s[i].id, &v->err);
	ebs_snapshot_list_free(s, n);
	return rc < 0 ? err_prefix(&v->err, "%s: a pending snapshot of an earlier run", v->uri) : 0;
}

/* Go on with the snapshot of the journal when it is still being made. */
static int resume(struct volume *v, struct ebs_target *t, const struct journal_step *step)
{
	struct err e = { 0 };
	struct ebs_snapshot s = { 0 };
	uint32_t block = 0;
	const char *id = journal_resume(t->journal, step, &block);
	int rc = id && ebs_id_valid(id) ? ebs_snapshot_find(&t->api, id, false, &s, &e) : 0;

	if (rc < 0 && e.code != DM_NO) {
		v->err = e;
		return err_prefix(&v->err, "%s", v->uri);
	}
	if (rc > 0 && !strcmp(s.state, "pending") && !strcmp(s.owner, t->owner) && s.volume == t->volume) {
		t->snapshot = x_strdup(id);
		t->block_size = block;
	}
	ebs_snapshot_free(&s);
	return 0;
}

static json_t *start_request(const struct ebs_target *t, const struct uri *u, const char *parent,
    const struct volume_how *how)
{
	char *kms = uri_query(u, "kms"), *encrypted = uri_query(u, "encrypted");
	char *token = x_printf("%s/%s", t->session, how->disk);	/* of each disk another one */
	json_t *v = json_pack("{s:I, s:s, s:i, s:s, s:[{s:s,s:s},{s:s,s:s},{s:s,s:s},{s:s,s:s}]}",
	    "VolumeSize", (json_int_t)(t->volume / GIB(1)), "ClientToken", token,
	    "Timeout", IDLE_MINUTES, "Description", "dm recovery checkpoint", "Tags",
	    "Key", "Name", "Value", how->disk, "Key", EBS_TAG_OWNER, "Value", t->owner,
	    "Key", EBS_TAG_SESSION, "Value", t->session,
	    "Key", EBS_TAG_POINT, "Value", how->target_point ? how->target_point : "");

	if (v && parent)
		json_object_set_new(v, "ParentSnapshotId", json_string(parent));
	else if (v && (kms || (encrypted && !strcmp(encrypted, "true"))))
		json_object_set_new(v, "Encrypted", json_true());
	if (v && !parent && kms)
		json_object_set_new(v, "KmsKeyArn", json_string(kms));
	free(token);
	free(kms);
	free(encrypted);
	return v;
}

static int start(struct volume *v, struct ebs_target *t, const struct uri *u, const char *parent,
    const struct volume_how *how)
{
	json_t *request = start_request(t, u, parent, how), *answer = NULL;
	char *body = request ? json_dumps(request, JSON_COMPACT) : NULL;
	struct http_pair type = { "content-type", "application/json" };
	struct ebs_call c = { .method = "POST", .path = "/snapshots", .header = &type, .nheaders = 1,
		.body = body, .len = body ? strlen(body) : 0 };
	json_int_t block;
	const char *id;
	int rc = -1;

	if (body)
		answer = ebs_json(&t->api, &c, &v->err);
	id = json_string_value(json_object_get(answer, "SnapshotId"));
	block = json_integer_value(json_object_get(answer, "BlockSize"));
	if (!body)
		err_set(&v->err, DM_ENV, "out of memory");
	else if (answer && (!id || !ebs_id_valid(id) || block < 512 || block > CHUNK_MAX || !is_pow2((uint64_t)block)))
		err_set(&v->err, DM_ENV, "StartSnapshot: an answer without snapshot and block size");
	else if (answer)
		rc = 0;
	if (rc == 0) {
		t->snapshot = x_strdup(id);
		t->block_size = (uint32_t)block;
	}
	free(body);
	json_decref(request);
	json_decref(answer);
	return rc < 0 ? err_prefix(&v->err, "%s", v->uri) : 0;
}

static int open_journal(struct volume *v, struct ebs_target *t, const struct uri *u)
{
	char *path = uri_query(u, "journal");

	t->journal = journal_open(path && *path ? path : NULL, &v->err);
	free(path);
	return t->journal ? 0 : err_prefix(&v->err, "%s", v->uri);
}

/* The snapshot that the blocks go to. */
static int open_snapshot(struct volume *v, struct ebs_target *t, const struct uri *u, const char *parent,
    const struct volume_how *how)
{
	const struct journal_step step = { .base_point = how->base_point ? how->base_point : "",
		.target_point = how->target_point ? how->target_point : "", .base_root = how->base_root,
		.full = how->full, .frozen = how->frozen, .algo = how->algo, .size = how->size,
		.chunk_size = how->chunk_size };

	if (resume(v, t, &step) < 0 || clear_pending(v, t) < 0)
		return -1;
	if (t->snapshot)
		return 0;
	if (start(v, t, u, parent, how) < 0)
		return -1;
	if (journal_begin(t->journal, &step, t->snapshot, t->block_size, &v->err) < 0)
		return err_prefix(&v->err, "%s", v->uri);
	return 0;
}

static int open_steps(struct volume *v, struct ebs_target *t, const struct uri *u, const struct volume_how *how)
{
	bool named = strcmp(u->path, "new") != 0;
	const char *parent = named && !how->full ? u->path : NULL;

	if (named && !ebs_id_valid(u->path))
		return err_set(&v->err, DM_USAGE, "%s: neither \"new\" nor a snapshot", v->uri);
	if (!how->full && !parent)
		return err_set(&v->err, DM_NO, "%s: changes need the snapshot they are to be on top of: "
		    "ebs:snap-...", v->uri);
	if (ebs_api_open(&t->api, u, &v->err) < 0)
		return -1;
	if (parent && check_parent(v, t, parent, how) < 0)
		return -1;
	if (parent) {
		t->parent = ebs_reader_new(&t->api, parent, &v->err);
		if (!t->parent)
			return err_prefix(&v->err, "%s", v->uri);
	}
	if (open_journal(v, t, u) < 0 || open_snapshot(v, t, u, parent, how) < 0)
		return -1;
	if (how->chunk_size < t->block_size)
		return err_set(&v->err, DM_USAGE, "%s: chunks of %u bytes are smaller than its blocks of %u: "
		    "use --chunk-size", v->uri, how->chunk_size, t->block_size);
	if (t->parent && ebs_reader_block(t->parent) != t->block_size)
		return err_set(&v->err, DM_NO, "%s: the parent has blocks of another size", v->uri);
	return 0;
}

int ebs_target_open(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	struct ebs_target *t = x_alloc(sizeof(*t));

	v->priv = t;
	t->chunk_size = how->chunk_size;
	t->size = how->size;
	t->algo = how->algo;
	t->volume = GIB(max64(1, div_up(how->size, GIB(1))));
	t->owner = ebs_owner(u, how->workload, how->disk);
	t->session = x_alloc(33);
	hex_put(t->session, how->session, 16);
	if (open_steps(v, t, u, how) == 0) {
		v->size = how->size;
		v->write_only = true;
		v->limits = (struct volume_limits){ t->block_size, t->block_size, CHUNK_MAX, EBS_PARALLEL / 2 };
		return 0;
	}
	ebs_target_close(v);
	return -1;
}

void ebs_target_close(struct volume *v)
{
	struct ebs_target *t = v->priv;
	struct err e = { 0 };

	/* Whoever comes next finds it pending if this cannot be done, or if it
	 * can be gone on with. */
	if (t->snapshot && !t->completed && !journal_lasts(t->journal))
		(void)ebs_snapshot_delete(&t->api, t->snapshot, &e);
	target_free(t);
}
