#include "base/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char module_open_anchor[1];

/* Beside a library that has this code in it, such as a plugin. */
static void *open_beside(const char *name)
{
	char path[PATH_MAX];
	const char *slash;
	Dl_info me;

	if (!dladdr(module_open_anchor, &me) || !me.dli_fname || !(slash = strrchr(me.dli_fname, '/')) ||
	    snprintf(path, sizeof(path), "%.*s/dm/%s.so", (int)(slash - me.dli_fname), me.dli_fname, name) >= PATH_MAX)
		return NULL;
	return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* "../lib/dm" as seen from the program, which is where `make' and `make
 * install' put them; else where they are to be installed. */
static void *module_open(const char *name)
{
	char path[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *slash = NULL;
	void *h = open_beside(name);

	if (n > 0) {
		path[n] = 0;
		slash = strrchr(path, '/');
	}
	if (slash && !h) {
		snprintf(slash, 64, "/../lib/dm/%s.so", name);
		h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	if (!h) {
		snprintf(path, sizeof(path), DM_LIBDIR "/%s.so", name);
		h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	}
	return h;
}

void *module_symbol(const char *name)
{
	void *h = module_open(name);

	return h ? dlsym(h, name) : NULL;
}
