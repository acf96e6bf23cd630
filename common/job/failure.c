#include "base/fdio.h"
#include "job/failure.h"

void failure_told(int fd, struct err *e)
{
	if (fd_is_stream(fd))
		e->quiet = 1;
}

void failure_unheard(struct err *e)
{
	if (e->relayed || e->cut)
		e->quiet = 1;
}

void failure_tell(struct frame_out *o, int fd, struct err *e)
{
	struct err e2 = { 0 };

	if (!o || e->quiet)
		return;
	if (abort_put(o, e, &e2) == 0 && frame_flush(o, &e2) == 0)
		failure_told(fd, e);
	else if (e2.quiet)
		failure_unheard(e);
}
