/* The chain of records, and the list of what was pruned out of it. */
#include "repo/catalog_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "repo/catalog_dir.h"
#include "repo/crypt.h"
#include "repo/files.h"

#define PRUNED "pruned"
#define PRUNED_MAX GIB(1)
#define HEX (2 * ID_LEN)

void chain_content(const struct site *s, const char *text, size_t len, struct id *out)
{
	crypto_generichash(out->b, ID_LEN, (const uint8_t *)text, len,
	    s->crypt ? s->crypt->ids.b : NULL, s->crypt ? KEY_LEN : 0);
}

/* Over text, so that b2sum(1) can do it. */
static void link_make(bool chained, const struct id *chain, const struct id *content, struct id *out)
{
	char hex[2][HEX + 1], text[2 * HEX + 8];
	int len;

	hex_put(hex[0], chain->b, ID_LEN);
	hex_put(hex[1], content->b, ID_LEN);
	len = snprintf(text, sizeof(text), "%s %s\n", chained ? hex[0] : "-", hex[1]);
	crypto_generichash(out->b, ID_LEN, (const uint8_t *)text, (size_t)len, NULL, 0);
}

void checkpoint_link(const struct checkpoint *c, struct id *out)
{
	link_make(c->has_chain, &c->chain, &c->content, out);
}

void checkpoint_follow(struct checkpoint *c, const struct checkpoint *latest)
{
	c->parent = latest ? latest->seq : 0;
	c->seq = c->parent + 1;
	c->has_chain = true;
	c->chain = (struct id){ { 0 } };
	if (latest)
		checkpoint_link(latest, &c->chain);
}

/* --- what was pruned ---------------------------------------------------- */

/* "SEQ CHAIN CONTENT", CHAIN "-" where it was not chained; "SEQ gone". */
static bool line_parse(char *line, struct pruned_line *l)
{
	char *save, *seq = strtok_r(line, " ", &save), *chain = strtok_r(NULL, " ", &save);
	char *content = strtok_r(NULL, " ", &save);

	*l = (struct pruned_line){ 0 };
	if (!seq || !chain || u64_parse(seq, 1, UINT64_MAX, &l->seq))
		return false;
	l->gone = !content && !strcmp(chain, "gone");
	if (l->gone)
		return true;
	l->chained = strcmp(chain, "-") != 0;
	if (l->chained && (strlen(chain) != HEX || hex_get(chain, l->chain.b, ID_LEN)))
		return false;
	return content && strlen(content) == HEX && !hex_get(content, l->content.b, ID_LEN);
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

void pruned_parse(char *text, struct pruned *p)
{
	char *save, *line;

	*p = (struct pruned){ NULL, 0 };
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		p->v = x_grow(p->v, p->n + 1, sizeof(*p->v));
		p->n += line_parse(line, &p->v[p->n]);
	}
	sort_lines(p);
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

	*p = (struct pruned){ NULL, 0 };
	rc = file_get(s, pruned_path(path, workload), PRUNED_MAX, &text, &len, e);
	if (rc > 0)
		pruned_parse(text, p);
	free(text);
	return rc < 0 ? -1 : 0;
}

void pruned_free(struct pruned *p)
{
	free(p->v);
	*p = (struct pruned){ NULL, 0 };
}

static const struct pruned_line *find(const struct pruned *p, uint64_t seq)
{
	const struct pruned_line want = { .seq = seq };

	return p->n ? bsearch(&want, p->v, p->n, sizeof(*p->v), by_seq) : NULL;
}

/* What a crash left of a line must not become the beginning of ours. */
static bool cut_before(int fd)
{
	off_t end = lseek(fd, 0, SEEK_END);
	char last;

	return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

/* The line for a record, an allocation. */
static char *note_line(uint64_t seq, const struct checkpoint *c, bool cut)
{
	char chain[HEX + 1] = "-", content[HEX + 1];

	if (c && c->has_chain)
		hex_put(chain, c->chain.b, ID_LEN);
	if (c)
		hex_put(content, c->content.b, ID_LEN);
	return x_printf("%s%llu %s%s%s\n", cut ? "\n" : "", (unsigned long long)seq,
	    c ? chain : "gone", c ? " " : "", c ? content : "");
}

/* Who prunes is alone, so nobody else puts it meanwhile. */
int pruned_note_store(struct site *s, const char *workload, uint64_t seq, const struct checkpoint *c, struct err *e)
{
	char path[CATALOG_PATH], *text, *line;
	struct buf b = { 0 };
	size_t len;
	int rc = file_get(s, pruned_path(path, workload), PRUNED_MAX, &text, &len, e);

	if (rc < 0)
		return -1;
	if (rc > 0)
		buf_put(&b, text, len);
	line = note_line(seq, c, false);
	buf_put(&b, line, strlen(line));
	rc = file_replace(s, path, b.p, b.len, NULL, NULL, e);
	buf_free(&b);
	free(line);
	free(text);
	return rc;
}

int pruned_note(int dir, uint64_t seq, const struct checkpoint *c, struct err *e)
{
	int fd = openat(dir, PRUNED, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600), rc = 0;
	char *line;

	if (fd < 0)
		return err_sys(e, DM_ENV, errno, PRUNED);
	line = note_line(seq, c, cut_before(fd));
	if (fd_write_full(fd, line, strlen(line)) < 0)
		rc = err_sys(e, DM_ENV, errno, PRUNED);
	if (rc == 0)
		rc = durable_sync(fd, PRUNED, e) || durable_dir(dir, ".", e) ? -1 : 0;
	free(line);
	fd_close(fd);
	return rc;
}

/* --- following it ------------------------------------------------------- */

enum chain_state chain_follow(const struct pruned *p, const struct checkpoint *older,
    const struct checkpoint *c, uint64_t *at)
{
	uint64_t end = older ? older->seq : 0;
	struct id want = c->chain, is = { { 0 } };

	*at = c->seq;
	if (!c->has_chain)
		return older && older->has_chain ? CHAIN_BROKEN : CHAIN_OPEN;
	while (--*at > end) {
		const struct pruned_line *l = find(p, *at);

		if (!l)
			return CHAIN_MISSING;
		if (l->gone)
			return CHAIN_OPEN;
		link_make(l->chained, &l->chain, &l->content, &is);
		if (!id_equal(&is, &want))
			return CHAIN_BROKEN;
		if (!l->chained)
			return CHAIN_OPEN;
		want = l->chain;
	}
	if (older)
		checkpoint_link(older, &is);
	else
		is = (struct id){ { 0 } };
	return id_equal(&is, &want) ? CHAIN_HOLDS : CHAIN_BROKEN;
}

/* The records that are there next to number seq of a workload: NULL where
 * there is none that can be read.  0 or -1. */
static int neighbours(struct site *s, const struct checkpoint *c, struct checkpoint **older,
    struct checkpoint **newer, struct err *e)
{
	uint64_t *seq, below = 0, above = 0;
	struct err skip = { 0 };
	size_t n;

	if (catalog_seqs(s, c->workload, &seq, &n, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (seq[i] < c->seq)
			below = seq[i];
		if (seq[i] > c->seq && !above)
			above = seq[i];
	}
	free(seq);
	*older = below ? catalog_read(s, c->workload, below, &skip) : NULL;
	*newer = above ? catalog_read(s, c->workload, above, &skip) : NULL;
	return 0;
}

static int contradiction(const struct checkpoint *a, const struct checkpoint *b, struct err *e)
{
	return err_set(e, DM_NO, "checkpoints %llu and %llu of %s do not belong together: the record "
	    "of one was replaced after it was made; dm-checkpoint verify says more",
	    (unsigned long long)a->seq, (unsigned long long)b->seq, a->workload);
}

int catalog_trust(struct site *s, const struct checkpoint *c, struct err *e)
{
	struct checkpoint *older = NULL, *newer = NULL;
	struct pruned p = { NULL, 0 };
	uint64_t at;
	int rc = neighbours(s, c, &older, &newer, e);

	/* Read after them: what was dropped before is in it. */
	if (rc == 0 && ((older && older->seq + 1 < c->seq) || (newer && c->seq + 1 < newer->seq)))
		rc = pruned_read(s, c->workload, &p, e);
	if (rc == 0 && older && chain_follow(&p, older, c, &at) == CHAIN_BROKEN)
		rc = contradiction(older, c, e);
	if (rc == 0 && newer && chain_follow(&p, c, newer, &at) == CHAIN_BROKEN)
		rc = contradiction(c, newer, e);
	pruned_free(&p);
	checkpoint_free(older);
	checkpoint_free(newer);
	return rc;
}
