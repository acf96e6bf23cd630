/* Reading one chunk for dm-send. */
#include "job/emit_impl.h"

#include <stdlib.h>

int emit_reader_init(struct emit_reader *r, const struct emit *m, struct err *e)
{
	*r = (struct emit_reader){0};
	r->codec = codec_new();
	if (!r->codec)
		return err_set(e, DM_ENV, "out of memory");
	if (m->how->form != EMIT_ZSTD)
		return 0;
	r->plain = x_pages(codec_bound(m->hello.chunk_size), e);
	return r->plain ? 0 : -1;
}

void emit_reader_free(struct emit_reader *r)
{
	codec_free(r->codec);
	free(r->plain);
}

/* The bytes asked for, one piece after another, into p. */
static int read_plain(struct volume *v, const struct entry *en, uint8_t *p, struct err *e)
{
	int rc;

	if (!(en->flags & EF_FRAGS)) {
		rc = volume_read(v, p, en->len, en->off);
		return rc < 0 ? volume_error(v, e) : 0;
	}
	for (unsigned i = 0; i < en->nfrags; i++) {
		rc = volume_read(v, p, en->frag[i].len, en->off + en->frag[i].off);
		if (rc < 0)
			return volume_error(v, e);
		p += en->frag[i].len;
	}
	return 0;
}

/* As the source stores it: 1, 0 when it must be read plainly, -1. */
static int read_stored(struct emit *m, struct volume *v, struct slot *s, struct err *e)
{
	size_t stored;
	int codec, rc;

	if (m->how->form == EMIT_RAW || (s->en.flags & EF_FRAGS) ||
	    !(m->hello.codecs & 1u << CODEC_ZSTD))
		return 0;
	rc = volume_get_stored(v, s->en.off, (uint32_t)s->en.len, s->own, &codec, &stored);
	if (rc < 0)
		return volume_error(v, e);
	if (!rc)
		return 0;
	s->data = s->own;
	s->codec = (uint8_t)codec;
	s->stored = (uint32_t)stored;
	return 1;
}

/* Only what the entry speaks of decides: beside fragments lies the base. */
static bool slot_zero(const struct slot *s, const uint8_t *p)
{
	return (!(s->en.flags & EF_FRAGS) || (s->en.flags & EF_REST_ZERO)) &&
	    bytes_zero(p, s->plain);
}

/* Give the slot its compressed form; what does not shrink trades buffers. */
static void slot_pack(int level, struct emit_reader *r, struct slot *s)
{
	size_t n = codec_pack(r->codec, level, r->plain, s->plain, s->own);
	uint8_t *p;

	if (n) {
		s->codec = CODEC_ZSTD;
		s->stored = (uint32_t)n;
		return;
	}
	p = s->own;
	s->own = r->plain;
	r->plain = p;
}

int emit_read(struct emit *m, struct emit_reader *r, struct slot *s, struct err *e)
{
	struct volume *v = m->disk[s->disk].vol;
	int level = m->how->level == EMIT_LEVEL_AUTO ? adapt_level(&m->adapt) : m->how->level;
	bool pack = m->how->form == EMIT_ZSTD && level && (m->hello.codecs & 1u << CODEC_ZSTD);
	uint8_t *p;
	int rc;

	s->plain = (uint32_t)entry_bytes(&s->en);
	rc = read_stored(m, v, s, e);
	if (rc)
		return rc < 0 ? -1 : 0;
	p = s->spliced ? s->spliced : pack ? r->plain : s->own;
	if (read_plain(v, &s->en, p, e) < 0)
		return -1;
	if (slot_zero(s, p)) {
		s->what = SLOT_ENTRY;
		s->type = FT_ZERO;
		return 0;
	}
	s->codec = CODEC_RAW;
	s->stored = s->plain;
	if (pack)
		slot_pack(level, r, s);
	s->data = s->spliced ? s->spliced : s->own;
	return 0;
}
