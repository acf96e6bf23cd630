#include "http/aws_credentials.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "http/aws_profile.h"
#include "http/aws_sources.h"

#define EARLY (300ll * 1000000000)

struct aws_credentials {
	pthread_mutex_t lock;
	char *profile;
	struct http_client *client;	/* made when a source needs it */
	struct aws_key key;
};

static void wipe(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void aws_key_free(struct aws_key *k)
{
	wipe(&k->id);
	wipe(&k->secret);
	wipe(&k->token);
}

struct aws_credentials *aws_credentials_new(const char *profile)
{
	struct aws_credentials *c = x_alloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->profile = profile ? x_strdup(profile) : NULL;
	return c;
}

void aws_credentials_free(struct aws_credentials *c)
{
	if (!c)
		return;
	aws_key_free(&c->key);
	http_client_free(c->client);
	pthread_mutex_destroy(&c->lock);
	free(c->profile);
	free(c);
}

/* Locked. */
static int fetch(struct aws_credentials *c, struct aws_key *k, struct err *e)
{
	/* A profile asked for by name goes before the environment's keys. */
	int rc = c->profile ? 0 : aws_from_environment(k, e);

	if (rc == 0)
		rc = aws_from_profile(c->profile, k, e);
	if (rc == 0)
		rc = aws_from_process(c->profile, k, e);
	if (rc == 0 && !c->client) {
		c->client = http_client_new(0, 0, e);
		rc = c->client ? 0 : -1;
	}
	if (rc == 0)
		rc = aws_from_container(c->client, k, e);
	if (rc == 0)
		rc = aws_from_instance(c->client, k, e);
	if (rc == 0)
		rc = err_set(e, DM_USAGE, "no AWS credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID, or "
		    "run aws configure");
	return rc < 0 ? err_prefix(e, "AWS credentials") : 0;
}

static bool stale(const struct aws_key *k)
{
	return !k->id || (k->expires && time_now() > k->expires - EARLY);
}

static void key_copy(const struct aws_key *k, struct aws_key *out)
{
	*out = (struct aws_key){ x_strdup(k->id), x_strdup(k->secret),
		k->token ? x_strdup(k->token) : NULL, k->expires };
}

int aws_credentials_get(struct aws_credentials *c, bool fresh, struct aws_key *out, struct err *e)
{
	struct aws_key k = { 0 };
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	if (fresh || stale(&c->key)) {
		rc = fetch(c, &k, e);
		if (rc == 0) {
			aws_key_free(&c->key);
			c->key = k;
		}
	}
	if (rc == 0)
		key_copy(&c->key, out);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

char *aws_region(const char *profile)
{
	const char *env = getenv("AWS_REGION");

	if (!env || !*env)
		env = getenv("AWS_DEFAULT_REGION");
	return env && *env && !profile ? x_strdup(env) : aws_profile_get(profile, "region");
}

char *aws_endpoint(const char *profile, const char *service)
{
	char name[64] = "AWS_ENDPOINT_URL_", *env;
	size_t n = strlen(name);

	for (size_t i = 0; service[i] && n + 1 < sizeof(name); i++)
		name[n++] = (char)toupper((unsigned char)service[i]);
	env = getenv(name);
	if (!env || !*env)
		env = getenv("AWS_ENDPOINT_URL");
	return env && *env ? x_strdup(env) : aws_profile_get(profile, "endpoint_url");
}
