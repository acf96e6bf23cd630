#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/bytes.h"
#include "base/pool.h"
#include "base/timefmt.h"
#include "job/lane.h"

#define CREW_DEPTH 4096

struct lane_crew {
	struct pool *pool;
	unsigned threads;
};

struct lane {
	struct lane_crew *crew;
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct lane_job *head, *tail;	/* the giver's and taker's thread only */
	size_t n;
};

static void run_job(void *p, void *arg)
{
	struct lane_job *job = p;
	struct lane *l = job->lane;

	(void)arg;
	job->run(job);
	pthread_mutex_lock(&l->lock);
	job->done = true;
	pthread_cond_signal(&l->done);
	pthread_mutex_unlock(&l->lock);
}

struct lane_crew *lane_crew_new(unsigned threads, struct err *e)
{
	struct lane_crew *c = x_alloc(sizeof(*c));

	c->threads = threads;
	c->pool = pool_new(threads, CREW_DEPTH, run_job, NULL, e);
	if (c->pool)
		return c;
	free(c);
	return NULL;
}

void lane_crew_free(struct lane_crew *c)
{
	if (!c)
		return;
	pool_free(c->pool);
	free(c);
}

unsigned lane_crew_size(const struct lane_crew *c)
{
	return c->threads;
}

struct lane *lane_new(struct lane_crew *c)
{
	struct lane *l = x_alloc(sizeof(*l));
	pthread_condattr_t attr;

	l->crew = c;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->done, &attr);
	pthread_condattr_destroy(&attr);
	return l;
}

void lane_free(struct lane *l, void (*drop)(struct lane_job *job))
{
	struct lane_job *job;

	if (!l)
		return;
	while ((job = lane_take(l, -1)))
		drop(job);
	pthread_cond_destroy(&l->done);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

void lane_give(struct lane *l, struct lane_job *job)
{
	job->lane = l;
	job->next = NULL;
	job->done = false;
	if (l->tail)
		l->tail->next = job;
	else
		l->head = job;
	l->tail = job;
	l->n++;
	pool_give(l->crew->pool, job);
}

size_t lane_waiting(const struct lane *l)
{
	return l->n;
}

static struct timespec in_ms(int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= SECOND) {
		t.tv_sec++;
		t.tv_nsec -= SECOND;
	}
	return t;
}

struct lane_job *lane_take(struct lane *l, int ms)
{
	struct lane_job *job = l->head;
	struct timespec until;
	int r = 0;
	bool done;

	if (!job)
		return NULL;
	if (ms > 0)
		until = in_ms(ms);
	pthread_mutex_lock(&l->lock);
	while (!job->done && r == 0 && ms != 0)
		r = ms < 0 ? pthread_cond_wait(&l->done, &l->lock) :
		    pthread_cond_timedwait(&l->done, &l->lock, &until);
	done = job->done;
	pthread_mutex_unlock(&l->lock);
	if (!done)
		return NULL;
	l->head = job->next;
	if (!l->head)
		l->tail = NULL;
	l->n--;
	return job;
}
