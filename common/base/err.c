#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/err.h"

static const char *program = "dm";

static enum err_class class_of(int errnum)
{
	switch (errnum) {
	case EAGAIN: case EINTR: case ECONNRESET: case ECONNREFUSED: case EPIPE:
	case ENETUNREACH: case EHOSTUNREACH: case ENOBUFS:
		return CLASS_TRANSIENT;
	case ETIMEDOUT:
		return CLASS_TIMEOUT;
	case EBUSY:
		return CLASS_THROTTLE;
	default:
		return CLASS_PERMANENT;
	}
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e->code)
		return -1;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	return -1;
}

int err_sys(struct err *e, int code, int errnum, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	if (e->code)
		return -1;
	e->code = code;
	e->errnum = errnum;
	e->cls = class_of(errnum);
	e->quiet = errnum == EPIPE;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof e->text - n, ": %s", strerror(errnum));
	return -1;
}

int err_code_named(int errnum)
{
	switch (errnum) {
	case EIO: case ENOMEM: case EMFILE: case ENFILE: case ENOSPC: case EDQUOT: case ESTALE:
	case ETIMEDOUT:
		return DM_ENV;
	default:
		return DM_USAGE;
	}
}

int err_cut(struct err *e, const char *what)
{
	if (e->code)
		return -1;
	err_set(e, DM_ENV, "%s: ended before its END", what);
	e->cls = CLASS_TRANSIENT;
	e->cut = 1;
	return -1;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char old[sizeof e->text];
	va_list ap;
	size_t n;

	memcpy(old, e->text, sizeof old);
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof e->text, fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof e->text - n, ": %s", old);
	return -1;
}

void err_set_program(const char *name)
{
	program = name;
}

const char *err_program(void)
{
	return program;
}

/* One line, one write: a terminal or a log is never sent control bytes. */
static void emit(char *line, size_t n)
{
	ssize_t r;

	line_clean(line);
	line[n++] = '\n';
	do
		r = write(STDERR_FILENO, line, n);
	while (r < 0 && errno == EINTR);
}

void err_warn(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	size_t n;

	snprintf(line, sizeof line, "%s: ", program);
	n = strlen(line);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
	va_end(ap);
	emit(line, strlen(line));
}

int err_report(const struct err *e)
{
	char line[1024];

	if (e->code && !e->quiet) {
		if (e->relayed)
			snprintf(line, sizeof line - 1, "%s", e->text);
		else
			snprintf(line, sizeof line - 1, "%s: %s", program, e->text);
		emit(line, strlen(line));
	}
	return e->code;
}
