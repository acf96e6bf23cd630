/* The chain of records: making it, and following it. */
#include "repo/catalog_chain.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/crypt.h"

#define HEX (2 * ID_LEN)

char *links_text(const struct id *v, size_t n)
{
	char *text = x_malloc(n * (HEX + 1) + 1), *at = text;

	for (size_t i = 0; i < n; i++) {
		if (i)
			*at++ = ',';
		hex_put(at, v[i].b, ID_LEN);
		at += HEX;
	}
	*at = '\0';
	return text;
}

int links_parse(const char *text, struct id v[CHAIN_LINKS])
{
	char hex[HEX + 1] = "";

	for (int n = 0; n < CHAIN_LINKS; text += HEX + 1) {
		if (strnlen(text, HEX) < HEX)
			return -1;
		memcpy(hex, text, HEX);
		if (hex_get(hex, v[n++].b, ID_LEN))
			return -1;
		if (!text[HEX])
			return n;
		if (text[HEX] != ',')
			return -1;
	}
	return -1;
}

void chain_content(const struct site *s, const char *text, size_t len, struct id *out)
{
	crypto_generichash(out->b, ID_LEN, (const uint8_t *)text, len,
	    s->crypt ? s->crypt->ids.b : NULL, s->crypt ? KEY_LEN : 0);
}

/* Over text, so that b2sum(1) can do it. */
void chain_link(const struct id *chain, size_t n, const struct id *content, struct id *out)
{
	char *links = links_text(chain, n), hex[HEX + 1];
	char *text;

	hex_put(hex, content->b, ID_LEN);
	text = x_printf("%s %s\n", n ? links : "-", hex);
	crypto_generichash(out->b, ID_LEN, (const uint8_t *)text, strlen(text), NULL, 0);
	free(links);
	free(text);
}

void checkpoint_link(const struct checkpoint *c, struct id *out)
{
	chain_link(c->chain, c->nchain, &c->content, out);
}

/* --- making it ---------------------------------------------------------- */

/* The nth link that a record names, there or pruned, if it is the one with
 * this link: only then it is what was there when the records after it were
 * made. */
static bool nth_link(struct site *s, const char *workload, uint64_t seq, const struct id *link, size_t n,
    struct id *out)
{
	struct err ignored = { 0 };
	struct checkpoint *c = catalog_read(s, workload, seq, &ignored);
	struct pruned p = { 0 };
	const struct pruned_line *l = NULL;
	const struct id *chain = NULL;
	struct id is;
	bool ok = false;

	if (!c && pruned_read(s, workload, &p, &ignored) == 0)
		l = pruned_find(&p, seq);
	if (c && n < c->nchain) {
		chain = c->chain;
		checkpoint_link(c, &is);
	} else if (l && n < l->nchain) {
		chain = pruned_chain(&p, l);
		chain_link(chain, l->nchain, &l->content, &is);
	}
	if (chain && id_equal(&is, link)) {
		*out = chain[n];
		ok = true;
	}
	pruned_free(&p);
	checkpoint_free(c);
	return ok;
}

void checkpoint_follow(struct site *s, struct checkpoint *c, const struct checkpoint *latest)
{
	size_t n = 1;

	c->parent = latest ? latest->seq : 0;
	c->seq = c->parent + 1;
	free(c->chain);
	c->chain = x_array(CHAIN_LINKS, sizeof(*c->chain));
	if (latest)
		checkpoint_link(latest, &c->chain[0]);
	/* What is 2^n before is 2^(n-1) before what is 2^(n-1) before: it is taken
	 * from there, so nothing is vouched for that the chain did not name. */
	for (; latest && n < CHAIN_LINKS && c->seq % (UINT64_C(1) << n) == 0 && c->seq >> n > 1; n++) {
		uint64_t half = c->seq - (UINT64_C(1) << (n - 1));

		if (n == 1 && latest->nchain)
			c->chain[n] = latest->chain[0];
		else if (n == 1 || !nth_link(s, c->workload, half, &c->chain[n - 1], n - 1, &c->chain[n]))
			break;
	}
	c->nchain = n;
}

/* --- following it ------------------------------------------------------- */

struct walk {
	const struct pruned *p;
	size_t first, n;	/* the lines between the two records */
	struct id *want;	/* of each, what those above say is its link */
	bool *named;		/* and whether any does */
	uint64_t end;		/* the older record */
	struct id end_want;
	bool reached;
};

static bool name_link(struct id *want, bool *named, const struct id *link)
{
	if (*named)
		return id_equal(want, link);
	*named = true;
	*want = *link;
	return true;
}

/* Take what number seq, which is what it should be, says of those below.  false
 * when that contradicts what another said: *at. */
static bool take_links(struct walk *w, uint64_t seq, const struct id *chain, size_t n, uint64_t *at)
{
	for (size_t i = 0; i < n && UINT64_C(1) << i <= seq; i++) {
		const struct pruned_line *l;
		size_t k;

		*at = seq - (UINT64_C(1) << i);
		if (*at < w->end)
			break;
		l = pruned_find(w->p, *at);
		k = l ? (size_t)(l - w->p->v) - w->first : 0;
		if (*at == w->end ? !name_link(&w->end_want, &w->reached, &chain[i]) :
		    l && !name_link(&w->want[k], &w->named[k], &chain[i]))
			return false;
	}
	return true;
}

/* From the newest line down.  Sets *open where a line ends the chain. */
static bool take_lines(struct walk *w, uint64_t *open, uint64_t *at)
{
	for (size_t k = w->n; k-- > 0; ) {
		const struct pruned_line *l = &w->p->v[w->first + k];
		const struct id *chain = pruned_chain(w->p, l);
		struct id is;

		*at = l->seq;
		if (!w->named[k])
			continue;
		if (!l->gone) {
			chain_link(chain, l->nchain, &l->content, &is);
			if (!id_equal(&is, &w->want[k]))
				return false;
		}
		if (!l->nchain) {
			if (!*open)
				*open = l->seq;
			continue;
		}
		if (!take_links(w, l->seq, chain, l->nchain, at))
			return false;
	}
	return true;
}

/* The highest number of those between the records that is not noted, or that
 * has no line of its own: 0 none. */
static uint64_t highest_without(const struct walk *w, uint64_t seq, bool line)
{
	const struct pruned_range *r;
	size_t k = w->n;

	while (seq > w->end) {
		while (k > 0 && w->p->v[w->first + k - 1].seq > seq)
			k--;
		if (k > 0 && w->p->v[w->first + k - 1].seq == seq) {
			seq--;
			continue;
		}
		r = line ? NULL : pruned_range(w->p, seq);
		if (!r)
			return seq;
		/* The lines in a range are of numbers in it. */
		seq = r->first - 1;
	}
	return 0;
}

static enum chain_state judge(const struct walk *w, const struct checkpoint *c, uint64_t open, uint64_t *at)
{
	uint64_t missing = highest_without(w, c->seq - 1, false);

	/* Over a line that ends the chain nothing is asked. */
	if (missing && !(open > missing && !w->reached)) {
		*at = missing;
		return CHAIN_MISSING;
	}
	if (w->reached)
		return CHAIN_HOLDS;
	if (open || !w->end)
		return CHAIN_OPEN;
	*at = highest_without(w, c->seq - 1, true);
	return CHAIN_CUT;
}

/* The lines of the way with the longest steps: what of it is needed later, when
 * a record between or at its end was dropped, is on it too, since the same
 * numbers are then the ends of long steps.  false when it leads nowhere. */
static bool mark_way(const struct walk *w, uint64_t seq, size_t n, bool *way)
{
	for (;;) {
		const struct pruned_line *l = NULL;

		while (!l) {
			uint64_t step = n ? UINT64_C(1) << --n : 0;

			if (!step)
				return false;
			if (step > seq || seq - step < w->end)
				continue;
			if (seq - step == w->end)
				return true;
			l = pruned_find(w->p, seq - step);
			if (l && !l->nchain)
				l = NULL;
		}
		way[l - w->p->v] = true;
		seq = l->seq;
		n = l->nchain;
	}
}

enum chain_state chain_follow(const struct pruned *p, const struct checkpoint *older,
    const struct checkpoint *c, bool *way, uint64_t *at)
{
	struct walk w = { .p = p, .end = older ? older->seq : 0 };
	struct id is = { { 0 } };
	uint64_t open = 0;
	enum chain_state state = CHAIN_BROKEN;

	*at = c->seq;
	if (!c->nchain)
		return older && older->nchain ? CHAIN_BROKEN : CHAIN_OPEN;
	w.first = pruned_below(p, w.end + 1);
	w.n = pruned_below(p, c->seq) - w.first;
	w.want = x_array(w.n + 1, sizeof(*w.want));
	w.named = x_array(w.n + 1, sizeof(*w.named));
	if (take_links(&w, c->seq, c->chain, c->nchain, at) && take_lines(&w, &open, at)) {
		if (older)
			checkpoint_link(older, &is);
		*at = w.end;
		if (!w.reached || id_equal(&is, &w.end_want))
			state = judge(&w, c, open, at);
	}
	if (state == CHAIN_HOLDS && way && !mark_way(&w, c->seq, c->nchain, way))
		memset(way + w.first, true, w.n);
	free(w.want);
	free(w.named);
	return state;
}
