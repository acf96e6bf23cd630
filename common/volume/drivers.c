#include <string.h>

#include "base/bytes.h"
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

const struct driver *driver_find(const char *scheme)
{
#ifdef DM_TEST_DRIVERS
	if (!strncmp(scheme, "fault+", 6))
		return &drv_fault;
	if (!strncmp(scheme, "log+", 4))
		return &drv_log;
#endif
	for (size_t i = 0; i < LEN(drivers); i++)
		if (drivers[i] && !strcmp(drivers[i]->scheme, scheme))
			return drivers[i];
	return NULL;
}
