/* What nbd: URIs ask for, and which are refused. */
#include <string.h>

#include "base/bytes.h"
#include "../lib/unit.h"
#include "volume/drv_nbd.h"

static int parse(const char *s, struct nbdv_where *w, struct err *e)
{
	struct uri u;
	int r;

	*e = (struct err){ 0 };
	CHECK(uri_parse(s, &u, e) == 0);
	r = nbdv_where_parse(&u, s, w, e);
	uri_free(&u);
	return r;
}

static void places(void)
{
	static const struct { const char *uri, *host, *port, *socket, *name; bool tls; } row[] = {
		{ "nbd://h", "h", "10809", NULL, "", false },
		{ "nbd://h/", "h", "10809", NULL, "", false },
		{ "nbd://h:1/x", "h", "1", NULL, "x", false },
		{ "nbds://h.example:65535/a/b", "h.example", "65535", NULL, "a/b", true },
		{ "nbd://[::1]/x", "::1", "10809", NULL, "x", false },
		{ "nbd://[fe80::2]:7/%20x%2fy", "fe80::2", "7", NULL, " x/y", false },
		{ "nbd+unix:///?socket=/s", NULL, NULL, "/s", "", false },
		{ "nbd+unix:///v%26a=b?socket=/a%3fb%26c", NULL, NULL, "/a?b&c", "v&a=b", false },
		{ "nbds+unix://?socket=rel", NULL, NULL, "rel", "", true },
		{ "nbd+unix:////abs?socket=/s", NULL, NULL, "/s", "/abs", false },
	};

	for (size_t i = 0; i < LEN(row); i++) {
		struct nbdv_where w;
		struct err e;

		CHECK_ERR(parse(row[i].uri, &w, &e) == 0, &e);
		CHECK(w.tls == row[i].tls && !strcmp(w.name, row[i].name));
		CHECK(!row[i].host == !w.host && !row[i].socket == !w.socket);
		CHECK(!row[i].host || (!strcmp(w.host, row[i].host) && !strcmp(w.port, row[i].port)));
		CHECK(!row[i].socket || !strcmp(w.socket, row[i].socket));
		CHECK(w.connections == 4 && w.timeout == 60 && !w.synced);
		nbdv_where_free(&w);
	}
}

static void parameters(void)
{
	struct nbdv_where w;
	struct err e;

	CHECK_ERR(parse("nbds://h/x?bitmap=b%201&point=p/2&record=/r&tls-certificates=/c&tls-username=u"
	    "&connections=16&timeout=5&sync=server", &w, &e) == 0, &e);
	CHECK(!strcmp(w.bitmap, "b 1") && !strcmp(w.point, "p/2") && !strcmp(w.record, "/r"));
	CHECK(!strcmp(w.certificates, "/c") && !strcmp(w.username, "u") && !w.psk_file);
	CHECK(w.connections == 16 && w.timeout == 5 && w.synced);
	nbdv_where_free(&w);
}

static void refused(void)
{
	static const char *const bad[] = {
		"nbd:h", "nbd:/h/x", "nbd:///x", "nbd://:1/x", "nbd://u@h/x", "nbd://h:/x", "nbd://h:0/x",
		"nbd://h:65536/x", "nbd://h:1x/x", "nbd://[::1/x", "nbd://[]/x", "nbd://[::1]x/x",
		"nbd://h/%zz", "nbd://h/%00", "nbd://h/%2", "nbd://h/x#p", "nbd://h/x?socket=/s",
		"nbd+unix:///x", "nbd+unix://h/x?socket=/s", "nbd+unix:///x?socket=", "nbd://h/x?nosuch=1",
		"nbd://h/x?bitmap", "nbd://h/x?bitmap=", "nbd://h/x?=1", "nbd://h/x?point=a&point=b",
		"nbd://h/x?connections=0", "nbd://h/x?connections=17", "nbd://h/x?connections=",
		"nbd://h/x?timeout=0", "nbd://h/x?timeout=1s", "nbd://h/x?sync=yes", "nbd://h/x?record=%",
		"nbd://h/x?tls-psk-file=/p", "nbds://h/x?tls-psk-file=/p&tls-certificates=/c",
		"nbd://h/x?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=1",
	};

	for (size_t i = 0; i < LEN(bad); i++) {
		struct nbdv_where w;
		struct err e;

		if (parse(bad[i], &w, &e) == 0) {
			fprintf(stderr, "taken: %s\n", bad[i]);
			exit(1);
		}
		CHECK_ERR(e.code == DM_USAGE && strstr(e.text, bad[i]) == e.text, &e);
	}
}

int main(void)
{
	RUN(places);
	RUN(parameters);
	RUN(refused);
	return 0;
}
