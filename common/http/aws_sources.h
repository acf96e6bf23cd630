/* The places that credentials come from, one function each.  1: found, 0: not
 * set up here, -1 with *e: set up, and it failed. */
#ifndef DM_HTTP_AWS_SOURCES_H
#define DM_HTTP_AWS_SOURCES_H

#include "http/aws_credentials.h"
#include "http/client.h"

int aws_from_environment(struct aws_key *k, struct err *e);
int aws_from_profile(const char *profile, struct aws_key *k, struct err *e);
int aws_from_process(const char *profile, struct aws_key *k, struct err *e);
int aws_from_container(struct http_client *c, struct aws_key *k, struct err *e);
int aws_from_instance(struct http_client *c, struct aws_key *k, struct err *e);

#endif
