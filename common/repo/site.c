#include "repo/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "content/codec.h"
#include "content/jsontext.h"
#include "repo/blocks.h"
#include "repo/crypt.h"
#include "repo/lease.h"
#include "repo/site_cache.h"
#include "repo/site_store.h"

#define NO_SITE "%s is not a site: is it mounted? ('dm-checkpoint init %s' makes a new one)"
#define SITE_FORMAT 1
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

/* New keys, wrapped by the secret that was named. */
static json_t *encryption_new(const uint8_t id[16], struct err *e)
{
	struct crypt_slots slots = { .n = 0 };
	struct secret secret;
	struct crypt c;
	json_t *j = NULL;

	if (!site_key_path()) {
		err_set(e, DM_USAGE, "--encrypt needs a key: --key FILE, or %s", SITE_KEY_ENV);
		return NULL;
	}
	if (secret_read(site_key_path(), &secret, e) == 0) {
		key_random(&c.data);
		key_random(&c.ids);
		if (crypt_slot_add(&slots, "first", &secret, &c, id, e) == 0)
			j = crypt_slots_json(&slots);
	}
	key_wipe(&c, sizeof(c));
	secret_wipe(&secret);
	crypt_slots_free(&slots);
	return j;
}

/* What makes a site one, wherever it is kept. */
static json_t *config_new(const struct site_options *o, const uint8_t id[16], struct err *e)
{
	json_t *j, *encryption = NULL;
	char hex[33];

	if (o->encrypt && !(encryption = encryption_new(id, e)))
		return NULL;

	hex_put(hex, id, 16);
	j = json_pack("{s:i, s:s, s:I, s:s, s:i, s:[]}", "format", SITE_FORMAT, "id", hex,
	    "chunk_size", (json_int_t)(o->chunk_size ? o->chunk_size : SITE_CHUNK),
	    "algorithm", id_algo_name(o->algo ? o->algo : ID_BLAKE3),
	    "level", o->level ? o->level : CODEC_LEVEL, "features");
	if (j && encryption) {
		json_array_append_new(json_object_get(j, "features"), json_string(CRYPT_FEATURE));
		json_object_set_new(j, "encryption", encryption);
	}
	if (j && o->store) {
		json_array_append_new(json_object_get(j, "features"), json_string(STORE_FEATURE));
		json_object_set_new(j, "lease", json_integer(o->lease_s ? o->lease_s : LEASE_S));
	}
	if (!j)
		err_set(e, DM_ENV, "out of memory");
	return j;
}

/* What is only of this directory, and not for a store to say. */
static int config_local(json_t *j, const struct site_options *o, struct err *e)
{
	json_object_del(j, "index");
	json_object_del(j, "index_map");
	if (o->index_path)
		json_object_set_new(j, "index", json_string(o->index_path));
	if (o->index_map)
		json_object_set_new(j, "index_map", json_integer((json_int_t)o->index_map));
	return o->store ? store_config(j, o->store, e) : 0;
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

/* Write a value as text.  0; 1 it exists; -1. */
static int config_create(int dir, struct objects *objects, const json_t *j, struct err *e)
{
	char *text = json_dumps(j, JSON_INDENT(2));
	struct object_put q = { .name = SITE_CONFIG, .p = text, .create = true };
	int r;

	if (!text)
		return err_set(e, DM_ENV, "out of memory");
	q.len = strlen(text);
	r = objects ? object_put(objects, &q, e) : durable_create(dir, SITE_CONFIG, text, q.len, e);
	free(text);
	return r;
}

/* The config of the site in the store: a new one with this id, or the one that
 * is there. */
static json_t *store_begin(const struct site_options *o, const uint8_t id[16], struct err *e)
{
	struct objects *objects = objects_open(o->store, e);
	json_t *j = NULL;
	int r = -1;

	if (!objects || object_probe(objects, e))
		goto out;
	if (o->join) {
		j = store_config_get(objects, e);
		r = j ? 0 : -1;
	} else if ((j = config_new(o, id, e))) {
		r = config_create(-1, objects, j, e);
		if (r == 1)
			r = err_set(e, DM_NO, "%s has a site already: to use it from here, say --join",
			    objects_name(objects));
	}
out:
	objects_close(objects);
	if (r == 0)
		return j;
	json_decref(j);
	return NULL;
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
	json_t *j = NULL;
	uint8_t id[16];
	int dir = -1, r = -1;

	if (options_check(o, e))
		return -1;
	/* Nothing is made for a site that is not there. */
	if (o->store && o->join && !(j = store_begin(o, NULL, e)))
		return -1;
	if (make_dirs(path, e))
		goto out;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1) {
		err_sys(e, DM_ENV, errno, "open %s", path);
		goto out;
	}
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
	if (!j)
		j = o->store ? store_begin(o, id, e) : config_new(o, id, e);
	if (!j || config_local(j, o, e))
		goto out;
	/* The config makes it a site, so it comes last. */
	r = config_create(dir, NULL, j, e);
	if (r == 1)
		r = err_set(e, DM_NO, "%s is a site already", path);
out:
	json_decref(j);
	fd_close(dir);
	return r;
}

int site_locked(const struct site *s, struct err *e)
{
	return err_set(e, DM_NO, "%s is encrypted: give its key with --key FILE, or name the file in %s",
	    s->path, SITE_KEY_ENV);
}

static int site_unlock(struct site *s, const json_t *config, struct err *e)
{
	struct crypt_slots slots = { .n = 0 };
	struct secret secret;
	struct crypt c = { { { 0 } }, { { 0 } } };
	size_t at;
	int rc = -1;

	if (site_slots_parse(s, config, &slots, e) == 0 &&
	    secret_read(site_key_path(), &secret, e) == 0) {
		rc = crypt_slots_open(&slots, &secret, s->id, &c, &at, e);
		secret_wipe(&secret);
	}
	if (rc == 0) {
		s->crypt = x_alloc(sizeof(*s->crypt));
		*s->crypt = c;
	} else {
		err_prefix(e, "%s", s->path);
	}
	key_wipe(&c, sizeof(c));
	crypt_slots_free(&slots);
	return rc;
}

static int features_read(struct site *s, const json_t *features, struct err *e)
{
	for (size_t i = 0; i < json_array_size(features); i++) {
		const char *name = json_string_value(json_array_get(features, i));

		if (name && !strcmp(name, CRYPT_FEATURE))
			s->sealed = true;
		else if (!name || strcmp(name, STORE_FEATURE))
			return err_set(e, DM_BAD, "it uses the feature '%s', unknown to this version",
			    name ? name : "?");
	}
	return 0;
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
	if (features_read(s, features, e))
		return -1;
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
	return store_config_read(s, j, e);
}

json_t *site_config_load(struct site *s, struct err *e)
{
	json_error_t je;
	json_t *j = NULL;
	char *text = NULL;
	size_t len;
	int fd = openat(s->dir, SITE_CONFIG, O_RDONLY | O_CLOEXEC);

	if (fd == -1 && errno == ENOENT)
		err_set(e, DM_NO, NO_SITE, s->path, s->path);
	else if (fd == -1 || !(text = fd_slurp(fd, SITE_CONFIG_MAX, &len)))
		err_sys(e, DM_ENV, errno, "read %s/config", s->path);
	else if (!(j = jsontext_parse(text, len, &je)))
		err_set(e, DM_BAD, "%s/config: line %d: %s", s->path, je.line, je.text);
	free(text);
	fd_close(fd);
	return j;
}

struct site *site_open_locked(const char *name, struct err *e)
{
	char *dir = site_cache_dir(name, true, e);
	const char *path = dir ? dir : name;
	struct site *s;
	json_t *j = NULL;

	if (e->code)
		return NULL;
	s = x_alloc(sizeof *s);
	s->path = x_strdup(path);
	s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir != -1)
		j = site_config_load(s, e);
	else if (errno == ENOENT || errno == ENOTDIR)
		err_set(e, DM_NO, NO_SITE, path, path);
	else
		err_sys(e, DM_ENV, errno, "open %s", path);
	if (!j)
		goto fail;
	if (config_read(s, j, e)) {
		err_prefix(e, "%s/config", path);
		goto fail;
	}
	/* Who can write there could have put a plain one in its place. */
	if (!s->sealed && site_key_named()) {
		err_set(e, DM_NO, "%s is not encrypted, and a key was given for it", path);
		goto fail;
	}
	if (s->sealed && site_key_path() && site_unlock(s, j, e))
		goto fail;
	json_decref(j);
	free(dir);
	return s;
fail:
	json_decref(j);
	free(dir);
	site_close(s);
	return NULL;
}

struct site *site_open(const char *path, struct err *e)
{
	struct site *s = site_open_locked(path, e);

	if (!s || !s->sealed || s->crypt)
		return s;
	site_locked(s, e);
	site_close(s);
	return NULL;
}

void site_close(struct site *s)
{
	if (!s)
		return;
	leases_end(s);
	blocks_free(s->blocks);
	objects_close(s->objects);
	fd_close(s->dir);
	if (s->crypt)
		key_wipe(s->crypt, sizeof(*s->crypt));
	free(s->crypt);
	free(s->index_path);
	free(s->path);
	free(s);
}
