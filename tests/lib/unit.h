/* The least a unit test needs: a check that says where it failed, and a line
 * for each test. */
#ifndef DM_TESTS_UNIT_H
#define DM_TESTS_UNIT_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond) do { \
	if (!(cond)) { \
		fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #cond); \
		exit(1); \
	} \
} while (0)

/* Runs a test function and says its name. */
#define RUN(test) do { test(); printf("ok %s\n", #test); } while (0)

#endif
