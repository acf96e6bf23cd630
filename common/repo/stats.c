#include "repo/stats.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/catalog.h"
#include "repo/index.h"

#define ROWS 4096u

static void count(struct store_stats *out, const struct index_entry *en)
{
	if (en->type >= REC_TYPES)
		return;
	out->type[en->type].records++;
	out->type[en->type].stored += en->len;
	out->type[en->type].plain += en->plain;
	out->doomed += en->doomed;
	out->doomed_bytes += en->doomed ? en->len : 0;
	if (en->depth > out->depth_max)
		out->depth_max = en->depth;
}

static int count_rows(struct index *ix, struct store_stats *out, struct err *e)
{
	struct index_row *row = x_try(ROWS, sizeof(*row), e);
	struct id after = { { 0 } };
	size_t n = 1;
	int rc = row ? 0 : -1;

	while (rc == 0 && n) {
		rc = index_rows(ix, &after, row, ROWS, &n, e);
		for (size_t i = 0; rc == 0 && i < n; i++)
			count(out, &row[i].en);
	}
	free(row);
	return rc;
}

static int count_checkpoints(struct site *s, struct store_stats *out, struct err *e)
{
	struct checkpoint **v;
	size_t n;

	if (catalog_list(s, NULL, &v, &n, e))
		return -1;
	out->checkpoints = n;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i]->ndisks; k++) {
			if (!checkpoint_disk_stored(&v[i]->disk[k]))
				continue;
			out->disks++;
			out->logical += v[i]->disk[k].size;
		}
	catalog_list_free(v, n);
	return 0;
}

int stats_count(struct site *s, struct store_stats *out, struct err *e)
{
	struct index *ix = index_open(s, e);
	struct index_pack *p;
	size_t n;
	int rc;

	*out = (struct store_stats){ .packs = 0 };
	if (!ix)
		return -1;
	rc = index_packs(ix, &p, &n, e);
	for (size_t i = 0; rc == 0 && i < n; i++)
		out->pack_bytes += p[i].size;
	if (rc == 0) {
		out->packs = n;
		free(p);
		rc = count_rows(ix, out, e);
	}
	index_close(ix);
	out->unique = out->type[REC_CHUNK].plain + out->type[REC_OVERLAY].plain;
	out->locked = s->sealed && !s->crypt;
	return rc || out->locked ? rc : count_checkpoints(s, out, e);
}
