#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "job/budget_impl.h"
#include "job/share.h"

#define MS 1000000ll
#define LOOK_EVERY (100 * MS)	/* one that was killed told nobody */
#define LOOK_STARVED (10 * MS)

struct budget {
	char *path;
	struct slots *slots;
	struct budget_head *head;
	struct budget_slot *own;
	int slot;
	uint32_t changes;	/* as last seen */
	int64_t looked;
	bool starved;
	struct law_peer peer[SLOTS_MAX];
	struct share share[SLOTS_MAX];
};

_Static_assert(sizeof(struct budget_head) <= 48, "header");
_Static_assert(sizeof(struct budget_cell) <= SLOT_BYTES, "cell");
_Static_assert(sizeof(struct budget_slot) == SLOT_BYTES, "slot");

uint64_t budget_size(const struct budget_head *h)
{
	return h->size ? h->size : BUDGET_DEFAULT;
}

static uint32_t kib(uint64_t bytes)
{
	return (uint32_t)min64(div_up(bytes, 1024), UINT32_MAX);
}

/* FILE[,SIZE]: *size 0 when there is none. */
static char *spec_split(const char *spec, uint64_t *size, struct err *e)
{
	char *path = x_strdup(spec), *comma = strrchr(path, ',');

	*size = 0;
	if (!comma)
		return path;
	*comma = 0;
	if (*path && size_parse(comma + 1, MIB(1), UINT64_C(1) << 40, size) == 0)
		return path;
	err_set(e, DM_USAGE, "--budget %s: a FILE, or FILE,SIZE with a size of 1M to 1T", spec);
	free(path);
	return NULL;
}

static struct budget *open_spec(const char *spec, bool create, uint64_t *size, struct err *e)
{
	struct budget *b = x_alloc(sizeof *b);

	b->slot = -1;
	b->path = spec_split(spec, size, e);
	if (b->path)
		b->slots = slots_open(b->path, create, e);
	if (b->slots) {
		b->head = slots_header(b->slots);
		return b;
	}
	budget_close(b);
	return NULL;
}

struct budget *budget_open(const char *spec, struct err *e)
{
	uint64_t size;
	struct budget *b = open_spec(spec, true, &size, e);

	if (b && size && size != b->head->size) {
		b->head->size = size;
		b->head->changes++;
	}
	return b;
}

void budget_close(struct budget *b)
{
	if (!b)
		return;
	if (b->own) {
		b->own->held = b->own->want = 0;
		b->head->changes++;
	}
	slots_close(b->slots);
	free(b->path);
	free(b);
}

int budget_join(struct budget *b, const char *name, unsigned priority, uint32_t disks,
    uint32_t chunk, struct err *e)
{
	b->slot = slots_take(b->slots, name, e);
	if (b->slot < 0)
		return err_prefix(e, "%s", b->path);
	b->own = slots_at(b->slots, (unsigned)b->slot);
	b->own->pid = (uint32_t)getpid();
	b->own->disks = (uint16_t)min64(disks, UINT16_MAX);
	b->own->priority = (uint16_t)priority;
	b->own->least = kib((uint64_t)chunk * disks);
	return 0;
}

/* ---- shares ---- */

/* What we may hold: our share of the budget, but no more than the others have
 * left.  A chunk for each disk is never more than the budget.  Locked. */
static void settle(struct budget *b)
{
	unsigned end = slots_end(b->slots), n = 0, mine = 0;
	uint64_t size = budget_size(b->head) / 1024, held = 0, least = 0;

	for (unsigned i = 0; i < end; i++) {
		struct budget_slot *s = slots_at(b->slots, i);

		if ((int)i == b->slot)
			mine = n;
		else if (!slots_alive(b->slots, i))
			continue;
		else
			held += s->held;
		least += s->least;
		b->share[n++] = (struct share){ .want = s->want,
		    .weight = max64((uint64_t)s->priority * s->disks, 1) };
	}
	size = max64(size, least);
	share_fill(b->share, n, size);
	b->own->held = (uint32_t)max64(b->own->flight,
	    min64(b->share[mine].got, size > held ? size - held : 0));
	/* Others that are over their share see it soon. */
	b->starved = b->own->held < b->own->want && b->own->held < b->share[mine].got;
}

static void news_put(struct budget_slot *s, const struct budget_news *n)
{
	s->flight = kib(n->flight);
	s->window = kib(n->window);
	s->reason = (uint8_t)n->reason;
	s->done = n->done;
	s->total = n->total;
	s->rate = kib((uint64_t)n->node->own.rate);
	s->latency = (uint32_t)min64((uint64_t)n->node->own.latency / 1000, UINT32_MAX);
	s->live = (uint16_t)min64(n->node->own.live, UINT16_MAX);
	s->refused = (uint16_t)min64(n->node->own.refused, UINT16_MAX);
	s->cap = kib((uint64_t)n->node->own.cap);
}

uint64_t budget_turn(struct budget *b, const struct budget_news *n, int64_t now)
{
	struct budget_slot *s = b->own;
	uint32_t want = kib(n->want), before = s->held;
	bool more = want > s->want && want > s->held;
	struct err e = { 0 };

	news_put(s, n);
	if (b->changes == b->head->changes && now < budget_due(b) && !more)
		return (uint64_t)s->held * 1024;
	b->looked = now;
	s->want = want;
	/* Without the lock nothing may be taken, only given back. */
	if (slots_lock(b->slots, &e) < 0) {
		s->held = min64(before, max64(s->flight, want));
		return (uint64_t)s->held * 1024;
	}
	settle(b);
	if (more || b->starved || s->held < before)
		b->head->changes++;
	b->changes = b->head->changes;
	slots_unlock(b->slots);
	return (uint64_t)s->held * 1024;
}

int64_t budget_due(const struct budget *b)
{
	return b->looked + (b->starved ? LOOK_STARVED : LOOK_EVERY);
}

/* ---- what others measured ---- */

const struct law_peer *budget_peers(struct budget *b, size_t *n)
{
	unsigned end = slots_end(b->slots);

	*n = 0;
	for (unsigned i = 0; i < end; i++) {
		const struct budget_slot *s = slots_at(b->slots, i);

		if ((int)i == b->slot || !slots_alive(b->slots, i))
			continue;
		b->peer[(*n)++] = (struct law_peer){
			.live = s->live, .rate = 1024.0 * s->rate, .latency = 1000ll * s->latency,
			.refused = s->refused, .cap = 1024.0 * s->cap,
		};
	}
	return b->peer;
}

int64_t budget_summons(struct budget *b, int64_t summons)
{
	int64_t theirs = b->head->summons;

	if (summons > theirs)
		b->head->summons = summons;
	return summons > theirs ? summons : theirs;
}

static int64_t *cell_find(struct budget *b, const char *name, struct err *e)
{
	for (unsigned i = 0; i < SLOT_CELLS; i++) {
		struct budget_cell *c = slots_cell(b->slots, i);

		if (!*c->name)
			memcpy(c->name, name, strlen(name));
		if (!strncmp(c->name, name, sizeof c->name))
			return (int64_t *)&c->next;
	}
	err_set(e, DM_ENV, "%s: no room for another shared limit (remove the file when nobody uses it)",
	    b->path);
	return NULL;
}

int64_t *budget_pace(struct budget *b, const char *name, struct err *e)
{
	int64_t *next;

	if (!*name || strlen(name) >= sizeof ((struct budget_cell *)0)->name) {
		err_set(e, DM_USAGE, "\"%s\": a shared limit has a name of 1 to 47 bytes", name);
		return NULL;
	}
	if (slots_lock(b->slots, e) < 0)
		return NULL;
	next = cell_find(b, name, e);
	slots_unlock(b->slots);
	return next;
}
