/* Changes in a test guest: overwrite pieces of a file, evenly over all of it,
 * with bytes that do not compress, and flush.
 *
 *   scatter FILE PIECE COUNT	pieces of PIECE bytes, at multiples of that */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static int fail(const char *what)
{
	fprintf(stderr, "scatter: %s: %s\n", what, strerror(errno));
	return 1;
}

/* Anew for each piece: cheap, and never the same. */
static void fill(uint64_t *p, size_t words, uint64_t *x)
{
	for (size_t i = 0; i < words; i++) {
		*x ^= *x << 13;
		*x ^= *x >> 7;
		*x ^= *x << 17;
		p[i] = *x;
	}
}

int main(int argc, char **argv)
{
	uint64_t seed, *p, piece, count, places;
	off_t size;
	int fd;

	if (argc != 4 || (piece = strtoull(argv[2], NULL, 10)) < 8 || (count = strtoull(argv[3], NULL, 10)) < 1) {
		fprintf(stderr, "usage: scatter FILE PIECE COUNT\n");
		return 2;
	}
	fd = open(argv[1], O_WRONLY | O_CLOEXEC);
	size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	if (size < 0)
		return fail(argv[1]);
	places = (uint64_t)size / piece;
	p = malloc(piece);
	if (!p || places < count || getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return fail(argv[2]);
	seed |= 1;
	for (uint64_t i = 0; i < count; i++) {
		fill(p, piece / 8, &seed);
		if (pwrite(fd, p, piece, (off_t)(i * places / count * piece)) != (ssize_t)piece)
			return fail(argv[1]);
	}
	free(p);
	return fsync(fd) == 0 ? 0 : fail(argv[1]);
}
