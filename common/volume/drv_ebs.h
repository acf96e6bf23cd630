/* ebs: volumes, shared by drv_ebs*.c: snapshots of Amazon EBS through the EBS
 * direct APIs (version 2019-11-02) and a little of EC2's query API (version
 * 2016-11-15). */
#ifndef DM_VOLUME_DRV_EBS_H
#define DM_VOLUME_DRV_EBS_H

#include <jansson.h>
#include <pthread.h>

#include "http/aws_credentials.h"
#include "http/client.h"
#include "http/sigv4.h"
#include "volume/driver.h"

#define EBS_BLOCK (512u << 10)	/* what AWS has; replies say it too */
#define EBS_PARALLEL 128	/* requests in flight of one volume: a quarter more than the
				 * quota allows where an answer takes 100 ms */
#define EBS_RATE 950.0		/* requests a second: the quota is 1000 */

/* --- drv_ebs_api.c: signed requests */
struct ebs_api {
	struct http_client *http;
	struct aws_credentials *cred;
	char *region;
	char *endpoint[2], *host[2];	/* by enum ebs_service */
	unsigned attempt_s;		/* deadline of one attempt */
	_Atomic int64_t skew;		/* seconds that AWS's clock is ahead of ours */
};
enum ebs_service { EBS_DIRECT, EBS_EC2 };
/* The URI's parameters region, profile, endpoint, ec2-endpoint and timeout go
 * before those of the environment and the profile.  0 or -1 with *e. */
int ebs_api_open(struct ebs_api *a, const struct uri *u, struct err *e);
void ebs_api_close(struct ebs_api *a);	/* harmless on zeros */

struct ebs_call {
	const char *method, *path;
	const struct http_pair *query, *header;
	size_t nquery, nheaders;
	const void *body;
	size_t len;
	const uint8_t *digest;		/* SHA-256 of body, NULL: computed */
	enum ebs_service service;
	bool missing_ok;		/* a snapshot just started may answer 404 for a while */
};
/* What every call wants of its reply's headers; those of a caller come after. */
#define EBS_WANTS { "x-amzn-errortype", "" }, { "date", "" }
/* 0, or -1 with *e: DM_NO for what AWS refuses for good. */
int ebs_call(struct ebs_api *a, const struct ebs_call *c, struct http_reply *r, struct err *e);
/* The same for an answer in JSON; the caller's reference, or NULL with *e. */
json_t *ebs_json(struct ebs_api *a, const struct ebs_call *c, struct err *e);
/* one(arg, i) for all of [first, end), several side by side: a link is filled by
 * requests in flight, and the chunks that may be in flight are few.  0, or -1
 * with *e. */
int ebs_each(uint64_t first, uint64_t end, int (*one)(void *arg, uint64_t i, struct err *e), void *arg,
    struct err *e);

/* --- drv_ebs_list.c: which blocks there are, and their tokens */
struct ebs_block {
	uint64_t index;
	char *token;		/* NULL in a list of changes: gone, zeros now */
};
struct ebs_page {
	struct ebs_block *block;
	size_t n;
	uint64_t from, to;	/* all blocks of [from, to) are here */
	uint64_t volume;	/* bytes */
	uint32_t block_size;
};
/* Blocks at and after out->from that `snapshot' has, or (first not NULL) that
 * differ between the two; about `want' of them.  They must be of out->block_size
 * bytes, unless that is 0.  to is UINT64_MAX at the end.  0, or -1 with nothing
 * in out. */
int ebs_list(struct ebs_api *a, const char *snapshot, const char *first, uint64_t want,
    struct ebs_page *out, struct err *e);
void ebs_page_free(struct ebs_page *p);	/* harmless twice */
/* The first block of the page at or after `index', or NULL. */
const struct ebs_block *ebs_page_find(const struct ebs_page *p, uint64_t index);

/* --- drv_ebs_read.c: blocks of a complete snapshot */
struct ebs_reader;
/* NULL with *e.  Learns the size of volume and blocks. */
struct ebs_reader *ebs_reader_new(struct ebs_api *a, const char *snapshot, struct err *e);
void ebs_reader_free(struct ebs_reader *r);
uint64_t ebs_reader_volume(const struct ebs_reader *r);
uint32_t ebs_reader_block(const struct ebs_reader *r);
/* One block into p, verified; *has tells whether the snapshot has it (else
 * zeros, without a request).  Several threads may call. */
int ebs_reader_get(struct ebs_reader *r, uint64_t index, void *p, bool *has, struct err *e);
/* A copy of the page with block `from', if it was got lately: 1, 0. */
int ebs_reader_known(struct ebs_reader *r, uint64_t from, struct ebs_page *out);
/* The first block at or after `from' that the snapshot has: 1, 0 none, -1. */
int ebs_reader_next(struct ebs_reader *r, uint64_t from, uint64_t *index, struct err *e);

/* --- drv_ebs_ec2.c: the life of snapshots */
struct ebs_snapshot {
	char *id, *state;	/* "pending", "completed", "error" */
	char *started;		/* as EC2 writes it: later times sort higher */
	char *point, *root;	/* of our tags, "" if none */
	char *owner;
	uint64_t volume;	/* bytes */
};
void ebs_snapshot_free(struct ebs_snapshot *s);
/* By id: 1 found, 0 none, -1.  young: it was just started, and need not be
 * known everywhere yet. */
int ebs_snapshot_find(struct ebs_api *a, const char *id, bool young, struct ebs_snapshot *out, struct err *e);
/* All that are tagged owner = `owner', an array of the caller's.  0 or -1. */
int ebs_snapshot_list(struct ebs_api *a, const char *owner, struct ebs_snapshot **out, size_t *n, struct err *e);
void ebs_snapshot_list_free(struct ebs_snapshot *v, size_t n);
/* 0, also when there is none; -1 (DM_NO: it is in use). */
int ebs_snapshot_delete(struct ebs_api *a, const char *id, struct err *e);
int ebs_snapshot_tag(struct ebs_api *a, const char *id, const char *key, const char *value, struct err *e);

#define EBS_TAG_POINT "dm:point"
#define EBS_TAG_ROOT "dm:root"
#define EBS_TAG_SESSION "dm:session"
#define EBS_TAG_OWNER "dm:owner"

/* --- drv_ebs_start.c and drv_ebs_write.c; v->priv is a struct ebs_target */
int ebs_target_open(struct volume *v, const struct uri *u, const struct volume_how *how);
void ebs_target_close(struct volume *v);
int ebs_target_put(struct volume *v, struct volume_chunk *c);
int ebs_target_put_zero(struct volume *v, uint64_t off, uint64_t len);
int ebs_target_held(struct volume *v, uint64_t off, uint32_t len);
int ebs_target_flush(struct volume *v);
int ebs_target_finalize(struct volume *v, const struct id *source_root, struct volume_final *f);

/* --- drv_ebs_sweep.c */
/* Whose snapshots those of a disk are; an allocation. */
char *ebs_owner(const struct uri *u, const char *workload, const char *disk);
int ebs_sweep(const struct uri *u, const struct volume_sweep *how, struct volume_swept *out, struct err *e);

/* An error of ours becomes the volume's; returns -errno. */
int ebs_failed(struct volume *v, const struct err *e);
bool ebs_id_valid(const char *s);	/* snap-0123456789abcdef0 */

#endif
