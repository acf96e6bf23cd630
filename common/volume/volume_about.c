/* What is known of a volume that is open, or of its name. */
#include "base/bytes.h"
#include "base/pool.h"
#include "volume/driver.h"

uint64_t volume_size(const struct volume *v)
{
	return v->size;
}

struct volume_limits volume_limits(const struct volume *v)
{
	return v->limits;
}

unsigned volume_calls(const struct volume *v)
{
	return (unsigned)max64(v->limits.calls, pool_cpus());
}

const char *volume_uri(const struct volume *v)
{
	return v->uri;
}

const char *volume_message(const struct volume *v)
{
	return v->err.text;
}

bool volume_unproved(const struct volume *v)
{
	return v->unproved;
}

const char *volume_work(const struct volume *v)
{
	return v->work ? v->work : "";
}

bool volume_resumes(const struct volume *v)
{
	return v->resumes;
}

bool volume_readable(const struct volume *v)
{
	return v->drv->read && !v->write_only;
}

bool volume_keeps_ids(const char *uri)
{
	const struct driver *d = NULL;
	struct err ignored = { 0 };
	struct uri u;

	if (uri_parse(uri, &u, &ignored) == 0) {
		d = driver_find(u.scheme);
		uri_free(&u);
	}
	return d && d->keeps_ids;
}

bool volume_wants_ids(const struct volume *v)
{
	return v->wants_ids;
}
