/* The table of drivers.  Those that need large libraries are shared objects,
 * loaded when the first volume of theirs is opened: no program starts slower
 * for a cloud it does not talk to. */
#include <string.h>

#include "base/bytes.h"
#include "base/module.h"
#include "volume/driver.h"

extern const struct driver drv_file;
extern const struct driver drv_repo;
#ifdef DM_TEST_DRIVERS
extern const struct driver drv_fault, drv_log;
#endif

static const struct driver *const drivers[] = {
	&drv_file,
	&drv_repo,
};

static const struct module {
	const char *scheme, *symbol, *library;
} modules[] = {
	{ "nbd nbds nbd+unix nbds+unix", "drv_nbd", "libnbd" },
	{ "ebs", "drv_ebs", "libcurl and libxml2" },
};

/* Is it one of the words of a list? */
static bool among(const char *list, const char *word)
{
	size_t len = strlen(word), n;

	for (; *list; list += n + (list[n] == ' ')) {
		n = strcspn(list, " ");
		if (n == len && !memcmp(list, word, n))
			return true;
	}
	return false;
}

bool volume_many(const char *scheme)
{
#ifdef DM_TEST_DRIVERS
	while (!strncmp(scheme, "fault+", 6) || !strncmp(scheme, "log+", 4))
		scheme = strchr(scheme, '+') + 1;
#endif
	return among("repo s3 ebs", scheme);
}

static const struct module *module_of(const char *scheme)
{
	for (size_t i = 0; i < LEN(modules); i++)
		if (among(modules[i].scheme, scheme))
			return &modules[i];
	return NULL;
}

const char *driver_lacks(const char *scheme)
{
	const struct module *m = module_of(scheme);

	return m ? m->library : NULL;
}

const struct driver *driver_find(const char *scheme)
{
	const struct module *m;

#ifdef DM_TEST_DRIVERS
	if (!strncmp(scheme, "fault+", 6))
		return &drv_fault;
	if (!strncmp(scheme, "log+", 4))
		return &drv_log;
#endif
	for (size_t i = 0; i < LEN(drivers); i++)
		if (among(drivers[i]->scheme, scheme))
			return drivers[i];
	m = module_of(scheme);
	return m ? module_symbol(m->symbol) : NULL;
}

static void no_driver(const char *uri, const char *scheme, struct err *e)
{
	const char *library = driver_lacks(scheme);

	if (library)
		err_set(e, DM_USAGE, "%s: this build has no %s, which \"%s:\" volumes need; "
		    "install it with its headers, and build again", uri, library, scheme);
	else
		err_set(e, DM_USAGE, "%s: no driver for \"%s:\" volumes", uri, scheme);
}

const struct driver *driver_of(const char *uri, struct uri *u, struct err *e)
{
	const struct driver *d;

	if (uri_parse(uri, u, e) != 0)
		return NULL;
	d = driver_find(u->scheme);
	if (d)
		return d;
	no_driver(uri, u->scheme, e);
	uri_free(u);
	return NULL;
}
