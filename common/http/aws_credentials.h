/* Credentials and region as users of AWS expect to give them, in this order:
 * environment; the profile's static keys in the credentials or config file;
 * its credential_process; the container's endpoint; the instance's role
 * (IMDSv2).  Nothing of a secret gets into a message. */
#ifndef DM_HTTP_AWS_CREDENTIALS_H
#define DM_HTTP_AWS_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct aws_credentials;

struct aws_key {
	char *id, *secret, *token;	/* token NULL: none */
	int64_t expires;		/* ns since the epoch, 0: never */
};
void aws_key_free(struct aws_key *k);	/* wipes; harmless twice */

/* profile NULL: AWS_PROFILE or "default". */
struct aws_credentials *aws_credentials_new(const char *profile);
void aws_credentials_free(struct aws_credentials *c);
/* A copy of the key of the moment; got anew when it expires within five
 * minutes, or when `fresh' says that it was refused.  0 or -1; several threads
 * may call. */
int aws_credentials_get(struct aws_credentials *c, bool fresh, struct aws_key *out, struct err *e);
/* AWS_REGION, AWS_DEFAULT_REGION or the profile's; an allocation or NULL. */
char *aws_region(const char *profile);
/* The profile's or environment's endpoint for a service ("ebs"); an
 * allocation or NULL. */
char *aws_endpoint(const char *profile, const char *service);

#endif
