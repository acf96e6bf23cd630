/* Errors as values, and the exit codes every program of dm shares.
 * A function that can fail takes `struct err *e' last, fills it once (the
 * first cause wins) and returns -1 or NULL.  Only cmd/ prints. */
#ifndef DM_BASE_ERR_H
#define DM_BASE_ERR_H

#include <stdarg.h>

/* Exit codes; the table in dm.7 is their documentation. */
enum exit_code {
	DM_OK = 0,	/* done */
	DM_NO = 1,	/* a definite no: not found, verification failed, another writer committed */
	DM_USAGE = 2,	/* the command line or a plan is wrong */
	DM_BAD = 3,	/* the input's bytes are wrong: do not retry */
	DM_ENV = 4,	/* the environment failed or the input stopped early: retry may help */
};

/* How a retry would fare; travels in ABORT and NAK. */
enum err_class {
	CLASS_PERMANENT = 0,
	CLASS_THROTTLE = 1,
	CLASS_TRANSIENT = 2,
	CLASS_TIMEOUT = 3,
};

struct err {
	int code;		/* enum exit_code, 0 while nothing failed */
	int errnum;		/* errno of the cause, 0 if none */
	enum err_class cls;
	int relayed;		/* the cause came in an ABORT from another program */
	int cut;		/* the input ended early: others failed first */
	int quiet;		/* say nothing: our reader went away (EPIPE) */
	char text[512];		/* one line, lower case, without a program name */
};

/* Record a failure, unless *e already holds one.  Returns -1. */
int err_set(struct err *e, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with ": " and strerror(errnum) added; the class is derived from
 * errnum.  EPIPE makes the error quiet.  Returns -1. */
int err_sys(struct err *e, int code, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The code for a file that the command line names and that could not be read:
 * is its name wrong (DM_USAGE), or has the machine failed (DM_ENV)? */
int err_code_named(int errnum);

/* `what' ended before its END: a retry may help.  Returns -1. */
int err_cut(struct err *e, const char *what);

/* Put "prefix: " before the recorded text.  Returns -1. */
int err_prefix(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Name of the program for messages; set once by opt_parse. */
void err_set_program(const char *name);
const char *err_program(void);

/* Print "program: text" on standard error, as one write, with control bytes
 * made visible. */
void err_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Print *e unless it is quiet, with the program's name unless it was relayed
 * (a relayed text names its program already).  Returns e->code. */
int err_report(const struct err *e);

#endif
