/* Content ids.  The expected values were made once by b3sum --derive-key and
 * Python's hashlib following the text of dm-stream(5) and dm-repository(5). */
#include <sodium.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "content/id.h"

static void expect(const struct id *got, const char *hex)
{
	char text[2 * ID_LEN + 1];

	hex_put(text, got->b, ID_LEN);
	if (strcmp(text, hex)) {
		fprintf(stderr, "id is %s\n    not %s\n", text, hex);
		exit(1);
	}
}

static uint8_t *pattern(size_t n)
{
	uint8_t *p = malloc(n);

	CHECK(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((i * 7 + i / 256) % 251);
	return p;
}

static void known_contents(void)
{
	static const char *const want[][4] = {
		{ "186c4381c5f210d0f031dbc7bd9d24a598d96abc7ef7fe38da6be475d32afb93",
		  "c102a9e6fbd60616a2a3be0b8a2a2351b80662fbfd52c6b134d96a89474d000b",
		  "f6db652b796e7140fbd82a30e0b9826142a4f22995b2f8476da412fa5683ffe2",
		  "e4498e9e7ce1504dcc3636b015ef4bc343e7ef79a8fcb08fc2b1e49a68426d30" },
		{ "51b0e52b5a779b6a9e5f166985fed1829eb97fd942eff88565ff6837e0be9aa9",
		  "586efa80bc8b8d4d19d7e32f2ebfe04f83080f7c82d19568d5592932e0378b33",
		  "a464720430061b8f9f91d8f14055e68d628048b987fd08f4228c08c5b17b1a5e",
		  "0d4ab843afb1000777b5313afd0d57a9d43ef0c0151b028f3112a170b0d6398f" },
	};
	uint8_t *p = pattern(MIB(1));

	for (int a = ID_BLAKE3; a <= ID_BLAKE2B; a++) {
		struct id id, leaf[LEAVES_MAX], again;

		id_leaf(a, "abc", 3, &id);
		expect(&id, want[a - 1][0]);
		id_content(a, CHUNK_MAX, p, CHUNK_MAX, NULL, &id);
		expect(&id, want[a - 1][1]);
		id_content(a, CHUNK_MAX, p, 200001, leaf, &id);
		expect(&id, want[a - 1][2]);
		CHECK(leaf_count(CHUNK_MAX, 200001) == 4);
		id_chunk(a, leaf, 4, &again);
		CHECK(id_equal(&id, &again));
		id_content(a, CHUNK_MIN, p, CHUNK_MIN, NULL, &id);
		expect(&id, want[a - 1][3]);
	}
	free(p);
}

static void zeros_are_zero(void)
{
	struct id child[NODE_WAYS] = { 0 }, leaf[LEAVES_MAX], id;
	uint8_t *z = calloc(1, CHUNK_MAX);

	CHECK(z);
	id_leaf(ID_BLAKE3, z, 100, &id);
	CHECK(id_zero(&id));
	id_content(ID_BLAKE3, CHUNK_MAX, z, CHUNK_MAX, leaf, &id);
	CHECK(id_zero(&id) && id_zero(&leaf[0]) && id_zero(&leaf[15]));
	id_node(ID_BLAKE3, child, &id);
	CHECK(id_zero(&id));
	z[CHUNK_MAX - 1] = 1;
	id_content(ID_BLAKE3, CHUNK_MAX, z, CHUNK_MAX, leaf, &id);
	CHECK(!id_zero(&id) && id_zero(&leaf[14]) && !id_zero(&leaf[15]));
	id_root(ID_BLAKE3, CHUNK_MAX, 0, 0, &child[0], &id);
	CHECK(!id_zero(&id));
	free(z);
}

/* The same bytes give different ids at every level and under each algorithm. */
static void kinds_differ(void)
{
	struct id in[NODE_WAYS], out[6];

	memset(in, 'x', sizeof(in));
	id_leaf(ID_BLAKE3, in, sizeof(in), &out[0]);
	id_chunk(ID_BLAKE3, in, NODE_WAYS, &out[1]);
	id_node(ID_BLAKE3, in, &out[2]);
	id_leaf(ID_BLAKE2B, in, sizeof(in), &out[3]);
	id_chunk(ID_BLAKE2B, in, NODE_WAYS, &out[4]);
	id_node(ID_BLAKE2B, in, &out[5]);
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < i; j++)
			CHECK(!id_equal(&out[i], &out[j]));
}

static void build(int algo, uint64_t n, struct id *root)
{
	static const uint64_t member[] = { 0, 5, 16, 299, 300, 4999 };
	struct id_builder b;

	id_builder_init(&b, algo, CHUNK_MIN, n * CHUNK_MIN - (n ? 5 : 0));
	for (size_t i = 0; i < LEN(member) && member[i] < n; i++) {
		uint8_t le[8];
		struct id id;

		put64(le, member[i]);
		crypto_generichash(id.b, ID_LEN, le, 8, NULL, 0);
		id_builder_add(&b, member[i], &id);
	}
	id_builder_root(&b, root);
}

static void known_roots(void)
{
	static const struct {
		uint64_t n;
		const char *want[2];
	} t[] = {
		{ 0, { "c8e980c636d9bce4cf51609b69b004519040da86da889c51c7e3b45e09ba1733",
		       "e4dfede0c3f4d5a6c70232f5f999dd5b212bf4b2b871adad5a6cade172dbb39a" } },
		{ 1, { "d87123ff88c47906cbda8b76a699a6252631e9320ccd9dbfb633254a287dd8ea",
		       "2a09ea9acaf44716fe65534e516cd9b41908574405e4308460adcdcf64353e16" } },
		{ 6, { "06ff953195ab27d15213202970f2fb49624c1520bb1f4beb1bda46e44baa8d02",
		       "53c78631a6659c7475f6fc48b6db70efe739296cbade9d22d6ab3a9094cdf4b2" } },
		{ 17, { "0ee04aa650932f23a9401999a1e9b6da903474ebbd46e4581e9efd8583789998",
			"a536588264d0f468f565891f0e3d16e5bd8d2be0445baf6b7e1b06e2dabaedce" } },
		{ 5000, { "6680286b4fea49ccbecb8dca87c149688c623d9d0fcad889598e3653fbebe795",
			  "cc27b80c6b113c8c925b70df96116a410878028bc32a7fb2433506e681106863" } },
	};

	for (size_t i = 0; i < LEN(t); i++)
		for (int a = ID_BLAKE3; a <= ID_BLAKE2B; a++) {
			struct id root;

			build(a, t[i].n, &root);
			expect(&root, t[i].want[a - 1]);
		}
}

static void heights(void)
{
	CHECK(tree_height(0) == 0 && tree_height(1) == 0 && tree_height(2) == 1);
	CHECK(tree_height(16) == 1 && tree_height(17) == 2 && tree_height(256) == 2);
	CHECK(tree_height(257) == 3 && tree_height(UINT64_MAX) == 16);
}

/* The last chunks of the largest volume there can be: no row is overrun. */
static void largest(void)
{
	struct id_builder b;
	struct id id = { { 1 } }, root;

	id_builder_init(&b, ID_BLAKE3, CHUNK_MIN, UINT64_MAX);
	id_builder_add(&b, 0, &id);
	id_builder_add(&b, UINT64_MAX / CHUNK_MIN, &id);
	id_builder_root(&b, &root);
	CHECK(!id_zero(&root));
}

static void text(void)
{
	char s[80];
	struct id a, b;
	int algo = 0;

	for (int i = 0; i < ID_LEN; i++)
		a.b[i] = (uint8_t)(i * 9);
	CHECK(!id_parse(id_format(ID_BLAKE2B, &a, s), &algo, &b));
	CHECK(algo == ID_BLAKE2B && id_equal(&a, &b));
	CHECK(!strncmp(s, "blake2b:", 8));
	CHECK(!id_parse(s + 8, &algo, &b) && algo == ID_BLAKE3 && id_equal(&a, &b));
	CHECK(id_parse("sha1:00", &algo, &b) < 0);
	CHECK(id_parse("", &algo, &b) < 0);
	CHECK(id_parse("blake3:", &algo, &b) < 0);
	s[strlen(s) - 1] = 'g';
	CHECK(id_parse(s, &algo, &b) < 0);
	s[strlen(s) - 1] = 0;
	CHECK(id_parse(s, &algo, &b) < 0);
	CHECK(id_algo_parse("blake3") == ID_BLAKE3 && id_algo_parse("blake") < 0);
	CHECK(id_algo_valid(ID_BLAKE2B) && !id_algo_valid(0) && !id_algo_valid(3));
}

int main(void)
{
	known_contents();
	zeros_are_zero();
	kinds_differ();
	known_roots();
	heights();
	largest();
	text();
	return 0;
}
