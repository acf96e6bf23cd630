/* Making a point: scratch images, one transaction, exports. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/child.h"
#include "base/timefmt.h"
#include "guest/freeze.h"
#include "guest/point.h"

/* 4 KiB as long as a bitmap stays under 32 MiB of memory. */
static json_int_t granularity(uint64_t size)
{
	json_int_t g = 4096;

	while (size / (uint64_t)g > MIB(256))
		g *= 2;
	return g;
}

static int image_make(const char *path, uint64_t size, uid_t uid, struct err *e)
{
	char bytes[24];
	char *argv[] = { "qemu-img", "create", "-q", "-f", "qcow2", (char *)path, bytes, NULL };
	struct child c = { 0 };

	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)size);
	if (child_spawn(&c, argv, e) != 0)
		return -1;
	if (child_wait(&c) != 0)
		return err_set(e, DM_ENV, "%s: qemu-img could not make it", path);
	if (uid != geteuid() && chown(path, uid, (gid_t)-1) != 0)
		return err_set(e, DM_ENV, "%s: cannot be given to QEMU's user", path);
	return chmod(path, 0600) ? err_set(e, DM_ENV, "%s: mode", path) : 0;
}

/* QEMU keeps the file open, so its name can go at once: whatever happens, the
 * space is free when QEMU lets go of it. */
static int scratch_add(struct point *p, size_t i, struct err *e)
{
	char *path = x_printf("%s/%zu.qcow2", p->dir, i), node[32], file[48];
	uid_t uid;
	int r;

	qmp_peer(p->q, &uid);
	snprintf(node, sizeof(node), POINT_PREFIX "%zu", i);
	snprintf(file, sizeof(file), POINT_PREFIX "%zu-file", i);
	unlink(path);
	r = image_make(path, p->disk[i].size, uid, e);
	if (r == 0)
		r = qmp_do(p->q, "blockdev-add", json_pack("{s:s, s:s, s:s, s:{s:b}, s:{s:s, s:s, s:s}}",
		    "driver", "qcow2", "node-name", node, "backing", p->disk[i].node, "cache", "no-flush", 1,
		    "file", "driver", "file", "node-name", file, "filename", path), e);
	unlink(path);
	if (r == 0)
		r = qmp_do(p->q, "block-set-write-threshold", json_pack("{s:s, s:I}", "node-name", file,
		    "write-threshold", (json_int_t)p->how->limit), e);
	free(path);
	return r;
}

static void disk_actions(const struct point *p, size_t i, json_t *actions)
{
	const struct point_disk *d = &p->disk[i];
	char id[32];

	snprintf(id, sizeof(id), POINT_PREFIX "%zu", i);
	json_array_append_new(actions, json_pack("{s:s, s:{s:s, s:s, s:s, s:s}}", "type", "blockdev-backup",
	    "data", "job-id", id, "device", d->node, "target", id, "sync", "none"));
	json_array_append_new(actions, json_pack("{s:s, s:{s:s, s:s, s:I, s:b}}", "type",
	    "block-dirty-bitmap-add", "data", "node", d->node, "name", p->name, "granularity",
	    granularity(d->size), "persistent", d->persistent));
	if (d->since)
		json_array_append_new(actions, json_pack("{s:s, s:{s:s, s:s}}", "type",
		    "block-dirty-bitmap-disable", "data", "node", d->node, "name", p->how->base));
}

/* The moment itself; the guest's file systems rest around it when asked to. */
static int transact(struct point *p, struct err *e)
{
	json_t *actions = json_array();
	struct qmp *agent = NULL;
	struct err why = { 0 }, thaw = { 0 };
	int r = 0;

	for (size_t i = 0; i < p->n; i++)
		disk_actions(p, i, actions);
	if (p->how->freeze != FREEZE_NEVER && p->how->agent)
		agent = freeze_begin(p->how->agent, &why);
	if (why.code && p->how->freeze == FREEZE_REQUIRE)
		r = err_set(e, DM_ENV, "the guest's file systems cannot be frozen: %s", why.text);
	else if (why.code)
		json_array_append_new(p->notes, json_sprintf("not frozen: %s", why.text));
	if (r == 0)
		r = qmp_do(p->q, "transaction", json_pack("{s:O}", "actions", actions), e);
	json_decref(actions);
	if (!agent)
		return r;
	p->frozen = true;
	if (freeze_end(agent, p->how->agent, &thaw) == 0)
		return r;
	return r ? r : err_set(e, DM_ENV, "%s", thaw.text);
}

static int export_add(struct point *p, size_t i, struct err *e)
{
	const struct point_disk *d = &p->disk[i];
	char id[32];
	json_t *args;

	snprintf(id, sizeof(id), POINT_PREFIX "%zu", i);
	args = json_pack("{s:s, s:s, s:s, s:s, s:b}", "type", "nbd", "id", id, "node-name", id,
	    "name", d->name, "writable", 0);
	if (d->since)
		json_object_set_new(args, "bitmaps", json_pack("[{s:s, s:s}]", "node", d->node, "name", p->how->base));
	return qmp_do(p->q, "block-export-add", args, e);
}

static int serve(struct point *p, struct err *e)
{
	int r;

	unlink(p->socket);
	r = qmp_do(p->q, "nbd-server-start", json_pack("{s:{s:s, s:{s:s}}, s:i}", "addr", "type", "unix",
	    "data", "path", p->socket, "max-connections", 0), e);
	for (size_t i = 0; i < p->n && r == 0; i++)
		r = export_add(p, i, e);
	return r;
}

int point_make(struct point *p, struct err *e)
{
	int r = point_dir_make(p, e);

	for (size_t i = 0; i < p->n && r == 0; i++)
		r = scratch_add(p, i, e);
	if (r == 0)
		r = transact(p, e);
	if (r == 0)
		r = serve(p, e);
	return r ? err_prefix(e, "%s", p->how->qmp) : 0;
}

/* A parameter's value in a URI. */
static char *escaped(const char *s)
{
	struct buf b = { 0 };

	for (; *s; s++)
		if (strchr("/._-:", *s) || (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
		    (*s >= 'A' && *s <= 'Z'))
			buf_put(&b, s, 1);
		else
			buf_printf(&b, "%%%02X", (unsigned char)*s);
	buf_put(&b, "", 1);
	return (char *)b.p;
}

json_t *point_json(const struct point *p)
{
	json_t *disks = json_array();
	char time[32], *socket = escaped(p->socket);

	for (size_t i = 0; i < p->n; i++) {
		const struct point_disk *d = &p->disk[i];
		char *uri = x_printf("nbd+unix:///%s?socket=%s&point=%s", d->name, socket, p->name);

		json_array_append_new(disks, json_pack("{s:s, s:s, s:I, s:s?, s:s?}", "name", d->name,
		    "volume", uri, "size", (json_int_t)d->size, "since", d->since ? p->how->base : NULL,
		    "why", d->why));
		free(uri);
	}
	free(socket);
	return json_pack("{s:s, s:s, s:b, s:o, s:O}", "point", p->name, "time", time_format(time_now(), time),
	    "frozen", p->frozen, "disks", disks, "notes", p->notes);
}
