/* Entries: which bytes of a disk a frame speaks of. */
#include "stream/record_impl.h"

uint64_t entry_count(const struct entry *en, uint32_t chunk_size)
{
	return en->flags & EF_RUN ? div_up(en->len, chunk_size) : 1;
}

uint64_t entry_bytes(const struct entry *en)
{
	if (en->flags & EF_ZERO)
		return 0;
	return en->flags & EF_FRAGS ? frags_bytes(en->frag, en->nfrags) : en->len;
}

size_t entry_len(const struct entry *en)
{
	return ENTRY_FIXED + (size_t)en->nfrags * 8 + (en->flags & EF_ID ? ID_LEN : 0) +
	    (size_t)en->nleaves * ID_LEN;
}

size_t entry_encode(const struct entry *en, uint8_t *p)
{
	uint8_t *at = p + ENTRY_FIXED;

	put64(p, en->index);
	put64(p + 8, en->off);
	put64(p + 16, en->len);
	put16(p + 24, en->flags);
	put16(p + 26, en->nfrags);
	put16(p + 28, en->nleaves);
	put16(p + 30, 0);
	for (unsigned i = 0; i < en->nfrags; i++, at += 8) {
		put32(at, en->frag[i].off);
		put32(at + 4, en->frag[i].len);
	}
	if (en->flags & EF_ID) {
		memcpy(at, en->id.b, ID_LEN);
		at += ID_LEN;
	}
	memcpy(at, en->leaf, (size_t)en->nleaves * ID_LEN);
	at += (size_t)en->nleaves * ID_LEN;
	return (size_t)(at - p);
}

/* Does it lie on the grid and inside the disk? */
static int place_check(const struct entry *en, const struct hello *h, uint32_t disk,
    struct err *e)
{
	uint64_t size = h->disk[disk].size, end, last;

	if (!en->len || !add64(en->off, en->len, &end) || end > size)
		return err_set(e, DM_BAD, "entry %llu: outside of disk '%s'",
		    (unsigned long long)en->index, h->disk[disk].name);
	if (en->off % h->chunk_size || (en->len % h->chunk_size && end != size))
		return err_set(e, DM_BAD, "entry %llu: not on the grid of chunks",
		    (unsigned long long)en->index);
	if (!(en->flags & EF_RUN) && en->len > h->chunk_size)
		return err_set(e, DM_BAD, "entry %llu: longer than a chunk",
		    (unsigned long long)en->index);
	if (!add64(en->index, entry_count(en, h->chunk_size), &last))
		return err_set(e, DM_BAD, "entry %llu: its indices overflow",
		    (unsigned long long)en->index);
	return 0;
}

static int flags_check(const struct entry *en, const struct hello *h, struct err *e)
{
	unsigned fl = en->flags;
	unsigned long long index = en->index;

	if (fl & ~EF_KNOWN)
		return err_set(e, DM_BAD, "entry %llu: unknown flags %#x", index, fl & ~EF_KNOWN);
	if ((fl & EF_RUN && fl & (EF_FRAGS | EF_ID | EF_LEAVES)) ||
	    (fl & EF_ZERO && fl & EF_FRAGS) || (fl & EF_REST_ZERO && !(fl & EF_FRAGS)))
		return err_set(e, DM_BAD, "entry %llu: flags %#x do not go together", index, fl);
	if (!(fl & EF_FRAGS) != !en->nfrags || en->nfrags > ENTRY_FRAGS_MAX)
		return err_set(e, DM_BAD, "entry %llu: %u fragments", index, en->nfrags);
	if (en->nleaves != (fl & EF_LEAVES ? leaf_count(h->chunk_size, (uint32_t)en->len) : 0))
		return err_set(e, DM_BAD, "entry %llu: %u leaves", index, en->nleaves);
	return 0;
}

int entry_decode(struct cursor *c, const struct hello *h, uint32_t disk,
    struct entry *en, struct err *e)
{
	uint16_t reserved;
	const uint8_t *p;

	en->index = cur_u64(c);
	en->off = cur_u64(c);
	en->len = cur_u64(c);
	en->flags = cur_u16(c);
	en->nfrags = cur_u16(c);
	en->nleaves = cur_u16(c);
	reserved = cur_u16(c);
	if (c->bad)
		return err_set(e, DM_BAD, "an entry is cut short");
	if (reserved)
		return err_set(e, DM_BAD, "entry %llu: reserved bytes are not zero",
		    (unsigned long long)en->index);
	if (disk >= h->ndisks)
		return err_set(e, DM_BAD, "entry %llu: disk %u is not in the hello frame",
		    (unsigned long long)en->index, disk);
	if (place_check(en, h, disk, e) < 0 || flags_check(en, h, e) < 0)
		return -1;
	for (unsigned i = 0; i < en->nfrags; i++) {
		en->frag[i].off = cur_u32(c);
		en->frag[i].len = cur_u32(c);
	}
	p = en->flags & EF_ID ? cur_bytes(c, ID_LEN) : NULL;
	if (p)
		memcpy(en->id.b, p, ID_LEN);
	else
		memset(&en->id, 0, sizeof(en->id));
	p = cur_bytes(c, (size_t)en->nleaves * ID_LEN);
	if (c->bad)
		return err_set(e, DM_BAD, "an entry is cut short");
	memcpy(en->leaf, p, (size_t)en->nleaves * ID_LEN);
	if (en->nfrags && !frags_valid(en->frag, en->nfrags, (uint32_t)en->len))
		return err_set(e, DM_BAD, "entry %llu: bad fragments",
		    (unsigned long long)en->index);
	return 0;
}

bool entry_equal(const struct entry *a, const struct entry *b)
{
	return a->index == b->index && a->off == b->off && a->len == b->len &&
	    a->flags == b->flags && a->nfrags == b->nfrags && a->nleaves == b->nleaves &&
	    !memcmp(a->frag, b->frag, a->nfrags * sizeof(a->frag[0])) &&
	    (!(a->flags & EF_ID) || id_equal(&a->id, &b->id)) &&
	    !memcmp(a->leaf, b->leaf, a->nleaves * sizeof(a->leaf[0]));
}

bool entry_cut(struct entry *run, uint32_t chunk_size, struct entry *one)
{
	*one = *run;
	one->flags &= (uint16_t)~EF_RUN;
	if (!(run->flags & EF_RUN) || run->len <= chunk_size)
		return false;
	one->len = chunk_size;
	run->index++;
	run->off += chunk_size;
	run->len -= chunk_size;
	return true;
}
