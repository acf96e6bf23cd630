/* wan NETNS NETNS MILLISECONDS [LOSS]: a long way between two network
 * namespaces.  Makes a TUN device in each (wan0: 10.98.0.1 and 10.98.0.2) and
 * carries packets between them, each delayed, some lost (a part, 0 to 1).
 * Says "up" when it is up, and ends at the end of its standard input. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/timefmt.h"

#define MTU 9000
#define PACKETS 16384u		/* on the way, each direction; more are lost */

struct packet {
	int64_t due;
	uint32_t len;
	uint8_t *data;
};

struct way {
	struct packet *packet;
	uint32_t head, tail;
};

static double loss;
static int64_t delay;

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(4);
}

static void run(const char *fmt, const char *a, const char *b)
{
	char text[256];

	snprintf(text, sizeof text, fmt, a, b);
	if (system(text) != 0)
		exit(4);
}

static int tun_make(const char *ns, const char *temporary, const char *address)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(r.ifr_name, sizeof r.ifr_name, "%s", temporary);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
		fail("/dev/net/tun");
	run("ip link set %s netns %s", temporary, ns);
	run("ip -n %s link set %s name wan0", ns, temporary);
	run("ip -n %s addr add %s/24 dev wan0", ns, address);
	run("ip -n %s link set wan0 mtu 9000 txqueuelen 10000 up%s", ns, "");
	return fd;
}

static void take(int fd, struct way *w, int64_t now)
{
	for (int i = 0; i < 256; i++) {
		struct packet *p = &w->packet[w->tail % PACKETS];
		ssize_t n = read(fd, p->data, MTU);

		if (n <= 0)
			return;
		if (w->tail - w->head == PACKETS - 1 || drand48() < loss)
			continue;
		p->len = (uint32_t)n;
		p->due = now + delay;
		w->tail++;
	}
}

/* Those whose time has come; when the next one's comes. */
static int64_t give(int fd, struct way *w, int64_t now)
{
	while (w->head != w->tail) {
		struct packet *p = &w->packet[w->head % PACKETS];

		if (p->due > now)
			return p->due;
		if (write(fd, p->data, p->len) < 0 && errno == EAGAIN)
			return now + 100000;
		w->head++;
	}
	return INT64_MAX;
}

static void way_make(struct way *w)
{
	uint8_t *room = x_array(PACKETS, MTU);	/* touched only as it is used */

	w->packet = x_array(PACKETS, sizeof *w->packet);
	for (uint32_t i = 0; i < PACKETS; i++)
		w->packet[i].data = room + (size_t)i * MTU;
}

int main(int argc, char **argv)
{
	struct way way[2] = { 0 };
	struct pollfd p[3];
	char a[IFNAMSIZ], b[IFNAMSIZ];

	if (argc < 4)
		return 2;
	delay = (int64_t)(atof(argv[3]) * 1e6);
	loss = argc > 4 ? atof(argv[4]) : 0;
	snprintf(a, sizeof a, "wa%d", (int)getpid() % 1000000);
	snprintf(b, sizeof b, "wb%d", (int)getpid() % 1000000);
	way_make(&way[0]);
	way_make(&way[1]);
	p[0] = (struct pollfd){ .fd = tun_make(argv[1], a, "10.98.0.1"), .events = POLLIN };
	p[1] = (struct pollfd){ .fd = tun_make(argv[2], b, "10.98.0.2"), .events = POLLIN };
	p[2] = (struct pollfd){ .fd = 0, .events = POLLIN };
	puts("up");
	fflush(stdout);
	for (;;) {
		int64_t now = time_mono(), next, other;
		struct timespec t;
		char c;

		next = give(p[1].fd, &way[0], now);
		other = give(p[0].fd, &way[1], now);
		next = (other < next ? other : next) - now;
		if (next < 0)
			next = 0;
		t = (struct timespec){ .tv_sec = next > 1000000000 ? 1 : 0,
		    .tv_nsec = next > 1000000000 ? 0 : next };
		if (ppoll(p, 3, &t, NULL) < 0 && errno != EINTR)
			fail("poll");
		now = time_mono();
		take(p[0].fd, &way[0], now);
		take(p[1].fd, &way[1], now);
		if (p[2].revents && read(0, &c, 1) <= 0)
			return 0;
	}
}
