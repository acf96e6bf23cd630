#include <stdlib.h>

#include "job/disk_queue.h"
#include "job/schedule.h"
#include "job/share.h"

#define LOOKAHEAD MIB(4)	/* descriptors at hand, per disk */
#define LOOKAHEAD_ALL MIB(32)
#define COST_MIN KIB(4)		/* of an entry, towards a window or a barrier */
#define FREE_MAX 4096		/* entries in flight that need no data, per disk */
#define TURN MIB(4)		/* of one disk before the next has its turn */
#define GRANT_EVERY 50000000ll	/* how often disks divide a credit anew */

struct lane {			/* one disk */
	struct disk_queue *queue;
	uint64_t free;		/* entries without data in flight */
	struct request_list again;	/* REFs to be sent as data */
};

struct schedule {
	const struct hello *h;
	struct schedule_options o;
	struct spill_file *file;
	struct lane *lane;
	struct window_law *law;	/* by disk */
	struct law_node node;
	struct share *share;	/* by disk, room for dividing the credit */
	uint64_t credit, used;	/* bytes in flight: allowed, and are */
	int64_t paced;		/* a limit holds requests back until then; 0 none */
	int64_t granted;	/* when it was divided; 0: do it now */
	struct requests *flight;
	struct entry out;	/* what the last issue points to */
	uint32_t turn, epoch;
	uint64_t turn_cost;
	struct barrier asked;	/* since the start */
	uint64_t since;		/* cost since the last barrier */
	uint64_t unwritten;	/* entries before that barrier that are not written */
	uint32_t durable;	/* barriers up to this one are */
	bool pending;		/* something went out since the last barrier */
	bool closed;
};

struct schedule *schedule_new(const struct hello *h, const struct schedule_options *o, int64_t now)
{
	struct schedule *s = x_alloc(sizeof *s);
	size_t memory = min64(LOOKAHEAD, LOOKAHEAD_ALL / h->ndisks);

	s->h = h;
	s->o = *o;
	s->epoch = 1;
	s->pending = true;	/* even an empty iteration has one barrier */
	s->file = spill_file_new();
	s->flight = requests_new();
	s->lane = x_array(h->ndisks, sizeof *s->lane);
	s->law = x_array(h->ndisks, sizeof *s->law);
	s->share = x_array(h->ndisks, sizeof *s->share);
	s->credit = UINT64_MAX;
	s->o.window.chunk = h->chunk_size;
	for (uint32_t d = 0; d < h->ndisks; d++) {
		s->lane[d].queue = disk_queue_new(s->file, memory, h, d);
		law_init(&s->law[d], &s->o.window);
	}
	law_node_init(&s->node, now);
	return s;
}

void schedule_free(struct schedule *s)
{
	if (!s)
		return;
	for (uint32_t d = 0; d < s->h->ndisks; d++)
		disk_queue_free(s->lane[d].queue);
	free(s->lane);
	free(s->law);
	free(s->share);
	requests_free(s->flight);
	spill_file_free(s->file);
	free(s);
}

int schedule_put(struct schedule *s, uint32_t disk, const struct entry *en, struct err *e)
{
	return disk_queue_put(s->lane[disk].queue, en, e);
}

void schedule_close(struct schedule *s)
{
	s->closed = true;
}

static uint64_t cost_of(const struct entry *en)
{
	return max64(entry_bytes(en), COST_MIN);
}

static bool lane_empty(const struct lane *l)
{
	return !l->again.first && disk_queue_empty(l->queue);
}

/* Divide the credit among the disks that have something to ask for. */
static void credit_divide(struct schedule *s, int64_t now)
{
	for (uint32_t d = 0; d < s->h->ndisks; d++) {
		const struct window_law *w = &s->law[d];

		s->share[d].weight = 1;
		s->share[d].want = lane_empty(&s->lane[d]) ? w->flight : max64(w->window, w->flight);
	}
	share_fill(s->share, s->h->ndisks, s->credit);
	for (uint32_t d = 0; d < s->h->ndisks; d++)
		s->law[d].grant = max64(s->share[d].got, s->law[d].b.chunk);
	s->granted = now;
}

/* One chunk of a disk may always be in flight, if not for the credit. */
static bool has_credit(struct schedule *s, uint32_t disk, uint8_t type, uint64_t cost, int64_t now)
{
	const struct window_law *w = &s->law[disk];

	if (!s->o.acked)
		return true;
	if (type != FT_DESC)
		return s->lane[disk].free < FREE_MAX;
	if (s->credit == UINT64_MAX)
		return !w->flight || w->flight + cost <= w->window;
	if (!s->granted || now - s->granted > GRANT_EVERY)
		credit_divide(s, now);
	return s->used + cost <= s->credit &&
	    (!w->flight || w->flight + cost <= min64(w->window, w->grant));
}

/* A rate limit comes last: what it lets go goes. */
static bool may_go(struct schedule *s, uint32_t disk, uint8_t type, uint64_t cost, int64_t now)
{
	if (!has_credit(s, disk, type, cost, now))
		return false;
	if (type != FT_DESC || !s->o.pace)
		return true;
	s->paced = s->o.pace(s->o.arg, cost, now);
	return !s->paced;
}

static int issue_entry(struct schedule *s, uint32_t disk, uint8_t type, bool again,
    struct issue *out, int64_t now, struct err *e)
{
	uint64_t cost = cost_of(&s->out);
	struct request *r;

	if (s->o.acked) {
		r = requests_add(s->flight, type, disk, s->epoch, &s->out, s->h->chunk_size, e);
		if (!r)
			return -1;
		if (type == FT_DESC) {
			r->cost = cost;
			r->due = now;	/* when it was asked for */
			s->used += cost;
			law_issue(&s->law[disk], &s->node, cost, now);
			if (lane_empty(&s->lane[disk]))
				s->granted = 0;	/* the others may have its part */
		} else {
			s->lane[disk].free++;
		}
	}
	if (!again) {
		s->asked.count += entry_count(&s->out, s->h->chunk_size);
		s->asked.bytes += entry_bytes(&s->out);
	}
	s->since += type == FT_DESC ? cost : COST_MIN;
	s->turn_cost += type == FT_DESC ? cost : COST_MIN;
	s->pending = true;
	*out = (struct issue){ .type = type, .again = again, .disk = disk, .epoch = s->epoch,
	    .en = &s->out };
	return 1;
}

/* The next of this disk, when there is one and its window allows. */
static int lane_next(struct schedule *s, uint32_t disk, struct issue *out, int64_t now,
    struct err *e)
{
	struct lane *l = &s->lane[disk];
	struct request *r = l->again.first;
	const struct entry *one;
	uint8_t type;
	int n;

	if (r) {
		if (request_entry(r, s->h, &s->out, e) < 0)
			return -1;
		if (!may_go(s, disk, FT_DESC, cost_of(&s->out), now))
			return 0;
		request_unlink(&l->again, r);
		requests_remove(s->flight, r);
		return issue_entry(s, disk, FT_DESC, true, out, now, e);
	}
	n = disk_queue_first(l->queue, s->o.classify, s->o.arg, &one, &type, e);
	if (n <= 0)
		return n;
	if (!may_go(s, disk, type, cost_of(one), now))
		return 0;
	s->out = *one;
	disk_queue_take(l->queue);
	return issue_entry(s, disk, type, false, out, now, e);
}

static bool all_empty(const struct schedule *s)
{
	for (uint32_t d = 0; d < s->h->ndisks; d++)
		if (!lane_empty(&s->lane[d]))
			return false;
	return true;
}

static int issue_barrier(struct schedule *s, struct issue *out)
{
	*out = (struct issue){ .type = FT_BARRIER, .epoch = s->epoch, .barrier = s->asked };
	s->epoch++;
	s->since = 0;
	s->unwritten = requests_n(s->flight);
	s->pending = false;
	return 1;
}

static void turn_pass(struct schedule *s)
{
	s->turn = (s->turn + 1) % s->h->ndisks;
	s->turn_cost = 0;
}

int schedule_next(struct schedule *s, struct issue *out, int64_t now, struct err *e)
{
	int r;

	if (s->since >= s->o.interval)
		return issue_barrier(s, out);
	s->paced = 0;
	for (uint32_t i = 0; i <= s->h->ndisks && !s->paced; i++) {
		if (s->turn_cost >= TURN)
			turn_pass(s);
		r = lane_next(s, s->turn, out, now, e);
		if (r)
			return r;
		if (s->paced)	/* the turn is kept for when it may go */
			break;
		turn_pass(s);
	}
	if (s->closed && s->pending && all_empty(s))
		return issue_barrier(s, out);
	return 0;
}

/* Does the target make something durable just now?  What came before the last
 * barrier is written, but the barrier's own word has not come. */
static bool flushing(const struct schedule *s)
{
	return s->epoch > s->durable + 1 && !s->unwritten;
}

int schedule_written(struct schedule *s, uint32_t disk, const struct entry *en, int64_t now,
    struct err *e)
{
	struct request *r = requests_find(s->flight, en->index);
	struct lane *l = &s->lane[disk];

	if (!r)
		return err_set(e, DM_BAD, "entry %llu is acknowledged, but is not in flight",
		    (unsigned long long)en->index);
	if (!request_matches(r, disk, en))
		return err_set(e, DM_BAD, "entry %llu is acknowledged as another than was asked for",
		    (unsigned long long)en->index);
	if (r->attempt)		/* a REF refused before: it cannot have been written */
		return err_set(e, DM_BAD, "entry %llu is refused and acknowledged",
		    (unsigned long long)en->index);
	if (r->epoch < s->epoch && s->unwritten)
		s->unwritten--;
	if (r->type == FT_DESC) {
		s->used -= r->cost;
		law_ack(&s->law[disk], &s->node, r->cost, r->due, flushing(s), now);
	} else {
		l->free--;
	}
	requests_remove(s->flight, r);
	return 0;
}

int schedule_nak(struct schedule *s, uint32_t disk, const struct nak *n, int64_t now,
    struct err *e)
{
	struct lane *l = &s->lane[disk];
	struct request *r;

	if (!n->again) {
		law_nak(&s->law[disk], &s->node, n->cls, n->retry_ms, now);
		return 0;
	}
	r = requests_find(s->flight, n->index);
	if (!r || r->disk != disk || r->type != FT_REF || r->attempt)
		return err_set(e, DM_BAD, "entry %llu is refused as a reference, but is none in flight",
		    (unsigned long long)n->index);
	r->attempt = 1;
	l->free--;
	request_append(&l->again, r);
	return 0;
}

void schedule_durable(struct schedule *s, uint32_t epoch)
{
	if (epoch > s->durable)
		s->durable = epoch;
}

bool schedule_turn(struct schedule *s, const struct law_peer *peer, size_t npeers, int64_t now)
{
	if (!law_turn(&s->node, s->law, s->h->ndisks, peer, npeers, now))
		return false;
	s->granted = 0;
	return true;
}

int64_t schedule_due(const struct schedule *s)
{
	int64_t due = law_due(&s->node);

	return s->paced && s->paced < due ? s->paced : due;
}

bool schedule_paced(const struct schedule *s)
{
	return s->paced;
}

void schedule_credit(struct schedule *s, uint64_t bytes)
{
	if (bytes != s->credit)
		s->granted = 0;
	s->credit = bytes;
}

uint64_t schedule_want(const struct schedule *s)
{
	uint64_t want = 0;

	for (uint32_t d = 0; d < s->h->ndisks; d++)
		want += lane_empty(&s->lane[d]) ? s->law[d].flight :
		    max64(s->law[d].window, s->law[d].flight);
	return want;
}

uint64_t schedule_flight_bytes(const struct schedule *s)
{
	return s->used;
}

const struct window_law *schedule_law(const struct schedule *s, uint32_t disk)
{
	return &s->law[disk];
}

struct law_node *schedule_node(struct schedule *s)
{
	return &s->node;
}

bool schedule_done(const struct schedule *s)
{
	return s->closed && !s->pending && !requests_n(s->flight) && all_empty(s);
}

uint64_t schedule_flight(const struct schedule *s)
{
	return requests_n(s->flight);
}

uint32_t schedule_epoch(const struct schedule *s)
{
	return s->epoch;
}
