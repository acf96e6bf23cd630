/* Streams made frame by frame, into a file, and taken apart again. */
#ifndef DM_TESTS_STREAMS_H
#define DM_TESTS_STREAMS_H

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "content/id.h"
#include "stream/record.h"
#include "unit.h"

struct making {
	int fd;
	struct frame_out *o;
	struct hello h;
	struct tally t;
	struct err e;
};

/* A stream of one disk called `name', with its HELLO. */
static inline void making_start(struct making *m, const char *name, uint32_t chunk, uint64_t size)
{
	memset(m, 0, sizeof(*m));
	m->h = (struct hello){
		.version_min = 1, .version_max = 1, .chunk_size = chunk, .algo = ID_BLAKE3,
		.kind = KIND_FULL, .codecs = 3, .plan = x_strdup(""), .workload = x_strdup(""),
		.ndisks = 1, .disk = x_array(1, sizeof(struct disk)),
	};
	hello_new_session(&m->h);
	m->h.disk[0] = (struct disk){ .name = x_strdup(name), .size = size, .block = 512,
		.base_point = x_strdup(""), .target_point = x_strdup("") };
	tally_init(&m->t, &m->h);
	m->fd = open(".", O_TMPFILE | O_RDWR, 0600);
	CHECK(m->fd >= 0);
	m->o = frame_out_new(m->fd, "test", &m->e);
	CHECK(m->o);
}

/* After changes to m->h. */
static inline void making_hello(struct making *m)
{
	CHECK_ERR(!hello_put(m->o, &m->h, &m->e), &m->e);
}

static inline void making_chunk(struct making *m, uint32_t epoch, const struct entry *en, const void *p)
{
	uint32_t n = (uint32_t)entry_bytes(en);
	struct chunk c = { .en = *en, .codec = 0, .plain = n, .stored = n, .data = p };

	CHECK_ERR(!chunk_put(m->o, 0, epoch, &c, &m->e), &m->e);
	tally_add(&m->t, 0, en, m->h.chunk_size);
}

static inline void making_entry(struct making *m, uint8_t type, uint32_t epoch, const struct entry *en)
{
	CHECK_ERR(!entry_frame_put(m->o, type, 0, epoch, en, &m->e), &m->e);
	tally_add(&m->t, 0, en, m->h.chunk_size);
}

static inline void making_desc(struct making *m, const struct entry *en)
{
	struct desc_batch b = { .epoch = 1 };

	CHECK_ERR(!desc_add(m->o, &b, 0, en, &m->e), &m->e);
	CHECK_ERR(!desc_flush(m->o, &b, &m->e), &m->e);
	buf_free(&b.body);
	tally_add(&m->t, 0, en, m->h.chunk_size);
}

/* With the numbers so far, and `off' added to the count. */
static inline void making_barrier(struct making *m, uint32_t epoch, uint64_t off)
{
	struct barrier b = { .count = m->t.count + off, .bytes = m->t.bytes };

	CHECK_ERR(!barrier_put(m->o, epoch, &b, &m->e), &m->e);
}

static inline void making_end(struct making *m)
{
	CHECK_ERR(!end_put(m->o, &m->t, &m->e), &m->e);
}

/* The stream, from its beginning. */
static inline int making_fd(struct making *m)
{
	CHECK_ERR(!frame_flush(m->o, &m->e), &m->e);
	CHECK(lseek(m->fd, 0, SEEK_SET) == 0);
	return m->fd;
}

static inline void making_free(struct making *m)
{
	frame_out_free(m->o);
	hello_free(&m->h);
	close(m->fd);
}

/* An empty directory of our own to work in. */
static inline void work_dir(void)
{
	static char dir[] = "/tmp/dm-unit.XXXXXX";

	CHECK(mkdtemp(dir) && !chdir(dir));
}

static inline void work_dir_remove(void)
{
	char dir[4096];

	CHECK(getcwd(dir, sizeof(dir)) && !chdir("/") && !rmdir(dir));
}

#endif
