#include "repo/site_cache.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "content/jsontext.h"
#include "repo/site_store.h"

/* The same bucket elsewhere, or seen by another account, is another. */
static uint64_t place_hash(const char *name)
{
	static const char *const env[] = { "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_PROFILE" };
	struct buf b = { 0 };
	uint64_t h;

	buf_printf(&b, "%s", name);
	for (size_t i = 0; i < LEN(env); i++)
		buf_printf(&b, "\n%s", getenv(env[i]) ? getenv(env[i]) : "");
	h = XXH3_64bits(b.p, b.len);
	buf_free(&b);
	return h;
}

static char *caches(void)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (xdg && *xdg == '/')
		return x_strdup(xdg);
	return home && *home == '/' ? x_printf("%s/.cache", home) : x_strdup("/var/cache");
}

static int make(const char *dir, const struct object_place *where, struct err *e)
{
	const struct site_options o = { .store = where, .join = true };
	char *config = x_printf("%s/config", dir);
	struct err why = { 0 };
	int r = 0;

	/* Another process may make it at the same time. */
	if (access(config, F_OK) && site_init(dir, &o, &why) && access(config, F_OK)) {
		*e = why;
		r = -1;
	}
	free(config);
	return r;
}

static bool is_away(const char *name)
{
	char *bucket, *prefix, *path = NULL, *text = NULL;
	json_t *j = NULL;
	size_t len;
	bool away;
	int fd;

	if (object_uri_parse(name, &bucket, &prefix)) {
		free(bucket);
		free(prefix);
		return true;
	}
	path = x_printf("%s/" SITE_CONFIG, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	text = fd < 0 ? NULL : fd_slurp(fd, SITE_CONFIG_MAX, &len);
	j = text ? jsontext_parse(text, len, NULL) : NULL;
	away = json_object_get(j, "store") != NULL;
	json_decref(j);
	free(text);
	fd_close(fd);
	free(path);
	return away;
}

bool site_away(char *const *words)
{
	for (; *words; words++) {
		const char *value = strncmp(*words, "--", 2) ? NULL : strchr(*words, '=');

		if (is_away(value ? value + 1 : *words))
			return true;
	}
	return false;
}

char *site_cache_dir(const char *name, bool join, struct err *e)
{
	struct object_place where = { .kind = "s3" };
	char *bucket, *prefix, *root, *dir, *whole;

	if (!object_uri_parse(name, &bucket, &prefix))
		return NULL;
	where.bucket = bucket;
	where.prefix = *prefix ? prefix : NULL;
	whole = x_printf("%s/%s", bucket, prefix);
	root = caches();
	dir = x_printf("%s/dm/%s-%016llx", root, bucket, (unsigned long long)place_hash(whole));
	if (join && make(dir, &where, e)) {
		free(dir);
		dir = NULL;
	}
	free(root);
	free(whole);
	free(bucket);
	free(prefix);
	return dir;
}
