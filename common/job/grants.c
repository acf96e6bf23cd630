#include "job/grants.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "volume/volume.h"

int grants_parse(struct grants *g, char *const words[], size_t n, struct err *e)
{
	g->arg = x_array(n ? n : 1, sizeof(*g->arg));
	g->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct volume_arg *a = &g->arg[i];

		if (volume_arg_parse(words[i], a, e) < 0)
			return -1;
		g->n++;
		for (size_t k = 0; k < i; k++)
			if (!strcmp(g->arg[k].name, a->name))
				return err_set(e, DM_USAGE,
				    "%s: there are two volumes named %s; give each a name (NAME=%s)",
				    a->uri, a->name, a->uri);
	}
	return 0;
}

void grants_free(struct grants *g)
{
	for (size_t i = 0; i < g->n; i++)
		volume_arg_free(&g->arg[i]);
	free(g->arg);
	g->arg = NULL;
	g->n = 0;
}

static bool is_directory(const char *path)
{
	size_t len = strlen(path);
	struct stat st;

	return (len && path[len - 1] == '/') || (!stat(path, &st) && S_ISDIR(st.st_mode));
}

/* May one URI serve several disks? */
static bool is_container(const char *uri)
{
	struct uri u;
	struct err e = {0};
	size_t len;
	bool yes;

	if (uri_parse(uri, &u, &e) < 0)
		return false;
	len = strlen(u.scheme);
	yes = volume_many(u.scheme) ||
	    (len >= 4 && !strcmp(u.scheme + len - 4, "file") && is_directory(u.path));
	uri_free(&u);
	return yes;
}

/* The argument that serves every disk, if there is one. */
static const struct volume_arg *grants_all(const struct grants *g, const struct hello *h)
{
	if (g->n != 1 || g->arg[0].named)
		return NULL;
	return h->ndisks == 1 || is_container(g->arg[0].uri) ? &g->arg[0] : NULL;
}

const struct volume_arg *grants_find(const struct grants *g, const struct hello *h, uint32_t disk)
{
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->arg[i].name, h->disk[disk].name))
			return &g->arg[i];
	return grants_all(g, h);
}

const char *grants_unused(const struct grants *g, const struct hello *h)
{
	if (grants_all(g, h))
		return NULL;
	for (size_t i = 0; i < g->n; i++)
		if (!hello_disk(h, g->arg[i].name))
			return g->arg[i].name;
	return NULL;
}
