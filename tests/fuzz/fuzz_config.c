/* A site's config: whatever is in it, site_open opens the site or says why not.
 * After a zero byte comes what an object store answers, when the config names
 * one: its newest key slots.  Where there is encryption, a key is given. */
#include <stdlib.h>
#include <string.h>

#include "base/module.h"
#include "base/object.h"
#include "file.h"
#include "repo/crypt.h"

static char dir[] = "/tmp/dm-fuzz-XXXXXX", config[64], key[64];
static const uint8_t *answer;
static size_t answer_len;

static void clean(void)
{
	unlink(config);
	unlink(key);
	rmdir(dir);
}

/* ---- a store that answers each question with the same bytes ---- */

static void *store_open(const struct object_place *where, struct err *e)
{
	(void)e;
	assert(where->kind && where->bucket);
	return dir;
}

static void store_close(void *at)
{
	(void)at;
}

static int store_get(void *at, const char *name, uint64_t off, size_t len, struct buf *out, uint64_t *size, struct err *e)
{
	(void)at;
	(void)name;
	(void)e;
	assert(off == 0);
	*size = answer_len;
	buf_put(out, answer, min64(len, answer_len));
	return 1;
}

static int store_list(void *at, const char *prefix, int (*each)(const struct object_row *row, void *arg), void *arg,
    int64_t *now, struct err *e)
{
	static const struct object_row row = { .name = "slots/7", .size = 1 };

	(void)at;
	(void)prefix;
	(void)e;
	*now = 0;
	return answer ? each(&row, arg) : 0;
}

void *module_symbol(const char *name)
{
	static const struct object_ops ops = { .open = store_open, .close = store_close, .get = store_get, .list = store_list };

	return strcmp(name, "object_s3") ? NULL : (void *)(uintptr_t)&ops;
}

/* ---- the site ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct key k = { { 17 } };
	struct err e = { 0 };

	(void)argc;
	(void)argv;
	assert(mkdtemp(dir));
	atexit(clean);
	snprintf(config, sizeof config, "%s/config", dir);
	snprintf(key, sizeof key, "%s/key", dir);
	assert(!symlink(fuzz_path("", 0), config) && !key_create(key, &k, &e));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	const uint8_t *end = memchr(p, 0, len);
	size_t n = end ? (size_t)(end - p) : len;
	struct err e = { 0 };
	struct site *s;

	answer = end ? end + 1 : NULL;
	answer_len = end ? len - n - 1 : 0;
	fuzz_file(p, n);
	site_use_key(memmem(p, n, "encryption", 10) ? key : NULL);
	s = site_open(dir, &e);
	assert(!s == !!e.code);
	assert(!s || s->sealed == !!s->crypt);
	site_close(s);
	return 0;
}
