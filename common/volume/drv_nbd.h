/* Inside the nbd: driver: exports of NBD servers, through libnbd.  Only
 * drv_nbd*.c include this. */
#ifndef DM_VOLUME_DRV_NBD_H
#define DM_VOLUME_DRV_NBD_H

#include <libnbd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/extent.h"
#include "volume/driver.h"
#include "volume/target_record.h"

#define NBD_CONNECTIONS_MAX 16u

/* ---- drv_nbd_uri.c: what a URI asks for ---- */
struct nbdv_where {
	bool tls;
	char *socket;		/* a Unix-domain socket; else host and port */
	char *host, *port;
	char *name;		/* of the export, may be "" */
	char *certificates, *psk_file, *username;	/* of TLS; NULL: libnbd's own */
	char *bitmap;		/* changes are told by this one, or NULL */
	char *point;		/* name of the frozen state served, or NULL */
	char *record;		/* target: file with its record, or NULL */
	bool synced;		/* target: sync=server, written is durable */
	unsigned connections;	/* at most */
	unsigned timeout;	/* seconds without a sign of life */
};
/* 0, or -1 with DM_USAGE. */
int nbdv_where_parse(const struct uri *u, const char *text, struct nbdv_where *w, struct err *e);
void nbdv_where_free(struct nbdv_where *w);

/* ---- drv_nbd_conn.c: connections, each with a thread that serves it ---- */
enum nbdv_state { CONN_CONNECTING, CONN_READY, CONN_DEAD };

struct nbdv_conn {
	struct nbdv_vol *vol;
	struct nbd_handle *h;
	pthread_t thread;
	bool runs;
	int wake;			/* eventfd: look at the handle anew */
	_Atomic int state;		/* enum nbdv_state */
	_Atomic bool stop;
	_Atomic unsigned busy;		/* requests in flight */
	_Atomic unsigned slow;		/* those of them that may take long */
	struct err why;			/* under vol->lock: why it is dead */
};

struct nbdv_vol {
	struct nbdv_where where;
	char *bitmap;			/* meta context of dirty blocks, or NULL */
	struct nbdv_conn conn[NBD_CONNECTIONS_MAX];
	unsigned n;
	pthread_mutex_t lock;		/* of why, and changes of state */
	pthread_cond_t changed;
	uint32_t min, max;		/* of one request, bytes */
	uint64_t size;			/* of the export */
	bool read_only, can_zero, flushes, can_fua, knows_holes, knows_bitmap;
	_Atomic bool no_zero;		/* the server refused to */
	pthread_mutex_t patch;		/* blocks written in part */
	struct volume_wait wait;	/* of a target, or .wait is NULL */
	_Atomic int64_t good;		/* when the server did a request last */
	struct nbdv_target *target;	/* NULL when reading */
};

/* Connect, ask what the export can do, and start further connections where
 * the server allows them.  0, or -1 with *e. */
int nbdv_conns_open(struct nbdv_vol *n, struct err *e);
void nbdv_conns_close(struct nbdv_vol *n);

/* One call of a driver: several requests, awaited together. */
struct nbdv_call {
	struct nbdv_vol *vol;
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned left;
	int errnum;			/* of the first that failed */
	struct nbdv_conn *by;		/* and its connection */
	uint64_t at;			/* and where */
	bool passes;			/* all that failed did so with what may pass */
};
/* One request of it; stays where it is until the call is over. */
struct nbdv_part {
	struct nbdv_call *call;
	struct nbdv_conn *conn;
	uint64_t off;
	bool slow;
	int errnum;			/* when the call is over */
};
void nbdv_call_begin(struct nbdv_call *c, struct nbdv_vol *n);
/* Choose a connection and count the request in: the connection, or NULL when
 * none is left (then it is counted as failed). */
struct nbdv_conn *nbdv_part_begin(struct nbdv_call *c, struct nbdv_part *p, uint64_t off, bool slow);
nbd_completion_callback nbdv_part_end(struct nbdv_part *p);
/* libnbd took the request, which may be over already, or (cookie < 0) did not. */
void nbdv_part_sent(struct nbdv_part *p, struct nbdv_conn *conn, int64_t cookie);
/* Await all of them; then either nbdv_call_begin again, or what came of it: 0;
 * -ENOTSUP, of which nothing is said yet; or -errno, with the volume's message
 * "WHAT at N: ...". */
void nbdv_call_wait(struct nbdv_call *c);
int nbdv_call_result(const struct nbdv_call *c, struct volume *v, const char *what);
int nbdv_call_end(struct nbdv_call *c, struct volume *v, const char *what);	/* both */

/* ---- drv_nbd_retry.c: what a target's server failed to do and may yet ---- */
struct nbdv_patience {		/* with one call; all zero at first */
	int64_t since, pause;
};
/* Could this request be answered otherwise another time?  Of flush never: what
 * was written before, the server may have dropped. */
bool nbdv_passes(int errnum);
/* The call is over; `none': not one of its requests was done.  True when some
 * failed that are to be sent again, after a pause that this made. */
bool nbdv_again(const struct nbdv_call *c, struct nbdv_patience *p, bool none);

/* ---- drv_nbd_io.c: transfers of any place and length ---- */
int nbdv_read(struct volume *v, void *p, size_t len, uint64_t off);
int nbdv_put_bytes(struct volume *v, const void *p, size_t len, uint64_t off);
int nbdv_put_zeros(struct volume *v, uint64_t off, uint64_t len);
struct nbdv_piece {
	const uint8_t *p;	/* NULL: zeros */
	uint64_t off, len;
};
/* Several of them, which do not overlap, with no more waiting than for one. */
int nbdv_put_pieces(struct volume *v, const struct nbdv_piece *p, size_t k);
int nbdv_sync(struct volume *v);

/* ---- drv_nbd_map.c ---- */
int nbdv_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out);
char *nbdv_base_point(struct volume *v, const char *since);
/* The meta context that tells what changed since the point, an allocation. */
char *nbdv_bitmap_context(const struct nbdv_where *w, const char *since);

/* ---- drv_nbd_target.c ---- */
int nbdv_target_open(struct volume *v, const struct volume_how *how);
void nbdv_target_close(struct nbdv_vol *n);
int nbdv_write(struct volume *v, const void *p, size_t len, uint64_t off);
int nbdv_zero(struct volume *v, uint64_t off, uint64_t len);
int nbdv_put(struct volume *v, struct volume_chunk *c);
int nbdv_flush_all(struct volume *v, uint32_t epoch);
int nbdv_finalize(struct volume *v, const char *source_point, const struct id *source_root,
    struct volume_final *f);

#endif
