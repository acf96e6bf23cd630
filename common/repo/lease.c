#include "repo/lease_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"

#define BEATS 6u		/* in the time a lease lasts */

struct lease {
	struct lease *next;
	struct site *site;
	char *name, *text;
	int64_t last;		/* the last beat that came through began then */
	bool lapsed, busy;	/* busy: the thread writes it */
	bool let_go;		/* its descriptor was closed */
	int watch;		/* reading end of a pipe, or -1 */
};
/* Of one site. */
struct leases {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	pthread_t thread;
	int wake;
	bool stop;
	struct lease *list;
};

/* Goes on while the machine sleeps. */
static int64_t now_boot(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

bool lease_fresh(const struct site *s, int64_t modified, int64_t now)
{
	/* Both times are cut to seconds, and may be of two of the store's machines. */
	return now - modified <= (int64_t)(s->lease_s + s->lease_s / 4 + 2) * SECOND;
}

static bool due(const struct lease *l, int64_t now)
{
	return now - l->last >= (int64_t)l->site->lease_s * SECOND / BEATS;
}

/* --- one ------------------------------------------------------------------- */

static int beat(struct lease *l, struct err *e)
{
	struct object_put q = { .name = l->name, .p = l->text, .len = strlen(l->text), .still = lease_still, .arg = l,
		.total_s = l->site->lease_s };
	int64_t began = now_boot();

	if (object_put(l->site->objects, &q, e))
		return -1;
	__atomic_store_n(&l->last, began, __ATOMIC_RELEASE);
	return 0;
}

int lease_still(void *arg, struct err *e)
{
	struct lease *l = arg;
	int64_t age;

	if (!l)
		return 0;
	age = now_boot() - __atomic_load_n(&l->last, __ATOMIC_ACQUIRE);
	if (age >= (int64_t)l->site->lease_s * SECOND)
		__atomic_store_n(&l->lapsed, true, __ATOMIC_RELEASE);
	if (!__atomic_load_n(&l->lapsed, __ATOMIC_ACQUIRE))
		return 0;
	return err_set(e, DM_ENV, "the lease %s lapsed: the store was out of reach, or this machine stood still, "
	    "for more than %u s", l->name, l->site->lease_s);
}

/* Tries for a few seconds: what stays behind lapses. */
static int still_trying(void *until, struct err *e)
{
	return now_boot() < *(int64_t *)until ? 0 : err_set(e, DM_ENV, "the store is out of reach");
}

static void lease_destroy(struct lease *l, bool remove)
{
	int64_t until = now_boot() + 5 * SECOND;
	struct err ignored = { 0 };

	if (remove)
		object_remove_while(l->site->objects, l->name, still_trying, &until, &ignored);
	fd_close(l->watch);
	free(l->name);
	free(l->text);
	free(l);
}

void lease_drop(struct lease *l)
{
	lease_destroy(l, false);
}

const char *lease_object(const struct lease *l)
{
	return l->name;
}

struct site *lease_site(const struct lease *l)
{
	return l->site;
}

/* --- the thread -------------------------------------------------------------- */

/* One that waits for its beat, or to be let go; it is busy then.  With the lock
 * held. */
static struct lease *next_due(struct leases *all, int64_t now)
{
	for (struct lease *l = all->list; l; l = l->next)
		if (!l->busy && (l->let_go || !__atomic_load_n(&l->lapsed, __ATOMIC_ACQUIRE)) && (l->let_go || due(l, now))) {
			l->busy = true;
			return l;
		}
	return NULL;
}

static void take_out(struct leases *all, struct lease *l)
{
	struct lease **p = &all->list;

	while (*p && *p != l)
		p = &(*p)->next;
	if (*p)
		*p = l->next;
}

static void beat_all(struct leases *all)
{
	struct lease *l;

	pthread_mutex_lock(&all->lock);
	while (!all->stop && (l = next_due(all, now_boot()))) {
		struct err ignored = { 0 };
		bool gone = l->let_go;

		if (gone)
			take_out(all, l);
		pthread_mutex_unlock(&all->lock);
		/* A beat that fails is made up for by the next, or it lapses. */
		if (gone)
			lease_destroy(l, true);
		else if (beat(l, &ignored))
			lease_still(l, &ignored);
		pthread_mutex_lock(&all->lock);
		if (!gone)
			l->busy = false;
		pthread_cond_broadcast(&all->idle);
	}
	pthread_mutex_unlock(&all->lock);
}

/* Descriptors to look at: the wake-up first, then those of leases; the
 * caller's. */
static struct pollfd *watched(struct leases *all, size_t *n)
{
	struct pollfd *v;
	size_t k = 1;

	for (struct lease *l = all->list; l; l = l->next)
		k++;
	v = x_array(k, sizeof *v);
	v[0] = (struct pollfd){ .fd = all->wake, .events = POLLIN };
	*n = 1;
	for (struct lease *l = all->list; l; l = l->next)
		if (l->watch != -1 && !l->let_go)
			v[(*n)++] = (struct pollfd){ .fd = l->watch };
	return v;
}

static void mark_let_go(struct leases *all, const struct pollfd *v, size_t n)
{
	for (struct lease *l = all->list; l; l = l->next)
		for (size_t i = 1; l->watch != -1 && i < n; i++)
			if (v[i].fd == l->watch && v[i].revents)
				l->let_go = true;
}

static void *run(void *arg)
{
	struct site *s = arg;
	struct leases *all = s->leases;
	int wait = (int)(s->lease_s * 1000 / BEATS / 2);
	uint64_t word;

	pthread_mutex_lock(&all->lock);
	while (!all->stop) {
		size_t n;
		struct pollfd *v = watched(all, &n);

		pthread_mutex_unlock(&all->lock);
		poll(v, n, wait < 50 ? 50 : wait);
		if (v[0].revents && read(all->wake, &word, sizeof word) < 0)
			wait = 50;
		pthread_mutex_lock(&all->lock);
		mark_let_go(all, v, n);
		pthread_mutex_unlock(&all->lock);
		free(v);
		beat_all(all);
		pthread_mutex_lock(&all->lock);
	}
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

int leases_begin(struct site *s, struct err *e)
{
	struct leases *all;
	int r;

	if (s->leases)
		return 0;
	all = x_alloc(sizeof *all);
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->idle, NULL);
	all->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (all->wake == -1) {
		r = errno;
		free(all);
		return err_sys(e, DM_ENV, r, "eventfd");
	}
	s->leases = all;
	r = pthread_create(&all->thread, NULL, run, s);
	if (r == 0)
		return 0;
	fd_close(all->wake);
	free(all);
	s->leases = NULL;
	return err_sys(e, DM_ENV, r, "make a thread");
}

static void wake(struct leases *all)
{
	uint64_t one = 1;
	ssize_t n = write(all->wake, &one, sizeof one);

	(void)n;
}

void leases_end(struct site *s)
{
	struct leases *all = s->leases;
	struct lease *l;

	if (!all)
		return;
	pthread_mutex_lock(&all->lock);
	all->stop = true;
	pthread_mutex_unlock(&all->lock);
	wake(all);
	pthread_join(all->thread, NULL);
	while ((l = all->list)) {
		all->list = l->next;
		lease_destroy(l, true);
	}
	fd_close(all->wake);
	pthread_cond_destroy(&all->idle);
	pthread_mutex_destroy(&all->lock);
	free(all);
	s->leases = NULL;
}

/* --- making and letting go ---------------------------------------------------- */

struct lease *lease_make(struct site *s, const char *name, char *text, int watch)
{
	struct lease *l = x_alloc(sizeof *l);

	*l = (struct lease){ .site = s, .name = x_strdup(name), .text = text, .watch = watch, .last = now_boot() };
	return l;
}

void lease_begin(struct lease *l)
{
	struct leases *all = l->site->leases;

	pthread_mutex_lock(&all->lock);
	l->next = all->list;
	all->list = l;
	pthread_mutex_unlock(&all->lock);
	wake(all);
}

char *lease_text(const struct site *s)
{
	char host[65] = "";

	gethostname(host, sizeof host - 1);
	return x_printf("{\"format\": 1, \"machine\": \"%s\", \"host\": \"%s\", \"process\": %ld}\n", s->machine, host,
	    (long)getpid());
}

static struct lease *lease_put(struct site *s, const char *name, int watch, struct err *e)
{
	struct lease *l;

	if (leases_begin(s, e))
		return NULL;
	l = lease_make(s, name, lease_text(s), watch);
	if (beat(l, e) == 0) {
		lease_begin(l);
		return l;
	}
	l->watch = -1;
	lease_destroy(l, true);
	return NULL;
}

struct lease *lease_new(struct site *s, const char *name, struct err *e)
{
	return lease_put(s, name, -1, e);
}

int lease_fd(struct site *s, const char *name, struct err *e)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC))
		return err_sys(e, DM_ENV, errno, "pipe");
	if (lease_put(s, name, p[0], e))
		return p[1];
	fd_close(p[0]);
	fd_close(p[1]);
	return -1;
}

void lease_free(struct lease *l, bool remove)
{
	struct leases *all;

	if (!l)
		return;
	all = l->site->leases;
	pthread_mutex_lock(&all->lock);
	while (l->busy)
		pthread_cond_wait(&all->idle, &all->lock);
	take_out(all, l);
	pthread_mutex_unlock(&all->lock);
	lease_destroy(l, remove);
}

/* --- names ---------------------------------------------------------------- */

int lease_name(const struct site *s, const char *prefix, char out[LEASE_NAME], struct err *e)
{
	uint8_t salt[4];
	char hex[9];

	if (getrandom(salt, sizeof salt, 0) != sizeof salt)
		return err_sys(e, DM_ENV, errno, "getrandom");
	hex_put(hex, salt, sizeof salt);
	snprintf(out, LEASE_NAME, "%s.%s.%s", prefix, s->machine, hex);
	return 0;
}

size_t lease_name_parse(const struct site *s, const char *name, bool *ours)
{
	size_t n = strlen(name), tail = 1 + SITE_MACHINE + 1 + 8;
	const char *at = name + n - tail;

	if (n <= tail || at[0] != '.' || at[1 + SITE_MACHINE] != '.' ||
	    strspn(at + 1, "0123456789abcdef") != SITE_MACHINE)
		return 0;
	*ours = !strncmp(at + 1, s->machine, SITE_MACHINE);
	return n - tail;
}
