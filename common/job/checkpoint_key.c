/* dm-checkpoint key: keys in files, and those of encrypted sites. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/opt.h"
#include "content/key.h"
#include "job/checkpoint.h"
#include "repo/crypt.h"

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

	opt_parse(&prog, argc, argv, &args, &n, NULL);
	err_set_program("dm-checkpoint");
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

/* ---- keys of a site ---- */

struct slot_change {
	const struct site *site;
	const char *name;	/* of the slot to add, or to remove */
	const char *file;	/* with the secret to add */
	struct crypt keys;
	size_t at;		/* slot that was opened */
	bool rotate;
};

/* Prove that the key given opens the site: only then are slots changed. */
static int slots_unlock(struct crypt_slots *slots, struct slot_change *c, struct err *e)
{
	struct secret secret;
	int rc;

	if (!site_key_path())
		return site_locked(c->site, e);
	rc = secret_read(site_key_path(), &secret, e);
	if (rc == 0)
		rc = crypt_slots_open(slots, &secret, c->site->id, &c->keys, &c->at, e);
	secret_wipe(&secret);
	return rc;
}

static void slot_drop(struct crypt_slots *slots, size_t i)
{
	free(slots->v[i].name);
	memmove(&slots->v[i], &slots->v[i + 1], (slots->n - i - 1) * sizeof(slots->v[0]));
	slots->n--;
}

static int slot_add(struct crypt_slots *slots, void *arg, struct err *e)
{
	struct slot_change *c = arg;
	struct secret secret;
	char *name;
	int rc;

	if (slots_unlock(slots, c, e) < 0)
		return -1;
	name = x_strdup(c->name ? c->name : slots->v[c->at].name);
	rc = secret_read(c->file, &secret, e);
	if (rc == 0 && c->rotate)
		slot_drop(slots, c->at);
	if (rc == 0)
		rc = crypt_slot_add(slots, name, &secret, &c->keys, c->site->id, e);
	secret_wipe(&secret);
	free(name);
	return rc;
}

static int slot_remove(struct crypt_slots *slots, void *arg, struct err *e)
{
	struct slot_change *c = arg;

	if (slots_unlock(slots, c, e) < 0)
		return -1;
	for (size_t i = 0; i < slots->n; i++) {
		if (strcmp(slots->v[i].name, c->name))
			continue;
		if (slots->n == 1)
			return err_set(e, DM_NO, "'%s' is the only key: nothing could be read without it",
			    c->name);
		slot_drop(slots, i);
		return 0;
	}
	return err_set(e, DM_NO, "there is no key '%s'", c->name);
}

static int change(const char *path, struct slot_change *c,
    int (*how)(struct crypt_slots *slots, void *arg, struct err *e), struct err *e)
{
	struct site *s = site_open_locked(path, e);
	int rc = -1;

	if (s) {
		c->site = s;
		rc = site_slots_change(s, how, c, e);
	}
	key_wipe(&c->keys, sizeof(c->keys));
	site_close(s);
	return rc;
}

/* add and rotate: another key opens the site, beside the one given or instead. */
static int slot_new_main(bool rotate, int argc, char **argv, struct err *e)
{
	struct slot_change c = { .rotate = rotate };
	char **args;
	size_t n;
	const struct opt opts[] = {
		{ "new-key", 0, OPT_STR, &c.file, "FILE", rotate ?
		  "key or passphrase to use from now on (required)" : "key or passphrase to add (required)", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		rotate ? "dm-checkpoint key rotate" : "dm-checkpoint key add",
		rotate ? "--new-key FILE SITE" : "--new-key FILE SITE NAME",
		rotate ? "Replace the key that --key names by another." :
		    "Let another key or passphrase open the site.", opts, rotate ? 1 : 2, rotate ? 1 : 2,
	};
	int rc;

	checkpoint_opts(&prog, argc, argv, &args, &n);
	if (!c.file)
		opt_die("--new-key is required");
	c.name = rotate ? NULL : args[1];
	rc = change(args[0], &c, slot_add, e);
	if (rc == 0 && rotate)
		err_warn("the old key opens %s no more; whoever copied its config or the keys in it "
		    "while it did can still read what is stored: to revoke that, copy the "
		    "checkpoints to a new site", args[0]);
	return rc;
}

static int add_main(int argc, char **argv, struct err *e)
{
	return slot_new_main(false, argc, argv, e);
}

static int rotate_main(int argc, char **argv, struct err *e)
{
	return slot_new_main(true, argc, argv, e);
}

static int remove_main(int argc, char **argv, struct err *e)
{
	const struct opt opts[] = { { NULL, 0, 0, NULL, NULL, NULL, 0, 0 } };
	const struct opt_prog prog = {
		"dm-checkpoint key remove", "SITE NAME", "Let a key open the site no more.", opts, 2, 2,
	};
	struct slot_change c = { .name = NULL };
	char **args;
	size_t n;

	checkpoint_opts(&prog, argc, argv, &args, &n);
	c.name = args[1];
	return change(args[0], &c, slot_remove, e);
}

static int list_main(int argc, char **argv, struct err *e)
{
	struct crypt_slots slots = { .n = 0 };
	bool json = false;
	const struct opt opts[] = {
		{ "json", 0, OPT_FLAG, &json, NULL, "as one JSON array", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint key list", "SITE", "List the keys that open the site.", opts, 1, 1,
	};
	json_t *a = json_array();
	struct site *s;
	char **args;
	size_t n;
	int rc;

	checkpoint_opts(&prog, argc, argv, &args, &n);
	s = site_open_locked(args[0], e);
	rc = s ? site_slots_read(s, &slots, e) : -1;
	for (size_t i = 0; rc == 0 && i < slots.n; i++) {
		const char *kind = slots.v[i].phrase ? "passphrase" : "file";

		json_array_append_new(a, json_pack("{s:s, s:s}", "name", slots.v[i].name, "kind", kind));
		if (!json)
			printf("%-16s  %s\n", slots.v[i].name, kind);
	}
	if (rc == 0 && json)
		rc = checkpoint_print(json_incref(a), e);
	json_decref(a);
	crypt_slots_free(&slots);
	site_close(s);
	return rc ? rc : checkpoint_flush(e);
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv, struct err *e);
} commands[] = {
	{ "new", new_main }, { "list", list_main }, { "add", add_main },
	{ "rotate", rotate_main }, { "remove", remove_main },
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
