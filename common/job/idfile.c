#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/random.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "job/idfile.h"

/* Header, little-endian: magic 8, version u32, algo u32, chunk size u32, flags
 * u32, size u64, root 32, seed u64; the ids begin at IDS, the marks (u64 each)
 * at the next multiple of it after them. */
#define MAGIC "dm-ids\r\n"
#define VERSION 1
#define HEADER 72
#define FLAG_MARKED 1u
#define IDS 4096u
#define BATCH 8192u	/* ids read at a time */

static const char *name_of(const struct idfile *f)
{
	return f->path ? f->path : "temporary file";
}

static uint64_t leaves(const struct idfile *f)
{
	return div_up(f->size, leaf_size(f->chunk_size));
}

/* Where the marks of a leaf are. */
static uint64_t mark_place(const struct idfile *f, uint64_t leaf)
{
	uint64_t begin = IDS + div_up(leaves(f) * ID_LEN, IDS) * IDS;

	return begin + leaf * idfile_marks(f) * sizeof(uint64_t);
}

static uint64_t file_len(const struct idfile *f)
{
	return f->marked ? mark_place(f, leaves(f)) : IDS + leaves(f) * ID_LEN;
}

struct idfile *idfile_create(const char *path, int algo, uint32_t chunk_size, uint64_t size,
    const struct idfile *like, struct err *e)
{
	struct idfile *f = x_alloc(sizeof(*f));

	f->marked = path != NULL;
	if (like && like->marked)
		f->seed = like->seed;
	else if (getrandom(&f->seed, sizeof(f->seed), 0) != sizeof(f->seed))
		err_sys(e, DM_ENV, errno, "getrandom");

	f->algo = algo;
	f->chunk_size = chunk_size;
	f->size = size;
	f->path = path ? x_strdup(path) : NULL;
	f->fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : durable_tmp(e);
	if (f->fd >= 0 && path && lock_try(f->fd, LOCK_EXCLUSIVE, e) == 1)
		err_set(e, DM_NO, "%s: another program is writing it", path);
	if (f->fd >= 0 && !e->code && ftruncate(f->fd, 0) == 0 && ftruncate(f->fd, (off_t)file_len(f)) == 0)
		return f;
	err_sys(e, DM_ENV, errno, "%s", name_of(f));
	idfile_close(f);
	return NULL;
}

void idfile_close(struct idfile *f)
{
	if (!f)
		return;
	fd_close(f->fd);
	free(f->path);
	free(f);
}

static int header_read(struct idfile *f, struct err *e)
{
	uint8_t h[HEADER];
	ssize_t n = fd_pread_full(f->fd, h, HEADER, 0);
	struct stat st;

	if (n < 0 || fstat(f->fd, &st) != 0)
		return err_sys(e, DM_ENV, errno, "%s", f->path);
	if (n != HEADER || memcmp(h, MAGIC, 8) != 0 || get32(h + 8) != VERSION)
		return err_set(e, DM_NO, "%s: not a complete file of ids", f->path);
	f->algo = (int)get32(h + 12);
	f->chunk_size = get32(h + 16);
	f->size = get64(h + 24);
	memcpy(f->root.b, h + 32, ID_LEN);
	f->marked = get32(h + 20) == FLAG_MARKED;
	f->seed = get64(h + 64);
	if (get32(h + 20) & ~FLAG_MARKED || !id_algo_valid(f->algo) || !is_pow2(f->chunk_size) || f->chunk_size < CHUNK_MIN ||
	    f->chunk_size > CHUNK_MAX || f->size > (uint64_t)INT64_MAX ||
	    (uint64_t)st.st_size != file_len(f))
		return err_set(e, DM_NO, "%s: damaged", f->path);
	return 0;
}

struct idfile *idfile_open(const char *path, struct err *e)
{
	struct idfile *f = x_alloc(sizeof(*f));
	struct id root;

	f->path = x_strdup(path);
	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0)
		err_sys(e, errno == ENOENT ? DM_NO : DM_ENV, errno, "%s", path);
	else if (header_read(f, e) == 0 && idfile_root(f, &root, e) == 0) {
		if (id_equal(&root, &f->root))
			return f;
		err_set(e, DM_NO, "%s: damaged: its ids do not come to its root", path);
	}
	idfile_close(f);
	return NULL;
}

int idfile_get(const struct idfile *f, uint64_t leaf, struct id *id, size_t n, struct err *e)
{
	ssize_t r = fd_pread_full(f->fd, id, n * ID_LEN, IDS + leaf * ID_LEN);

	if (r < 0)
		return err_sys(e, DM_ENV, errno, "%s: read", name_of(f));
	memset((uint8_t *)id + r, 0, n * ID_LEN - (size_t)r);
	return 0;
}

int idfile_put(struct idfile *f, uint64_t leaf, const struct id *id, size_t n, struct err *e)
{
	if (fd_pwrite_full(f->fd, id, n * ID_LEN, IDS + leaf * ID_LEN) != 0)
		return err_sys(e, DM_ENV, errno, "%s: write", name_of(f));
	return 0;
}

void idfile_mark(const struct idfile *f, const void *leaf, size_t len, uint64_t *mark)
{
	const uint8_t *p = leaf;

	for (size_t at = 0; at < len; at += MARK_BLOCK) {
		size_t n = min64(MARK_BLOCK, len - at);

		*mark = bytes_zero(p + at, n) ? 0 : XXH3_64bits_withSeed(p + at, n, f->seed) | 1;
		mark++;
	}
}

int idfile_get_marks(const struct idfile *f, uint64_t leaf, uint64_t *mark, struct err *e)
{
	size_t len = idfile_marks(f) * sizeof(*mark);

	if (fd_pread_full(f->fd, mark, len, mark_place(f, leaf)) != (ssize_t)len)
		return err_sys(e, DM_ENV, errno, "%s: read", name_of(f));
	for (unsigned i = 0; i < idfile_marks(f); i++)
		mark[i] = le64toh(mark[i]);
	return 0;
}

int idfile_put_marks(struct idfile *f, uint64_t leaf, const uint64_t *mark, size_t n, struct err *e)
{
	size_t count = n * idfile_marks(f);
	uint64_t *le = x_array(count, sizeof(*le));
	int r;

	for (size_t i = 0; i < count; i++)
		le[i] = htole64(mark[i]);
	r = fd_pwrite_full(f->fd, le, count * sizeof(*le), mark_place(f, leaf));
	free(le);
	return r == 0 ? 0 : err_sys(e, DM_ENV, errno, "%s: write", name_of(f));
}

uint64_t idfile_next(const struct idfile *f, uint64_t leaf)
{
	off_t at;

	if (leaf >= leaves(f))
		return leaf;
	at = lseek(f->fd, (off_t)(IDS + leaf * ID_LEN), SEEK_DATA);
	if (at < 0)	/* ENXIO: a hole to the end */
		return errno == ENXIO ? leaves(f) : leaf;
	return min64(leaves(f), max64(leaf, ((uint64_t)at - IDS) / ID_LEN));
}

/* Chunk ids of a batch of leaves that begins on the chunk grid. */
static void add_chunks(const struct idfile *f, struct id_builder *b, uint64_t leaf,
    const struct id *id, size_t n)
{
	unsigned each = f->chunk_size / leaf_size(f->chunk_size);

	for (size_t i = 0; i < n; i += each) {
		struct id chunk;

		id_chunk(f->algo, id + i, (unsigned)min64(each, n - i), &chunk);
		if (!id_zero(&chunk))
			id_builder_add(b, (leaf + i) / each, &chunk);
	}
}

int idfile_root(const struct idfile *f, struct id *root, struct err *e)
{
	struct id_builder b;
	struct id *id = x_array(BATCH, sizeof(*id));
	uint64_t at = 0, end = leaves(f);
	int r = 0;

	id_builder_init(&b, f->algo, f->chunk_size, f->size);
	while (r == 0 && (at = idfile_next(f, at) & ~(uint64_t)(LEAVES_MAX - 1)) < end) {
		size_t n = min64(BATCH, end - at);

		r = idfile_get(f, at, id, n, e);
		if (r == 0)
			add_chunks(f, &b, at, id, n);
		at += BATCH;	/* both on the chunk grid */
	}
	free(id);
	if (r == 0)
		id_builder_root(&b, root);
	return r;
}

int idfile_seal(struct idfile *f, const struct id *root, struct err *e)
{
	uint8_t h[HEADER] = MAGIC;

	/* What the header vouches for is durable before it. */
	if (f->path && durable_sync(f->fd, f->path, e) != 0)
		return -1;
	put32(h + 8, VERSION);
	put32(h + 12, (uint32_t)f->algo);
	put32(h + 16, f->chunk_size);
	put32(h + 20, f->marked ? FLAG_MARKED : 0);
	put64(h + 24, f->size);
	memcpy(h + 32, root->b, ID_LEN);
	put64(h + 64, f->seed);
	f->root = *root;
	if (fd_pwrite_full(f->fd, h, HEADER, 0) != 0)
		return err_sys(e, DM_ENV, errno, "%s: write", name_of(f));
	return f->path ? durable_sync(f->fd, f->path, e) : 0;
}
