#include <string.h>

#include "base/bytes.h"
#include "volume/driver.h"

extern const struct driver drv_file;
extern const struct driver drv_repo;
#ifdef DM_WITH_NBD
extern const struct driver drv_nbd;
#endif
#ifdef DM_TEST_DRIVERS
extern const struct driver drv_fault, drv_log;
#endif

static const struct driver *const drivers[] = {
	&drv_file,
	&drv_repo,
#ifdef DM_WITH_NBD
	&drv_nbd,
#endif
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

const char *driver_lacks(const char *scheme)
{
#ifndef DM_WITH_NBD
	if (among("nbd nbds nbd+unix nbds+unix", scheme))
		return "libnbd";
#endif
	(void)scheme;
	return NULL;
}

const struct driver *driver_find(const char *scheme)
{
#ifdef DM_TEST_DRIVERS
	if (!strncmp(scheme, "fault+", 6))
		return &drv_fault;
	if (!strncmp(scheme, "log+", 4))
		return &drv_log;
#endif
	for (size_t i = 0; i < LEN(drivers); i++)
		if (drivers[i] && among(drivers[i]->scheme, scheme))
			return drivers[i];
	return NULL;
}
