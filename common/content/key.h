/* Secret keys in files.  A key file is one line, "dm-key/1 " and 64 hex
 * digits, that nobody but its owner can read; dm-crypto(7).  Keys never stand
 * on a command line, in a message or in a log. */
#ifndef DM_CONTENT_KEY_H
#define DM_CONTENT_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KEY_LEN 32
#define KEY_ID_LEN 8
#define PASSPHRASE_MIN 8
#define PASSPHRASE_MAX 1024

struct key {
	uint8_t b[KEY_LEN];
};

/* Make the library of ciphers ready; any number of times, any thread. */
void key_startup(void);

void key_random(struct key *k);
void key_wipe(void *p, size_t len);	/* what held a secret */

/* What stands for a key where others can see it: a hash of it. */
void key_id(const struct key *k, uint8_t id[KEY_ID_LEN]);

/* What a secret file holds: a key, or a passphrase (any other single line of
 * PASSPHRASE_MIN to PASSPHRASE_MAX bytes). */
struct secret {
	struct key key;
	char *phrase;		/* NULL: a key */
};
/* A file or pipe that others can read is refused.  0 or -1 with *e. */
int secret_read(const char *path, struct secret *s, struct err *e);
void secret_wipe(struct secret *s);
/* The same, where only a key will do. */
int key_read(const char *path, struct key *k, struct err *e);

/* Write a key to a new file of mode 0600.  0 or -1 with *e. */
int key_create(const char *path, const struct key *k, struct err *e);

/* Argon2id: costs are those of libsodium's interactive, moderate or sensitive
 * form, or what a slot says.  0 or -1 with *e. */
#define KEY_SALT_LEN 16
struct key_cost {
	uint32_t passes, kib;
};
extern const struct key_cost key_cost_default;	/* 3 passes over 256 MiB */
int key_stretch(const char *phrase, const uint8_t salt[KEY_SALT_LEN],
    const struct key_cost *cost, struct key *k, struct err *e);

/* A key or salt for one purpose: BLAKE2b keyed with k (NULL: not keyed) over
 * the context and n pieces, each behind its length.  len: 16 to 64. */
struct key_piece {
	const void *p;
	size_t len;
};
void key_derive(const struct key *k, const char *context, const struct key_piece *piece,
    size_t n, uint8_t *out, size_t len);

#endif
