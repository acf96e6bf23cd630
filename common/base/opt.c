#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/opt.h"
#include "base/timefmt.h"

const char dm_version[] = DM_VERSION;

#define OPTS_MAX 64

_Noreturn void opt_die(const char *fmt, ...)
{
	char text[768];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_warn("%s", text);
	exit(DM_USAGE);
}

_Noreturn static void finish_stdout(void)
{
	if (fflush(stdout) || ferror(stdout)) {
		err_warn("standard output: write error");
		exit(DM_ENV);
	}
	exit(DM_OK);
}

_Noreturn static void help(const struct opt_prog *p)
{
	printf("usage: %s [options]%s%s\n%s\n\noptions:\n", p->name,
	    *p->args ? " " : "", p->args, p->about);
	for (const struct opt *o = p->opts; o->name; o++) {
		char left[64];

		snprintf(left, sizeof left, "%s%c%c --%s%s%s", o->letter ? "-" : " ",
		    o->letter ? o->letter : ' ', o->letter ? ',' : ' ', o->name,
		    o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-30s %s\n", left, o->help);
	}
	printf("      %-26s %s\n", "--help", "print this and exit");
	printf("      %-26s %s\n", "--version", "print the version and exit");
	printf("\nSee %.*s(1) for everything, dm(7) for the whole.\n",
	    (int)strcspn(p->name, " "), p->name);
	finish_stdout();
}

_Noreturn static void version(const struct opt_prog *p)
{
	printf("%.*s %s\n", (int)strcspn(p->name, " "), p->name, dm_version);
	finish_stdout();
}

_Noreturn static void usage(const struct opt_prog *p, const char *what, const char *word)
{
	opt_die("%s%s%s (see %s --help)", what, *word ? ": " : "", word, p->name);
}

static int set_value(const struct opt *o, const char *v)
{
	uint64_t hi = o->hi ? o->hi : UINT64_MAX;
	struct opt_list *l;

	switch (o->kind) {
	case OPT_FLAG:
		*(bool *)o->dst = true;
		return 0;
	case OPT_STR:
		*(const char **)o->dst = v;
		return 0;
	case OPT_SIZE:
		return size_parse(v, o->lo, hi, o->dst);
	case OPT_U64:
		return u64_parse(v, o->lo, hi, o->dst);
	case OPT_TIME:
		return time_parse(v, time_now(), o->dst);
	case OPT_LIST:
		l = o->dst;
		l->v = x_grow(l->v, l->n + 1, sizeof *l->v);
		l->v[l->n++] = v;
		return 0;
	}
	return -1;
}

/* Apply one option; *i moves past a value taken from the next word. */
static void take(const struct opt_prog *p, const struct opt *o, const char *word,
    const char *value, int argc, char **argv, int *i, bool *seen)
{
	bool *mark = &seen[o - p->opts];

	if (*mark && o->kind != OPT_LIST)
		usage(p, "option given twice", word);
	*mark = true;
	if (o->kind == OPT_FLAG) {
		if (value)
			usage(p, "option takes no value", word);
	} else if (!value) {
		if (*i + 1 >= argc)
			usage(p, "option needs a value", word);
		value = argv[++*i];
	}
	if (set_value(o, value) < 0)
		opt_die("--%s: not a valid %s: %s (see %s --help)", o->name, o->arg, value, p->name);
}

static const struct opt *by_name(const struct opt_prog *p, const char *name, size_t len)
{
	for (const struct opt *o = p->opts; o->name; o++)
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
	return NULL;
}

static const struct opt *by_letter(const struct opt_prog *p, char c)
{
	for (const struct opt *o = p->opts; o->name; o++)
		if (o->letter && o->letter == c)
			return o;
	return NULL;
}

static void long_option(const struct opt_prog *p, int argc, char **argv, int *i, bool *seen)
{
	const char *word = argv[*i], *name = word + 2;
	size_t len = strcspn(name, "=");
	const struct opt *o = by_name(p, name, len);

	if (!o && !strcmp(name, "help"))
		help(p);
	if (!o && !strcmp(name, "version"))
		version(p);
	if (!o)
		usage(p, "unknown option", word);
	take(p, o, word, name[len] ? name + len + 1 : NULL, argc, argv, i, seen);
}

static void short_options(const struct opt_prog *p, int argc, char **argv, int *i, bool *seen)
{
	const char *word = argv[*i];

	for (const char *c = word + 1; *c; c++) {
		const struct opt *o = by_letter(p, *c);
		const char *value = NULL;

		if (!o)
			usage(p, "unknown option", word);
		if (o->kind != OPT_FLAG && c[1]) {
			value = c + 1;
			c += strlen(c) - 1;
		}
		take(p, o, word, value, argc, argv, i, seen);
	}
}

void opt_parse(const struct opt_prog *p, int argc, char **argv,
    char ***args, size_t *nargs, char ***rest)
{
	bool seen[OPTS_MAX] = { false };
	size_t n = 0;
	int i = 1;

	err_set_program(p->name);
	if (rest)
		*rest = NULL;
	for (; i < argc; i++) {
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (argv[i][0] == '-' && argv[i][1] == '-')
			long_option(p, argc, argv, &i, seen);
		else if (argv[i][0] == '-' && argv[i][1])
			short_options(p, argc, argv, &i, seen);
		else
			argv[1 + n++] = argv[i];
	}
	if (rest && i <= argc && !strcmp(argv[i - 1], "--"))
		*rest = argv + i;
	else
		for (; i < argc; i++)
			argv[1 + n++] = argv[i];
	if (n < p->min_args)
		opt_die("too few operands: %s %s", p->name, p->args);
	if (n > p->max_args)
		usage(p, "one operand too many", argv[1 + p->max_args]);
	*args = argv + 1;
	*nargs = n;
}
