#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "guest/point.h"

#define ANSWER_MS 10000
#define STAMP "YYYYMMDDThhmmss.uuuuuu"

bool point_is_ours(const struct point *p, const char *name)
{
	size_t len = strlen(p->how->owner);

	if (!name || strncmp(name, "dm-", 3) != 0 || strncmp(name + 3, p->how->owner, len) != 0)
		return false;
	name += 3 + len;
	return *name == '-' && strlen(name + 1) == strlen(STAMP) &&
	    strspn(name + 1, "0123456789T.") == strlen(STAMP);
}

static char *name_new(const char *owner)
{
	struct timespec t;
	struct tm tm;
	char day[32];

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	strftime(day, sizeof(day), "%Y%m%dT%H%M%S", &tm);
	return x_printf("dm-%s-%s.%06ld", owner, day, t.tv_nsec / 1000);
}

/* An abstract socket: it goes with its holder, whatever becomes of that. */
static int lock_take(struct point *p, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	uid_t uid;
	pid_t pid = qmp_peer(p->q, &uid);
	int n = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "dm-point-qemu-%ld", (long)pid);

	p->lock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (p->lock >= 0 && bind(p->lock, (struct sockaddr *)&at,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0)
		return 0;
	if (errno == EADDRINUSE)
		return err_set(e, DM_NO, "%s: another run holds a point of this guest", p->how->qmp);
	return err_sys(e, DM_ENV, errno, "lock of this guest");
}

/* ---- which disks ---- */

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* Is this entry of query-block the device a person would call so?  By name,
 * by id, by the path of a device with that id, or by node. */
static bool is_device(const json_t *b, const char *want)
{
	const char *qdev = text(b, "qdev"), *at = strstr(qdev, want);

	if (!strcmp(text(b, "device"), want) || !strcmp(qdev, want) ||
	    !strcmp(text(json_object_get(b, "inserted"), "node-name"), want))
		return true;
	return at && at > qdev && at[-1] == '/' && (at[strlen(want)] == '/' || !at[strlen(want)]);
}

static json_t *node_find(json_t *nodes, const char *name)
{
	json_t *n;
	size_t i;

	json_array_foreach(nodes, i, n) {
		if (!strcmp(text(n, "node-name"), name))
			return n;
	}
	return NULL;
}

static int disk_take(struct point_disk *d, json_t *node, struct err *e)
{
	json_t *image = json_object_get(node, "image");
	const char *compat = text(json_object_get(json_object_get(image, "format-specific"), "data"), "compat");

	free(d->node);
	d->node = x_strdup(text(node, "node-name"));
	d->size = (uint64_t)json_integer_value(json_object_get(image, "virtual-size"));
	d->persistent = !strcmp(text(node, "drv"), "qcow2") && strcmp(compat, "0.10") != 0 &&
	    json_is_false(json_object_get(node, "ro"));
	return d->size ? 0 : err_set(e, DM_NO, "disk %s: \"%s\" is empty", d->name, d->device);
}

/* A node that a job of QEMU puts between a guest and its disk. */
static bool is_filter(const json_t *node)
{
	const char *drv = text(node, "drv");

	return !strcmp(drv, "copy-before-write") || !strcmp(drv, "mirror_top") || !strcmp(drv, "commit_top");
}

static int disk_find(struct point_disk *d, json_t *blocks, json_t *nodes, struct err *e)
{
	json_t *b, *node = NULL;
	struct buf all = { 0 };
	size_t i;

	json_array_foreach(blocks, i, b) {
		const char *name = text(json_object_get(b, "inserted"), "node-name");

		if (is_device(b, d->device))
			node = node_find(nodes, name);
		if (*name)
			buf_printf(&all, "%s%s", all.len ? ", " : "", *text(b, "device") ? text(b, "device") : name);
	}
	/* A storage daemon has nodes and no devices. */
	if (!node && json_array_size(blocks) == 0)
		node = node_find(nodes, d->device);
	if (node && !is_filter(node)) {
		buf_free(&all);
		return disk_take(d, node, e);
	}
	if (node || node_find(nodes, d->device)) {
		buf_free(&all);
		return err_set(e, DM_NO, "disk %s: the guest does not use \"%s\" itself: a job of somebody else's "
		    "stands between them (a backup, a mirror), or it was unplugged", d->name, d->device);
	}
	buf_printf(&all, "%s%c", all.len ? "" : "none", 0);
	err_set(e, DM_NO, "disk %s: the guest has no disk \"%s\" (it has: %s)", d->name, d->device, (char *)all.p);
	buf_free(&all);
	return -1;
}

/* Writable disks nobody asked for are said, so that no one believes they are
 * replicated. */
static void strangers(struct point *p, json_t *blocks)
{
	json_t *b, *in;
	size_t i, k;

	json_array_foreach(blocks, i, b) {
		in = json_object_get(b, "inserted");
		if (!in || !json_is_false(json_object_get(in, "ro")) || !*text(b, "qdev"))
			continue;
		for (k = 0; k < p->n && strcmp(p->disk[k].node, text(in, "node-name")); k++)
			continue;
		if (k == p->n)
			json_array_append_new(p->notes, json_sprintf("the guest's disk %s is not replicated: "
			    "the plan does not name it", *text(b, "device") ? text(b, "device") :
			    text(in, "node-name")));
	}
}

static int disks_find(struct point *p, struct err *e)
{
	json_t *blocks = qmp_call(p->q, "query-block", NULL, e), *nodes = NULL;
	int r = -1;

	if (blocks)
		nodes = qmp_call(p->q, "query-named-block-nodes", json_pack("{s:b}", "flat", 1), e);
	if (nodes) {
		r = 0;
		for (size_t i = 0; i < p->n && r == 0; i++)
			r = disk_find(&p->disk[i], blocks, nodes, e);
	}
	if (r == 0)
		strangers(p, blocks);
	json_decref(blocks);
	json_decref(nodes);
	return r;
}

/* ---- the directory ---- */

/* Ours alone, or QEMU's where that is another user. */
int point_dir_make(struct point *p, struct err *e)
{
	struct stat st;
	uid_t uid;

	qmp_peer(p->q, &uid);
	if (strlen(p->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(e, DM_USAGE, "%s: too long for a socket's name (--scratch)", p->socket);
	if (mkdir(p->dir, 0700) != 0 && errno != EEXIST)
		return err_sys(e, DM_ENV, errno, "%s", p->dir);
	if (lstat(p->dir, &st) != 0 || !S_ISDIR(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != uid))
		return err_set(e, DM_NO, "%s: belongs to somebody else", p->dir);
	if (st.st_uid != uid && chown(p->dir, uid, (gid_t)-1) != 0)
		return err_sys(e, DM_ENV, errno, "%s: QEMU runs as user %u, which needs it", p->dir, (unsigned)uid);
	return 0;
}

int point_over(struct point *p, const struct point_how *how, struct qmp *q, struct err *e)
{
	char *scratch;

	*p = (struct point){ .how = how, .q = q, .lock = -1, .notes = json_array() };
	p->n = how->ndisks;
	p->disk = x_array(p->n, sizeof(*p->disk));
	for (size_t i = 0; i < p->n; i++) {
		p->disk[i].name = x_strndup(how->disk[i], strcspn(how->disk[i], "="));
		p->disk[i].device = x_strdup(strchr(how->disk[i], '=') + 1);
		p->disk[i].node = x_strdup("");
	}
	p->name = name_new(how->owner);
	scratch = realpath(how->scratch, NULL);		/* QEMU is elsewhere */
	if (!scratch)
		return err_sys(e, DM_ENV, errno, "%s", how->scratch);
	p->dir = x_printf("%s/" POINT_PREFIX "%s", scratch, how->owner);
	free(scratch);
	p->socket = x_printf("%s/nbd", p->dir);
	if (lock_take(p, e) != 0)
		return -1;
	return disks_find(p, e);
}

int point_open(struct point *p, const struct point_how *how, struct err *e)
{
	struct qmp *q = qmp_open(QMP_MONITOR, how->qmp, ANSWER_MS, e);

	*p = (struct point){ .lock = -1 };
	return q ? point_over(p, how, q, e) : -1;
}

void point_close(struct point *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->disk[i].name);
		free(p->disk[i].device);
		free(p->disk[i].node);
		free(p->disk[i].why);
	}
	free(p->disk);
	qmp_close(p->q);
	fd_close(p->lock);
	free(p->dir);
	free(p->socket);
	free(p->name);
	json_decref(p->notes);
	*p = (struct point){ .lock = -1 };
}
