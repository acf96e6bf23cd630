#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/pool.h"

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work, room, idle;
	void (*run)(void *job, void *arg);
	void *arg;
	void **ring;			/* depth slots */
	size_t depth, head, waiting, running;
	bool closing;
	pthread_t *thread;
	unsigned threads;
};

static void *worker(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		void *job;

		while (!p->waiting && !p->closing)
			pthread_cond_wait(&p->work, &p->lock);
		if (!p->waiting)
			break;
		job = p->ring[p->head];
		p->head = (p->head + 1) % p->depth;
		p->waiting--;
		p->running++;
		pthread_cond_signal(&p->room);
		pthread_mutex_unlock(&p->lock);
		p->run(job, p->arg);
		pthread_mutex_lock(&p->lock);
		p->running--;
		if (!p->waiting && !p->running)
			pthread_cond_broadcast(&p->idle);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_new(unsigned threads, size_t depth,
    void (*run)(void *job, void *arg), void *arg, struct err *e)
{
	struct pool *p = x_alloc(sizeof *p);
	int r = 0;

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->room, NULL);
	pthread_cond_init(&p->idle, NULL);
	p->run = run;
	p->arg = arg;
	p->depth = depth ? depth : 1;
	p->ring = x_array(p->depth, sizeof *p->ring);
	p->thread = x_array(threads, sizeof *p->thread);
	for (; p->threads < threads; p->threads++) {
		r = pthread_create(&p->thread[p->threads], NULL, worker, p);
		if (r)
			break;
	}
	if (r) {
		err_sys(e, DM_ENV, r, "thread");
		pool_free(p);
		return NULL;
	}
	return p;
}

void pool_give(struct pool *p, void *job)
{
	pthread_mutex_lock(&p->lock);
	while (p->waiting == p->depth)
		pthread_cond_wait(&p->room, &p->lock);
	p->ring[(p->head + p->waiting++) % p->depth] = job;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
}

void pool_drain(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	while (p->waiting || p->running)
		pthread_cond_wait(&p->idle, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->idle);
	pthread_cond_destroy(&p->room);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->lock);
	free(p->thread);
	free(p->ring);
	free(p);
}

unsigned pool_cpus(void)
{
	cpu_set_t set;
	int n = 0;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}
