#include "repo/pruned.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "repo/catalog_chain.h"
#include "repo/catalog_dir.h"
#include "repo/files.h"
#include "repo/lease.h"

#define PRUNED "pruned"
#define PRUNED_MAX GIB(1)	/* sites of early versions have a line of each */
#define HEX (2 * ID_LEN)

/* --- reading ------------------------------------------------------------ */

/* "FIRST-LAST gone". */
static void range_parse(struct pruned *p, char *first, const char *rest)
{
	char *last = strchr(first, '-');
	struct pruned_range r;

	*last++ = '\0';
	if (strcmp(rest, "gone") || u64_parse(first, 1, UINT64_MAX - 1, &r.first) ||
	    u64_parse(last, r.first, UINT64_MAX - 1, &r.last))
		return;
	p->range = x_grow(p->range, p->nranges + 1, sizeof(*p->range));
	p->range[p->nranges++] = r;
}

/* "SEQ CHAIN CONTENT", CHAIN "-" where it was not chained; "SEQ gone"; or a
 * range. */
static void line_parse(struct pruned *p, char *line)
{
	char *save, *seq = strtok_r(line, " ", &save), *chain = strtok_r(NULL, " ", &save);
	char *content = strtok_r(NULL, " ", &save);
	struct pruned_line l = { .first = p->nchain };
	struct id links[CHAIN_LINKS];
	int n = 0;

	if (!seq || !chain)
		return;
	if (strchr(seq, '-')) {
		range_parse(p, seq, chain);
		return;
	}
	if (u64_parse(seq, 1, UINT64_MAX - 1, &l.seq))
		return;
	l.gone = !content && !strcmp(chain, "gone");
	if (!l.gone && (!content || strlen(content) != HEX || hex_get(content, l.content.b, ID_LEN)))
		return;
	if (!l.gone && strcmp(chain, "-") && (n = links_parse(chain, links)) < 0)
		return;
	l.nchain = (size_t)n;
	if (n) {
		p->chain = x_grow(p->chain, p->nchain + l.nchain, sizeof(*p->chain));
		memcpy(p->chain + p->nchain, links, l.nchain * sizeof(*links));
		p->nchain += l.nchain;
	}
	p->v = x_grow(p->v, p->n + 1, sizeof(*p->v));
	p->v[p->n++] = l;
}

static int by_seq(const void *a, const void *b)
{
	const struct pruned_line *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Of several lines of one number, one that tells more than that it is gone. */
static void sort_lines(struct pruned *p)
{
	size_t n = 0;

	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), by_seq);
	for (size_t i = 0; i < p->n; i++) {
		if (n && p->v[n - 1].seq == p->v[i].seq) {
			if (p->v[n - 1].gone)
				p->v[n - 1] = p->v[i];
			continue;
		}
		p->v[n++] = p->v[i];
	}
	p->n = n;
}

static int by_first(const void *a, const void *b)
{
	const struct pruned_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Those that meet become one. */
static void sort_ranges(struct pruned *p)
{
	size_t n = 0;

	if (p->nranges)
		qsort(p->range, p->nranges, sizeof(*p->range), by_first);
	for (size_t i = 0; i < p->nranges; i++) {
		if (!n || p->range[i].first > p->range[n - 1].last + 1)
			p->range[n++] = p->range[i];
		else if (p->range[i].last > p->range[n - 1].last)
			p->range[n - 1].last = p->range[i].last;
	}
	p->nranges = n;
}

void pruned_parse(char *text, struct pruned *p)
{
	char *save, *line;

	*p = (struct pruned){ 0 };
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		line_parse(p, line);
	sort_lines(p);
	sort_ranges(p);
}

static char *pruned_path(char path[CATALOG_PATH], const char *workload)
{
	snprintf(path, CATALOG_PATH, "catalog/%s/" PRUNED, workload);
	return path;
}

int pruned_read(struct site *s, const char *workload, struct pruned *p, struct err *e)
{
	char path[CATALOG_PATH], *text;
	size_t len;
	int rc;

	*p = (struct pruned){ 0 };
	rc = file_get(s, pruned_path(path, workload), PRUNED_MAX, &text, &len, e);
	if (rc > 0)
		pruned_parse(text, p);
	free(text);
	return rc < 0 ? -1 : 0;
}

void pruned_free(struct pruned *p)
{
	free(p->v);
	free(p->chain);
	free(p->range);
	*p = (struct pruned){ 0 };
}

/* --- asking ------------------------------------------------------------- */

size_t pruned_below(const struct pruned *p, uint64_t seq)
{
	return BELOW(p->v, p->n, seq, seq);
}

const struct pruned_line *pruned_find(const struct pruned *p, uint64_t seq)
{
	size_t i = pruned_below(p, seq);

	return i < p->n && p->v[i].seq == seq ? &p->v[i] : NULL;
}

const struct pruned_range *pruned_range(const struct pruned *p, uint64_t seq)
{
	size_t i = BELOW(p->range, p->nranges, last, seq);

	return i < p->nranges && p->range[i].first <= seq ? &p->range[i] : NULL;
}

struct pruned_range pruned_lost(const struct pruned *p, uint64_t seq, uint64_t end)
{
	size_t i = pruned_below(p, seq);

	if (i > 0 && p->v[i - 1].seq > end)
		end = p->v[i - 1].seq;
	for (i = 0; i < p->nranges && p->range[i].first <= seq; i++)
		if (p->range[i].last > end)
			end = p->range[i].last;
	return (struct pruned_range){ end < seq ? end + 1 : seq, seq };
}

static void range_add(struct pruned *p, const struct pruned_range *r)
{
	p->range = x_grow(p->range, p->nranges + 1, sizeof(*p->range));
	p->range[p->nranges++] = *r;
	sort_ranges(p);
}

void pruned_give_up(struct pruned *p, const struct pruned_range *lost)
{
	range_add(p, lost);
	p->v = x_grow(p->v, p->n + 1, sizeof(*p->v));
	p->v[p->n++] = (struct pruned_line){ .seq = lost->last, .gone = true };
	sort_lines(p);
}

/* --- noting ------------------------------------------------------------- */

static void line_put(struct buf *b, uint64_t seq, const struct id *chain, size_t n, const struct id *content)
{
	char *links = links_text(chain, n), hex[HEX + 1];

	hex_put(hex, content->b, ID_LEN);
	buf_printf(b, "%llu %s %s\n", (unsigned long long)seq, n ? links : "-", hex);
	free(links);
}

static void note_put(struct buf *b, const struct checkpoint *c, const struct pruned_range *lost)
{
	if (c)
		line_put(b, c->seq, c->chain, c->nchain, &c->content);
	else
		buf_printf(b, "%llu-%llu gone\n%llu gone\n", (unsigned long long)lost->first,
		    (unsigned long long)lost->last, (unsigned long long)lost->last);
}

/* Who prunes is alone, so nobody else puts it meanwhile. */
int pruned_note_store(struct site *s, const char *workload, const struct checkpoint *c,
    const struct pruned_range *lost, struct err *e)
{
	char path[CATALOG_PATH], *text;
	struct buf b = { 0 };
	size_t len;
	int rc = file_get(s, pruned_path(path, workload), PRUNED_MAX, &text, &len, e);

	if (rc < 0)
		return -1;
	if (rc > 0)
		buf_put(&b, text, len);
	note_put(&b, c, lost);
	rc = file_replace(s, path, b.p, b.len, lease_still, s->turn, e);
	buf_free(&b);
	free(text);
	return rc;
}

/* What a crash left of a line must not become the beginning of ours. */
static bool cut_before(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);
	char last;

	return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

int pruned_note(int dir, const struct checkpoint *c, const struct pruned_range *lost, struct err *e)
{
	int fd = openat(dir, PRUNED, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600), rc = 0;
	struct buf b = { 0 };

	if (fd < 0)
		return err_sys(e, DM_ENV, errno, PRUNED);
	if (cut_before(fd))
		buf_put(&b, "\n", 1);
	note_put(&b, c, lost);
	if (fd_write_full(fd, b.p, b.len) < 0)
		rc = err_sys(e, DM_ENV, errno, PRUNED);
	if (rc == 0)
		rc = durable_sync(fd, PRUNED, e) || durable_dir(dir, ".", e) ? -1 : 0;
	buf_free(&b);
	fd_close(fd);
	return rc;
}

/* --- folding ------------------------------------------------------------ */

/* Which of the lines below c are needed; what is not becomes ranges, and these
 * cover what is between two records as a whole. */
static void fold_below(struct pruned *p, const struct checkpoint *older, const struct checkpoint *c, bool *keep)
{
	uint64_t at, end = older ? older->seq : 0;
	size_t first = pruned_below(p, end + 1), n = pruned_below(p, c->seq) - first;
	enum chain_state state;

	if (!n)
		return;
	state = chain_follow(p, older, c, keep, &at);
	if (older ? state == CHAIN_HOLDS : state == CHAIN_HOLDS || state == CHAIN_OPEN) {
		if (!older)
			memset(keep + first, false, n);
		range_add(p, &(struct pruned_range){ end + 1, c->seq - 1 });
	} else {
		memset(keep + first, true, n);
	}
}

static void pruned_text(const struct pruned *p, const bool *keep, struct buf *b)
{
	for (size_t i = 0; i < p->nranges; i++)
		buf_printf(b, "%llu-%llu gone\n", (unsigned long long)p->range[i].first,
		    (unsigned long long)p->range[i].last);
	for (size_t i = 0; i < p->n; i++) {
		const struct pruned_line *l = &p->v[i];

		if (keep[i] && l->gone)
			buf_printf(b, "%llu gone\n", (unsigned long long)l->seq);
		else if (keep[i])
			line_put(b, l->seq, pruned_chain(p, l), l->nchain, &l->content);
	}
}

int pruned_fold(struct site *s, const char *workload, struct checkpoint *const *v, size_t n, struct err *e)
{
	char path[CATALOG_PATH];
	struct buf b = { 0 };
	struct pruned p;
	bool *keep;
	size_t kept = 0;
	int rc = 0;

	if (!n || pruned_read(s, workload, &p, e))
		return n ? -1 : 0;
	keep = x_array(p.n + 1, sizeof(*keep));
	for (size_t i = 0; i < n; i++)
		fold_below(&p, i ? v[i - 1] : NULL, v[i], keep);
	for (size_t i = pruned_below(&p, v[n - 1]->seq); i < p.n; i++)
		keep[i] = true;
	for (size_t i = 0; i < p.n; i++)
		kept += keep[i];
	if (kept < p.n) {
		pruned_text(&p, keep, &b);
		rc = file_replace(s, pruned_path(path, workload), b.p, b.len, lease_still, s->turn, e);
	}
	buf_free(&b);
	free(keep);
	pruned_free(&p);
	return rc;
}
