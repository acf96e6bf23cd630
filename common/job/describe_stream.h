/* dm-describe's work: a stream of extents becomes one of descriptors. */
#ifndef DM_JOB_DESCRIBE_STREAM_H
#define DM_JOB_DESCRIBE_STREAM_H

#include "stream/record.h"

struct describe_opts {
	uint32_t chunk_size;	/* 0: as the input says */
	char **volume;		/* to read ids from; NULL: none */
	size_t nvolumes;
	struct seal *unseal;	/* of the input, or NULL */
};
int describe_stream(int in_fd, struct frame_out *o, int out_fd, const struct describe_opts *opt,
    struct err *e);

#endif
