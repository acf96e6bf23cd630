/* ebs: volumes, a new snapshot: its parent is checked, what an earlier run left
 * is cleared away, and it is started. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "volume/drv_ebs_target.h"

#define IDLE_MINUTES 60		/* after so long without a block AWS gives up */

static void target_free(struct ebs_target *t)
{
	ebs_reader_free(t->parent);
	ebs_api_close(&t->api);
	fd_close(t->digests);
	pthread_mutex_destroy(&t->lock);
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
	int rc = ebs_snapshot_find(&t->api, parent, NULL, &s, &v->err), known;

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
	else if (!known && !how->force)
		rc = err_set(&v->err, DM_NO, "%s: snapshot %s does not hold the state this iteration starts "
		    "from; send a full one", v->uri, parent);
	else if (s.volume > t->volume)
		rc = err_set(&v->err, DM_NO, "%s: snapshot %s is larger than the disk; send a full one",
		    v->uri, parent);
	ebs_snapshot_free(&s);
	return rc;
}

/* Whose pending snapshots are we to clear away: this machine's, of the same
 * disk of the same workload. */
static char *owner_of(const struct volume_how *how)
{
	int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	char *id = fd < 0 ? NULL : fd_slurp(fd, 256, NULL), *owner;

	fd_close(fd);
	if (id)
		id[strcspn(id, "\n")] = 0;
	owner = x_printf("%s/%s/%s", id ? id : "", how->workload ? how->workload : "", how->disk);
	free(id);
	return owner;
}

/* What an iteration that was killed left. */
static int clear_pending(struct volume *v, struct ebs_target *t)
{
	struct ebs_snapshot s;
	int rc;

	while ((rc = ebs_snapshot_find(&t->api, NULL, t->owner, &s, &v->err)) > 0) {
		rc = ebs_snapshot_delete(&t->api, s.id, &v->err);
		ebs_snapshot_free(&s);
		if (rc < 0)
			break;
	}
	return rc < 0 ? err_prefix(&v->err, "%s: a pending snapshot of an earlier run", v->uri) : 0;
}

static json_t *start_request(const struct ebs_target *t, const struct uri *u, const char *parent,
    const struct volume_how *how)
{
	char *kms = uri_query(u, "kms"), *encrypted = uri_query(u, "encrypted");
	json_t *v = json_pack("{s:I, s:s, s:i, s:s, s:[{s:s,s:s},{s:s,s:s},{s:s,s:s},{s:s,s:s}]}",
	    "VolumeSize", (json_int_t)(t->volume / GIB(1)), "ClientToken", t->session,
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

static int open_digests(struct volume *v, struct ebs_target *t)
{
	const char *dir = getenv("TMPDIR");
	char *path = x_printf("%s/dm-ebs.XXXXXX", dir && *dir ? dir : "/var/tmp");

	t->digests = mkostemp(path, O_CLOEXEC);
	if (t->digests < 0)
		err_sys(&v->err, DM_ENV, errno, "%s", path);
	else
		unlink(path);
	free(path);
	return t->digests < 0 ? -1 : 0;
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
	if (clear_pending(v, t) < 0 || open_digests(v, t) < 0 || start(v, t, u, parent, how) < 0)
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
	t->digests = -1;
	pthread_mutex_init(&t->lock, NULL);
	t->size = how->size;
	t->algo = how->algo;
	t->volume = GIB(max64(1, div_up(how->size, GIB(1))));
	t->owner = owner_of(how);
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

	/* Whoever comes next finds it pending if this cannot be done. */
	if (t->snapshot && !t->completed)
		(void)ebs_snapshot_delete(&t->api, t->snapshot, &e);
	target_free(t);
}
