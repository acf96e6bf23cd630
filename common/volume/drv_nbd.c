/* nbd: volumes: exports of an NBD server, see dm-volume(7). */
#include <stdlib.h>

#include "base/bytes.h"
#include "volume/drv_nbd.h"

#define CALLS 8u	/* at once hide the way to the server and back, */
#define CALLS_WRITE 32u	/* and a store that takes its time */

static void nbdv_close(struct volume *v)
{
	struct nbdv_vol *n = v->priv;

	nbdv_conns_close(n);
	nbdv_target_close(n);
	nbdv_where_free(&n->where);
	free(n->bitmap);
	pthread_cond_destroy(&n->changed);
	pthread_mutex_destroy(&n->lock);
	pthread_mutex_destroy(&n->patch);
	free(n);
}

/* A state was asked for: the URI must say that it is the one served. */
static int check_point(struct volume *v, const struct nbdv_vol *n, const char *point)
{
	const char *served = n->where.point ? n->where.point : "";

	if (!point || !strcmp(point, served))
		return 0;
	return err_set(&v->err, DM_NO, "%s: \"%s\" is asked for, but this export is \"%s\" "
	    "(point=NAME says which state an export is)", v->uri, point, served);
}

static int open_source(struct volume *v, const struct volume_how *how)
{
	struct nbdv_vol *n = v->priv;

	v->size = n->size;
	return check_point(v, n, how->point);
}

static int nbdv_open(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	struct nbdv_vol *n = x_alloc(sizeof(*n));
	int r;

	pthread_mutex_init(&n->lock, NULL);
	pthread_mutex_init(&n->patch, NULL);
	pthread_cond_init(&n->changed, NULL);
	v->priv = n;
	r = nbdv_where_parse(u, v->uri, &n->where, &v->err);
	if (r == 0) {
		if (how->mode == VOL_READ)
			n->bitmap = nbdv_bitmap_context(&n->where, how->since);
		r = nbdv_conns_open(n, &v->err);
		if (r != 0)
			err_prefix(&v->err, "%s", v->uri);
	}
	if (r == 0)
		r = how->mode == VOL_READ ? open_source(v, how) : nbdv_target_open(v, how);
	v->limits = (struct volume_limits){ .min = 1, .preferred = n->min > 4096 ? n->min :
		n->min > 512 ? 4096 : 512, .calls = how->mode == VOL_READ ? CALLS : CALLS_WRITE };
	if (r != 0)
		nbdv_close(v);
	return r;
}

/* Only whoever made the export knows that it will not change. */
static char *nbdv_point(struct volume *v, bool *frozen)
{
	struct nbdv_vol *n = v->priv;

	*frozen = n->where.point != NULL;
	return x_strdup(n->where.point ? n->where.point : "");
}

const struct driver drv_nbd = {
	.scheme = "nbd nbds nbd+unix nbds+unix",
	.open = nbdv_open,
	.close = nbdv_close,
	.read = nbdv_read,
	.write = nbdv_write,
	.zero = nbdv_zero,
	.put = nbdv_put,
	.extents = nbdv_extents,
	.base_point = nbdv_base_point,
	.flush = nbdv_flush_all,
	.point = nbdv_point,
	.finalize = nbdv_finalize,
};
