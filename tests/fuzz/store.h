/* A store for harnesses that put records into it: in a directory of its own,
 * which goes away at the end.  One to a program. */
#ifndef DM_FUZZ_STORE_H
#define DM_FUZZ_STORE_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "repo/store_priv.h"

static char fuzz_dir[] = "/tmp/dm-fuzz-XXXXXX";

static void fuzz_clean(void)
{
	char cmd[64];

	snprintf(cmd, sizeof cmd, "rm -rf %s", fuzz_dir);
	if (system(cmd))
		perror(fuzz_dir);
}

/* Open for writing, and opened anew after each 2,000 uses. */
static struct store *fuzz_store(uint32_t chunk_size)
{
	static struct site *s;
	static struct store *st;
	static unsigned uses;
	struct err e = { 0 };

	if (!s) {
		assert(mkdtemp(fuzz_dir));
		atexit(fuzz_clean);
		assert(!site_init(fuzz_dir, &(struct site_options){ .chunk_size = chunk_size }, &e));
		s = site_open(fuzz_dir, &e);
	}
	if (uses++ % 2000 == 0) {
		store_close(st);
		st = store_open(s, STORE_WRITE, &e);
	}
	assert(st);
	return st;
}

#endif
