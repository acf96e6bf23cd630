/* Frames: what was written is read, however it is cut into reads, and nothing
 * else is. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "base/fdio.h"
#include "stream/record.h"

#define DISK_SIZE MIB(64)

/* A stream in memory, as writers make it. */
static int stream_fd(void)
{
	int fd = memfd_create("stream", MFD_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

static struct hello *sample_hello(void)
{
	struct hello *h = x_alloc(sizeof(*h));

	*h = (struct hello){
		.version_min = 1, .version_max = 1, .chunk_size = CHUNK_MIN, .algo = ID_BLAKE3,
		.kind = KIND_FULL, .codecs = 3, .plan = x_strdup("p"),
		.workload = x_strdup("web1"), .ndisks = 1, .disk = x_alloc(sizeof(struct disk)),
		.session = "0123456789abcde",
	};
	h->disk[0] = (struct disk){ .name = x_strdup("vdb"), .size = DISK_SIZE, .block = 512,
		.base_point = x_strdup(""), .target_point = x_strdup("root:x") };
	return h;
}

static void put_chunk(struct frame_out *o, struct tally *t, uint64_t index, struct err *e)
{
	uint8_t data[100];
	struct chunk c = { .en = { .index = index, .off = index * CHUNK_MIN, .len = CHUNK_MIN,
		.flags = EF_FRAGS, .nfrags = 1, .frag = { { 512, sizeof(data) } } },
		.plain = sizeof(data), .stored = sizeof(data), .data = data };

	memset(data, (int)index + 1, sizeof(data));
	CHECK_ERR(!chunk_put(o, 0, 1, &c, e), e);
	tally_add(t, 0, &c.en, CHUNK_MIN);
}

/* A short, whole stream: hello, two chunks of one fragment each, a run of
 * zeros, barrier, end. */
static uint8_t *sample(size_t *len)
{
	struct hello *h = sample_hello();
	struct err e = { 0 };
	int fd = stream_fd();
	struct frame_out *o = frame_out_new(fd, "stream", &e);
	struct barrier b = { DISK_SIZE / CHUNK_MIN, 200 };
	struct entry zero = { .index = 2, .off = 2 * CHUNK_MIN, .len = DISK_SIZE - 2 * CHUNK_MIN,
		.flags = EF_RUN | EF_ZERO };
	struct tally t;
	uint8_t *p;

	tally_init(&t, h);
	CHECK_ERR(!hello_put(o, h, &e), &e);
	put_chunk(o, &t, 0, &e);
	put_chunk(o, &t, 1, &e);
	CHECK_ERR(!entry_frame_put(o, FT_ZERO, 0, 1, &zero, &e), &e);
	tally_add(&t, 0, &zero, CHUNK_MIN);
	CHECK_ERR(!barrier_put(o, 1, &b, &e), &e);
	CHECK_ERR(!end_put(o, &t, &e), &e);
	CHECK_ERR(!frame_flush(o, &e), &e);
	*len = (size_t)lseek(fd, 0, SEEK_END);
	p = malloc(*len);
	CHECK(p && fd_pread_full(fd, p, *len, 0) == (ssize_t)*len);
	frame_out_free(o);
	close(fd);
	hello_free(h);
	free(h);
	return p;
}

/* Reads a stream to its end as a receiver does, checking END against what it
 * took.  0 or the error's code. */
static int receive(struct frame_in *in, struct err *e)
{
	struct tally mine, end;
	struct hello h;
	struct frame f;
	int code;

	if (hello_read(in, &h, e) < 0)
		return e->code;
	tally_init(&mine, &h);
	while (frame_read(in, &f, e) > 0) {
		struct chunk c;

		if (f.type == FT_CHUNK && !chunk_decode(&f, &h, &c, e)) {
			CHECK(c.data[0] == c.en.index + 1);
			tally_add(&mine, f.disk, &c.en, h.chunk_size);
		} else if (f.type == FT_ZERO && !entry_frame_decode(&f, &h, &c.en, e)) {
			tally_add(&mine, f.disk, &c.en, h.chunk_size);
		} else if (f.type == FT_END && !end_decode(&f, &end, e)) {
			if (!tally_equal(&mine, &end))
				err_set(e, DM_BAD, "end");
			else
				frame_in_close(in, e);
			break;
		}
		if (e->code)
			break;
	}
	code = e->code;
	hello_free(&h);
	return code;
}

static int receive_bytes(const uint8_t *p, size_t len, struct err *e)
{
	int fd = stream_fd(), code;
	struct frame_in *in = frame_in_new(fd, "input");

	CHECK(!fd_write_full(fd, p, len) && lseek(fd, 0, SEEK_SET) == 0);
	memset(e, 0, sizeof(*e));
	code = receive(in, e);
	frame_in_free(in);
	close(fd);
	return code;
}

static void whole(void)
{
	size_t len;
	uint8_t *p = sample(&len);
	struct err e;

	CHECK_ERR(receive_bytes(p, len, &e) == 0, &e);
	free(p);
}

static void cut_anywhere_is_4(void)
{
	size_t len;
	uint8_t *p = sample(&len);
	struct err e;

	for (size_t cut = 0; cut < len; cut++) {
		CHECK_ERR(receive_bytes(p, cut, &e) == DM_ENV, &e);
		CHECK(strstr(e.text, "ended before its END"));
	}
	free(p);
}

/* Every flipped bit is seen.  A larger length would ask for bytes that never
 * come, but the header's own check is looked at before. */
static void flip_anywhere_is_3(void)
{
	size_t len;
	uint8_t *p = sample(&len);
	struct err e;

	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			p[i] ^= (uint8_t)(1 << bit);
			CHECK_ERR(receive_bytes(p, len, &e) == DM_BAD, &e);
			p[i] ^= (uint8_t)(1 << bit);
		}
	free(p);
}

static size_t frame_at(const uint8_t *p, size_t at)
{
	return FRAME_HEADER + get32(p + at + FH_LEN) + FRAME_CHECK;
}

/* Drop, repeat or swap any frame, cut off the end and go on. */
static void order_is_3(void)
{
	size_t len, at[16], n = 0;
	uint8_t *p = sample(&len), *q = malloc(2 * len);
	struct err e;

	for (size_t i = STREAM_PREFACE_LEN; i < len; i += frame_at(p, i))
		at[n++] = i;
	CHECK(n == 6);
	at[n] = len;
	for (size_t i = 0; i < n; i++) {
		size_t l = at[i + 1] - at[i], m = i + 1 < n ? at[i + 2] - at[i + 1] : 0;

		memcpy(q, p, at[i]);
		memcpy(q + at[i], p + at[i + 1], len - at[i + 1]);
		CHECK_ERR(receive_bytes(q, len - l, &e) == (i + 1 < n ? DM_BAD : DM_ENV), &e);
		memcpy(q, p, at[i + 1]);
		memcpy(q + at[i + 1], p + at[i], len - at[i]);
		CHECK_ERR(receive_bytes(q, len + l, &e) == DM_BAD, &e);
		if (!m)
			continue;
		memcpy(q + at[i], p + at[i + 1], m);
		memcpy(q + at[i] + m, p + at[i], l);
		memcpy(q + at[i + 2], p + at[i + 2], len - at[i + 2]);
		CHECK_ERR(receive_bytes(q, len, &e) == DM_BAD, &e);
	}
	free(p);
	free(q);
}

static void bytes_after_end_are_3(void)
{
	size_t len;
	uint8_t *p = sample(&len);
	struct err e;

	p = realloc(p, len + 1);
	p[len] = 0;
	CHECK_ERR(receive_bytes(p, len + 1, &e) == DM_BAD, &e);
	free(p);
}

struct feed {
	int fd;
	const uint8_t *p;
	size_t len;
	uint64_t r;
};

/* Writes in pieces of random length. */
static void *feeder(void *arg)
{
	struct feed *f = arg;

	for (size_t i = 0; i < f->len;) {
		size_t part = min64(f->len - i, 1 + rnd(&f->r) % (rnd(&f->r) % 2 ? 40 : 600));

		CHECK(!fd_write_full(f->fd, f->p + i, part));
		i += part;
	}
	close(f->fd);
	return NULL;
}

static void split_anywhere(void)
{
	size_t len;
	uint8_t *p = sample(&len);

	for (uint64_t seed = 0; seed < 300; seed++) {
		struct err e = { 0 };
		struct feed feed = { .p = p, .len = len, .r = seed };
		pthread_t t;
		int fd[2];
		struct frame_in *in;

		CHECK(!pipe2(fd, O_CLOEXEC));
		if (seed % 2)
			CHECK(!fd_nonblock(fd[0], true));
		feed.fd = fd[1];
		CHECK(!pthread_create(&t, NULL, feeder, &feed));
		in = frame_in_new(fd[0], "input");
		CHECK_ERR(receive(in, &e) == 0, &e);
		pthread_join(t, NULL);
		frame_in_free(in);
		close(fd[0]);
	}
	free(p);
}

/* Bodies of any length up to the largest, kept or not, dropped out of order
 * and after the reader is gone. */
static void *send_sizes(void *arg)
{
	struct feed *feed = arg;
	struct err e = { 0 };
	struct frame_out *o = frame_out_new(feed->fd, "pipe", &e);
	struct ring *ring = ring_new(o, FRAME_BODY_MAX, 1, &e);

	CHECK(o && ring);
	for (int i = 0; i < 300; i++) {
		size_t len = rnd(&feed->r) % 5 ? rnd(&feed->r) % 40000 : rnd(&feed->r) % FRAME_BODY_MAX;
		uint8_t *p = ring_take(ring), small[3] = { 1, 2, 3 };
		struct iovec v[3] = { { small, len ? 1 : 0 }, { p, len > 3 ? len - 3 : 0 }, { small + 1, len > 2 ? 2 : 0 } };

		CHECK(p);
		memset(p, i, FRAME_BODY_MAX);
		CHECK_ERR(!frame_put(o, FT_STAT, FF_MAY_IGNORE, (uint32_t)i, 0, v, 3, &e), &e);
		ring_sent(ring, p);
	}
	CHECK_ERR(!frame_flush(o, &e), &e);
	ring_free(ring);
	frame_out_free(o);
	close(feed->fd);
	return NULL;
}

static void check_sized(const struct frame *f)
{
	for (uint32_t i = 1; i + 2 < f->len; i++)
		CHECK(f->body[i] == (uint8_t)f->disk);
	if (f->len > 2)
		CHECK(f->body[0] == 1 && f->body[f->len - 1] == 3);
}

static void kept_frames(void)
{
	struct frame kept[20];
	unsigned n = 0, seen = 0;
	uint64_t r = 6;
	struct feed feed = { .r = 5 };
	struct err e = { 0 };
	struct frame_in *in;
	struct frame f;
	pthread_t t;
	int fd[2];

	CHECK(!pipe2(fd, O_CLOEXEC));
	feed.fd = fd[1];
	CHECK(!pthread_create(&t, NULL, send_sizes, &feed));
	in = frame_in_new(fd[0], "input");
	while (frame_read(in, &f, &e) > 0) {
		CHECK(f.disk == seen++);
		if (n < LEN(kept) && rnd(&r) % 2) {
			frame_keep(&f);
			kept[n++] = f;
		} else if (n) {
			unsigned k = (unsigned)(rnd(&r) % n);

			check_sized(&kept[k]);
			frame_drop(&kept[k]);
			kept[k] = kept[--n];
		}
		check_sized(&f);
	}
	CHECK_ERR(e.code == DM_ENV && seen == 300, &e);
	pthread_join(t, NULL);
	frame_in_free(in);
	close(fd[0]);
	while (n) {
		check_sized(&kept[--n]);
		frame_drop(&kept[n]);
	}
}

/* A relay that never blocks, with large bodies by reference. */
static void *relay(void *arg)
{
	struct feed *feed = arg;
	int from = (int)feed->len, open = 1;
	struct err e = { 0 };
	struct frame_in *in = frame_in_new(from, "input");
	struct frame_out *o = frame_out_new(feed->fd, "output", &e);
	struct frame f;

	CHECK(!fd_nonblock(from, true) && !fd_nonblock(feed->fd, true));
	frame_out_nonblock(o);
	while (open || frame_out_queued(o)) {
		struct pollfd p[2] = {
			{ .fd = open && frame_out_queued(o) < MIB(4) ? from : -1, .events = POLLIN },
			{ .fd = feed->fd, .events = frame_out_queued(o) ? POLLOUT : 0 },
		};
		long got;

		CHECK(poll(p, 2, -1) > 0);
		if (p[0].revents) {
			got = frame_fill(in, &e);
			open = got != 0;
			while (frame_next(in, &f, &e) > 0)
				CHECK(!frame_pass_keep(o, &f, &e));
			CHECK_ERR(!e.code, &e);
		}
		CHECK_ERR(frame_pump(o, &e) >= 0, &e);
	}
	frame_in_free(in);
	frame_out_free(o);
	close(feed->fd);
	return NULL;
}

static void relayed(void)
{
	struct feed feed = { .r = 9 }, hop = { 0 };
	struct err e = { 0 };
	struct frame_in *in;
	struct frame f;
	pthread_t t[2];
	unsigned seen = 0;
	int a[2], b[2];

	CHECK(!pipe2(a, O_CLOEXEC) && !pipe2(b, O_CLOEXEC));
	feed.fd = a[1];
	hop.fd = b[1];
	hop.len = (size_t)a[0];
	CHECK(!pthread_create(&t[0], NULL, send_sizes, &feed));
	CHECK(!pthread_create(&t[1], NULL, relay, &hop));
	in = frame_in_new(b[0], "input");
	while (frame_read(in, &f, &e) > 0) {
		CHECK(f.disk == seen++);
		check_sized(&f);
	}
	CHECK_ERR(e.code == DM_ENV && seen == 300, &e);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	frame_in_free(in);
	close(a[0]);
	close(b[0]);
}

static void reader_gone(void)
{
	uint8_t *big = calloc(1, MIB(1));
	struct err e = { 0 };
	struct frame_out *o;
	int fd[2];

	CHECK(!pipe2(fd, O_CLOEXEC));
	fd_startup();
	o = frame_out_new(fd[1], "output", &e);
	close(fd[0]);
	CHECK(frame_put1(o, FT_STAT, 1, 0, 0, big, MIB(1), &e) < 0);
	CHECK_ERR(e.code == DM_ENV && e.quiet && e.errnum == EPIPE, &e);
	frame_out_free(o);
	close(fd[1]);
	free(big);
}

static void terminal_refused(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);
	struct err e = { 0 };

	CHECK(fd >= 0);
	CHECK(!frame_out_new(fd, "standard output", &e));
	CHECK_ERR(e.code == DM_USAGE, &e);
	close(fd);
}

/* After so many other bytes a moved page is really gone from the pipe: fill
 * the pipe without a reader and see that no buffer comes back too early. */
static void ring_waits(void)
{
	struct err e = { 0 };
	struct frame_out *o;
	struct frame_in *in;
	struct ring *ring;
	struct frame f;
	uint8_t *p, *first;
	int fd[2];

	CHECK(!pipe2(fd, O_CLOEXEC));
	o = frame_out_new(fd[1], "output", &e);
	in = frame_in_new(fd[0], "input");
	ring = ring_new(o, KIB(512), 1, &e);
	first = ring_take(ring);
	memset(first, 'a', KIB(512));
	CHECK(!frame_put1(o, FT_STAT, 1, 0, 0, first, KIB(512), &e));
	ring_sent(ring, first);
	p = ring_take(ring);
	CHECK(p != first);
	memset(p, 'b', KIB(512));
	CHECK(frame_read(in, &f, &e) == 1 && f.body[0] == 'a' && f.body[f.len - 1] == 'a');
	for (int i = 0; i < 3; i++) {
		CHECK(!frame_put1(o, FT_STAT, 1, 0, 0, p, KIB(512), &e));
		ring_sent(ring, p);
		CHECK(frame_read(in, &f, &e) == 1 && f.body[0] == 'b');
		p = ring_take(ring);
		CHECK(p && p != first);
		memset(p, 'b', KIB(512));
	}
	CHECK(!frame_put1(o, FT_STAT, 1, 0, 0, p, KIB(512), &e));
	ring_sent(ring, p);
	CHECK(ring_take(ring) == first);
	ring_free(ring);
	frame_out_free(o);
	frame_in_free(in);
	close(fd[0]);
	close(fd[1]);
}

static void *send_large(void *arg)
{
	struct err e = { 0 };
	struct frame_out *o = frame_out_new(*(int *)arg, "out", &e);
	uint8_t *p = x_alloc(MIB(1)), head[48];

	memset(head, 'h', sizeof(head));
	for (int i = 0; i < 40; i++) {
		struct iovec v[2] = { { head, sizeof(head) }, { p, MIB(1) } };

		memset(p, 'a' + i % 26, MIB(1));
		CHECK(!frame_put(o, FT_STAT, 1, 0, 0, v, 2, &e));
	}
	frame_out_free(o);
	close(*(int *)arg);
	free(p);
	return NULL;
}

/* A large payload at the end of a frame lies on a page, once the first such
 * frame told where, whether frames are kept or not. */
static void large_on_pages(void)
{
	int fd[2], n = 0;
	struct frame f[40];
	struct err e = { 0 };
	struct frame_in *in;
	pthread_t t;

	CHECK(!pipe(fd));
	in = frame_in_new(fd[0], "in");
	CHECK(!pthread_create(&t, NULL, send_large, &fd[1]));
	for (; n < 40; n++) {
		const uint8_t *payload;

		CHECK_ERR(frame_read(in, &f[n], &e) == 1, &e);
		payload = f[n].body + f[n].len - MIB(1);
		CHECK(payload[-1] == 'h' && payload[0] == 'a' + n % 26 &&
		    payload[MIB(1) - 1] == 'a' + n % 26);
		CHECK(n < 2 || (uintptr_t)payload % 4096 == 0);
		if (n % 8)
			frame_keep(&f[n]);
	}
	pthread_join(t, NULL);
	while (n--)
		if (n % 8)
			frame_drop(&f[n]);
	frame_in_free(in);
	close(fd[0]);
}

int main(void)
{
	RUN(whole);
	RUN(large_on_pages);
	RUN(cut_anywhere_is_4);
	RUN(flip_anywhere_is_3);
	RUN(order_is_3);
	RUN(bytes_after_end_are_3);
	RUN(split_anywhere);
	RUN(kept_frames);
	RUN(relayed);
	RUN(reader_gone);
	RUN(terminal_refused);
	RUN(ring_waits);
	return 0;
}
