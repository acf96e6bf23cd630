/* A throw-away site for unit tests of the repository, and random contents
 * that are the same in every run. */
#ifndef DM_TESTS_SITE_H
#define DM_TESTS_SITE_H

#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "repo/site.h"
#include "unit.h"

#define OK(call, e) do { \
	if (call) { \
		fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, (e).text); \
		exit(1); \
	} \
} while (0)

static uint64_t rnd_state = 88172645463325252ull;

static inline void rnd_seed(uint64_t seed)
{
	rnd_state = 88172645463325252ull + seed * 0x9e3779b97f4a7c15ull;
}

static inline uint64_t rnd_below(uint64_t below)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (rnd_state >> 11) % below;
}

/* 0: noise; 1: zeros; 2: noise and zeros by turns; else: compressible. */
static inline void fill(uint8_t *p, size_t len, int kind)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = kind == 1 || (kind == 2 && (i / 70000) % 2) ? 0 : rnd_below(~0ull);
		size_t n = len - i < 8 ? len - i : 8;

		if (kind > 2)
			v &= 0x0f0f0f0f00000000ull;
		memcpy(p + i, &v, n);
	}
}

static inline char *text_of(const char *fmt, va_list ap)
{
	char *s;

	CHECK(vasprintf(&s, fmt, ap) >= 0);
	return s;
}

__attribute__((format(printf, 1, 2))) static inline void run(const char *fmt, ...)
{
	va_list ap;
	char *cmd;

	va_start(ap, fmt);
	cmd = text_of(fmt, ap);
	va_end(ap);
	CHECK(system(cmd) == 0);
	free(cmd);
}

/* First line of a command's output; the caller frees it. */
__attribute__((format(printf, 1, 2))) static inline char *output(const char *fmt, ...)
{
	va_list ap;
	char *cmd, line[4096];
	FILE *f;

	va_start(ap, fmt);
	cmd = text_of(fmt, ap);
	va_end(ap);
	f = popen(cmd, "r");
	CHECK(f && fgets(line, sizeof line, f));
	pclose(f);
	free(cmd);
	line[strcspn(line, "\n")] = 0;
	return strdup(line);
}

static inline struct site *site_new_with(const struct site_options *o)
{
	char dir[] = "/tmp/dm-unit-XXXXXX";
	struct err e = { 0 };
	struct site *s;

	CHECK(mkdtemp(dir));
	OK(site_init(dir, o, &e), e);
	s = site_open(dir, &e);
	CHECK(s);
	return s;
}

static inline struct site *site_new(void)
{
	return site_new_with(&(struct site_options){ 0 });
}

static inline void site_drop(struct site *s)
{
	run("rm -rf '%s'", s->path);
	site_close(s);
}

#endif
