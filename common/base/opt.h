/* Command lines.  A program states its options once, in a table; --help,
 * --version, the check that no option is repeated and the parsing of values
 * come from it. */
#ifndef DM_BASE_OPT_H
#define DM_BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_kind {
	OPT_FLAG,	/* bool * */
	OPT_STR,	/* const char ** */
	OPT_SIZE,	/* uint64_t *, 32M */
	OPT_U64,	/* uint64_t *, decimal */
	OPT_LIST,	/* struct opt_list *, may be repeated */
	OPT_TIME,	/* int64_t *, nanoseconds since the epoch; see timefmt.h */
};

struct opt_list {
	const char **v;
	size_t n;
};

struct opt {
	const char *name;	/* without the dashes */
	char letter;		/* or 0 */
	enum opt_kind kind;
	void *dst;
	const char *arg;	/* name of the value in --help, NULL for a flag */
	const char *help;	/* one line */
	uint64_t lo, hi;	/* OPT_SIZE, OPT_U64; hi 0 means no bound */
};

struct opt_prog {
	const char *name;	/* "dm-send" */
	const char *args;	/* "[NAME=]VOLUME ..." */
	const char *about;	/* one line */
	const struct opt *opts;	/* ends with name NULL */
	size_t min_args, max_args;	/* operands; max (size_t)-1: no limit */
};

/* Parse; operands are moved behind the options and *args, *nargs name them;
 * "--" ends options and stays recognisable: *rest, when not NULL, gets the
 * words after the first "--" (NULL if there was none) and operands are only
 * those before it.
 * Prints and exits on --help and --version (0) and on a wrong line (2: one
 * line on standard error, which names the option and points to --help). */
void opt_parse(const struct opt_prog *prog, int argc, char **argv,
    char ***args, size_t *nargs, char ***rest);

/* Exit DM_USAGE with one line. */
_Noreturn void opt_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

extern const char dm_version[];

#endif
