/* The slots of dm-send: filled in order, read by workers, put in order. */
#include "job/emit_impl.h"

#include <errno.h>
#include <stdlib.h>

#include "base/timefmt.h"

#define SLOTS_MAX 24u		/* chunks of the largest size: 24 MiB */
#define STAT_EVERY_NS SECOND
#define SPLICE_MIN 65536u	/* smaller chunks are cheaper copied */

static struct slot *slot_at(struct emit *m, uint64_t n)
{
	return &m->slot[n % m->nslots];
}

static void fail(struct emit *m, const struct err *e)
{
	cause_give(&m->cause, e);
	pthread_mutex_lock(&m->lock);
	pthread_cond_broadcast(&m->room);
	pthread_cond_broadcast(&m->work);
	pthread_cond_broadcast(&m->ready);
	pthread_mutex_unlock(&m->lock);
}

/* ---- workers ---- */

/* The next slot to be read, or NULL at the end.  Locked. */
static struct slot *work_take(struct emit *m)
{
	for (;;) {
		/* What needs no reading may have been put while all slept. */
		m->next = max64(m->next, m->head);
		while (m->next < m->tail && slot_at(m, m->next)->what != SLOT_CHUNK)
			m->next++;
		if (cause_set(&m->cause))
			return NULL;
		if (m->next < m->tail)
			return slot_at(m, m->next++);
		if (m->closing)
			return NULL;
		pthread_cond_wait(&m->work, &m->lock);
	}
}

static void *worker_main(void *arg)
{
	struct emit *m = arg;
	struct emit_reader r;
	struct err e = {0};
	struct slot *s;

	if (emit_reader_init(&r, m, &e) < 0)
		fail(m, &e);
	pthread_mutex_lock(&m->lock);
	while ((s = work_take(m))) {
		pthread_mutex_unlock(&m->lock);
		if (emit_read(m, &r, s, &e) < 0) {
			fail(m, &e);
			pthread_mutex_lock(&m->lock);
			break;
		}
		pthread_mutex_lock(&m->lock);
		s->ready = true;
		if (s == slot_at(m, m->head))
			pthread_cond_signal(&m->ready);
	}
	pthread_mutex_unlock(&m->lock);
	emit_reader_free(&r);
	return NULL;
}

/* ---- putter ---- */

static int put_chunk(struct emit *m, struct slot *s, struct err *e)
{
	struct chunk c = {
		.en = s->en, .codec = s->codec, .plain = s->plain,
		.stored = s->stored, .data = s->data,
	};
	int64_t from = time_mono();

	if (chunk_put(m->out, s->disk, s->epoch, &c, e) < 0)
		return -1;
	adapt_wrote(&m->adapt, time_mono() - from);
	if (s->data == s->spliced) {
		ring_sent(m->ring, s->spliced);
		s->spliced = NULL;
	}
	m->disk[s->disk].sent += s->stored;
	return 0;
}

int emit_say_stat(struct emit *m, uint32_t disk, struct err *e)
{
	struct stats s = {0};

	s.v[STAT_READ] = m->disk[disk].read;
	s.v[STAT_SENT] = m->disk[disk].sent;
	m->disk[disk].told = m->disk[disk].read;
	return stat_put(m->out, disk, &s, e);
}

/* Once a second the other side hears how much its chunks shrank, of each disk
 * that it got any of. */
static int stats_due(struct emit *m, struct err *e)
{
	int64_t now = time_mono();

	if (now - m->told < STAT_EVERY_NS)
		return 0;
	m->told = now;
	for (uint32_t i = 0; i < m->hello.ndisks; i++)
		if (m->disk[i].read != m->disk[i].told && emit_say_stat(m, i, e) < 0)
			return -1;
	return 0;
}

static int slot_put(struct emit *m, struct slot *s, struct err *e)
{
	int rc;

	if (s->what == SLOT_PASS) {
		rc = frame_pass(m->out, &s->frame, e);
		frame_drop(&s->frame);
		s->frame.seg = NULL;
		return rc;
	}
	if (s->what == SLOT_BARRIER)
		return barrier_put(m->out, s->epoch,
		    &(struct barrier){ .count = m->tally.count, .bytes = m->tally.bytes }, e);
	if (s->what == SLOT_CHUNK)
		rc = put_chunk(m, s, e);
	else
		rc = entry_frame_put(m->out, s->type, s->disk, s->epoch, &s->en, e);
	if (rc < 0)
		return -1;
	tally_add(&m->tally, s->disk, &s->en, m->hello.chunk_size);
	m->disk[s->disk].read += s->plain;
	m->done += s->plain;
	if (m->how->progress)
		progress_set(m->how->progress, m->done, 0, NULL);
	return stats_due(m, e);
}

/* The next slot to be put, or NULL at the end.  Before it waits it sends what
 * frame_put still holds.  Locked. */
static struct slot *put_take(struct emit *m, struct err *e)
{
	bool flushed = false;
	int64_t from;

	for (;;) {
		if (cause_set(&m->cause))
			return NULL;
		if (m->head < m->tail && slot_at(m, m->head)->ready)
			return slot_at(m, m->head);
		if (!flushed) {
			pthread_mutex_unlock(&m->lock);
			if (frame_flush(m->out, e) < 0)
				fail(m, e);
			pthread_mutex_lock(&m->lock);
			flushed = true;
			continue;
		}
		if (m->closing && m->head == m->tail)
			return NULL;
		/* When nothing is asked for, nobody is waited for. */
		from = m->head < m->tail ? time_mono() : 0;
		pthread_cond_wait(&m->ready, &m->lock);
		if (from)
			adapt_waited(&m->adapt, time_mono() - from);
	}
}

/* Take back what the pipe's reader has consumed.  Only the putter (or, before
 * it runs, emit_start) asks the ring, which knows no threads.  Locked. */
static void spare_fill(struct emit *m)
{
	uint8_t *p;

	while (m->ring && m->nspare < m->nslots && (p = ring_take(m->ring)))
		m->spare[m->nspare++] = p;
}

static void *putter_main(void *arg)
{
	struct emit *m = arg;
	struct err e = {0};
	struct slot *s;

	pthread_mutex_lock(&m->lock);
	while ((s = put_take(m, &e))) {
		pthread_mutex_unlock(&m->lock);
		if (slot_put(m, s, &e) < 0)
			fail(m, &e);
		pthread_mutex_lock(&m->lock);
		if (s->spliced)
			m->spare[m->nspare++] = s->spliced;
		s->spliced = NULL;
		spare_fill(m);
		s->ready = false;
		m->head++;
		pthread_cond_signal(&m->room);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* ---- asking ---- */

/* Does this entry's content go by the ring?  Only whole chunks do: a buffer
 * comes back after a pipe's worth of others. */
static bool spliceable(const struct emit *m, const struct entry *en)
{
	return m->ring && !(en->flags & EF_FRAGS) && en->len == m->hello.chunk_size;
}

/* The next free slot, locked when it is not NULL; NULL: something failed. */
static struct slot *ask_begin(struct emit *m, bool splice)
{
	struct slot *s;

	pthread_mutex_lock(&m->lock);
	for (;;) {
		if (cause_set(&m->cause)) {
			pthread_mutex_unlock(&m->lock);
			return NULL;
		}
		if (m->tail - m->head < m->nslots && (!splice || m->nspare))
			break;
		pthread_cond_wait(&m->room, &m->lock);
	}
	s = slot_at(m, m->tail);
	s->spliced = splice ? m->spare[--m->nspare] : NULL;
	s->plain = 0;
	return s;
}

static int ask_end(struct emit *m, struct slot *s)
{
	s->ready = s->what != SLOT_CHUNK;
	m->tail++;
	pthread_cond_signal(s->ready ? &m->ready : &m->work);
	pthread_mutex_unlock(&m->lock);
	return 0;
}

int emit_ask_chunk(struct emit *m, uint32_t disk, uint32_t epoch, const struct entry *en)
{
	struct slot *s = ask_begin(m, spliceable(m, en));

	if (!s)
		return -1;
	s->what = SLOT_CHUNK;
	s->disk = disk;
	s->epoch = epoch;
	s->en = *en;
	return ask_end(m, s);
}

int emit_ask_entry(struct emit *m, uint8_t type, uint32_t disk, uint32_t epoch, const struct entry *en)
{
	struct slot *s = ask_begin(m, false);

	if (!s)
		return -1;
	s->what = SLOT_ENTRY;
	s->type = type;
	s->disk = disk;
	s->epoch = epoch;
	s->en = *en;
	return ask_end(m, s);
}

int emit_ask_pass(struct emit *m, struct frame *f)
{
	struct slot *s = ask_begin(m, false);

	if (!s)
		return -1;
	frame_keep(f);
	s->what = SLOT_PASS;
	s->frame = *f;
	return ask_end(m, s);
}

int emit_ask_barrier(struct emit *m, uint32_t epoch)
{
	struct slot *s = ask_begin(m, false);

	if (!s)
		return -1;
	s->what = SLOT_BARRIER;
	s->epoch = epoch;
	return ask_end(m, s);
}

/* ---- life ---- */

static int slots_new(struct emit *m, struct err *e)
{
	uint32_t chunk = m->hello.chunk_size;

	/* A far source wants many: each thread has one then, and a slow one does
	 * not stop the others at once. */
	m->nslots = min64(2 * (uint64_t)m->threads + 2, max64(SLOTS_MAX, m->threads + m->threads / 2));
	/* Small chunks: enough of them to keep everyone busy. */
	m->nslots *= max64(1, SPLICE_MIN / chunk);
	m->slot = x_array(m->nslots, sizeof(*m->slot));
	m->spare = x_array(2 * m->nslots, sizeof(*m->spare));
	for (size_t i = 0; i < m->nslots; i++) {
		m->slot[i].own = x_pages(codec_bound(chunk), e);
		if (!m->slot[i].own)
			return -1;
	}
	if (m->how->form == EMIT_ZSTD || chunk < SPLICE_MIN)
		return 0;
	m->ring = ring_new(m->out, chunk, (unsigned)m->nslots, e);
	if (!m->ring)
		return -1;
	spare_fill(m);
	return 0;
}

static void slots_free(struct emit *m)
{
	for (size_t i = 0; m->slot && i < m->nslots; i++) {
		if (m->slot[i].what == SLOT_PASS && m->slot[i].frame.seg)
			frame_drop(&m->slot[i].frame);
		free(m->slot[i].own);
	}
	free(m->slot);
	free(m->spare);
	free(m->worker);
	ring_free(m->ring);
}

int emit_start(struct emit *m, struct err *e)
{
	int rc;

	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->room, NULL);
	pthread_cond_init(&m->work, NULL);
	pthread_cond_init(&m->ready, NULL);
	tally_init(&m->tally, &m->hello);
	m->told = time_mono();
	adapt_init(&m->adapt);
	m->worker = x_array(m->threads, sizeof(*m->worker));
	if (slots_new(m, e) < 0)
		return -1;
	rc = pthread_create(&m->putter, NULL, putter_main, m);
	if (rc)
		return err_sys(e, DM_ENV, rc, "thread");
	m->putter_runs = true;
	for (; m->nworkers < m->threads; m->nworkers++) {
		rc = pthread_create(&m->worker[m->nworkers], NULL, worker_main, m);
		if (rc)
			return err_sys(e, DM_ENV, rc, "thread");
	}
	return 0;
}

int emit_stop(struct emit *m, bool whole, struct err *e)
{
	struct err stop = { .code = DM_ENV, .text = "stopped" };

	if (!whole)
		fail(m, e->code ? e : &stop);
	pthread_mutex_lock(&m->lock);
	m->closing = true;
	pthread_cond_broadcast(&m->work);
	pthread_cond_broadcast(&m->ready);
	pthread_mutex_unlock(&m->lock);
	for (unsigned i = 0; i < m->nworkers; i++)
		pthread_join(m->worker[i], NULL);
	if (m->putter_runs)
		pthread_join(m->putter, NULL);
	slots_free(m);
	pthread_cond_destroy(&m->room);
	pthread_cond_destroy(&m->work);
	pthread_cond_destroy(&m->ready);
	pthread_mutex_destroy(&m->lock);
	return cause_take(&m->cause, e);
}
