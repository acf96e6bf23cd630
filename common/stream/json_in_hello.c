/* The hello line. */
#include <stdlib.h>

#include "stream/json_take.h"

static int take_disk(json_t *j, struct disk *d, struct err *e)
{
	struct taker t = { .j = j, .e = e };
	const char *name = take_text(&t, "name"), *base, *target;

	d->size = take_u64(&t, "size", INT64_MAX);
	d->block = (uint32_t)take_u64(&t, "block", UINT32_MAX);
	d->flags |= take_bool(&t, "frozen") ? DF_FROZEN : 0;
	d->flags |= take_hex(&t, "base_root", d->base_root.b, ID_LEN) ? DF_BASE_ROOT : 0;
	d->flags |= take_hex(&t, "target_root", d->target_root.b, ID_LEN) ? DF_TARGET_ROOT : 0;
	base = take_text(&t, "base_point");
	target = take_text(&t, "target_point");
	if (take_end(&t) < 0)
		return -1;
	d->name = x_strdup(name);
	d->base_point = x_strdup(base);
	d->target_point = x_strdup(target);
	return 0;
}

static void take_codecs(struct taker *t, struct hello *h)
{
	json_t *v = take(t, "codecs", true);

	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *c = json_array_get(v, i);
		uint64_t bit = 0;
		int found = json_is_string(c) ? word_find(&words_codec, json_string_value(c)) : -1;

		if (found < 0 && (json_is_string(c) || !value_u64(c, 15, &bit))) {
			err_set(t->e, DM_BAD, "'codecs' names an unknown codec");
			t->bad = true;
			return;
		}
		h->codecs |= (uint16_t)(1u << (found >= 0 ? (unsigned)found : bit));
	}
}

static int take_disks(struct taker *t, struct hello *h)
{
	json_t *v = take(t, "disks", true);
	size_t n = json_array_size(v);

	if (t->bad)
		return -1;
	if (!json_is_array(v) || n > HELLO_DISKS_MAX)
		return err_set(t->e, DM_BAD, "'disks' is not a list of up to %d disks",
		    HELLO_DISKS_MAX);
	h->disk = x_array(n ? n : 1, sizeof(*h->disk));
	h->ndisks = (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		json_t *d = json_array_get(v, i);

		if (!json_is_object(d))
			return err_set(t->e, DM_BAD, "disk %zu is not an object", i);
		if (take_disk(d, &h->disk[i], t->e) < 0)
			return err_prefix(t->e, "disk %zu", i);
	}
	return 0;
}

static int take_hello(struct taker *t, struct hello *h)
{
	const char *algo, *plan, *workload;
	int found;

	h->version_min = (uint16_t)take_u64(t, "version_min", UINT16_MAX);
	h->version_max = (uint16_t)take_u64(t, "version_max", UINT16_MAX);
	h->incompat = (uint32_t)take_u64_or(t, "incompat", UINT32_MAX, 0);
	h->rocompat = (uint32_t)take_u64_or(t, "rocompat", UINT32_MAX, 0);
	h->compat = (uint32_t)take_u64_or(t, "compat", UINT32_MAX, 0);
	if (!take_hex(t, "session", h->session, sizeof(h->session)) && !t->bad)
		return err_set(t->e, DM_BAD, "'session' is missing");
	h->chunk_size = (uint32_t)take_u64(t, "chunk_size", UINT32_MAX);
	algo = take_text(t, "algo");
	found = algo ? id_algo_parse(algo) : -1;
	h->algo = found < 0 ? 0 : (uint8_t)found;
	h->kind = (uint8_t)take_word(t, "kind", &words_kind, UINT8_MAX);
	take_codecs(t, h);
	plan = take_text(t, "plan");
	workload = take_text(t, "workload");
	if (take_disks(t, h) < 0 || take_end(t) < 0)
		return -1;
	h->plan = x_strdup(plan);
	h->workload = x_strdup(workload);
	return 0;
}

/* The frame it makes must be one that readers take. */
static int hello_accept(const struct hello *h, struct hello *got, struct err *e)
{
	struct buf b = { 0 };
	struct frame f = { .type = FT_HELLO };
	int rc = -1;

	if (hello_encode(h, &b) < 0) {
		err_set(e, DM_BAD, "a name or point is too long");
	} else {
		f.body = b.p;
		f.len = (uint32_t)b.len;
		rc = hello_decode(&f, got, e);
	}
	buf_free(&b);
	return rc;
}

int json_parse_hello(struct taker *t, struct stream_json *s, struct frame_out *o)
{
	struct hello h = { 0 };
	int rc = -1;

	if (s->has_hello)
		return err_set(t->e, DM_BAD, "a second hello");
	if (!take_hello(t, &h) && !hello_accept(&h, &s->hello, t->e)) {
		s->has_hello = true;
		tally_init(&s->tally, &s->hello);
		rc = hello_put(o, &s->hello, t->e);
	}
	hello_free(&h);
	return rc;
}
