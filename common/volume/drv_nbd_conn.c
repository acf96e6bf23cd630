/* nbd: volumes, connections.  Callers put requests into a handle from their
 * own threads; the connection's thread alone reads and writes its socket, and
 * sees to it that a server that says nothing is not awaited for ever. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "volume/drv_nbd.h"

#define TICK_MS 500
#define SLOW_FACTOR 10	/* a flush may take that much longer */

/* ---- the connection's thread ---- */

static void set_state(struct nbdv_conn *c, enum nbdv_state state)
{
	pthread_mutex_lock(&c->vol->lock);
	c->state = state;
	pthread_cond_broadcast(&c->vol->changed);
	pthread_mutex_unlock(&c->vol->lock);
}

static void blame(struct nbdv_conn *c, int errnum, const char *text)
{
	pthread_mutex_lock(&c->vol->lock);
	if (!c->why.code) {
		err_set(&c->why, DM_ENV, "%s", text);
		c->why.errnum = errnum;
	}
	pthread_mutex_unlock(&c->vol->lock);
}

/* What libnbd said last in this thread, without its function's name. */
static void blame_libnbd(struct nbdv_conn *c)
{
	const char *text = nbd_get_error(), *colon = text ? strstr(text, ": ") : NULL;
	int errnum = nbd_get_errno();

	if (colon && !strncmp(text, "nbd_", 4))
		text = colon + 2;
	blame(c, errnum == ENOTCONN || !errnum ? ECONNRESET : errnum, text ? text : "the connection failed");
}

static bool handle_over(struct nbd_handle *h)
{
	return nbd_aio_is_dead(h) > 0 || nbd_aio_is_closed(h) > 0;
}

/* One round of its socket: true when there was a sign of life. */
static bool serve(struct nbdv_conn *c)
{
	struct pollfd p[2] = { { .fd = nbd_aio_get_fd(c->h) }, { .fd = c->wake, .events = POLLIN } };
	unsigned dir = nbd_aio_get_direction(c->h);
	uint64_t n;
	int r = 0;

	p[0].events = (short)((dir & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
	    (dir & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
	if (poll(p, 2, TICK_MS) <= 0)
		return false;
	if (p[1].revents & POLLIN)
		(void)!read(c->wake, &n, sizeof(n));
	if (!p[0].revents)
		return false;
	/* Others may have sent something meanwhile. */
	dir = nbd_aio_get_direction(c->h);
	if (dir & LIBNBD_AIO_DIRECTION_READ && p[0].revents & ~POLLOUT)
		r = nbd_aio_notify_read(c->h);
	else if (dir & LIBNBD_AIO_DIRECTION_WRITE && p[0].revents & ~POLLIN)
		r = nbd_aio_notify_write(c->h);
	if (r != 0 && handle_over(c->h))
		blame_libnbd(c);
	return true;
}

/* Nothing came for too long: cut the line, which ends what is in flight. */
static void give_up(struct nbdv_conn *c, int64_t seconds)
{
	char text[96];

	snprintf(text, sizeof(text), "the server said nothing for %lld s", (long long)seconds);
	blame(c, ETIMEDOUT, text);
	if (c->state == CONN_CONNECTING)
		c->stop = true;
	else
		(void)shutdown(nbd_aio_get_fd(c->h), SHUT_RDWR);
}

static void *conn_run(void *arg)
{
	struct nbdv_conn *c = arg;
	int64_t patience = c->vol->where.timeout, life = time_mono(), limit;
	bool cut = false;

	while (!c->stop && !handle_over(c->h)) {
		bool ready = c->state == CONN_READY;

		if (serve(c) || (ready && !c->busy))
			life = time_mono();
		if (!ready && nbd_aio_is_ready(c->h) > 0) {
			set_state(c, CONN_READY);
			life = time_mono();
		}
		limit = c->slow ? SLOW_FACTOR * patience : patience;
		if (!cut && time_mono() - life > limit * SECOND) {
			give_up(c, limit);
			cut = true;
		}
	}
	blame(c, ECONNRESET, "the server ended the connection");
	set_state(c, CONN_DEAD);
	return NULL;
}

/* ---- life ---- */

static int settings(struct nbdv_conn *c)
{
	const struct nbdv_where *w = &c->vol->where;
	struct nbd_handle *h = c->h;

	/* We keep to the server's blocks, but for a tail that is no whole one. */
	if (nbd_set_strict_mode(h, nbd_get_strict_mode(h) & ~LIBNBD_STRICT_ALIGN) != 0)
		return -1;
	if (nbd_set_export_name(h, w->name) != 0 ||
	    nbd_add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
		return -1;
	if (c->vol->bitmap && nbd_add_meta_context(h, c->vol->bitmap) != 0)
		return -1;
	if (!w->tls)
		return 0;
	if (nbd_set_tls(h, LIBNBD_TLS_REQUIRE) != 0 || nbd_set_tls_verify_peer(h, true) != 0)
		return -1;
	if (w->certificates && nbd_set_tls_certificates(h, w->certificates) != 0)
		return -1;
	if (w->psk_file && nbd_set_tls_psk_file(h, w->psk_file) != 0)
		return -1;
	return w->username ? nbd_set_tls_username(h, w->username) : 0;
}

static int connect_begin(struct nbdv_conn *c)
{
	const struct nbdv_where *w = &c->vol->where;

	c->h = nbd_create();
	if (!c->h || settings(c) != 0)
		return -1;
	return w->socket ? nbd_aio_connect_unix(c->h, w->socket) :
	    nbd_aio_connect_tcp(c->h, w->host, w->port);
}

/* Begin to connect; the thread goes on with it. */
static int conn_start(struct nbdv_vol *n, struct nbdv_conn *c, struct err *e)
{
	int r;

	*c = (struct nbdv_conn){ .vol = n, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	if (c->wake < 0)
		return err_sys(e, DM_ENV, errno, "eventfd");
	n->n++;
	if (connect_begin(c) != 0) {
		blame_libnbd(c);
		set_state(c, CONN_DEAD);
		return 0;
	}
	r = pthread_create(&c->thread, NULL, conn_run, c);
	if (r != 0)
		return err_sys(e, DM_ENV, r, "thread");
	c->runs = true;
	return 0;
}

static void conn_wake(struct nbdv_conn *c)
{
	uint64_t one = 1;

	(void)!write(c->wake, &one, sizeof(one));
}

void nbdv_conns_close(struct nbdv_vol *n)
{
	for (unsigned i = 0; i < n->n; i++) {
		struct nbdv_conn *c = &n->conn[i];

		c->stop = true;
		conn_wake(c);
		if (c->runs)
			pthread_join(c->thread, NULL);
		if (c->h && nbd_aio_is_ready(c->h) > 0)
			(void)nbd_aio_disconnect(c->h, 0);
		nbd_close(c->h);
		fd_close(c->wake);
	}
	n->n = 0;
}

static uint32_t block_limit(struct nbd_handle *h, int which, uint32_t unknown)
{
	int64_t n = nbd_get_block_size(h, which);

	return n > 0 ? (uint32_t)min64((uint64_t)n, UINT32_MAX) : unknown;
}

static int look(struct nbdv_vol *n, struct nbd_handle *h, struct err *e)
{
	int64_t size = nbd_get_size(h);

	if (size < 0)
		return err_set(e, DM_ENV, "the server does not say the export's size");
	n->size = (uint64_t)size;
	n->min = block_limit(h, LIBNBD_SIZE_MINIMUM, 1);
	n->max = block_limit(h, LIBNBD_SIZE_MAXIMUM, 32u << 20);
	n->read_only = nbd_is_read_only(h) != 0;
	n->can_zero = nbd_can_zero(h) > 0;
	n->flushes = nbd_can_flush(h) > 0;
	n->can_fua = nbd_can_fua(h) > 0;
	n->knows_holes = nbd_can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0;
	n->knows_bitmap = n->bitmap && nbd_can_meta_context(h, n->bitmap) > 0;
	if (!is_pow2(n->min) || n->max < n->min)
		return err_set(e, DM_ENV, "the server's block sizes make no sense (%u to %u)", n->min, n->max);
	return 0;
}

int nbdv_conns_open(struct nbdv_vol *n, struct err *e)
{
	struct nbdv_conn *c = &n->conn[0];

	if (conn_start(n, c, e) != 0)
		return -1;
	pthread_mutex_lock(&n->lock);
	while (c->state == CONN_CONNECTING)
		pthread_cond_wait(&n->changed, &n->lock);
	if (c->state == CONN_DEAD)
		*e = c->why;
	pthread_mutex_unlock(&n->lock);
	if (e->code || look(n, c->h, e) != 0)
		return -1;
	if (nbd_can_multi_conn(c->h) <= 0)
		return 0;
	while (n->n < n->where.connections)
		if (conn_start(n, &n->conn[n->n], e) != 0)
			return -1;
	return 0;
}

/* ---- calls ---- */

void nbdv_call_begin(struct nbdv_call *c, struct nbdv_vol *n)
{
	*c = (struct nbdv_call){ .vol = n };
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->done, NULL);
}

static void part_over(struct nbdv_part *p, int errnum)
{
	struct nbdv_call *c = p->call;

	if (p->conn) {
		p->conn->busy--;
		p->conn->slow -= p->slow;
	}
	pthread_mutex_lock(&c->lock);
	p->errnum = errnum;
	if (errnum && (!c->errnum || (c->passes && !nbdv_passes(errnum)))) {
		c->errnum = errnum;
		c->passes = nbdv_passes(errnum);
		c->by = p->conn;
		c->at = p->off;
	}
	if (--c->left == 0)
		pthread_cond_signal(&c->done);
	pthread_mutex_unlock(&c->lock);
}

struct nbdv_conn *nbdv_part_begin(struct nbdv_call *c, struct nbdv_part *p, uint64_t off, bool slow)
{
	struct nbdv_vol *n = c->vol;
	struct nbdv_conn *best = NULL;

	for (unsigned i = 0; i < n->n; i++)
		if (n->conn[i].state == CONN_READY && (!best || n->conn[i].busy < best->busy))
			best = &n->conn[i];
	*p = (struct nbdv_part){ .call = c, .conn = best, .off = off, .slow = slow };
	pthread_mutex_lock(&c->lock);
	c->left++;
	pthread_mutex_unlock(&c->lock);
	if (!best) {
		part_over(p, ENOTCONN);
		return NULL;
	}
	best->busy++;
	best->slow += slow;
	return best;
}

static int on_end(void *arg, int *error)
{
	part_over(arg, *error);
	return 1;
}

nbd_completion_callback nbdv_part_end(struct nbdv_part *p)
{
	return (nbd_completion_callback){ .callback = on_end, .user_data = p };
}

void nbdv_part_sent(struct nbdv_part *p, struct nbdv_conn *conn, int64_t cookie)
{
	if (cookie < 0)
		part_over(p, handle_over(conn->h) ? ENOTCONN : nbd_get_errno() ? nbd_get_errno() : EIO);
	else if (nbd_aio_get_direction(conn->h) & LIBNBD_AIO_DIRECTION_WRITE)
		conn_wake(conn);
}

/* The first reason of all why there is no connection. */
static struct err cut_off(const struct nbdv_call *c)
{
	struct err why = { .errnum = ECONNRESET };

	pthread_mutex_lock(&c->vol->lock);
	if (c->by && c->by->why.code)
		why = c->by->why;
	for (unsigned i = 0; !c->by && !why.code && i < c->vol->n; i++)
		why = c->vol->conn[i].why;
	pthread_mutex_unlock(&c->vol->lock);
	return why;
}

void nbdv_call_wait(struct nbdv_call *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->left)
		pthread_cond_wait(&c->done, &c->lock);
	pthread_mutex_unlock(&c->lock);
	pthread_cond_destroy(&c->done);
	pthread_mutex_destroy(&c->lock);
}

int nbdv_call_result(const struct nbdv_call *c, struct volume *v, const char *what)
{
	struct err why;

	if (!c->errnum || c->errnum == ENOTSUP)
		return -c->errnum;
	if (c->errnum != ENOTCONN && c->errnum != ESHUTDOWN)	/* EPERM would be our own refusal */
		return volume_fail(v, c->errnum == EPERM ? EACCES : c->errnum, "%s at %llu", what,
		    (unsigned long long)c->at);
	why = cut_off(c);
	return volume_fail(v, why.errnum ? why.errnum : ECONNRESET, "%s at %llu: %s", what,
	    (unsigned long long)c->at, why.code ? why.text : "the server ended the connection");
}

int nbdv_call_end(struct nbdv_call *c, struct volume *v, const char *what)
{
	nbdv_call_wait(c);
	return nbdv_call_result(c, v, what);
}
