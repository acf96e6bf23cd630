/* Drivers that wrap another volume: every call goes to the inner one, after a
 * hook has seen it.  For drv_fault.c and drv_log.c. */
#ifndef DM_VOLUME_WRAP_H
#define DM_VOLUME_WRAP_H

#include "volume/driver.h"

enum wrap_op {
	WRAP_READ, WRAP_WRITE, WRAP_ZERO, WRAP_EXTENTS, WRAP_HELD, WRAP_REF, WRAP_FLUSH,
	WRAP_POINT, WRAP_FINALIZE, WRAP_CLOSE, WRAP_OPS,
};
extern const char *const wrap_name[WRAP_OPS];

/* What v->priv of a wrapping driver begins with. */
struct wrap {
	struct volume *inner;
	/* Not 0 (-errno, said through volume_fail) fails the call. */
	int (*before)(struct volume *v, enum wrap_op op, uint64_t off, uint64_t len);
};

/* Open what is left of v's URI behind "scheme+", without the query's parts
 * that `mine' takes for itself. 0, or -1 with v->err. */
int wrap_open(struct volume *v, const struct volume_how *how, struct wrap *w,
    bool (*mine)(const char *key, size_t len));
void wrap_close(struct volume *v);	/* frees v->priv too */
int wrap_read(struct volume *v, void *p, size_t len, uint64_t off);
int wrap_write(struct volume *v, const void *p, size_t len, uint64_t off);
int wrap_zero(struct volume *v, uint64_t off, uint64_t len);
int wrap_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out);
char *wrap_base_point(struct volume *v, const char *since);
int wrap_put(struct volume *v, struct volume_chunk *c);
int wrap_put_zero(struct volume *v, uint64_t off, uint64_t len, uint32_t epoch);
int wrap_held(struct volume *v, uint64_t off, uint32_t len, const struct id *id);
int wrap_ref(struct volume *v, uint64_t off, uint32_t len, const struct id *id, uint32_t epoch);
int wrap_get_stored(struct volume *v, uint64_t off, uint32_t len, void *p, int *codec, size_t *stored_len);
int wrap_flush(struct volume *v, uint32_t epoch);
char *wrap_point(struct volume *v, bool *frozen);
int wrap_finalize(struct volume *v, const char *source_point, const struct id *source_root, struct volume_final *f);

#define WRAP_DRIVER .close = wrap_close, .read = wrap_read, .write = wrap_write, .zero = wrap_zero, \
	.extents = wrap_extents, .base_point = wrap_base_point, .put = wrap_put, \
	.put_zero = wrap_put_zero, .held = wrap_held, .ref = wrap_ref, .get_stored = wrap_get_stored, \
	.flush = wrap_flush, .point = wrap_point, .finalize = wrap_finalize

#endif
