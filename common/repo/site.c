#include "repo/site.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "content/codec.h"

#define SITE_FORMAT 1
#define SITE_CONFIG "config"
#define SITE_CONFIG_MAX 65536
#define SITE_CHUNK (1u << 20)
#define SITE_MAP (256u << 20)
/* Room that prune may release first when the file system is full. */
#define SITE_RESERVE (4u << 20)

static int make_reserve(int dir, struct err *e)
{
	int fd = openat(dir, "reserve", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int r;

	if (fd == -1)
		return err_sys(e, DM_ENV, errno, "create reserve");
	r = posix_fallocate(fd, 0, SITE_RESERVE);
	fd_close(fd);
	if (r && r != EOPNOTSUPP && r != EINVAL)
		return err_sys(e, DM_ENV, r, "reserve %u bytes", SITE_RESERVE);
	return 0;
}

static char *config_text(const struct site_options *o, const uint8_t id[16])
{
	char hex[33];
	json_t *j;
	char *text;

	hex_put(hex, id, 16);
	j = json_pack("{s:i, s:s, s:I, s:s, s:i, s:[]}", "format", SITE_FORMAT, "id", hex,
	    "chunk_size", (json_int_t)(o->chunk_size ? o->chunk_size : SITE_CHUNK),
	    "algorithm", id_algo_name(o->algo ? o->algo : ID_BLAKE3),
	    "level", o->level ? o->level : CODEC_LEVEL, "features");
	if (j && o->index_path)
		json_object_set_new(j, "index", json_string(o->index_path));
	if (j && o->index_map)
		json_object_set_new(j, "index_map", json_integer((json_int_t)o->index_map));
	text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
	json_decref(j);
	return text;
}

static int options_check(const struct site_options *o, struct err *e)
{
	uint32_t cs = o->chunk_size;

	if (cs && (!is_pow2(cs) || cs < CHUNK_MIN || cs > CHUNK_MAX))
		return err_set(e, DM_USAGE, "chunk size %u: not a power of two from 4 KiB to 1 MiB", cs);
	if (o->algo && !id_algo_valid(o->algo))
		return err_set(e, DM_USAGE, "hash algorithm %d is unknown", o->algo);
	if (o->level < 0 || o->level > 19)
		return err_set(e, DM_USAGE, "compression level %d: not from 1 to 19", o->level);
	if (o->index_path && o->index_path[0] != '/')
		return err_set(e, DM_USAGE, "index path '%s' is not absolute", o->index_path);
	return 0;
}

static int make_dirs(const char *path, struct err *e)
{
	static const char *const sub[] = { "catalog", "open", "chunks/packs", "chunks/tmp" };
	char *p;
	int r = 0;

	for (size_t i = 0; i < LEN(sub) && !r; i++) {
		p = x_printf("%s/%s", path, sub[i]);
		r = durable_mkdirs(p, e);
		free(p);
	}
	return r;
}

int site_init(const char *path, const struct site_options *o, struct err *e)
{
	uint8_t id[16];
	char *text = NULL;
	int dir = -1, r = -1;

	if (options_check(o, e) || make_dirs(path, e))
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1)
		return err_sys(e, DM_ENV, errno, "open %s", path);
	if (!faccessat(dir, SITE_CONFIG, F_OK, 0)) {
		err_set(e, DM_NO, "%s is a site already", path);
		goto out;
	}
	if (make_reserve(dir, e))
		goto out;
	if (getrandom(id, sizeof id, 0) != sizeof id) {
		err_sys(e, DM_ENV, errno, "getrandom");
		goto out;
	}
	text = config_text(o, id);
	if (!text) {
		err_set(e, DM_ENV, "out of memory");
		goto out;
	}
	/* The config makes it a site, so it comes last. */
	r = durable_create(dir, SITE_CONFIG, text, strlen(text), e);
	if (r == 1)
		r = err_set(e, DM_NO, "%s is a site already", path);
out:
	free(text);
	fd_close(dir);
	return r;
}

static int config_read(struct site *s, const json_t *j, struct err *e)
{
	const char *id, *algo, *index;
	json_int_t format = json_integer_value(json_object_get(j, "format"));
	json_int_t cs = json_integer_value(json_object_get(j, "chunk_size"));
	json_int_t level = json_integer_value(json_object_get(j, "level"));
	const json_t *features = json_object_get(j, "features");

	if (format != SITE_FORMAT)
		return err_set(e, DM_BAD, "format %lld is not known to this version", (long long)format);
	if (json_array_size(features))
		return err_set(e, DM_BAD, "it uses the feature '%s', unknown to this version",
		    json_string_value(json_array_get(features, 0)) ?
		    json_string_value(json_array_get(features, 0)) : "?");
	id = json_string_value(json_object_get(j, "id"));
	if (!id || hex_get(id, s->id, 16))
		return err_set(e, DM_BAD, "its id is not 32 hexadecimal digits");
	algo = json_string_value(json_object_get(j, "algorithm"));
	s->algo = algo ? id_algo_parse(algo) : -1;
	if (s->algo < 0)
		return err_set(e, DM_BAD, "hash algorithm '%s' is unknown", algo ? algo : "");
	if (cs < CHUNK_MIN || cs > CHUNK_MAX || !is_pow2((uint64_t)cs))
		return err_set(e, DM_BAD, "chunk size %lld is not a power of two from 4 KiB to 1 MiB",
		    (long long)cs);
	if (level < 1 || level > 19)
		return err_set(e, DM_BAD, "compression level %lld is not from 1 to 19", (long long)level);
	s->chunk_size = (uint32_t)cs;
	s->level = (int)level;
	s->index_map = SITE_MAP;
	if (json_object_get(j, "index_map")) {
		s->index_map = (uint64_t)json_integer_value(json_object_get(j, "index_map"));
		if (s->index_map < KIB(256) || s->index_map > GIB(1024))
			return err_set(e, DM_BAD, "index_map is not from 256 KiB to 1 TiB");
	}
	index = json_string_value(json_object_get(j, "index"));
	if (index && index[0] != '/')
		return err_set(e, DM_BAD, "index path '%s' is not absolute", index);
	s->index_path = index ? x_strdup(index) : x_printf("%s/chunks/index", s->path);
	return 0;
}

struct site *site_open(const char *path, struct err *e)
{
	struct site *s = x_alloc(sizeof *s);
	json_t *j = NULL;
	json_error_t je;
	char *text = NULL;
	size_t len;
	int fd = -1;

	s->path = x_strdup(path);
	s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir != -1)
		fd = openat(s->dir, SITE_CONFIG, O_RDONLY | O_CLOEXEC);
	if (fd == -1) {
		if (errno == ENOENT || errno == ENOTDIR)
			err_set(e, DM_NO, "%s is not a site: make one with 'dm-checkpoint init %s'", path, path);
		else
			err_sys(e, DM_ENV, errno, "open %s", path);
		goto fail;
	}
	text = fd_slurp(fd, SITE_CONFIG_MAX, &len);
	if (!text) {
		err_sys(e, DM_ENV, errno, "read %s/config", path);
		goto fail;
	}
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!j) {
		err_set(e, DM_BAD, "%s/config: line %d: %s", path, je.line, je.text);
		goto fail;
	}
	if (config_read(s, j, e)) {
		err_prefix(e, "%s/config", path);
		goto fail;
	}
	json_decref(j);
	free(text);
	fd_close(fd);
	return s;
fail:
	json_decref(j);
	free(text);
	fd_close(fd);
	site_close(s);
	return NULL;
}

void site_close(struct site *s)
{
	if (!s)
		return;
	fd_close(s->dir);
	free(s->index_path);
	free(s->path);
	free(s);
}
