/* fault+URI?OP=ERROR@N&delay=MS: the Nth call of OP fails with ERROR ("EIO"),
 * with @N+ all from the Nth on, with @Nx every Nth, and every call first waits
 * MS milliseconds.  most=N: of calls that come at once the store takes
 * N, and refuses writes beyond them with EAGAIN.
 * OP is one of wrap_name. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "volume/wrap.h"

struct fault {
	struct wrap w;
	uint64_t delay_ms;
	uint64_t most;		/* 0: any number */
	atomic_ullong inside;
	struct {
		int errnum;	/* 0: never fails */
		uint64_t at;	/* counted from 1 */
		bool on;	/* and all after it */
		bool every;	/* and all multiples */
		atomic_ullong calls;
	} op[WRAP_OPS];
};

/* The operation of this name, or WRAP_OPS. */
static int op_of(const char *key, size_t len)
{
	int op = 0;

	while (op < WRAP_OPS && (strlen(wrap_name[op]) != len || memcmp(key, wrap_name[op], len) != 0))
		op++;
	return op;
}

static bool mine(const char *key, size_t len)
{
	return op_of(key, len) < WRAP_OPS || (len == 5 && !memcmp(key, "delay", 5)) ||
	    (len == 4 && !memcmp(key, "most", 4));
}

static int error_named(const char *name)
{
	static const struct { const char *name; int errnum; } known[] = {
		{ "EIO", EIO }, { "ENOSPC", ENOSPC }, { "EDQUOT", EDQUOT }, { "ENOMEM", ENOMEM },
		{ "ESTALE", ESTALE }, { "ENOTSUP", ENOTSUP }, { "ETIMEDOUT", ETIMEDOUT },
		{ "EBADMSG", EBADMSG }, { "EAGAIN", EAGAIN }, { "EROFS", EROFS },
		{ "EBUSY", EBUSY },
	};

	for (size_t i = 0; i < LEN(known); i++)
		if (!strcmp(name, known[i].name))
			return known[i].errnum;
	return 0;
}

static int inject(struct volume *v, enum wrap_op op, uint64_t off, uint64_t len)
{
	struct fault *f = v->priv;
	uint64_t n = atomic_fetch_add(&f->op[op].calls, 1) + 1;
	struct timespec t = { (time_t)(f->delay_ms / 1000), (long)(f->delay_ms % 1000) * 1000000 };
	bool full = atomic_fetch_add(&f->inside, 1) >= f->most && f->most && op == WRAP_WRITE;

	if (f->delay_ms && op != WRAP_CLOSE && !full)
		nanosleep(&t, NULL);
	atomic_fetch_sub(&f->inside, 1);
	if (full)
		return volume_fail(v, EAGAIN, "%s of %llu bytes at %llu", wrap_name[op],
		    (unsigned long long)len, (unsigned long long)off);
	if (!f->op[op].errnum)
		return 0;
	if (f->op[op].every ? n % f->op[op].at : f->op[op].on ? n < f->op[op].at : n != f->op[op].at)
		return 0;
	return volume_fail(v, f->op[op].errnum, "%s of %llu bytes at %llu", wrap_name[op],
	    (unsigned long long)len, (unsigned long long)off);
}

/* "EIO@5", "EIO@5+", "EIO@5x" */
static int parse_fault(struct fault *f, int op, char *word)
{
	char *at = strchr(word, '@');
	size_t len = at ? strlen(at) : 0;

	if (!at)
		return -1;
	*at++ = 0;
	if (len > 1 && (at[len - 2] == '+' || at[len - 2] == 'x')) {
		f->op[op].on = at[len - 2] == '+';
		f->op[op].every = !f->op[op].on;
		at[len - 2] = 0;
	}
	f->op[op].errnum = error_named(word);
	return f->op[op].errnum ? u64_parse(at, 1, UINT64_MAX, &f->op[op].at) : -1;
}

static int parse(struct volume *v, struct fault *f, const struct uri *u)
{
	char *word = uri_query(u, "delay");
	int r = word ? u64_parse(word, 0, 3600000, &f->delay_ms) : 0;

	free(word);
	word = uri_query(u, "most");
	if (r == 0 && word)
		r = u64_parse(word, 1, 1000000, &f->most);
	free(word);
	for (int op = 0; r == 0 && op < WRAP_OPS; op++) {
		word = uri_query(u, wrap_name[op]);
		if (word)
			r = parse_fault(f, op, word);
		free(word);
	}
	return r == 0 ? 0 : err_set(&v->err, DM_USAGE, "%s: faults are OP=ERROR@N, delay=MS, most=N", v->uri);
}

static int fault_open(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	struct fault *f = x_alloc(sizeof(*f));

	f->w.before = inject;
	if (parse(v, f, u) == 0 && wrap_open(v, how, &f->w, mine) == 0)
		return 0;
	free(f);
	return -1;
}

const struct driver drv_fault = { .scheme = "fault+", .open = fault_open, WRAP_DRIVER };
