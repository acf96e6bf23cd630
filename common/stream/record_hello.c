/* HELLO: who replicates what. */
#include <stdlib.h>
#include <sys/random.h>

#include "base/uri.h"
#include "stream/record_impl.h"

#define HELLO_FIXED 48
#define DISK_FIXED (8 + 4 + 4 + 2 * ID_LEN)
#define DISK_MIN (DISK_FIXED + 3 * 2)
#define DF_KNOWN (DF_BASE_ROOT | DF_TARGET_ROOT | DF_FROZEN)
#define BLOCK_MAX (1u << 20)

void hello_free(struct hello *h)
{
	for (uint32_t i = 0; h->disk && i < h->ndisks; i++) {
		free(h->disk[i].name);
		free(h->disk[i].base_point);
		free(h->disk[i].target_point);
	}
	free(h->disk);
	free(h->plan);
	free(h->workload);
	memset(h, 0, sizeof(*h));
}

static int disk_encode(const struct disk *d, struct buf *out)
{
	uint8_t *p = buf_room(out, DISK_FIXED);

	memset(p, 0, DISK_FIXED);
	put64(p, d->size);
	put32(p + 8, d->block);
	p[12] = d->flags;
	if (d->flags & DF_BASE_ROOT)
		memcpy(p + 16, d->base_root.b, ID_LEN);
	if (d->flags & DF_TARGET_ROOT)
		memcpy(p + 16 + ID_LEN, d->target_root.b, ID_LEN);
	return str_put(out, d->name) < 0 || str_put(out, d->base_point) < 0 ||
	    str_put(out, d->target_point) < 0 ? -1 : 0;
}

int hello_encode(const struct hello *h, struct buf *out)
{
	uint8_t *p = buf_room(out, HELLO_FIXED);

	memset(p, 0, HELLO_FIXED);
	put16(p, h->version_min);
	put16(p + 2, h->version_max);
	put32(p + 4, h->incompat);
	put32(p + 8, h->rocompat);
	put32(p + 12, h->compat);
	memcpy(p + 16, h->session, 16);
	put32(p + 32, h->chunk_size);
	p[36] = h->algo;
	p[37] = h->kind;
	put16(p + 38, h->codecs);
	put32(p + 40, h->ndisks);
	if (str_put(out, h->plan) < 0 || str_put(out, h->workload) < 0)
		return -1;
	for (uint32_t i = 0; i < h->ndisks; i++)
		if (disk_encode(&h->disk[i], out) < 0)
			return -1;
	return out->len <= FRAME_BODY_MAX ? 0 : -1;
}

static int disk_decode(struct cursor *c, struct disk *d, struct err *e)
{
	const uint8_t *root;
	uint8_t pad[3];

	d->size = cur_u64(c);
	d->block = cur_u32(c);
	d->flags = cur_u8(c);
	for (int i = 0; i < 3; i++)
		pad[i] = cur_u8(c);
	root = cur_bytes(c, 2 * ID_LEN);
	if (!root)
		return err_set(e, DM_BAD, "hello frame: too short");
	memcpy(d->base_root.b, root, ID_LEN);
	memcpy(d->target_root.b, root + ID_LEN, ID_LEN);
	if (pad[0] | pad[1] | pad[2] || d->flags & ~DF_KNOWN ||
	    (!(d->flags & DF_BASE_ROOT) && !id_zero(&d->base_root)) ||
	    (!(d->flags & DF_TARGET_ROOT) && !id_zero(&d->target_root)))
		return err_set(e, DM_BAD, "hello frame: unknown flags of a disk");
	if (d->size > INT64_MAX || !is_pow2(d->block) || d->block > BLOCK_MAX)
		return err_set(e, DM_BAD, "hello frame: impossible size or block size of a disk");
	d->name = str_take(c, "name of a disk", e);
	d->base_point = d->name ? str_take(c, "base point", e) : NULL;
	d->target_point = d->base_point ? str_take(c, "target point", e) : NULL;
	if (!d->target_point)
		return -1;
	if (!name_valid(d->name))
		return err_set(e, DM_BAD, "hello frame: '%s' cannot be the name of a disk", d->name);
	return 0;
}

static int name_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int names_differ(const struct hello *h, struct err *e)
{
	const char *name[HELLO_DISKS_MAX];

	for (uint32_t i = 0; i < h->ndisks; i++)
		name[i] = h->disk[i].name;
	/* cppcheck-suppress uninitvar */
	qsort(name, h->ndisks, sizeof(name[0]), name_order);
	for (uint32_t i = 1; i < h->ndisks; i++)
		if (!strcmp(name[i - 1], name[i]))
			return err_set(e, DM_BAD, "hello frame: two disks are named '%s'", name[i]);
	return 0;
}

static int disks_decode(struct cursor *c, struct hello *h, struct err *e)
{
	if (!h->ndisks || h->ndisks > HELLO_DISKS_MAX || (size_t)h->ndisks * DISK_MIN > cur_left(c))
		return err_set(e, DM_BAD, "hello frame: %u disks cannot be in it", h->ndisks);
	h->disk = x_array(h->ndisks, sizeof(*h->disk));
	for (uint32_t i = 0; i < h->ndisks; i++)
		if (disk_decode(c, &h->disk[i], e) < 0)
			return -1;
	return names_differ(h, e);
}

/* Can we speak with whoever sent this? */
static int hello_check(const struct hello *h, uint32_t reserved, struct err *e)
{
	if (h->version_min > STREAM_VERSION || h->version_max < STREAM_VERSION)
		return err_set(e, DM_BAD, "the stream needs version %u to %u of the format, "
		    "this program has %u", h->version_min, h->version_max, STREAM_VERSION);
	if (h->incompat & (FEAT_SEALED | FEAT_SEALED_ONE_WAY))
		return err_set(e, DM_BAD, "the stream is sealed, and no key was given to open it");
	if (h->incompat & ~FEAT_INCOMPAT_KNOWN)
		return err_set(e, DM_BAD, "the stream needs features this program lacks "
		    "(incompatible bits %#x)", h->incompat & ~FEAT_INCOMPAT_KNOWN);
	if (reserved)
		return err_set(e, DM_BAD, "hello frame: reserved bytes are not zero");
	if (!is_pow2(h->chunk_size) || h->chunk_size < CHUNK_MIN || h->chunk_size > CHUNK_MAX)
		return err_set(e, DM_BAD, "hello frame: chunks of %u bytes are not possible",
		    h->chunk_size);
	if (!id_algo_valid(h->algo))
		return err_set(e, DM_BAD, "hello frame: unknown hash algorithm %u", h->algo);
	if (h->kind < KIND_FULL || h->kind > KIND_IDS)
		return err_set(e, DM_BAD, "hello frame: unknown kind of iteration %u", h->kind);
	return 0;
}

static int decode(const struct frame *f, struct hello *h, struct err *e)
{
	struct cursor c = body_of(f);
	const uint8_t *session;
	uint32_t reserved;

	h->version_min = cur_u16(&c);
	h->version_max = cur_u16(&c);
	h->incompat = cur_u32(&c);
	h->rocompat = cur_u32(&c);
	h->compat = cur_u32(&c);
	session = cur_bytes(&c, 16);
	if (session)
		memcpy(h->session, session, 16);
	h->chunk_size = cur_u32(&c);
	h->algo = cur_u8(&c);
	h->kind = cur_u8(&c);
	h->codecs = cur_u16(&c);
	h->ndisks = cur_u32(&c);
	reserved = cur_u32(&c);
	if (c.bad) {
		h->ndisks = 0;
		return err_set(e, DM_BAD, "hello frame: too short");
	}
	if (hello_check(h, reserved, e) < 0)
		return -1;
	h->plan = str_take(&c, "plan", e);
	h->workload = h->plan ? str_take(&c, "workload", e) : NULL;
	if (!h->workload || disks_decode(&c, h, e) < 0)
		return -1;
	/* A compatible feature may add fields behind the ones of today. */
	if (h->compat & ~FEAT_COMPAT_KNOWN)
		return 0;
	return body_end(&c, f, e);
}

int hello_decode(const struct frame *f, struct hello *h, struct err *e)
{
	memset(h, 0, sizeof(*h));
	if (!decode(f, h, e))
		return 0;
	hello_free(h);
	return -1;
}

int hello_put(struct frame_out *o, const struct hello *h, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	if (hello_encode(h, &b) < 0)
		rc = err_set(e, DM_USAGE, "a name or point is not UTF-8, or they are too long");
	else
		rc = frame_put1(o, FT_HELLO, 0, 0, 0, b.p, b.len, e);
	buf_free(&b);
	return rc;
}

int hello_read(struct frame_in *in, struct hello *h, struct err *e)
{
	struct frame f;

	memset(h, 0, sizeof(*h));
	do {
		if (frame_read(in, &f, e) < 0)
			return -1;
	} while (f.flags & FF_MAY_IGNORE);
	if (f.type == FT_ABORT)
		return abort_decode(&f, e);
	if (f.type != FT_HELLO)
		return err_set(e, DM_BAD, "the stream begins with %s instead of hello",
		    frame_type_name(f.type));
	return hello_decode(&f, h, e);
}

int hello_writable(const struct hello *h, struct err *e)
{
	uint32_t unknown = h->rocompat & ~FEAT_ROCOMPAT_KNOWN;

	if (!unknown)
		return 0;
	return err_set(e, DM_BAD, "writing this stream to a volume needs features this program "
	    "lacks (read-only-compatible bits %#x)", unknown);
}

void hello_new_session(struct hello *h)
{
	/* Requests of up to 256 bytes are neither short nor interrupted. */
	(void)!getrandom(h->session, sizeof(h->session), 0);
}

const struct disk *hello_disk(const struct hello *h, const char *name)
{
	for (uint32_t i = 0; i < h->ndisks; i++)
		if (!strcmp(h->disk[i].name, name))
			return &h->disk[i];
	return NULL;
}
