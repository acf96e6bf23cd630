/* What volumes of one iteration share. */
#include <stdlib.h>

#include "base/bytes.h"
#include "volume/driver.h"

struct volume_group *volume_group_new(void)
{
	return x_alloc(sizeof(struct volume_group));
}

void volume_group_free(struct volume_group *g)
{
	if (!g)
		return;
	if (g->shared_free)
		g->shared_free(g->shared);
	free(g->member);
	free(g);
}

void volume_group_join(struct volume_group *g, struct volume *v)
{
	g->member = x_grow(g->member, g->n + 1, sizeof(*g->member));
	g->member[g->n++] = v;
}

void volume_group_leave(struct volume_group *g, const struct volume *v)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->member[i] == v) {
			memmove(&g->member[i], &g->member[i + 1],
			    (g->n - i - 1) * sizeof(*g->member));
			g->n--;
			return;
		}
}

/* Was a group_flush of this driver called for an earlier member? */
static bool group_done(const struct volume_group *g, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (g->member[j]->drv == g->member[i]->drv)
			return true;
	return false;
}

int volume_group_flush(struct volume_group *g, uint32_t epoch)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->n; i++) {
		struct volume *v = g->member[i];

		if (v->drv->group_flush)
			r = group_done(g, i) ? 0 : v->drv->group_flush(g, epoch);
		else if (v->drv->flush)
			r = v->drv->flush(v, epoch);
	}
	return r;
}

int volume_group_error(const struct volume_group *g, struct err *e)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->member[i]->err.code)
			return volume_error(g->member[i], e);
	return err_set(e, DM_ENV, "a flush failed without a message");
}
