/* Content identities: leaf, chunk, node and root hashes. */
#include <blake3.h>
#include <pthread.h>
#include <sodium.h>

#include "base/bytes.h"
#include "content/id.h"

enum kind { KIND_LEAF, KIND_CHUNK, KIND_NODE, KIND_ROOT, KINDS };

/* BLAKE3 takes these as derive-key contexts; BLAKE2b gets them, filled up with
 * zeros to CONTEXT_LEN bytes, in front of the input. */
#define CONTEXT_LEN 32
static const char context[KINDS][CONTEXT_LEN] = {
	[KIND_LEAF] = "dm 2026-11 content leaf",
	[KIND_CHUNK] = "dm 2026-11 content chunk",
	[KIND_NODE] = "dm 2026-11 content node",
	[KIND_ROOT] = "dm 2026-11 content root",
};

#define ROOT_VERSION 1
#define ROOT_INPUT (2 + 1 + 1 + 4 + 8 + ID_LEN)

/* Deriving a context's key costs as much as hashing several blocks, so each
 * kind's first state is made once and copied.  Constant after start_once. */
static pthread_once_t start_once = PTHREAD_ONCE_INIT;
static blake3_hasher start_blake3[KINDS];
static crypto_generichash_state start_blake2b[KINDS];

static void start_init(void)
{
	/* Chooses BLAKE2b's fast code; without it the portable one runs. */
	(void)!sodium_init();
	for (int k = 0; k < KINDS; k++) {
		blake3_hasher_init_derive_key(&start_blake3[k], context[k]);
		crypto_generichash_init(&start_blake2b[k], NULL, 0, ID_LEN);
		crypto_generichash_update(&start_blake2b[k],
		    (const unsigned char *)context[k], CONTEXT_LEN);
	}
}

static void hash(int algo, enum kind kind, const void *p, size_t len, struct id *out)
{
	pthread_once(&start_once, start_init);
	if (algo == ID_BLAKE2B) {
		crypto_generichash_state s = start_blake2b[kind];

		crypto_generichash_update(&s, p, len);
		crypto_generichash_final(&s, out->b, ID_LEN);
	} else {
		blake3_hasher s = start_blake3[kind];

		blake3_hasher_update(&s, p, len);
		blake3_hasher_finalize(&s, out->b, ID_LEN);
	}
}

static bool ids_zero(const struct id *v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!id_zero(&v[i]))
			return false;
	return true;
}

bool id_algo_valid(int algo)
{
	return algo == ID_BLAKE3 || algo == ID_BLAKE2B;
}

const char *id_algo_name(int algo)
{
	switch (algo) {
	case ID_BLAKE3: return "blake3";
	case ID_BLAKE2B: return "blake2b";
	}
	return "unknown";
}

int id_algo_parse(const char *name)
{
	for (int a = ID_BLAKE3; a <= ID_BLAKE2B; a++)
		if (!strcmp(name, id_algo_name(a)))
			return a;
	return -1;
}

void id_leaf(int algo, const void *p, size_t len, struct id *out)
{
	if (bytes_zero(p, len))
		memset(out, 0, sizeof(*out));
	else
		hash(algo, KIND_LEAF, p, len, out);
}

void id_chunk(int algo, const struct id *leaf, unsigned n, struct id *out)
{
	if (ids_zero(leaf, n))
		memset(out, 0, sizeof(*out));
	else
		hash(algo, KIND_CHUNK, leaf, (size_t)n * ID_LEN, out);
}

void id_chunk_unknown(int algo, uint32_t chunk_size, uint32_t len, struct id *leaf, struct id *out)
{
	struct id own[LEAVES_MAX];
	unsigned n = leaf_count(chunk_size, len);

	if (!leaf)
		leaf = own;
	memset(leaf, 0xff, n * sizeof(*leaf));
	id_chunk(algo, leaf, n, out);
}

void id_content(int algo, uint32_t chunk_size, const void *p, uint32_t len,
    struct id *leaf, struct id *out)
{
	struct id own[LEAVES_MAX];
	uint32_t step = leaf_size(chunk_size);
	unsigned n = 0;

	if (!leaf)
		leaf = own;
	for (uint32_t off = 0; off < len; off += step) {
		uint32_t part = (uint32_t)min64(step, len - off);

		id_leaf(algo, (const uint8_t *)p + off, part, &leaf[n++]);
	}
	id_chunk(algo, leaf, n, out);
}

void id_node(int algo, const struct id child[NODE_WAYS], struct id *out)
{
	if (ids_zero(child, NODE_WAYS))
		memset(out, 0, sizeof(*out));
	else
		hash(algo, KIND_NODE, child, NODE_WAYS * ID_LEN, out);
}

void id_root(int algo, uint32_t chunk_size, uint64_t size, unsigned height,
    const struct id *top, struct id *out)
{
	uint8_t in[ROOT_INPUT];

	put16(in, ROOT_VERSION);
	in[2] = (uint8_t)algo;
	in[3] = (uint8_t)height;
	put32(in + 4, chunk_size);
	put64(in + 8, size);
	memcpy(in + 16, top->b, ID_LEN);
	hash(algo, KIND_ROOT, in, sizeof(in), out);
}

unsigned tree_height(uint64_t chunks)
{
	unsigned h = 0;

	for (uint64_t n = chunks; n > 1; n = div_up(n, NODE_WAYS))
		h++;
	return h;
}

void id_builder_init(struct id_builder *b, int algo, uint32_t chunk_size, uint64_t size)
{
	memset(b, 0, sizeof(*b));
	b->algo = algo;
	b->chunk_size = chunk_size;
	b->size = size;
}

/* Put the node made of level l into its parent's row; last: the number of the
 * last chunk added. */
static void builder_close(struct id_builder *b, unsigned l, uint64_t last)
{
	unsigned slot = (unsigned)(last >> (4 * (l + 1))) % NODE_WAYS;

	id_node(b->algo, b->level[l], &b->level[l + 1][slot]);
	memset(b->level[l], 0, sizeof(b->level[l]));
}

void id_builder_add(struct id_builder *b, uint64_t chunk, const struct id *id)
{
	uint64_t last = b->next - 1;

	if (b->next)
		for (unsigned l = 0; last >> (4 * (l + 1)) != chunk >> (4 * (l + 1)); l++)
			builder_close(b, l, last);
	b->level[0][chunk % NODE_WAYS] = *id;
	b->next = chunk + 1;
}

void id_builder_root(struct id_builder *b, struct id *root)
{
	unsigned height = tree_height(div_up(b->size, b->chunk_size));

	if (b->next)
		for (unsigned l = 0; l < height; l++)
			builder_close(b, l, b->next - 1);
	id_root(b->algo, b->chunk_size, b->size, height, &b->level[height][0], root);
}

char *id_format(int algo, const struct id *id, char out[80])
{
	const char *name = id_algo_name(algo);
	size_t n = strlen(name);

	memcpy(out, name, n);
	out[n] = ':';
	hex_put(out + n + 1, id->b, ID_LEN);
	return out;
}

int id_parse(const char *s, int *algo, struct id *id)
{
	const char *colon = strchr(s, ':');
	int a = ID_BLAKE3;

	if (colon) {
		char name[16];
		size_t n = (size_t)(colon - s);

		if (n >= sizeof(name))
			return -1;
		memcpy(name, s, n);
		name[n] = 0;
		a = id_algo_parse(name);
		if (a < 0)
			return -1;
		s = colon + 1;
	}
	if (strlen(s) != 2 * ID_LEN || hex_get(s, id->b, ID_LEN) < 0)
		return -1;
	*algo = a;
	return 0;
}
