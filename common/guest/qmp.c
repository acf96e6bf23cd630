#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "guest/qmp.h"

#define LINE_CAP MIB(16)	/* of one answer */
#define EVENTS_CAP 1024u	/* not asked for yet; older ones are dropped */
#define SYNC 0xff		/* the agent's mark of a fresh answer */

struct qmp {
	enum qmp_kind kind;
	int fd, timeout_ms;
	unsigned id;
	struct buf in;		/* received, not looked at */
	json_t *events;
	pid_t pid;
	uid_t uid;
};

static int wait_for(struct qmp *q, short what, int64_t deadline, struct err *e)
{
	struct pollfd p = { .fd = q->fd, .events = what };
	int64_t left;
	int r;

	do {
		left = deadline - time_mono();
		r = poll(&p, 1, left > 0 ? (int)(left / 1000000 + 1) : 0);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_sys(e, DM_ENV, errno, "poll");
	return r;
}

/* Bytes more: 1, 0 at the deadline, -1. */
static int fill(struct qmp *q, int64_t deadline, struct err *e)
{
	ssize_t n;
	int r = wait_for(q, POLLIN, deadline, e);

	if (r <= 0)
		return r;
	if (q->in.len >= LINE_CAP)
		return err_set(e, DM_ENV, "an answer of more than 16 MiB");
	n = recv(q->fd, buf_room(&q->in, 65536), 65536, 0);
	q->in.len -= 65536 - (size_t)(n > 0 ? n : 0);
	if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return 1;
	return n == 0 ? err_set(e, DM_ENV, "the other side closed the connection") :
	    err_sys(e, DM_ENV, errno, "receive");
}

/* One line of bytes: 1, 0 at the deadline, -1.  It stays in front of q->in. */
static int line_take(struct qmp *q, int64_t deadline, size_t *len, struct err *e)
{
	uint8_t *end;
	int r;

	while (!(end = q->in.len ? memchr(q->in.p, '\n', q->in.len) : NULL)) {
		r = fill(q, deadline, e);
		if (r <= 0)
			return r;
	}
	*len = (size_t)(end - q->in.p);
	return 1;
}

/* An agent is the guest's, which may talk without end: what is no answer is not
 * passed over for longer than an answer may take. */
static bool late(int64_t deadline)
{
	return time_mono() >= deadline;
}

/* One line as JSON: 1, 0 at the deadline, -1.  What an agent had left unsaid
 * when its last client went may be cut: such a line is passed over. */
static int line(struct qmp *q, int64_t deadline, json_t **out, struct err *e)
{
	size_t len, skip;
	int r;

	for (*out = NULL; !*out;) {
		r = line_take(q, deadline, &len, e);
		if (r <= 0)
			return r;
		for (skip = 0; skip < len && q->in.p[skip] == SYNC; skip++)
			continue;
		*out = json_loadb((char *)q->in.p + skip, len - skip, 0, NULL);
		buf_drop(&q->in, len + 1);
		if (!*out && q->kind == QMP_MONITOR)
			return err_set(e, DM_ENV, "an answer that is no JSON");
		if (!*out && late(deadline))
			return 0;
	}
	return 1;
}

static int say(struct qmp *q, json_t *o, bool sync, struct err *e)
{
	char *text = json_dumps(o, JSON_COMPACT);
	struct buf b = { 0 };
	int64_t deadline = time_mono() + q->timeout_ms * INT64_C(1000000);
	size_t at = 0;
	int r = 1;

	if (!text)
		return err_set(e, DM_ENV, "not enough memory");
	if (sync)
		buf_put(&b, &(uint8_t){ SYNC }, 1);
	buf_printf(&b, "%s\n", text);
	free(text);
	while (r > 0 && at < b.len) {
		ssize_t n = send(q->fd, b.p + at, b.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			at += (size_t)n;
		else if (errno == EAGAIN)
			r = wait_for(q, POLLOUT, deadline, e);
		else if (errno != EINTR)
			r = err_sys(e, DM_ENV, errno, "send");
	}
	buf_free(&b);
	if (r == 0)
		return err_set(e, DM_ENV, "nothing is taken for %d ms", q->timeout_ms);
	return r < 0 ? -1 : 0;
}

static void keep_event(struct qmp *q, json_t *o)
{
	if (json_array_size(q->events) >= EVENTS_CAP)
		json_array_remove(q->events, 0);
	json_array_append(q->events, o);
}

static bool is_answer(const json_t *o, unsigned id, enum qmp_kind kind)
{
	if (!json_object_get(o, "return") && !json_object_get(o, "error"))
		return false;
	return kind == QMP_AGENT || json_integer_value(json_object_get(o, "id")) == id;
}

static json_t *answer(struct qmp *q, const char *command, struct err *e)
{
	int64_t deadline = time_mono() + q->timeout_ms * INT64_C(1000000);
	json_t *o, *ret = NULL;
	const char *desc;
	int r;

	while ((r = line(q, deadline, &o, e)) > 0) {
		if (is_answer(o, q->id, q->kind)) {
			ret = json_incref(json_object_get(o, "return"));
			desc = json_string_value(json_object_get(json_object_get(o, "error"), "desc"));
			if (!ret)
				err_set(e, DM_NO, "%s", desc && *desc ? desc : "refused without a reason");
			json_decref(o);
			return ret;
		}
		if (json_object_get(o, "event"))
			keep_event(q, o);
		json_decref(o);
		if (late(deadline)) {
			r = 0;
			break;
		}
	}
	if (r == 0)
		err_set(e, DM_ENV, "no answer to %s within %d ms", command, q->timeout_ms);
	return NULL;
}

static json_t *call(struct qmp *q, const char *command, json_t *args, bool sync, struct err *e)
{
	json_t *o = json_pack("{s:s}", "execute", command), *ret = NULL;

	if (args)
		json_object_set_new(o, "arguments", args);
	if (q->kind == QMP_MONITOR)
		json_object_set_new(o, "id", json_integer(++q->id));
	if (say(q, o, sync, e) == 0)
		ret = answer(q, command, e);
	json_decref(o);
	return ret;
}

json_t *qmp_call(struct qmp *q, const char *command, json_t *args, struct err *e)
{
	return call(q, command, args, false, e);
}

int qmp_do(struct qmp *q, const char *command, json_t *args, struct err *e)
{
	json_t *ret = qmp_call(q, command, args, e);

	json_decref(ret);
	return ret ? 0 : -1;
}

json_t *qmp_event(struct qmp *q, int timeout_ms, struct err *e)
{
	int64_t deadline = time_mono() + timeout_ms * INT64_C(1000000);
	json_t *o;

	while (json_array_size(q->events) == 0) {
		if (line(q, deadline, &o, e) <= 0)
			return NULL;
		if (json_object_get(o, "event"))
			keep_event(q, o);
		json_decref(o);
	}
	o = json_incref(json_array_get(q->events, 0));
	json_array_remove(q->events, 0);
	return o;
}

/* The mark at the front makes the agent drop what an earlier client left half
 * said, for which it may answer with an error of its own; answers to that
 * client may still be on their way.  Skip to ours. */
static int greet_agent(struct qmp *q, struct err *e)
{
	json_int_t mine = (json_int_t)(time_mono() & INT32_MAX);
	json_t *ret = call(q, "guest-sync-delimited", json_pack("{s:I}", "id", mine), true, e);

	for (int i = 0; (ret ? json_integer_value(ret) != mine : e->code == DM_NO) && i < 16; i++) {
		*e = (struct err){ 0 };
		json_decref(ret);
		ret = answer(q, "guest-sync-delimited", e);
	}
	json_decref(ret);
	return ret ? 0 : -1;
}

static int greet_monitor(struct qmp *q, struct err *e)
{
	int64_t deadline = time_mono() + q->timeout_ms * INT64_C(1000000);
	json_t *o;
	int r = line(q, deadline, &o, e);

	if (r == 0)
		return err_set(e, DM_ENV, "no greeting within %d ms: another program is connected to this "
		    "monitor, or QEMU hangs", q->timeout_ms);
	if (r < 0)
		return -1;
	r = json_object_get(o, "QMP") ? 0 : err_set(e, DM_ENV, "this is no QMP socket");
	json_decref(o);
	return r ? r : qmp_do(q, "qmp_capabilities", NULL, e);
}

static int connect_to(const char *path, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(at.sun_path))
		return err_set(e, DM_USAGE, "%s: too long for a socket's name", path);
	strcpy(at.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	err_sys(e, DM_ENV, errno, "%s: connect", path);
	fd_close(fd);
	return -1;
}

struct qmp *qmp_over(enum qmp_kind kind, int fd, int timeout_ms, struct err *e)
{
	struct qmp *q = x_alloc(sizeof(*q));
	struct ucred peer;
	socklen_t len = sizeof(peer);

	q->kind = kind;
	q->fd = fd;
	q->timeout_ms = timeout_ms;
	q->events = json_array();
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0) {
		q->pid = peer.pid;
		q->uid = peer.uid;
	}
	if ((kind == QMP_AGENT ? greet_agent(q, e) : greet_monitor(q, e)) == 0)
		return q;
	qmp_close(q);
	return NULL;
}

struct qmp *qmp_open(enum qmp_kind kind, const char *path, int timeout_ms, struct err *e)
{
	int fd = connect_to(path, e);
	struct qmp *q;

	if (fd < 0)
		return NULL;
	q = qmp_over(kind, fd, timeout_ms, e);
	if (!q)
		err_prefix(e, "%s", path);
	return q;
}

void qmp_close(struct qmp *q)
{
	if (!q)
		return;
	fd_close(q->fd);
	json_decref(q->events);
	buf_free(&q->in);
	free(q);
}

void qmp_timeout(struct qmp *q, int timeout_ms)
{
	q->timeout_ms = timeout_ms;
}

pid_t qmp_peer(const struct qmp *q, uid_t *uid)
{
	*uid = q->uid;
	return q->pid;
}

int qmp_fd(const struct qmp *q)
{
	return q->fd;
}
