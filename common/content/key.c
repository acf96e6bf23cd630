/* Key files, passphrases, and keys made of keys. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "content/key.h"

#define KEY_MAGIC "dm-key/1 "
#define KEY_MAGIC_LEN (sizeof(KEY_MAGIC) - 1)
#define KEY_LINE (KEY_MAGIC_LEN + 2 * KEY_LEN + 1)
#define KIB_MAX (4u << 20)	/* of Argon2id: 4 GiB */
#define PASSES_MAX 64u

const struct key_cost key_cost_default = { .passes = 3, .kib = 256 << 10 };

void key_startup(void)
{
	if (sodium_init() < 0)
		abort();
}

void key_random(struct key *k)
{
	key_startup();
	randombytes_buf(k->b, sizeof(k->b));
}

void key_wipe(void *p, size_t len)
{
	if (p)
		sodium_memzero(p, len);
}

void key_derive(const struct key *k, const char *context, const struct key_piece *piece,
    size_t n, uint8_t *out, size_t len)
{
	crypto_generichash_state s;
	uint8_t l[8];

	key_startup();
	crypto_generichash_init(&s, k ? k->b : NULL, k ? KEY_LEN : 0, len);
	put64(l, strlen(context));
	crypto_generichash_update(&s, l, sizeof(l));
	crypto_generichash_update(&s, (const uint8_t *)context, strlen(context));
	for (size_t i = 0; i < n; i++) {
		put64(l, piece[i].len);
		crypto_generichash_update(&s, l, sizeof(l));
		crypto_generichash_update(&s, piece[i].p, piece[i].len);
	}
	crypto_generichash_final(&s, out, len);
	sodium_memzero(&s, sizeof(s));
}

void key_id(const struct key *k, uint8_t id[KEY_ID_LEN])
{
	uint8_t h[16];

	key_derive(k, "dm 2026-11 key id", NULL, 0, h, sizeof(h));
	memcpy(id, h, KEY_ID_LEN);
}

/* Nobody else may be able to read it. */
static int private_check(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, DM_ENV, errno, "%s", path);
	if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
		return err_set(e, DM_USAGE, "%s: a key is in a file or comes from a pipe", path);
	if (st.st_mode & 077)
		return err_set(e, DM_USAGE, "%s: others can read it: chmod 600 %s (and consider "
		    "making a new key)", path, path);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(e, DM_USAGE, "%s: it belongs to another user", path);
	return 0;
}

static int line_take(const char *path, char *line, size_t len, struct secret *s, struct err *e)
{
	if (len && line[len - 1] == '\n')
		line[--len] = '\0';
	if (strlen(line) != len || strchr(line, '\n'))
		return err_set(e, DM_USAGE, "%s: neither a key nor a passphrase of one line", path);
	if (!strncmp(line, KEY_MAGIC, KEY_MAGIC_LEN)) {
		if (hex_get(line + KEY_MAGIC_LEN, s->key.b, KEY_LEN) < 0)
			return err_set(e, DM_USAGE, "%s: the key in it is damaged", path);
		return 0;
	}
	if (len < PASSPHRASE_MIN || len > PASSPHRASE_MAX)
		return err_set(e, DM_USAGE, "%s: a passphrase has %d to %d bytes", path,
		    PASSPHRASE_MIN, PASSPHRASE_MAX);
	s->phrase = x_strdup(line);
	return 0;
}

int secret_read(const char *path, struct secret *s, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc = -1;
	size_t len = 0;
	char *line = NULL;

	memset(s, 0, sizeof(*s));
	key_startup();
	if (fd < 0)
		return err_sys(e, err_code_named(errno), errno, "key file %s", path);
	if (private_check(fd, path, e) == 0) {
		line = fd_slurp(fd, PASSPHRASE_MAX + 2, &len);
		rc = line ? line_take(path, line, len, s, e) :
		    err_sys(e, err_code_named(errno), errno, "key file %s", path);
	}
	key_wipe(line, len);
	free(line);
	fd_close(fd);
	return rc;
}

void secret_wipe(struct secret *s)
{
	if (s->phrase)
		key_wipe(s->phrase, strlen(s->phrase));
	free(s->phrase);
	key_wipe(s, sizeof(*s));
}

int key_read(const char *path, struct key *k, struct err *e)
{
	struct secret s;
	int rc = secret_read(path, &s, e);

	if (rc == 0 && s.phrase)
		rc = err_set(e, DM_USAGE, "%s: a passphrase, where a key is needed: "
		    "dm-checkpoint key new --from %s --salt NAME KEYFILE makes one of it",
		    path, path);
	*k = s.key;
	secret_wipe(&s);
	return rc;
}

int key_create(const char *path, const struct key *k, struct err *e)
{
	char line[KEY_LINE + 1] = KEY_MAGIC;
	int rc;

	hex_put(line + KEY_MAGIC_LEN, k->b, KEY_LEN);
	line[KEY_LINE - 1] = '\n';
	rc = durable_create(AT_FDCWD, path, line, KEY_LINE, e);
	key_wipe(line, sizeof(line));
	return rc <= 0 ? rc : err_set(e, DM_NO, "%s: exists already; keys are not overwritten", path);
}

int key_stretch(const char *phrase, const uint8_t salt[KEY_SALT_LEN],
    const struct key_cost *cost, struct key *k, struct err *e)
{
	_Static_assert(KEY_SALT_LEN == crypto_pwhash_argon2id_SALTBYTES, "salt");

	key_startup();
	if (cost->passes < 1 || cost->passes > PASSES_MAX || cost->kib < 8 || cost->kib > KIB_MAX)
		return err_set(e, DM_BAD, "impossible costs of a passphrase");
	if (crypto_pwhash_argon2id(k->b, KEY_LEN, phrase, strlen(phrase), salt, cost->passes,
	    (size_t)cost->kib << 10, crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0)
		return err_set(e, DM_ENV, "no memory to derive a key of a passphrase "
		    "(%u MiB are needed)", cost->kib >> 10);
	return 0;
}
