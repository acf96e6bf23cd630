#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "job/changes.h"

#define THREADS_MAX 16u

static struct subject *by_name(struct changes *c, const char *name, size_t len)
{
	for (size_t i = 0; i < c->n; i++)
		if (strlen(c->s[i].arg.name) == len && !memcmp(c->s[i].arg.name, name, len))
			return &c->s[i];
	return NULL;
}

/* Whose word is it, and what does it say?  A word before '=' that names a disk
 * chooses it; with one disk the whole word may be the value. */
static struct subject *word_of(struct changes *c, const char *option, const char *word,
    const char **value, struct err *e)
{
	size_t len = strcspn(word, "=");
	struct subject *s = word[len] ? by_name(c, word, len) : NULL;

	*value = s ? word + len + 1 : word;
	if (!s && c->n == 1)
		s = &c->s[0];
	if (!s)
		err_set(e, DM_USAGE, "--%s %s: which disk?  write %s=%s", option, word,
		    c->s[0].arg.name, word);
	return s;
}

static bool scan_allowed(const struct changes *c)
{
	return c->opt->fallback && !strcmp(c->opt->fallback, "scan");
}

static int deal_tracker(struct changes *c, const char *option, const struct opt_list *l,
    size_t field, struct err *e)
{
	for (size_t i = 0; i < l->n; i++) {
		const char *value, **dst;
		struct subject *s = word_of(c, option, l->v[i], &value, e);

		if (!s)
			return -1;
		dst = (const char **)((char *)s + field);
		if (*dst)
			return err_set(e, DM_USAGE, "--%s is given twice for disk %s", option, s->arg.name);
		*dst = value;
		if ((s->since || s->extents) && s->state && !scan_allowed(c))
			return err_set(e, DM_USAGE, "disk %s: choose one of --since, --state and --extents, "
			    "or say when to scan: --fallback scan", s->arg.name);
		if (s->since && s->extents)
			return err_set(e, DM_USAGE, "disk %s: choose one of --since and --extents",
			    s->arg.name);
	}
	return 0;
}

static int deal_bases(struct changes *c, struct err *e)
{
	const char *value;
	struct subject *s;
	int algo;

	for (size_t i = 0; i < c->opt->base.n; i++) {
		s = word_of(c, "base", c->opt->base.v[i], &value, e);
		if (!s)
			return -1;
		if (s->has_base_root)
			return err_set(e, DM_USAGE, "--base is given twice for disk %s", s->arg.name);
		if (id_parse(value, &algo, &s->base_root) != 0)
			return err_set(e, DM_USAGE, "--base %s: not a root (blake3:HEX)", value);
		s->has_base_root = true;
	}
	for (size_t i = 0; i < c->opt->base_point.n; i++) {
		s = word_of(c, "base-point", c->opt->base_point.v[i], &value, e);
		if (!s)
			return -1;
		if (s->base_point)
			return err_set(e, DM_USAGE, "--base-point is given twice for disk %s", s->arg.name);
		s->base_point = x_strdup(value);
	}
	return 0;
}

static int deal_full(struct changes *c, struct err *e)
{
	for (size_t i = 0; i < c->opt->full.n; i++) {
		const char *name = c->opt->full.v[i];
		struct subject *s = by_name(c, name, strlen(name));

		if (!s)
			return err_set(e, DM_USAGE, "--full %s: no disk of this name", name);
		if (s->since || s->extents)
			return err_set(e, DM_USAGE, "disk %s: --full asks no tracker, so leave out "
			    "--since and --extents", name);
		s->whole = true;
	}
	return 0;
}

static int name_disks(struct changes *c, struct err *e)
{
	c->s = x_array(c->opt->nvolumes, sizeof(*c->s));
	for (size_t i = 0; i < c->opt->nvolumes; i++) {
		struct subject *s = &c->s[c->n];

		if (volume_arg_parse(c->opt->volume[i], &s->arg, e) != 0)
			return -1;
		if (by_name(c, s->arg.name, strlen(s->arg.name))) {
			err_set(e, DM_USAGE, "two disks are called %s: name them (NAME=VOLUME)", s->arg.name);
			volume_arg_free(&s->arg);
			return -1;
		}
		c->n++;
	}
	return 0;
}

static int open_volumes(struct changes *c, struct err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		struct subject *s = &c->s[i];
		struct volume_how how = { .mode = VOL_READ, .disk = s->arg.name, .since = s->since };

		if (volume_open(&s->v, s->arg.uri, &how, e) != 0)
			return -1;
		s->point = volume_point(s->v, &s->frozen);
		if (!s->point)
			return volume_error(s->v, e);
		s->frozen = *s->point && (s->frozen || c->opt->frozen);
	}
	return 0;
}

static int parse_map(struct changes *c, struct err *e)
{
	static const char *const name[] = { "changes", "allocation", "bitmap" };

	for (size_t i = 0; i < LEN(name); i++)
		if (!c->opt->map || !strcmp(c->opt->map, name[i])) {
			c->map = (enum map_meaning)i;
			return 0;
		}
	return err_set(e, DM_USAGE, "--map %s: one of changes, allocation, bitmap", c->opt->map);
}

static int parse_audit(struct changes *c, struct err *e)
{
	char *end;

	if (!c->opt->audit)
		return 0;
	c->audit = strtod(c->opt->audit, &end) / 100;
	if (end == c->opt->audit || (*end && strcmp(end, "%") != 0) || !(c->audit > 0 && c->audit <= 1))
		return err_set(e, DM_USAGE, "--audit %s: a percentage above 0, up to 100", c->opt->audit);
	if (!c->opt->against)
		return err_set(e, DM_USAGE, "--audit needs the ids of the base: --against");
	return 0;
}

static int parse_words(struct changes *c, struct err *e)
{
	const struct changes_opts *o = c->opt;

	c->algo = o->algo ? id_algo_parse(o->algo) : ID_BLAKE3;
	if (c->algo < 0)
		return err_set(e, DM_USAGE, "--algo %s: one of blake3, blake2b", o->algo);
	c->chunk_size = o->chunk_size ? (uint32_t)o->chunk_size : CHUNK_MAX;
	if (!is_pow2(c->chunk_size))
		return err_set(e, DM_USAGE, "--chunk-size: a power of two");
	if (o->fallback && strcmp(o->fallback, "full") != 0 && strcmp(o->fallback, "scan") != 0)
		return err_set(e, DM_USAGE, "--fallback %s: full or scan", o->fallback);
	if (scan_allowed(c) && !o->against && !o->state.n)
		return err_set(e, DM_USAGE, "--fallback scan needs the ids of the base: --against or --state");
	return parse_map(c, e) == 0 ? parse_audit(c, e) : -1;
}

static int one_reads_input(const struct changes *c, struct err *e)
{
	unsigned n = c->opt->against && !strcmp(c->opt->against, "-");

	for (size_t i = 0; i < c->n; i++)
		n += c->s[i].extents && !strcmp(c->s[i].extents, "-");
	return n <= 1 ? 0 : err_set(e, DM_USAGE, "only one thing can come from standard input");
}

/* Ids come with the chunk size and algorithm they were made with. */
static int adopt_ids(struct changes *c, int algo, uint32_t chunk_size, const char *what, struct err *e)
{
	if ((c->opt->chunk_size && c->chunk_size != chunk_size) || (c->opt->algo && c->algo != algo))
		return err_set(e, DM_NO, "%s: made with %s and chunks of %u bytes, not as asked for",
		    what, id_algo_name(algo), chunk_size);
	c->algo = algo;
	c->chunk_size = chunk_size;
	return 0;
}

static int open_against(struct changes *c, struct err *e)
{
	const char *from = c->opt->against;

	if (!from)
		return 0;
	c->against.seal = c->opt->unseal;
	if (against_load(&c->against, from, e) < 0)
		return -1;
	return adopt_ids(c, c->against.hello.algo, c->against.hello.chunk_size, from, e);
}

/* The tracker cannot be used, as *e says: what was allowed instead? */
static int fall_back(struct changes *c, struct subject *s, void (*warn)(const char *), struct err *e)
{
	const char *to = c->opt->fallback;
	struct volume_how how = { .mode = VOL_READ, .disk = s->arg.name };
	char *text;

	if (!to || e->code != DM_NO) {
		if (e->code == DM_NO && !to && !strstr(e->text, "--fallback") &&
		    strlen(e->text) < sizeof(e->text) - 96)
			strcat(e->text, " (--fallback full sends everything, --fallback scan compares with --against)");
		return -1;
	}
	text = x_printf("%s; %s", e->text, !strcmp(to, "scan") ? "scanning the whole disk instead" :
	    "sending the whole disk instead");
	warn(text);
	free(text);
	*e = (struct err){ 0 };
	s->since = s->extents = NULL;
	s->full = !strcmp(to, "full");
	s->scan = !s->full;
	/* The volume keeps its first failure: begin with a clean one. */
	volume_close(s->v);
	return volume_open(&s->v, s->arg.uri, &how, e);
}

static int choose_since(struct subject *s, struct err *e)
{
	free(s->base_point);
	s->base_point = volume_base_point(s->v, s->since);
	return s->base_point ? 0 : volume_error(s->v, e);
}

/* The base has no disk of this name: it is new, and sent whole. */
static int told_new(struct changes *c, struct subject *s, void (*warn)(const char *), struct err *e)
{
	char *text;

	if (c->audit > 0 && (s->since || s->extents))
		return err_set(e, DM_NO, "disk %s: the base has no ids of it, so --audit cannot be done",
		    s->arg.name);
	if (s->since || s->extents || s->state)
		return 0;
	text = x_printf("disk %s is not in the base: sending all of it", s->arg.name);
	warn(text);
	free(text);
	return 0;
}

/* Decide how this disk's changes are found. */
static int choose(struct changes *c, struct subject *s, void (*warn)(const char *), struct err *e)
{
	struct idfile *known = s->whole ? NULL :
	    against_find(&c->against, s->arg.name, c->n == 1);
	bool tracked = s->since || s->extents;
	int r = 0;

	if (s->whole)
		s->full = true;
	else if (s->since)
		r = choose_since(s, e);
	else if (s->extents && c->map != MAP_ALLOCATION && !s->has_base_root && !s->base_point)
		return err_set(e, DM_USAGE, "disk %s: --extents needs --base or --base-point, which say "
		    "since when (or --map allocation)", s->arg.name);
	else if (s->extents)
		s->full = c->map == MAP_ALLOCATION;
	else if (s->state && !known)
		r = state_choose(s, e);
	else
		s->scan = known != NULL;
	if (r != 0 && fall_back(c, s, warn, e) != 0)
		return -1;
	if (r != 0 && tracked && s->scan && s->state && !known && state_choose(s, e) != 0)
		return -1;
	if (s->scan && !s->old)
		s->old = known;
	if (c->opt->against && !known && !s->whole && told_new(c, s, warn, e) != 0)
		return -1;
	s->full |= !s->since && !s->extents && !s->old;
	s->scan |= s->state && !s->since && !s->extents;
	if (s->old && !s->full) {
		s->has_base_root = true;
		s->base_root = s->old->root;
	}
	if (c->audit > 0 && !s->scan && !s->full)
		s->old = known;
	return 0;
}

static int state_sizes(struct changes *c, struct err *e)
{
	for (size_t i = 0; i < c->n; i++) {
		struct subject *s = &c->s[i];

		if (s->old && adopt_ids(c, s->old->algo, s->old->chunk_size, s->arg.name, e) != 0)
			return -1;
	}
	for (size_t i = 0; i < c->n; i++) {
		struct subject *s = &c->s[i];

		if (s->old && (s->old->algo != c->algo || s->old->chunk_size != c->chunk_size))
			return err_set(e, DM_NO, "disk %s: its ids and those of other disks have "
			    "different chunk sizes or algorithms", s->arg.name);
	}
	return 0;
}

/* One for each CPU, or as many as the volumes want calls. */
static unsigned scan_threads(const struct changes *c)
{
	unsigned n = 1;

	for (size_t i = 0; i < c->n; i++)
		n = (unsigned)max64(n, volume_calls(c->s[i].v));
	return (unsigned)min64(n, THREADS_MAX);
}

int changes_open(struct changes *c, const struct changes_opts *opt,
    void (*warn)(const char *text), struct err *e)
{
	c->opt = opt;
	if (parse_words(c, e) != 0 || name_disks(c, e) != 0)
		return -1;
	if (deal_tracker(c, "since", &opt->since, offsetof(struct subject, since), e) != 0 ||
	    deal_tracker(c, "state", &opt->state, offsetof(struct subject, state), e) != 0 ||
	    deal_tracker(c, "extents", &opt->extents, offsetof(struct subject, extents), e) != 0 ||
	    deal_full(c, e) != 0 || deal_bases(c, e) != 0 || one_reads_input(c, e) != 0 ||
	    open_volumes(c, e) != 0 || open_against(c, e) != 0)
		return -1;
	for (size_t i = 0; i < c->n; i++)
		if (choose(c, &c->s[i], warn, e) != 0)
			return -1;
	if (state_sizes(c, e) != 0)
		return -1;
	c->crew = lane_crew_new(opt->threads ? (unsigned)opt->threads : scan_threads(c), e);
	return c->crew ? 0 : -1;
}

void changes_close(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct subject *s = &c->s[i];

		tracker_free(s->t);
		volume_close(s->v);
		if (s->new && !s->kept)
			unlink(s->new->path);
		if (s->owns_old)
			idfile_close(s->old);
		idfile_close(s->new);
		free(s->base_point);
		free(s->point);
		volume_arg_free(&s->arg);
	}
	free(c->s);
	lane_crew_free(c->crew);
	against_free(&c->against);
}
