#include "job/inlet.h"

#include <errno.h>
#include <poll.h>


int inlet_next(struct frame_in *in, int fd, int out_fd, struct cause *c,
    struct frame *f, struct err *e)
{
	struct pollfd p[3] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = c->wake, .events = POLLIN },
		{ .fd = out_fd },
	};
	long n;
	int rc;

	for (;;) {
		rc = frame_next(in, f, e);
		if (rc)
			return rc;
		if (poll(p, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, DM_ENV, errno, "poll");
		}
		if (p[1].revents)
			return cause_take(c, e);
		if (p[2].revents & POLLERR)
			return err_sys(e, DM_ENV, EPIPE, "output");
		if (!p[0].revents)
			continue;
		n = frame_fill(in, e);
		if (n == 0)
			return err_cut(e, "input");
		if (n < 0 && e->code)
			return -1;
	}
}
