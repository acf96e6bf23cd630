#include "repo/pack_cache.h"

#include "base/bytes.h"

void pack_cache_init(struct pack_cache *c)
{
	pthread_mutex_init(&c->lock, NULL);
	for (unsigned i = 0; i < PACK_CACHE; i++)
		c->slot[i].in = NULL;
}

void pack_cache_free(struct pack_cache *c)
{
	for (unsigned i = 0; i < PACK_CACHE; i++)
		pack_close(c->slot[i].in);
	pthread_mutex_destroy(&c->lock);
}

static struct cached_pack *find(struct pack_cache *c, uint32_t ordinal)
{
	for (unsigned i = 0; i < PACK_CACHE; i++)
		if (c->slot[i].in && c->slot[i].ordinal == ordinal)
			return &c->slot[i];
	return NULL;
}

/* An empty slot, or the one unused for longest; NULL when all are in use. */
static struct cached_pack *victim(struct pack_cache *c)
{
	struct cached_pack *best = NULL;

	for (unsigned i = 0; i < PACK_CACHE; i++) {
		struct cached_pack *p = &c->slot[i];

		if (!p->in)
			return p;
		if (!p->refs && (!best || p->used < best->used))
			best = p;
	}
	return best;
}

static struct pack_in *use(struct pack_cache *c, struct cached_pack *p)
{
	p->refs++;
	p->used = ++c->clock;
	return p->in;
}

struct pack_in *pack_cache_get(struct pack_cache *c, struct site *s, struct index *ix, uint32_t ordinal, struct err *e)
{
	struct cached_pack *p;
	struct index_pack ip;
	struct pack_in *in = NULL;
	int r;

	pthread_mutex_lock(&c->lock);
	p = find(c, ordinal);
	if (p) {
		in = use(c, p);
		goto out;
	}
	r = index_pack(ix, ordinal, &ip, e);
	if (r == 0)
		err_set(e, DM_NO, "a pack is gone");
	if (r <= 0)
		goto out;
	in = pack_open(s, ip.id, ip.size, e);
	p = in ? victim(c) : NULL;
	if (p) {
		pack_close(p->in);
		*p = (struct cached_pack){ .in = in, .ordinal = ordinal };
		use(c, p);
	}
out:
	pthread_mutex_unlock(&c->lock);
	return in;
}

void pack_cache_put(struct pack_cache *c, struct pack_in *in)
{
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < PACK_CACHE; i++)
		if (in && c->slot[i].in == in) {
			c->slot[i].refs--;
			in = NULL;
			break;
		}
	pthread_mutex_unlock(&c->lock);
	pack_close(in);	/* one that found no slot */
}
