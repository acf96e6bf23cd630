#include "repo/pack_cache.h"

#include "base/bytes.h"
#include "base/fdio.h"

void pack_cache_init(struct pack_cache *c)
{
	pthread_mutex_init(&c->lock, NULL);
	for (unsigned i = 0; i < PACK_CACHE; i++)
		c->slot[i].fd = -1;
}

void pack_cache_free(struct pack_cache *c)
{
	for (unsigned i = 0; i < PACK_CACHE; i++)
		fd_close(c->slot[i].fd);
	pthread_mutex_destroy(&c->lock);
}

static struct cached_pack *find(struct pack_cache *c, uint32_t ordinal)
{
	for (unsigned i = 0; i < PACK_CACHE; i++)
		if (c->slot[i].fd != -1 && c->slot[i].ordinal == ordinal)
			return &c->slot[i];
	return NULL;
}

/* An empty slot, or the one unused for longest; NULL when all are in use. */
static struct cached_pack *victim(struct pack_cache *c)
{
	struct cached_pack *best = NULL;

	for (unsigned i = 0; i < PACK_CACHE; i++) {
		struct cached_pack *p = &c->slot[i];

		if (p->fd == -1)
			return p;
		if (!p->refs && (!best || p->used < best->used))
			best = p;
	}
	return best;
}

static int use(struct pack_cache *c, struct cached_pack *p)
{
	p->refs++;
	p->used = ++c->clock;
	return p->fd;
}

int pack_cache_get(struct pack_cache *c, struct site *s, struct index *ix, uint32_t ordinal, struct err *e)
{
	struct cached_pack *p;
	struct index_pack ip;
	int fd = -1, r;

	pthread_mutex_lock(&c->lock);
	p = find(c, ordinal);
	if (p) {
		fd = use(c, p);
		goto out;
	}
	r = index_pack(ix, ordinal, &ip, e);
	if (r == 0)
		err_set(e, DM_NO, "a pack is gone");
	if (r <= 0)
		goto out;
	fd = pack_open(s, ip.id, e);
	p = fd == -1 ? NULL : victim(c);
	if (p) {
		fd_close(p->fd);
		*p = (struct cached_pack){ .fd = fd, .ordinal = ordinal };
		use(c, p);
	}
out:
	pthread_mutex_unlock(&c->lock);
	return fd;
}

void pack_cache_put(struct pack_cache *c, int fd)
{
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < PACK_CACHE; i++)
		if (c->slot[i].fd == fd) {
			c->slot[i].refs--;
			fd = -1;
			break;
		}
	pthread_mutex_unlock(&c->lock);
	fd_close(fd);	/* one that found no slot */
}
