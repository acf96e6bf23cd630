#include "job/abort.h"

bool abort_send(struct frame_out *o, const struct err *e)
{
	struct err e2 = { 0 };

	return o && abort_put(o, e, &e2) == 0 && frame_flush(o, &e2) == 0;
}
