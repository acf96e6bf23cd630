/* In place of the client of HTTP, for who plays the servers himself: he gives
 * http_do. */
#ifndef DM_TEST_NO_HTTP_H
#define DM_TEST_NO_HTTP_H

#include "http/client.h"

struct http_client { char none; };
static struct http_client client;

struct http_client *http_client_new(unsigned limit, double rate, struct err *e)
{
	(void)limit;
	(void)rate;
	(void)e;
	return &client;
}

void http_client_free(struct http_client *c)
{
	(void)c;
}

void http_reply_free(struct http_reply *r)
{
	if (!r->fixed)
		buf_free(&r->body);
}

#endif
