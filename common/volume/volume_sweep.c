#include "volume/driver.h"

int volume_sweep(const char *uri, const struct volume_sweep *how, struct volume_swept *out, struct err *e)
{
	const struct driver *d;
	struct uri u;
	int rc;

	*out = (struct volume_swept){ 0 };
	d = driver_of(uri, &u, e);
	if (!d)
		return -1;
	if (d->sweep)
		rc = d->sweep(&u, how, out, e);
	else
		rc = err_set(e, DM_USAGE, "a target of this kind has no points of its own");
	if (rc < 0)
		err_prefix(e, "%s", uri);
	uri_free(&u);
	return rc;
}
