/* Look-ups ahead of those that will be made. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "repo/index.h"

#define THREADS 8		/* a disk reads about as many pages at once as one in turn */
#define STRIDE 8		/* ids that a thread takes at a time */

struct warm {
	struct index *ix;
	const struct id *v;
	size_t n;
	atomic_size_t next;
	atomic_llong spent;	/* ns, of all threads */
};

/* What fails here fails again where the answer is wanted. */
static void *look(void *arg)
{
	struct warm *w = arg;
	struct index_entry en;
	int64_t t0 = time_mono();
	size_t i;

	while ((i = atomic_fetch_add(&w->next, STRIDE)) < w->n)
		for (size_t k = i; k < min64(i + STRIDE, w->n); k++) {
			struct err ignored = { 0 };

			index_find(w->ix, &w->v[k], &en, &ignored);
		}
	atomic_fetch_add(&w->spent, time_mono() - t0);
	return NULL;
}

int64_t index_warm(struct index *ix, const struct id *v, size_t n)
{
	struct warm w = { .ix = ix, .v = v, .n = n };
	pthread_t thread[THREADS];
	size_t threads = min64(THREADS, n / STRIDE);
	size_t made = 0;

	while (made < threads && !pthread_create(&thread[made], NULL, look, &w))
		made++;
	if (!made)
		return 0;
	for (size_t i = 0; i < made; i++)
		pthread_join(thread[i], NULL);
	return atomic_load(&w.spent) / (int64_t)n;
}
