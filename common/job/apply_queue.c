/* The queue of dm-write, its workers, and the flusher of barriers. */
#include "job/apply_impl.h"

#include <stdlib.h>

/* Locked. */
static void wake_all(struct apply *a)
{
	pthread_cond_broadcast(&a->room);
	pthread_cond_broadcast(&a->work);
	pthread_cond_broadcast(&a->idle);
}

static void fail(struct apply *a, const struct err *e)
{
	cause_give(a->cause, e);
	pthread_mutex_lock(&a->lock);
	wake_all(a);
	pthread_mutex_unlock(&a->lock);
}

/* ---- giving ---- */

/* Is there room for another job?  Locked. */
static bool has_room(const struct apply *a)
{
	return a->free && a->queued <= APPLY_BYTES(a->threads) &&
	    (a->closed == a->flushed || a->ahead < APPLY_AHEAD);
}

struct apply_job *apply_job_new(struct apply *a, struct err *e)
{
	struct apply_job *j = NULL;

	pthread_mutex_lock(&a->lock);
	while (!cause_set(a->cause) && !has_room(a))
		pthread_cond_wait(&a->room, &a->lock);
	if (!cause_set(a->cause)) {
		j = a->free;
		a->free = j->next;
		j->next = NULL;
		j->frame.seg = NULL;
	}
	pthread_mutex_unlock(&a->lock);
	if (!j)
		cause_take(a->cause, e);
	return j;
}

/* Locked. */
static void job_free(struct apply *a, struct apply_job *j)
{
	j->next = a->free;
	a->free = j;
	pthread_cond_signal(&a->room);
}

void apply_job_drop(struct apply *a, struct apply_job *j)
{
	pthread_mutex_lock(&a->lock);
	job_free(a, j);
	pthread_mutex_unlock(&a->lock);
}

static uint64_t job_bytes(const struct apply_job *j)
{
	return j->type == FT_CHUNK ? j->frame.len : 0;
}

void apply_job_give(struct apply *a, struct apply_job *j)
{
	pthread_mutex_lock(&a->lock);
	a->queued += job_bytes(j);
	a->ahead += job_bytes(j);
	a->left[j->epoch % APPLY_EPOCHS]++;
	acks_owe(a->acks, 1);
	if (j->epoch > a->given)
		a->given = j->epoch;
	if (a->last)
		a->last->next = j;
	else
		a->first = j;
	a->last = j;
	pthread_cond_signal(&a->work);
	pthread_mutex_unlock(&a->lock);
}

int apply_barrier(struct apply *a, uint32_t epoch, struct err *e)
{
	pthread_mutex_lock(&a->lock);
	while (!cause_set(a->cause) && a->closed - a->flushed >= APPLY_FLUSHES)
		pthread_cond_wait(&a->room, &a->lock);
	acks_owe(a->acks, (int)(epoch - a->closed));
	a->closed = epoch;
	a->ahead = 0;
	pthread_cond_broadcast(&a->idle);
	pthread_mutex_unlock(&a->lock);
	return cause_take(a->cause, e);
}

/* ---- workers ---- */

/* The next job, or NULL at the end.  Locked. */
static struct apply_job *job_take(struct apply *a)
{
	struct apply_job *j;

	while (!cause_set(a->cause)) {
		j = a->first;
		if (j) {
			a->first = j->next;
			if (!j->next)
				a->last = NULL;
			return j;
		}
		if (a->closing)
			return NULL;
		pthread_cond_wait(&a->work, &a->lock);
	}
	return NULL;
}

/* Locked. */
static void job_done(struct apply *a, struct apply_job *j, bool written)
{
	uint32_t k = j->epoch % APPLY_EPOCHS;

	a->queued -= job_bytes(j);
	if (written)
		a->counted[k] += entry_count(&j->c.en, a->hello.chunk_size);
	acks_owe(a->acks, -1);
	if (!--a->left[k])
		pthread_cond_broadcast(&a->idle);
	apply_doing(NULL);
	job_free(a, j);
}

static void *worker_main(void *arg)
{
	struct apply *a = arg;
	struct apply_worker w;
	struct apply_job *j;
	struct err e = {0};
	int rc;

	if (apply_worker_init(&w, a, &e) < 0)
		fail(a, &e);
	pthread_mutex_lock(&a->lock);
	while ((j = job_take(a))) {
		pthread_mutex_unlock(&a->lock);
		rc = apply_do(a, &w, j, &e);
		if (rc < 0)
			fail(a, &e);
		if (j->frame.seg)
			frame_drop(&j->frame);
		pthread_mutex_lock(&a->lock);
		job_done(a, j, rc == 0);
	}
	/* The cause may be somebody else's, who did not wake those that wait for
	 * what is not done now. */
	wake_all(a);
	pthread_mutex_unlock(&a->lock);
	apply_worker_free(&w);
	return NULL;
}

/* ---- flusher ---- */

/* The newest epoch that can be flushed now: its barrier came and nothing of
 * it or before it is under way; 0: none.  Locked. */
static uint32_t flush_ready(const struct apply *a)
{
	uint32_t upto = a->flushed;

	while (upto < a->closed && !a->left[(upto + 1) % APPLY_EPOCHS])
		upto++;
	return upto > a->flushed ? upto : 0;
}

/* Say that epochs from flushed + 1 to `upto' are durable. */
static int say_durable(struct apply *a, uint32_t upto, struct err *e)
{
	struct frame_out *o = acks_begin(a->acks);
	uint64_t count = a->durable_count;
	int rc = 0;

	for (uint32_t i = a->flushed + 1; o && rc == 0 && i <= upto; i++) {
		count += a->counted[i % APPLY_EPOCHS];
		rc = durable_put(o, i, count, e);
	}
	if (o)
		acks_end(a->acks);
	return rc;
}

static void flush_done(struct apply *a, uint32_t upto)
{
	for (uint32_t i = a->flushed + 1; i <= upto; i++) {
		a->durable_count += a->counted[i % APPLY_EPOCHS];
		a->counted[i % APPLY_EPOCHS] = 0;
		acks_owe(a->acks, -1);
	}
	a->flushed = upto;
	pthread_cond_broadcast(&a->room);
}

static int flush_group(struct apply *a, uint32_t epoch, struct err *e)
{
	/* Their ids are kept when they are durable, and no others. */
	if (a->ids && idtree_cut(a->ids, e) < 0)
		return -1;
	if (volume_group_flush(a->group, epoch) < 0)
		return volume_group_error(a->group, e);
	return a->ids ? idtree_keep(a->ids, epoch, e) : 0;
}

static void *flusher_main(void *arg)
{
	struct apply *a = arg;
	struct err e = {0};
	uint32_t upto;

	pthread_mutex_lock(&a->lock);
	while (!cause_set(a->cause)) {
		upto = flush_ready(a);
		if (!upto && a->closing && a->flushed == a->closed)
			break;
		if (!upto) {
			pthread_cond_wait(&a->idle, &a->lock);
			continue;
		}
		pthread_mutex_unlock(&a->lock);
		if (flush_group(a, upto, &e) < 0 || say_durable(a, upto, &e) < 0)
			fail(a, &e);
		pthread_mutex_lock(&a->lock);
		flush_done(a, upto);
	}
	wake_all(a);
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* ---- life ---- */

static int thread_new(pthread_t *t, void *(*run)(void *), struct apply *a, struct err *e)
{
	int rc = pthread_create(t, NULL, run, a);

	return rc ? err_sys(e, DM_ENV, rc, "thread") : 0;
}

int apply_start(struct apply *a, struct err *e)
{
	pthread_mutex_init(&a->lock, NULL);
	pthread_mutex_init(&a->done_lock, NULL);
	pthread_cond_init(&a->room, NULL);
	pthread_cond_init(&a->work, NULL);
	pthread_cond_init(&a->idle, NULL);
	tally_init(&a->written, &a->hello);
	a->jobs = x_array(APPLY_JOBS, sizeof(*a->jobs));
	for (unsigned i = 0; i < APPLY_JOBS; i++) {
		a->jobs[i].next = a->free;
		a->free = &a->jobs[i];
	}
	a->worker = x_array(a->threads, sizeof(*a->worker));
	if (thread_new(&a->flusher, flusher_main, a, e) < 0)
		return -1;
	a->flusher_runs = true;
	for (; a->nworkers < a->threads; a->nworkers++)
		if (thread_new(&a->worker[a->nworkers], worker_main, a, e) < 0)
			return -1;
	return 0;
}

/* Jobs nobody took keep their payload. */
static void jobs_free(struct apply *a)
{
	for (struct apply_job *j = a->first; j; j = j->next)
		if (j->frame.seg)
			frame_drop(&j->frame);
	free(a->jobs);
}

int apply_stop(struct apply *a, bool whole, struct err *e)
{
	struct err stop = { .code = DM_ENV, .text = "stopped" };

	if (!whole)
		fail(a, e->code ? e : &stop);
	pthread_mutex_lock(&a->lock);
	a->closing = true;
	pthread_cond_broadcast(&a->work);
	pthread_cond_broadcast(&a->idle);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->nworkers; i++)
		pthread_join(a->worker[i], NULL);
	if (a->flusher_runs)
		pthread_join(a->flusher, NULL);
	jobs_free(a);
	free(a->worker);
	pthread_cond_destroy(&a->room);
	pthread_cond_destroy(&a->work);
	pthread_cond_destroy(&a->idle);
	pthread_mutex_destroy(&a->done_lock);
	pthread_mutex_destroy(&a->lock);
	return cause_take(a->cause, e);
}
