/* ebs_fast PORTFILE DELAY_MS BLOCKS: a server of the EBS direct APIs for
 * benchmarks, that costs little itself: one thread, nothing kept of what is put
 * but its count, and no signature looked at (ebs_server.py is the strict one).
 * Every answer comes DELAY_MS after its request was there; connections wait for
 * nobody.
 *
 * The snapshot snap-0fast has BLOCKS blocks, from the first one on, all
 * different.  Block i is the bytes from i * 512 on of one random area. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <sodium.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "http/sigv4.h"

#define BLOCK 524288u
#define REQUEST 16384u
#define PAGE 10000u

struct conn {
	int fd;
	char request[REQUEST + 1];	/* its head, and a short body */
	size_t have;
	uint64_t skip;			/* of a long body, still to come */
	struct buf head;		/* of the answer, with a short body */
	const uint8_t *body;		/* a block, or NULL */
	size_t sent;
	int64_t due;			/* 0: not waiting for its time */
	bool gone;			/* meanwhile */
	struct conn *next;
};

static struct conn *first, **last = &first;	/* that wait for their time */
static int64_t delay;
static uint64_t blocks, put;
static uint8_t *area;
static char (*sum)[64];				/* of each block */
static int poller;

static void die(const char *what)
{
	fprintf(stderr, "ebs_fast: %s: %s\n", what, strerror(errno));
	exit(4);
}

static void conn_end(struct conn *c)
{
	close(c->fd);
	buf_free(&c->head);
	free(c);
}

/* ---- answers ---- */

static void answer(struct conn *c, const char *status, const char *headers, const char *text)
{
	c->head.len = 0;
	buf_printf(&c->head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", status,
	    c->body ? (size_t)BLOCK : strlen(text), headers, text);
}

static uint64_t number_after(const char *s, const char *word, uint64_t otherwise)
{
	const char *at = strstr(s, word);

	return at ? strtoull(at + strlen(word), NULL, 10) : otherwise;
}

static void list(struct conn *c)
{
	char *line = x_printf("%.*s", (int)strcspn(c->request, "\r"), c->request);
	uint64_t from = number_after(line, "pageToken=", number_after(line, "startingBlockIndex=", 0));
	uint64_t end = min64(blocks, from + min64(PAGE, number_after(line, "maxResults=", PAGE)));
	struct buf text = { 0 };

	buf_printf(&text, "{\"VolumeSize\":%llu,\"BlockSize\":%u,\"ExpiryTime\":4102444800.0,\"Blocks\":[",
	    (unsigned long long)div_up(blocks * BLOCK, GIB(1)), BLOCK);
	for (uint64_t i = from; i < end; i++)
		buf_printf(&text, "%s{\"BlockIndex\":%llu,\"BlockToken\":\"AAUBAfF0aW1lAAAAAAAAAAAAAAAAAAAA%08llu\"}",
		    i > from ? "," : "", (unsigned long long)i, (unsigned long long)i);
	buf_printf(&text, "]");
	if (end < blocks)
		buf_printf(&text, ",\"NextToken\":\"%llu\"", (unsigned long long)end);
	buf_put(&text, "}", 2);
	answer(c, "200 OK", "Content-Type: application/json\r\n", (char *)text.p);
	buf_free(&text);
	free(line);
}

static void block(struct conn *c, uint64_t i)
{
	char *headers;

	if (i >= blocks) {
		answer(c, "400 Bad Request", "x-amzn-ErrorType: ValidationException\r\n", "{\"Message\":\"no such block\"}");
		return;
	}
	c->body = area + i * 512;
	headers = x_printf("Content-Type: application/octet-stream\r\nx-amz-Data-Length: %u\r\nx-amz-Checksum: %s\r\n"
	    "x-amz-Checksum-Algorithm: SHA256\r\n", BLOCK, sum[i]);
	answer(c, "200 OK", headers, "");
	free(headers);
}

/* The put block's checksum is said back, as it was said. */
static void taken(struct conn *c)
{
	const char *at = strcasestr(c->request, "\r\nx-amz-checksum: ");
	char *headers;

	put++;
	at = at ? at + strlen("\r\nx-amz-checksum: ") : "";
	headers = x_printf("x-amz-checksum: %.*s\r\nx-amz-checksum-algorithm: SHA256\r\n", (int)strcspn(at, "\r"), at);
	answer(c, "201 Created", headers, "");
	free(headers);
}

static void complete(struct conn *c)
{
	const char *at = strcasestr(c->request, "\r\nx-amz-changedblockscount: ");

	if (!at || strtoull(at + strlen("\r\nx-amz-changedblockscount: "), NULL, 10) != put)
		answer(c, "400 Bad Request", "x-amzn-ErrorType: ValidationException\r\n", "{\"Message\":\"another count\"}");
	else
		answer(c, "202 Accepted", "Content-Type: application/json\r\n", "{\"Status\":\"pending\"}");
}

static void ec2(struct conn *c)
{
	const char *found = strstr(c->request, "SnapshotId.1=") ? "<item><snapshotId>snap-0new</snapshotId>"
	    "<volumeId>vol-0</volumeId><status>completed</status><startTime>2026-01-01T00:00:00.000Z</startTime>"
	    "<progress>100%</progress><volumeSize>1</volumeSize><tagSet/></item>" : "";
	char *text = x_printf("<DescribeSnapshotsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">"
	    "<return>true</return><snapshotSet>%s</snapshotSet></DescribeSnapshotsResponse>", found);

	answer(c, "200 OK", "Content-Type: text/xml\r\n", text);
	free(text);
}

static void route(struct conn *c)
{
	const char *r = c->request, *n = strstr(r, "/blocks/");
	size_t line = strcspn(r, "\r");

	c->body = NULL;
	if (n && (size_t)(n - r) > line)
		n = NULL;
	if (!strncmp(r, "GET", 3) && n)
		block(c, strtoull(n + 8, NULL, 10));
	else if (!strncmp(r, "GET", 3))
		list(c);
	else if (!strncmp(r, "PUT", 3))
		taken(c);
	else if (!strncmp(r, "POST /snapshots/completion/", 27))
		complete(c);
	else if (!strncmp(r, "POST /snapshots", 15)) {
		put = 0;
		answer(c, "201 Created", "Content-Type: application/json\r\n", "{\"SnapshotId\":\"snap-0new\",\"OwnerId\":\"1\","
		    "\"Status\":\"pending\",\"StartTime\":1.0,\"VolumeSize\":1,\"BlockSize\":524288}");
	} else
		ec2(c);
}

/* ---- connections ---- */

static void watch(struct conn *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &ev) != 0)
		die("epoll");
}

/* All of the request is here. */
static void wait_turn(struct conn *c)
{
	c->due = time_mono() + delay;
	c->next = NULL;
	*last = c;
	last = &c->next;
	watch(c, 0);
}

static void look(struct conn *c)
{
	char *end, *length;
	uint64_t len, here;

	c->request[c->have] = 0;
	end = strstr(c->request, "\r\n\r\n");
	if (!end)
		return;
	length = strcasestr(c->request, "\r\ncontent-length:");
	len = length && length < end ? strtoull(length + 17, NULL, 10) : 0;
	here = c->have - (size_t)(end + 4 - c->request);
	if (here < len && len < REQUEST / 2)
		return;			/* all of a short body is kept */
	c->skip = len - min64(here, len);
	if (!c->skip)
		wait_turn(c);
}

/* false: it has ended. */
static bool take(struct conn *c)
{
	static uint8_t waste[1u << 20];
	ssize_t n;

	if (c->skip) {
		n = read(c->fd, waste, min64(sizeof(waste), c->skip));
		if (n > 0 && !(c->skip -= (uint64_t)n))
			wait_turn(c);
	} else {
		n = read(c->fd, c->request + c->have, REQUEST - c->have);
		if (n > 0) {
			c->have += (size_t)n;
			look(c);
		}
	}
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static bool give(struct conn *c)
{
	size_t head = c->head.len, all = head + (c->body ? BLOCK : 0);

	while (c->sent < all) {
		size_t skip = c->sent > head ? c->sent - head : 0;
		struct iovec v[2] = { { c->head.p + min64(c->sent, head), head - min64(c->sent, head) },
			{ (void *)(c->body + skip), c->body ? BLOCK - skip : 0 } };
		ssize_t n = writev(c->fd, v, c->body ? 2 : 1);

		if (n < 0 && errno == EAGAIN) {
			watch(c, EPOLLOUT);
			return true;
		}
		if (n < 0)
			return false;
		c->sent += (size_t)n;
	}
	c->have = c->sent = 0;
	watch(c, EPOLLIN);
	return true;
}

static void greet(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), on = 1;
	struct conn *c;
	struct epoll_event ev = { .events = EPOLLIN };

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c = x_alloc(sizeof(*c));
	c->fd = fd;
	ev.data.ptr = c;
	if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) != 0)
		die("epoll");
}

static void answer_due(void)
{
	while (first && first->due <= time_mono()) {
		struct conn *c = first;

		first = c->next;
		if (!first)
			last = &first;
		c->due = 0;
		if (!c->gone)
			route(c);
		if (c->gone || !give(c))
			conn_end(c);
	}
}

/* It waits for its time, and the other end has gone. */
static void went(struct conn *c)
{
	c->gone = true;
	if (epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL) != 0)
		die("epoll");
}

static void serve(int listener)
{
	struct epoll_event ev[64];

	for (;;) {
		int64_t left = first ? (first->due - time_mono() + 999999) / 1000000 : -1;
		int n = epoll_wait(poller, ev, 64, first && left < 0 ? 0 : (int)left);

		if (n < 0 && errno != EINTR)
			die("epoll");
		for (int i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (!c)
				greet(listener);
			else if (c->due)
				went(c);
			else if (!(ev[i].events & EPOLLOUT ? give(c) : take(c)))
				conn_end(c);
		}
		answer_due();
	}
}

static void fill(void)
{
	size_t n = BLOCK + 512 * blocks;
	uint8_t digest[32];

	area = malloc(n);
	sum = malloc(blocks * sizeof(*sum));
	if (!area || !sum)
		die("memory");
	randombytes_buf(area, n);
	for (uint64_t i = 0; i < blocks; i++) {
		sha256_of(area + i * 512, BLOCK, digest);
		sodium_bin2base64(sum[i], sizeof(*sum), digest, 32, sodium_base64_VARIANT_ORIGINAL);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	struct epoll_event ev = { .events = EPOLLIN };
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char *tmp;
	FILE *f;

	if (argc != 4 || sodium_init() < 0) {
		fprintf(stderr, "usage: ebs_fast PORTFILE DELAY_MS BLOCKS\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	delay = strtoll(argv[2], NULL, 10) * 1000000;
	blocks = strtoull(argv[3], NULL, 10);
	fill();
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(s, 512) != 0 ||
	    getsockname(s, (struct sockaddr *)&a, &len) != 0 || poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, s, &ev) != 0)
		die("listen");
	tmp = x_printf("%s.new", argv[1]);
	f = fopen(tmp, "w");
	if (!f || fprintf(f, "%u\n", ntohs(a.sin_port)) < 0 || fclose(f) != 0 || rename(tmp, argv[1]) != 0)
		die(argv[1]);
	serve(s);
	return 0;
}
