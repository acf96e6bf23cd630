/* dm-checkpoint key: keys in files. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/opt.h"
#include "content/key.h"
#include "job/checkpoint.h"

/* A key of a passphrase: the same on every host, given the same name. */
static int key_from(const char *from, const char *salt_of, struct key *k, struct err *e)
{
	const struct key_piece piece = { salt_of, strlen(salt_of) };
	uint8_t salt[KEY_SALT_LEN];
	struct secret s;
	int rc = secret_read(from, &s, e);

	key_derive(NULL, "dm 2026-11 passphrase salt", &piece, 1, salt, sizeof(salt));
	if (rc == 0 && !s.phrase)
		rc = err_set(e, DM_USAGE, "%s: a key already, not a passphrase", from);
	if (rc == 0)
		rc = key_stretch(s.phrase, salt, &key_cost_default, k, e);
	secret_wipe(&s);
	return rc;
}

static int new_main(int argc, char **argv, struct err *e)
{
	const char *from = NULL, *salt = NULL;
	struct key k;
	char **args;
	size_t n;
	int rc = 0;
	const struct opt opts[] = {
		{ "from", 0, OPT_STR, &from, "FILE", "derive it from the passphrase in FILE (Argon2id)", 0, 0 },
		{ "salt", 0, OPT_STR, &salt, "NAME", "with --from: what the key is for, the same on each host", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint key new", "KEYFILE", "Make a key in a new file that only you can read.",
		opts, 1, 1,
	};

	checkpoint_opts(&prog, argc, argv, &args, &n);
	if (!from != !salt || (salt && !*salt))
		opt_die("--from FILE and --salt NAME go together");
	if (from)
		rc = key_from(from, salt, &k, e);
	else
		key_random(&k);
	if (rc == 0)
		rc = key_create(args[0], &k, e);
	key_wipe(&k, sizeof(k));
	return rc;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv, struct err *e);
} commands[] = {
	{ "new", new_main },
};

int checkpoint_key_main(int argc, char **argv, struct err *e)
{
	if (argc < 2)
		opt_die("key: what about it? (see dm-checkpoint(1))");
	for (size_t i = 0; i < LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1, e);
	opt_die("unknown command: key %s (see dm-checkpoint(1))", argv[1]);
}
