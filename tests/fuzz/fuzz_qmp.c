/* Any bytes as what a monitor or an agent answers, the first byte says which
 * and how much it is asked: refused with a sentence, or understood. */
#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdio.h"
#include "guest/point.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

#define ANSWER_MS 1000	/* never waited for: the other side has closed */

/* A socket from which these bytes come, and then its end. */
static int answers(const uint8_t *p, size_t len, int *other)
{
	int fd[2], size = 1 << 20;

	assert(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	assert(!setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	assert(!fd_write_full(fd[1], p, len));
	assert(!shutdown(fd[1], SHUT_WR));
	*other = fd[1];
	return fd[0];
}

static void failed(const struct err *e)
{
	assert(e->code == DM_NO || e->code == DM_ENV || e->code == DM_USAGE);
	assert(*e->text && memchr(e->text, 0, sizeof(e->text)));
}

/* Calls, as freeze.c makes them, and events. */
static void talk(struct qmp *q)
{
	json_t *o;

	for (int i = 0; i < 4; i++) {
		struct err e = { 0 };

		o = qmp_call(q, "query-status", NULL, &e);
		assert(o ? e.code == 0 : e.code != 0);
		if (!o)
			failed(&e);
		json_decref(o);
		e = (struct err){ 0 };
		o = qmp_event(q, 0, &e);
		assert(!o || json_object_get(o, "event"));
		json_decref(o);
	}
	qmp_close(q);
}

/* The disks of a guest, what a dead run left in it, and its bitmaps. */
static void points(struct qmp *q)
{
	char a[] = "a=vda", b[] = "b=dev-vdb";
	char *disks[] = { a, b };
	struct point_how how = { .qmp = "monitor", .scratch = "/tmp", .owner = "fuzz",
		.base = "dm-fuzz-20261126T000000.000001", .disk = disks, .ndisks = 2, .freeze = FREEZE_NEVER };
	struct err e = { 0 };
	struct point p;
	json_t *o;
	bool found;

	if (point_over(&p, &how, q, &e) == 0) {
		e = (struct err){ 0 };
		point_drop(&p, &found, &e);
		e = (struct err){ 0 };
		if (point_bitmaps(&p, how.base, &e) != 0)
			failed(&e);
		o = point_json(&p);
		assert(json_array_size(json_object_get(o, "disks")) == 2);
		json_decref(o);
	} else
		failed(&e);
	point_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct err e = { 0 };
	struct qmp *q;
	int fd, other;

	if (!len)
		return 0;
	fd = answers(p + 1, len - 1, &other);
	q = qmp_over(p[0] & 1 ? QMP_AGENT : QMP_MONITOR, fd, ANSWER_MS, &e);
	if (!q)
		failed(&e);
	else if (p[0] & 2)
		talk(q);
	else
		points(q);
	close(other);
	return 0;
}
