/* dm-describe: extents become descriptors. */
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "job/describe_stream.h"
#include "job/failure.h"
#include "job/sealing.h"

int main(int argc, char **argv)
{
	bool digest = false;
	uint64_t chunk_size = 0;
	struct sealing seal = { 0 };
	const struct opt opts[] = {
		{ "chunk-size", 'c', OPT_SIZE, &chunk_size, "SIZE",
		    "grid to cut on, a power of two (as the input says)", CHUNK_MIN, CHUNK_MAX },
		{ "digest", 'd', OPT_FLAG, &digest, NULL,
		    "read the chunks from VOLUME and name their content", 0, 0 },
		SEALING_OUT(&seal), SEALING_IN(&seal), SEALING_SESSION(&seal),
		{ 0 },
	};
	const struct opt_prog prog = { "dm-describe", "[--digest [NAME=]VOLUME ...]",
		"Turn the extents on standard input into descriptors.", opts, 0, (size_t)-1 };
	struct describe_opts how = { 0 };
	struct err e = { 0 };
	struct frame_out *o;
	int r = -1;

	fd_startup();
	opt_parse(&prog, argc, argv, &how.volume, &how.nvolumes, NULL);
	if (digest != (how.nvolumes > 0))
		opt_die(digest ? "--digest needs the volumes to read" :
		    "volumes are read with --digest only");
	if (chunk_size && !is_pow2(chunk_size))
		opt_die("--chunk-size: a power of two");
	how.chunk_size = (uint32_t)chunk_size;
	o = sealing_load(&seal, &e) == 0 ? frame_out_new(STDOUT_FILENO, "output", &e) : NULL;
	how.unseal = seal.in;
	if (o)
		frame_out_seal(o, seal.out);
	if (o)
		r = describe_stream(STDIN_FILENO, o, STDOUT_FILENO, &how, &e);
	if (r != 0) {
		failure_tell(o, STDOUT_FILENO, &e);
		err_report(&e);
	}
	frame_out_free(o);
	sealing_free(&seal);
	return e.code;
}
