/* The catalog's directory: catalog/WORKLOAD/SEQ.json, SEQ.pin and lock. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/uri.h"
#include "repo/catalog_dir.h"
#include "repo/files.h"

/* catalog/WORKLOAD, made when `make' is set.  fd; -1 with *e, or with e->code
 * 0 when it is not there. */
int catalog_dir(struct site *s, const char *workload, bool make, struct err *e)
{
	char path[128];
	int fd;

	if (!name_valid(workload))
		return err_set(e, DM_USAGE, "\"%s\" is no workload name", workload);
	snprintf(path, sizeof(path), "catalog/%s", workload);
	if (make) {
		if (mkdirat(s->dir, "catalog", 0700) && errno != EEXIST)
			return err_sys(e, DM_ENV, errno, "%s/catalog", s->path);
		if (mkdirat(s->dir, path, 0700) == 0) {
			if (durable_dir(s->dir, "catalog", e) || durable_dir(s->dir, ".", e))
				return -1;
		} else if (errno != EEXIST) {
			return err_sys(e, DM_ENV, errno, "%s/%s", s->path, path);
		}
	}
	fd = openat(s->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		err_sys(e, DM_ENV, errno, "%s/%s", s->path, path);
	return fd;
}

char *catalog_name(char name[CATALOG_NAME], uint64_t seq, const char *suffix)
{
	snprintf(name, CATALOG_NAME, "%llu%s", (unsigned long long)seq, suffix);
	return name;
}

struct names {
	char **v;
	size_t n;
};

static void take_workload(const char *name, void *arg)
{
	struct names *list = arg;

	if (!name_valid(name) || (list->n && !strcmp(list->v[list->n - 1], name)))
		return;
	list->v = x_grow(list->v, list->n + 1, sizeof(*list->v));
	list->v[list->n++] = x_strdup(name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void catalog_names_free(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

/* Names of the workloads, sorted. */
int catalog_workloads(struct site *s, char ***out, size_t *n, struct err *e)
{
	struct names list = { NULL, 0 };

	if (file_each(s, "catalog", take_workload, &list, e)) {
		catalog_names_free(list.v, list.n);
		return -1;
	}
	if (list.n)
		qsort(list.v, list.n, sizeof(*list.v), by_name);
	*out = list.v;
	*n = list.n;
	return 0;
}

struct seqs {
	uint64_t *v;
	size_t n;
};

static void take_seq(const char *name, void *arg)
{
	struct seqs *list = arg;
	char digits[CATALOG_NAME];
	const char *dot = strchr(name, '.');
	uint64_t seq;

	if (!dot || strcmp(dot, ".json") || dot - name >= CATALOG_NAME || *name == '0')
		return;
	memcpy(digits, name, (size_t)(dot - name));
	digits[dot - name] = '\0';
	if (u64_parse(digits, 1, UINT64_MAX, &seq))
		return;
	list->v = x_grow(list->v, list->n + 1, sizeof(*list->v));
	list->v[list->n++] = seq;
}

static int by_seq(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Numbers of a workload's checkpoints, ascending. */
int catalog_seqs(struct site *s, const char *workload, uint64_t **out, size_t *n, struct err *e)
{
	struct seqs list = { NULL, 0 };
	char dir[128];

	if (!name_valid(workload))
		return err_set(e, DM_USAGE, "\"%s\" is no workload name", workload);
	snprintf(dir, sizeof(dir), "catalog/%s", workload);
	if (file_each(s, dir, take_seq, &list, e)) {
		free(list.v);
		return -1;
	}
	if (list.n)
		qsort(list.v, list.n, sizeof(*list.v), by_seq);
	*out = list.v;
	*n = list.n;
	return 0;
}

char *catalog_place(char place[CATALOG_PLACE], const char *workload, uint64_t seq)
{
	snprintf(place, CATALOG_PLACE, "checkpoint %s/%llu", workload, (unsigned long long)seq);
	return place;
}

char *catalog_file(char path[CATALOG_PATH], const char *workload, uint64_t seq, const char *suffix)
{
	snprintf(path, CATALOG_PATH, "catalog/%s/%llu%s", workload, (unsigned long long)seq, suffix);
	return path;
}
