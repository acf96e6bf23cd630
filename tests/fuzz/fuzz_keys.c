/* Key files and the key slots of a site, as somebody else may have made them.
 * The first byte: 0 mod 2 the rest is a key file, else it is the config's
 * member "encryption", whose slots a key then tries to open. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "content/jsontext.h"
#include "file.h"
#include "repo/crypt.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void key_file(const uint8_t *p, size_t len)
{
	const char *path = fuzz_path(p, len);
	struct secret s;
	struct err e = { 0 };
	struct key k;

	assert(!chmod(path, 0600));
	if (secret_read(path, &s, &e) == 0) {
		assert(!s.phrase || (strlen(s.phrase) >= PASSPHRASE_MIN && strlen(s.phrase) <= PASSPHRASE_MAX));
		assert(s.phrase || !strncmp((const char *)p, "dm-key/1 ", 9));
	} else {
		assert(e.code == DM_USAGE);
	}
	e = (struct err){ 0 };
	assert(key_read(path, &k, &e) == 0 ? !s.phrase : e.code == DM_USAGE);
	secret_wipe(&s);
}

/* What is understood is written back as it was, and opens with no wrong key. */
static void slots(const char *p, size_t len)
{
	static const uint8_t site[16] = { 5 };
	const struct secret mine = { .key = { { 9 } } };
	struct crypt_slots a = { .n = 0 }, b = { .n = 0 };
	json_t *j = jsontext_parse(p, len, NULL), *once, *twice;
	struct err e = { 0 };
	struct crypt c;
	size_t at;

	if (!j)
		return;
	if (crypt_slots_parse(j, &a, &e) < 0) {
		assert(e.code == DM_BAD);
		json_decref(j);
		return;
	}
	once = crypt_slots_json(&a);
	assert(crypt_slots_parse(once, &b, &e) == 0);
	twice = crypt_slots_json(&b);
	assert(json_equal(once, twice));
	assert(crypt_slots_open(&a, &mine, site, &c, &at, &e) < 0 && e.code == DM_NO);
	crypt_slots_free(&a);
	crypt_slots_free(&b);
	json_decref(once);
	json_decref(twice);
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	if (!len)
		return 0;
	if (p[0] % 2)
		slots((const char *)p + 1, len - 1);
	else
		key_file(p + 1, len - 1);
	return 0;
}
