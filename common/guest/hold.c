/* Keeping a point as long as somebody reads it, and no longer. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "guest/freeze.h"
#include "guest/point.h"

enum word { WORD_NONE, WORD_COMMITTED, WORD_ABANDONED, WORD_GONE };

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* Does this event end the point?  -1 with *e. */
static int heed(struct point *p, const json_t *event, struct err *e)
{
	const char *name = text(event, "event");
	const json_t *data = json_object_get(event, "data");
	bool ours = !strncmp(text(data, "device"), POINT_PREFIX, strlen(POINT_PREFIX)) ||
	    !strncmp(text(data, "node-name"), POINT_PREFIX, strlen(POINT_PREFIX));
	char size[16];

	if (!strcmp(name, "BLOCK_WRITE_THRESHOLD") && ours)
		return err_set(e, DM_ENV, "%s: scratch images may grow to %s and one did: the point is "
		    "given up (--limit)", p->dir, size_format(p->how->limit, size));
	if (!strcmp(name, "BLOCK_IO_ERROR") && json_is_true(json_object_get(data, "nospace")))
		return err_set(e, DM_ENV, "%s: no space left for scratch images: the point is given up", p->dir);
	if ((!strcmp(name, "BLOCK_JOB_COMPLETED") || !strcmp(name, "BLOCK_JOB_CANCELLED") ||
	    !strcmp(name, "BLOCK_JOB_ERROR")) && ours)
		return err_set(e, DM_ENV, "%s: QEMU ended the backup job%s%s", p->how->qmp,
		    *text(data, "error") ? ": " : "", text(data, "error"));
	return 0;
}

static int heed_all(struct point *p, struct err *e)
{
	json_t *event;
	int r = 0;

	while (r == 0 && (event = qmp_event(p->q, 0, e))) {
		r = heed(p, event, e);
		json_decref(event);
	}
	return e->code ? err_prefix(e, "%s", p->how->qmp) : r;
}

static enum word read_word(int fd, struct buf *b)
{
	ssize_t n = fd_read_some(fd, buf_room(b, 64), 64);

	b->len -= 64 - (size_t)(n > 0 ? n : 0);
	if (b->len >= 10 && !memcmp(b->p, "committed\n", 10))
		return WORD_COMMITTED;
	if (b->len >= 10 && !memcmp(b->p, "abandoned\n", 10))
		return WORD_ABANDONED;
	return n <= 0 || b->len > 64 || (b->len && memchr(b->p, '\n', b->len)) ? WORD_GONE : WORD_NONE;
}

/* Until a word, an end or a fault. */
static int watch(struct point *p, int in, int life, enum word *word, struct err *e)
{
	struct pollfd f[] = { { .fd = qmp_fd(p->q), .events = POLLIN }, { .fd = in, .events = POLLIN },
		{ .fd = life, .events = POLLIN } };
	struct buf b = { 0 };
	int r = 0;

	*word = WORD_NONE;
	while (*word == WORD_NONE && r == 0) {
		r = heed_all(p, e);
		if (r != 0 || (poll(f, LEN(f), -1) < 0 && errno != EINTR))
			break;
		if (f[2].revents)
			*word = WORD_GONE;
		else if (f[1].revents)
			*word = read_word(in, &b);
	}
	buf_free(&b);
	return r;
}

static int say(const struct point *p, int out, struct err *e)
{
	json_t *o = point_json(p);
	char *text = json_dumps(o, JSON_COMPACT);
	int r = fd_write_full(out, text, strlen(text)) == 0 ? fd_write_full(out, "\n", 1) : -1;

	free(text);
	json_decref(o);
	return r ? err_sys(e, DM_ENV, errno, "standard output") : 0;
}

/* What the bitmaps are to say follows from the word.  Without one nobody but
 * the catalog knows; both stay, and the next run asks it. */
static int settle(struct point *p, enum word word, struct err *e)
{
	if (word == WORD_COMMITTED)
		return point_bitmaps(p, p->name, e);
	if (word == WORD_ABANDONED)
		return point_bitmaps(p, p->how->base, e);
	return 0;
}

/* A dead run's remains; and its guest, if it froze it. */
static int sweep(struct point *p, struct err *e)
{
	bool found = false;
	int r = point_drop(p, &found, e);

	if (r == 0 && found && p->how->agent && p->how->freeze != FREEZE_NEVER) {
		struct err none = { 0 };

		freeze_undo(p->how->agent, &none);	/* no agent: then it froze nothing */
	}
	return r;
}

int point_hold(const struct point_how *how, int in, int out, int life, struct err *e)
{
	struct point p;
	enum word word = WORD_NONE;
	struct err later = { 0 };
	bool made;
	int r;

	r = point_open(&p, how, e);
	if (r == 0)
		r = sweep(&p, e);
	if (r == 0)
		r = point_bitmaps(&p, how->base, e);
	if (r != 0) {
		point_close(&p);
		return -1;
	}
	made = point_make(&p, e) == 0;
	if (made && say(&p, out, e) == 0)
		watch(&p, in, life, &word, e);
	point_drop(&p, NULL, &later);
	/* A point that could not be made is given up: the base holds on. */
	settle(&p, made ? word : WORD_ABANDONED, &later);
	point_close(&p);
	if (!e->code && later.code)
		*e = later;
	return e->code ? -1 : 0;
}

int point_clean(const struct point_how *how, bool all, struct err *e)
{
	struct point p;
	int r;

	r = point_open(&p, how, e);
	if (r == 0)
		r = sweep(&p, e);
	if (r == 0 && (all || how->base))
		r = point_bitmaps(&p, how->base, e);
	point_close(&p);
	return r;
}
