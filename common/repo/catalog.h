/* The catalog: one immutable JSON record per checkpoint. dm-repository(5). */
#ifndef DM_REPO_CATALOG_H
#define DM_REPO_CATALOG_H

#include <jansson.h>

#include "base/err.h"
#include "content/id.h"
#include "repo/site.h"

struct checkpoint_disk {
	char *name;
	uint64_t size;
	uint32_t block;
	bool has_root, partial;
	struct id root;
	bool has_tree;		/* content outside of the chunk store, the tree of its
				 * ids in it; `partial': some ids are not known, and
				 * the root, if any, is not the tree's */
	struct id tree;
	char *point;		/* the target's: "root:blake3:HEX", a path, ... */
	char *source_point;	/* for --since of the next iteration, "" if none */
	uint64_t changed;	/* bytes asked for in this iteration */
};
struct checkpoint {
	char *workload;
	uint64_t seq, parent;	/* parent 0: none */
	struct id *chain;	/* links of numbers seq - 1, - 2, - 4, ... as far as these
				 * divide seq; the first record's is zeros */
	size_t nchain;		/* 0: of a version that made none */
	struct id content;	/* hash of the record, when it was read */
	char session[33];
	int algo;		/* hash of the roots */
	int64_t time;		/* of the recovery point, ns */
	int64_t started, committed;
	char *kind;		/* "full", "incremental" */
	struct checkpoint_disk *disk;
	size_t ndisks;
	uint64_t chunks, changed, stored;
	json_t *recovery;	/* the plan's recovery configuration, or NULL */
	bool pinned;
};
void checkpoint_free(struct checkpoint *c);	/* NULL is harmless */

/* Names of the workloads, sorted; freed with catalog_names_free. */
int catalog_workloads(struct site *s, char ***out, size_t *n, struct err *e);
void catalog_names_free(char **v, size_t n);
/* Numbers of a workload's checkpoints, ascending, into an allocation.  Reads
 * no record, so a damaged one does not hide the others. */
int catalog_seqs(struct site *s, const char *workload, uint64_t **out, size_t *n, struct err *e);
/* One record; DM_NO when it is not there, DM_BAD when it is damaged. */
struct checkpoint *catalog_read(struct site *s, const char *workload, uint64_t seq, struct err *e);

/* Immutable: fails with DM_NO when WORKLOAD/SEQ exists ("another writer
 * committed"), 0 when the same session committed it already. */
int catalog_commit(struct site *s, const struct checkpoint *c, struct err *e);
/* Make c the next of its workload after the latest (NULL: the first): its numbers
 * and its chain. */
#define CHAIN_LINKS 32
void checkpoint_follow(struct site *s, struct checkpoint *c, const struct checkpoint *latest);
/* What a record that was read is to the one after it. */
void checkpoint_link(const struct checkpoint *c, struct id *out);
/* Does a record agree with those before and behind it?  0; -1 with DM_NO: one
 * of them was replaced.  Where nothing tells, it does. */
int catalog_trust(struct site *s, const struct checkpoint *c, struct err *e);
/* All of a workload in order of seq (NULL workload: of all, by name). */
int catalog_list(struct site *s, const char *workload, struct checkpoint ***out, size_t *n, struct err *e);
void catalog_list_free(struct checkpoint **v, size_t n);
/* "latest", a seq, a time ("2026-11-23T10:00", "-2h": the newest not after it).
 * DM_NO when there is none; says what there is. */
struct checkpoint *catalog_find(struct site *s, const char *workload, const char *at, struct err *e);
struct checkpoint *catalog_latest(struct site *s, const char *workload, struct err *e);	/* NULL with e->code 0: none yet */
const struct checkpoint_disk *checkpoint_disk(const struct checkpoint *c, const char *name);
/* A shared lock on the record, checked again after locking: fd to close when
 * reading is over, or -1 (DM_NO: it is gone). */
int catalog_hold(struct site *s, const struct checkpoint *c, struct err *e);
/* The one running iteration of a workload: fd, or -1 (DM_NO: another runs). */
int catalog_lock_workload(struct site *s, const char *workload, struct err *e);
/* Is its content in the chunk store? */
bool checkpoint_disk_stored(const struct checkpoint_disk *d);
/* The tree that a base has in this site, of content that is in the chunk store
 * or of content elsewhere. */
enum catalog_tree { TREE_STORED, TREE_IDS };
struct catalog_base {
	struct id tree;
	bool partial;		/* TREE_IDS: not all ids are known */
};
/* Find the state a base names: by root, or by the source's point, of the disk
 * with this name, in the newest checkpoint that has such a tree of it.
 * 1, 0, -1. */
int catalog_find_base(struct site *s, enum catalog_tree kind, const char *disk, const struct id *root,
    const char *source_point, struct catalog_base *out, struct err *e);
json_t *checkpoint_json(const struct checkpoint *c);
int catalog_pin(struct site *s, const struct checkpoint *c, bool on, struct err *e);
/* Remove a checkpoint's record (prune), after its part of the chain was noted.  0 removed; 1 left: someone reads it,
 * or it is pinned or went meanwhile; -1. */
int catalog_drop(struct site *s, const struct checkpoint *c, struct err *e);
/* Note that records are gone that were not dropped (dm-checkpoint prune). */
struct pruned_range;
int catalog_forget(struct site *s, const char *workload, const struct pruned_range *lost, struct err *e);

#endif
