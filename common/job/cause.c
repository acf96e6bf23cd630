#include "job/cause.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "base/fdio.h"

int cause_init(struct cause *c, struct err *e)
{
	pthread_mutex_init(&c->lock, NULL);
	c->first = (struct err){0};
	atomic_init(&c->set, false);
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake < 0) {
		pthread_mutex_destroy(&c->lock);
		return err_sys(e, DM_ENV, errno, "eventfd");
	}
	return 0;
}

void cause_destroy(struct cause *c)
{
	fd_close(c->wake);
	pthread_mutex_destroy(&c->lock);
}

void cause_give(struct cause *c, const struct err *e)
{
	uint64_t one = 1;

	pthread_mutex_lock(&c->lock);
	if (!c->first.code) {
		c->first = *e;
		atomic_store(&c->set, true);
		/* The counter of an eventfd never fills up by ones. */
		(void)!fd_write_full(c->wake, &one, sizeof(one));
	}
	pthread_mutex_unlock(&c->lock);
}

int cause_take(struct cause *c, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	if (c->first.code) {
		if (!e->code)
			*e = c->first;
		rc = -1;
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}
