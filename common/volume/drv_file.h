/* Inside the file: driver: raw files, block devices and directories of
 * checkpoints.  Only drv_file*.c include this. */
#ifndef DM_VOLUME_DRV_FILE_H
#define DM_VOLUME_DRV_FILE_H

#include <pthread.h>
#include <sys/stat.h>

#include "base/extent.h"
#include "volume/driver.h"
#include "volume/target_record.h"

/* "file:DEV:INO:SIZE:MTIME_NS", for a device "device:SIZE:SERIAL"; with_ctime
 * makes it the point of a volume.  An allocation. */
char *file_identity(const struct stat *st, uint64_t size, bool with_ctime);
/* The same file, though it was written to? */
bool file_identity_same_object(const char *a, const char *b);
int file_size(int fd, const struct stat *st, uint64_t *size);	/* 0 or -errno */

/* A target being written. */
struct file_target {
	char *path;		/* what is written: the file, or a work file */
	char *record_path;	/* NULL: none is kept (a device without record=) */
	struct target_record record;
	char *dir, *final;	/* directory targets: where, and the file's name there */
	bool created;		/* by this open; removed when nothing was written */
	bool full, begun, failed;
	bool fresh;		/* all of it reads as zeros until written */
	bool resumes;		/* it goes on from what is there */
	bool prepared;		/* open did what must come before the first write */
	_Atomic bool no_punch, no_zeroout, no_direct;
	pthread_mutex_t turn;	/* to write to a regular file's cache */
	pthread_mutex_t lock;	/* of what follows, and of begin */
	struct iset *covered;	/* full iterations: bytes written or zeroed */
	uint64_t dirty, dirty_lo, dirty_hi;	/* bytes and range since writeback was last started */
	uint64_t behind_lo, behind_hi;	/* the range it was last started for */
};

/* The older of a pair of clones. */
struct file_base {
	char *name;		/* as asked for */
	char *point;		/* its identity, ctime included */
	int fd;
	uint64_t size;
};

struct file_vol {
	int fd;
	int direct;		/* a target past the page cache, or -1 */
	int behind;		/* a target whose writeback is awaited, or -1: its
				 * errors are for the other descriptor to find */
	bool device;
	uint32_t sector;
	struct stat st;
	struct file_target *target;	/* NULL when reading */
	struct file_base base;
	pthread_mutex_t lock;		/* of base */
};

/* drv_file_map.c */
int file_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out);
char *file_base_point(struct volume *v, const char *since);
void file_base_close(struct file_base *b);

/* drv_file_use.c: 0, or DM_NO with who uses it. */
int file_in_use(const char *path, int fd, const struct stat *st, struct err *e);

/* drv_file_target.c */
int file_open_target(struct volume *v, const struct uri *u, const struct volume_how *how);
void file_close_target(struct file_vol *f);
char *file_present_identity(struct file_vol *f);	/* an allocation; "" when unknown */
/* The name of a file that is written, for volume_work; an allocation. */
char *file_work_name(const struct stat *st, const char *path);
/* Give the volume the name of what is written, which t->path and f->st say.
 * The record is loaded: is the step gone on with there? */
bool file_goes_on(struct volume *v, const struct volume_how *how);

/* drv_file_write.c */
int file_write(struct volume *v, const void *p, size_t len, uint64_t off);
int file_zero(struct volume *v, uint64_t off, uint64_t len);
int file_flush(struct volume *v, uint32_t epoch);
int file_held(struct volume *v, uint64_t off, uint32_t len, const struct id *id);
int file_finalize(struct volume *v, const char *source_point, const struct id *source_root,
    struct volume_final *f);
/* Bytes at off were left in the page cache. */
void file_written(struct file_vol *f, uint64_t off, uint64_t len);
/* drv_file_direct.c: once, on a target that is open: f->direct and f->behind. */
void file_direct_open(struct file_vol *f);
/* Write by the best way: 0, or -1 and errno. */
int file_put(struct file_vol *f, const uint8_t *p, size_t len, uint64_t off);
/* drv_file_zero.c: -1 sets errno.  Where the range is known to read as zeros,
 * zeros among the bytes are left out. */
int file_put_sparse(struct file_vol *f, const uint8_t *p, size_t len, uint64_t off);
int file_zero_range(struct file_vol *f, uint64_t off, uint64_t len);

/* drv_file_dir.c: 0, or -1 with v->err. */
int file_open_dir(struct volume *v, const char *dir, const struct volume_how *how);
/* NAME.NNNNNN.raw, at least six digits: the number, else 0. */
uint64_t file_dir_number(const char *file, const char *name);
/* The work file, complete and synced, becomes the next checkpoint. */
int file_dir_publish(struct volume *v);

/* drv_file_sweep.c */
int file_sweep(const struct uri *u, const struct volume_sweep *how, struct volume_swept *out, struct err *e);

#endif
