/* frame_speed [MIB [PAYLOAD]]: pipes so many MiB of CHUNK frames from one
 * process to another and says how fast that went. */
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "stream/record.h"
#include "unit.h"

static struct hello sample = {
	.version_min = 1, .version_max = 1, .chunk_size = CHUNK_MAX, .algo = ID_BLAKE3,
	.kind = KIND_FULL, .ndisks = 1,
};

static void produce(int fd, uint64_t total, uint32_t payload)
{
	struct err e = { 0 };
	struct frame_out *o = frame_out_new(fd, "output", &e);
	struct ring *ring = ring_new(o, payload, 1, &e);
	struct tally t = { 0 };

	CHECK_ERR(o && ring && !hello_put(o, &sample, &e), &e);
	for (uint64_t i = 0; i < total / payload; i++) {
		struct chunk c = { .en = { .index = i, .off = i * CHUNK_MAX, .len = CHUNK_MAX,
			.flags = payload < CHUNK_MAX ? EF_FRAGS : 0, .nfrags = payload < CHUNK_MAX },
			.plain = payload, .stored = payload, .data = ring_take(ring) };

		c.en.frag[0].len = payload;
		put64((uint8_t *)c.data, i);
		CHECK_ERR(!chunk_put(o, 0, 1, &c, &e), &e);
		ring_sent(ring, (void *)c.data);
	}
	CHECK_ERR(!end_put(o, &t, &e) && !frame_flush(o, &e), &e);
	ring_free(ring);
	frame_out_free(o);
}

static void consume(int fd, uint64_t total, uint32_t payload)
{
	struct err e = { 0 };
	struct frame_in *in = frame_in_new(fd, "input");
	uint64_t n = 0;
	struct hello h;
	struct frame f;

	CHECK_ERR(!hello_read(in, &h, &e), &e);
	while (frame_read(in, &f, &e) > 0 && f.type == FT_CHUNK) {
		struct chunk c;

		CHECK_ERR(!chunk_decode(&f, &h, &c, &e), &e);
		CHECK(get64(c.data) == n && c.plain == payload);
		n++;
	}
	CHECK_ERR(f.type == FT_END && n == total / payload && !frame_in_close(in, &e), &e);
	frame_in_free(in);
	hello_free(&h);
}

int main(int argc, char **argv)
{
	uint64_t mib = 1024, payload = CHUNK_MAX;
	int64_t start = time_mono();
	int fd[2], status;
	pid_t pid;

	if (argc > 1)
		CHECK(!u64_parse(argv[1], 1, 1 << 20, &mib));
	if (argc > 2)
		CHECK(!size_parse(argv[2], 8, CHUNK_MAX, &payload));
	sample.disk = &(struct disk){ .name = "a", .size = INT64_MAX, .block = 512 };
	CHECK(!pipe(fd));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		close(fd[0]);
		produce(fd[1], MIB(mib), (uint32_t)payload);
		_exit(0);
	}
	close(fd[1]);
	consume(fd[0], MIB(mib), (uint32_t)payload);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	printf("%.2f GB/s\n", (double)MIB(mib) / (double)(time_mono() - start));
	return 0;
}
