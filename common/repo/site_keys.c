/* The key slots of an encrypted site: which are in use, and changing them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "repo/crypt.h"
#include "repo/site_store.h"

static const char *key_path;

void site_use_key(const char *path)
{
	key_path = path;
}

bool site_key_named(void)
{
	return key_path;
}

const char *site_key_path(void)
{
	const char *env = getenv(SITE_KEY_ENV);

	return key_path ? key_path : env && *env ? env : NULL;
}

/* Those in use: in a store the newest there. */
int site_slots_parse(struct site *s, const json_t *config, struct crypt_slots *slots, struct err *e)
{
	json_t *newer = NULL;
	int r;

	if (s->objects && store_slots_get(s, &newer, e))
		return -1;
	r = crypt_slots_parse(newer ? newer : json_object_get(config, "encryption"), slots, e);
	json_decref(newer);
	return r;
}

int site_slots_read(struct site *s, struct crypt_slots *slots, struct err *e)
{
	json_t *j = site_config_load(s, e);
	int rc;

	slots->n = 0;
	if (!j)
		return -1;
	rc = s->sealed ? site_slots_parse(s, j, slots, e) :
	    err_set(e, DM_NO, "%s is not encrypted", s->path);
	json_decref(j);
	return rc;
}

/* Whoever changes the config holds this file. */
static int config_lock(struct site *s, struct err *e)
{
	int fd = openat(s->dir, "config.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, DM_ENV, errno, "%s/config.lock", s->path);
	if (lock_wait(fd, LOCK_EXCLUSIVE, e) == 0)
		return fd;
	fd_close(fd);
	return -1;
}

static int slots_write(struct site *s, const struct crypt_slots *slots, struct err *e)
{
	json_t *j;
	char *text = NULL;
	int rc = -1;

	if (s->objects)
		return store_slots_put(s, crypt_slots_json(slots), e);
	j = site_config_load(s, e);
	if (!j)
		return -1;
	json_object_set_new(j, "encryption", crypt_slots_json(slots));
	text = json_dumps(j, JSON_INDENT(2));
	if (text)
		rc = durable_replace(s->dir, SITE_CONFIG, text, strlen(text), e);
	else
		err_set(e, DM_ENV, "out of memory");
	free(text);
	json_decref(j);
	return rc;
}

int site_slots_change(struct site *s, int (*change)(struct crypt_slots *slots, void *arg, struct err *e),
    void *arg, struct err *e)
{
	struct crypt_slots slots = { .n = 0 };
	int fd = config_lock(s, e), rc;

	if (fd < 0)
		return -1;
	/* Another machine may have changed them in between. */
	do {
		crypt_slots_free(&slots);
		slots.n = 0;
		rc = site_slots_read(s, &slots, e) || change(&slots, arg, e) ? -1 : slots_write(s, &slots, e);
	} while (rc == 1);
	crypt_slots_free(&slots);
	fd_close(fd);
	return rc;
}
