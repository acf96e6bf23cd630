/* Inside the window law: one disk (window_law.c), the node (window_node.c). */
#ifndef DM_JOB_WINDOW_LAW_IMPL_H
#define DM_JOB_WINDOW_LAW_IMPL_H

#include "base/timefmt.h"
#include "job/window_law.h"

#define MS 1000000ll

/* The window from what is known.  A bound that is not reached is no reason. */
void law_window_set(struct window_law *w, const struct law_node *n);

#endif
