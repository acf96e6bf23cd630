#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "content/jsontext.h"
#include "volume/target_journal.h"

#define HEAD 4096u
#define DIGEST 32u
#define WAITING 4096u		/* chunks that may wait for a sync */
#define VERSION 1

struct target_journal {
	char *path;		/* NULL: no name */
	int fd;
	json_t *head;		/* NULL: no step */
	uint64_t size;		/* of the step */
	uint32_t block, chunk_size;
	bool lasts;
	pthread_mutex_t lock;	/* of what follows */
	uint64_t waiting[WAITING];
	size_t n;
};

/* ---- the head ---- */

static const char *word(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* Text of the root, "" if there is none. */
static const char *root_text(const struct journal_step *s, char out[80])
{
	*out = 0;
	if (s->base_root)
		id_format(s->algo, s->base_root, out);
	return out;
}

static bool same_base(const json_t *h, const struct journal_step *s)
{
	char root[80];

	if (json_is_true(json_object_get(h, "full")) != s->full)
		return false;
	if (s->full)
		return true;
	if (*root_text(s, root) && *word(h, "base_root"))
		return !strcmp(root, word(h, "base_root"));
	return *s->base_point && !strcmp(s->base_point, word(h, "base_point"));
}

static bool same_step(const struct target_journal *j, const struct journal_step *s)
{
	return j->head && s->frozen && *s->target_point && !strcmp(s->target_point, word(j->head, "point")) &&
	    same_base(j->head, s) && j->size == s->size && j->chunk_size == s->chunk_size;
}

/* A head that cannot be is none: the step begins anew. */
static int head_load(struct target_journal *j, struct err *e)
{
	char text[HEAD + 1];
	ssize_t n = fd_pread_full(j->fd, text, HEAD, 0);
	json_int_t block, chunk, size;

	if (n < 0)
		return err_sys(e, DM_ENV, errno, "%s", j->path);
	text[n] = 0;
	j->head = n == HEAD ? jsontext_parse(text, strcspn(text, "\n"), NULL) : NULL;
	block = json_integer_value(json_object_get(j->head, "block"));
	chunk = json_integer_value(json_object_get(j->head, "chunk"));
	size = json_integer_value(json_object_get(j->head, "size"));
	if (json_integer_value(json_object_get(j->head, "dm-journal")) != VERSION || block < 512 || block > CHUNK_MAX ||
	    chunk < CHUNK_MIN || chunk > CHUNK_MAX || size < 0 || size > INT64_MAX / 2 || !*word(j->head, "target")) {
		json_decref(j->head);
		j->head = NULL;
		return 0;
	}
	j->block = (uint32_t)block;
	j->chunk_size = (uint32_t)chunk;
	j->size = (uint64_t)size;
	return 0;
}

static struct target_journal *make(const char *path, int fd)
{
	struct target_journal *j = x_alloc(sizeof(*j));

	j->path = path ? x_strdup(path) : NULL;
	j->fd = fd;
	pthread_mutex_init(&j->lock, NULL);
	return j;
}

void journal_close(struct target_journal *j)
{
	if (!j)
		return;
	json_decref(j->head);
	pthread_mutex_destroy(&j->lock);
	fd_close(j->fd);
	free(j->path);
	free(j);
}

/* The file, locked, and still the one of that name. */
static int open_locked(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), r;

	if (fd < 0)
		return err_sys(e, DM_ENV, errno, "%s", path);
	r = lock_try(fd, LOCK_EXCLUSIVE, e);
	if (r == 1)
		err_set(e, DM_NO, "%s: another program is writing it", path);
	if (r == 0)
		return fd;
	fd_close(fd);
	return -1;
}

struct target_journal *journal_open(const char *path, struct err *e)
{
	int fd = path ? open_locked(path, e) : durable_tmp(e);
	struct target_journal *j;

	if (fd < 0)
		return NULL;
	j = make(path, fd);
	if (!path || head_load(j, e) == 0)
		return j;
	journal_close(j);
	return NULL;
}

struct target_journal *journal_read(const char *path, const struct journal_step *s, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct target_journal *j;

	if (fd < 0) {
		if (errno != ENOENT)
			err_sys(e, DM_ENV, errno, "%s", path);
		return NULL;
	}
	j = make(path, fd);
	if (head_load(j, e) == 0 && same_step(j, s))
		return j;
	journal_close(j);
	return NULL;
}

const char *journal_resume(struct target_journal *j, const struct journal_step *s, uint32_t *block)
{
	if (!same_step(j, s))
		return NULL;
	j->lasts = true;
	*block = j->block;
	return word(j->head, "target");
}

bool journal_lasts(const struct target_journal *j)
{
	return j->lasts;
}

static int failed(const struct target_journal *j, struct err *e)
{
	return err_sys(e, DM_ENV, errno, "%s", j->path ? j->path : "temporary file of checksums");
}

int journal_begin(struct target_journal *j, const struct journal_step *s, const char *target,
    uint32_t block, struct err *e)
{
	char root[80], *text, head[HEAD];
	size_t len;

	if (journal_end(j, e) < 0)
		return -1;
	j->head = json_pack("{s:i, s:s, s:s, s:s, s:s, s:b, s:I, s:i, s:i}", "dm-journal", VERSION,
	    "target", target, "point", s->target_point, "base_point", s->base_point,
	    "base_root", root_text(s, root), "full", (int)s->full, "size", (json_int_t)s->size,
	    "chunk", (int)s->chunk_size, "block", (int)block);
	text = j->head ? json_dumps(j->head, JSON_COMPACT) : NULL;
	len = text ? strlen(text) : 0;
	j->size = s->size;
	j->block = block;
	j->chunk_size = s->chunk_size;
	j->lasts = j->path && s->frozen && *s->target_point && len > 0 && len < HEAD;
	memset(head, ' ', sizeof(head));
	if (j->lasts) {
		memcpy(head, text, len);
		head[len] = head[HEAD - 1] = '\n';
	}
	free(text);
	return fd_pwrite_full(j->fd, head, sizeof(head), 0) < 0 ? failed(j, e) : 0;
}

/* The lock is on the file, so it is emptied and not removed; an empty one says
 * nothing. */
int journal_end(struct target_journal *j, struct err *e)
{
	json_decref(j->head);
	j->head = NULL;
	j->lasts = false;
	j->n = 0;
	return ftruncate(j->fd, 0) < 0 || fdatasync(j->fd) < 0 ? failed(j, e) : 0;
}

/* ---- blocks and chunks ---- */

static uint64_t blocks_of(const struct target_journal *j)
{
	return div_up(j->size, j->block);
}

static uint64_t chunk_at(const struct target_journal *j, uint64_t chunk)
{
	return HEAD + DIGEST * blocks_of(j) + chunk;
}

int journal_put(struct target_journal *j, uint64_t block, const uint8_t digest[32], struct err *e)
{
	return fd_pwrite_full(j->fd, digest, DIGEST, HEAD + DIGEST * block) < 0 ? failed(j, e) : 0;
}

int journal_has(struct target_journal *j, uint64_t block, const uint8_t digest[32], struct err *e)
{
	uint8_t old[DIGEST];
	ssize_t n = fd_pread_full(j->fd, old, DIGEST, HEAD + DIGEST * block);

	if (n < 0)
		return failed(j, e);
	return n == DIGEST && !memcmp(old, digest, DIGEST);
}

static int sync_locked(struct target_journal *j, struct err *e)
{
	static const uint8_t one = 1;

	if (j->n == 0)
		return 0;
	if (fdatasync(j->fd) < 0)
		return failed(j, e);
	for (size_t i = 0; i < j->n; i++)
		if (fd_pwrite_full(j->fd, &one, 1, chunk_at(j, j->waiting[i])) < 0)
			return failed(j, e);
	j->n = 0;
	return 0;
}

int journal_sync(struct target_journal *j, struct err *e)
{
	int rc;

	if (!j->lasts)
		return 0;
	pthread_mutex_lock(&j->lock);
	rc = sync_locked(j, e);
	pthread_mutex_unlock(&j->lock);
	return rc;
}

int journal_chunk(struct target_journal *j, uint64_t chunk, struct err *e)
{
	int rc = 0;

	if (!j->lasts)
		return 0;
	pthread_mutex_lock(&j->lock);
	if (j->n == WAITING)
		rc = sync_locked(j, e);
	if (rc == 0)
		j->waiting[j->n++] = chunk;
	pthread_mutex_unlock(&j->lock);
	return rc;
}

int journal_has_chunk(struct target_journal *j, uint64_t chunk, struct err *e)
{
	uint8_t b = 0;

	if (chunk >= div_up(j->size, j->chunk_size))
		return 0;
	return fd_pread_full(j->fd, &b, 1, chunk_at(j, chunk)) < 0 ? failed(j, e) : b == 1;
}

int journal_each(struct target_journal *j, void (*take)(void *arg, const uint8_t digest[32]),
    void *arg, struct err *e)
{
	uint64_t at = HEAD, end = chunk_at(j, 0);
	uint8_t buf[8192];

	while (at < end) {
		off_t data = lseek(j->fd, (off_t)at, SEEK_DATA);
		ssize_t n;

		if (data < 0 && errno == ENXIO)
			return 0;
		if (data < 0)
			return failed(j, e);
		if ((uint64_t)data > at)
			at = HEAD + ((uint64_t)data - HEAD) / DIGEST * DIGEST;
		if (at >= end)
			return 0;
		n = fd_pread_full(j->fd, buf, min64(sizeof(buf), end - at), at);
		if (n < 0)
			return failed(j, e);
		if (n < (ssize_t)DIGEST)
			return 0;
		for (ssize_t i = 0; i + (ssize_t)DIGEST <= n; i += DIGEST)
			if (!bytes_zero(buf + i, DIGEST))
				take(arg, buf + i);
		at += (uint64_t)n / DIGEST * DIGEST;
	}
	return 0;
}
