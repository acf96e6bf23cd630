/* The least a unit test needs: a check that says where it failed, and a line
 * for each test. */
#ifndef DM_TESTS_UNIT_H
#define DM_TESTS_UNIT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

#define CHECK(cond) do { \
	if (!(cond)) { \
		fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
		exit(1); \
	} \
} while (0)

/* As CHECK, and says what the struct err *e holds. */
#define CHECK_ERR(cond, e) do { \
	if (!(cond)) { \
		fprintf(stderr, "%s:%d: failed: %s (error %d: %s)\n", __FILE__, __LINE__, \
		    #cond, (e)->code, (e)->text); \
		exit(1); \
	} \
} while (0)

/* splitmix64: the state is any number, and tells what comes. */
static inline uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline void rnd_fill(uint64_t *state, void *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)p)[i] = (uint8_t)(rnd(state) >> 32);
}

/* Runs a test function and says its name. */
#define RUN(test) do { test(); printf("ok %s\n", #test); } while (0)

#endif
