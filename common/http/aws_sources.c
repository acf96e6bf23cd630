#include "http/aws_sources.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/child.h"
#include "base/fdio.h"
#include "base/timefmt.h"
#include "http/aws_profile.h"

#define ANSWER_MAX (64u << 10)
/* Overridden by AWS_EC2_METADATA_SERVICE_ENDPOINT. */
#define INSTANCE "http://169.254.169.254"
#define CONTAINER "http://169.254.170.2"
#define ROLE_PATH "/latest/meta-data/iam/security-credentials/"

static const char *env(const char *name)
{
	const char *s = getenv(name);

	return s && *s ? s : NULL;
}

static char *dup_of(const char *s)
{
	return s ? x_strdup(s) : NULL;
}

int aws_from_environment(struct aws_key *k, struct err *e)
{
	const char *id = env("AWS_ACCESS_KEY_ID"), *secret = env("AWS_SECRET_ACCESS_KEY");
	const char *expires = env("AWS_CREDENTIAL_EXPIRATION");

	if (!id && !secret)
		return 0;
	if (!id || !secret)
		return err_set(e, DM_USAGE, "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set");
	*k = (struct aws_key){ x_strdup(id), x_strdup(secret), dup_of(env("AWS_SESSION_TOKEN")), 0 };
	if (expires && time_parse(expires, time_now(), &k->expires) < 0)
		k->expires = 0;
	return 1;
}

int aws_from_profile(const char *profile, struct aws_key *k, struct err *e)
{
	char *id = aws_profile_get(profile, "aws_access_key_id");
	char *role = aws_profile_get(profile, "role_arn");

	if (role) {
		free(role);
		free(id);
		return err_set(e, DM_USAGE, "profile %s assumes a role: give credential_process = "
		    "aws configure export-credentials --profile %s --format process in a profile for dm",
		    aws_profile_name(profile), aws_profile_name(profile));
	}
	if (!id)
		return 0;
	*k = (struct aws_key){ id, aws_profile_get(profile, "aws_secret_access_key"),
		aws_profile_get(profile, "aws_session_token"), 0 };
	if (k->secret)
		return 1;
	aws_key_free(k);
	return err_set(e, DM_USAGE, "profile %s has no aws_secret_access_key", aws_profile_name(profile));
}

/* {"AccessKeyId", "SecretAccessKey", `token', "Expiration"}; wipes text. */
static int parse_key(char *text, const char *token, const char *what, struct aws_key *k, struct err *e)
{
	json_error_t je;
	json_t *v = json_loads(text, 0, &je);
	const char *id = json_string_value(json_object_get(v, "AccessKeyId"));
	const char *secret = json_string_value(json_object_get(v, "SecretAccessKey"));
	const char *until = json_string_value(json_object_get(v, "Expiration"));
	int rc = 1;

	explicit_bzero(text, strlen(text));
	if (!id || !secret)
		rc = err_set(e, DM_ENV, "%s: gave no AccessKeyId and SecretAccessKey", what);
	else
		*k = (struct aws_key){ x_strdup(id), x_strdup(secret),
			dup_of(json_string_value(json_object_get(v, token))), 0 };
	if (rc > 0 && until && time_parse(until, time_now(), &k->expires) < 0)
		k->expires = 0;
	json_decref(v);
	return rc;
}

int aws_from_process(const char *profile, struct aws_key *k, struct err *e)
{
	char *command = aws_profile_get(profile, "credential_process"), *text;
	char *argv[] = { "/bin/sh", "-c", command, NULL };
	struct child c;
	int rc;

	if (!command)
		return 0;
	if (child_spawn(&c, argv, e) < 0) {
		free(command);
		return -1;
	}
	fd_close(c.in);
	c.in = -1;
	text = fd_slurp(c.out, ANSWER_MAX, NULL);
	rc = child_wait(&c);
	fd_close(c.out);
	if (rc != 0 || !text)
		rc = err_set(e, DM_ENV, "credential_process of profile %s failed (%d)",
		    aws_profile_name(profile), rc);
	else
		rc = parse_key(text, "SessionToken", "credential_process", k, e);
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
	free(command);
	return rc;
}

struct plain {
	const char *header[2];	/* "Name: ", value */
};

static int plain_headers(void *arg, bool fresh, struct buf *lines, struct err *e)
{
	const struct plain *p = arg;

	(void)fresh;
	(void)e;
	if (p->header[0])
		buf_printf(lines, "%s%s%c", p->header[0], p->header[1], 0);
	return 0;
}

/* One small answer as text (an allocation), or NULL with *e. */
static char *ask(struct http_client *c, const char *method, const char *url, struct plain *p, struct err *e)
{
	struct http_request q = { .method = method, .url = url, .headers = plain_headers, .arg = p,
		.attempt_s = 2, .total_s = 5 };
	struct http_reply r = { .max = ANSWER_MAX };

	if (http_do(c, &q, &r, e) < 0) {
		http_reply_free(&r);
		return NULL;
	}
	buf_put(&r.body, "", 1);
	return (char *)r.body.p;
}

int aws_from_container(struct http_client *c, struct aws_key *k, struct err *e)
{
	const char *rel = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	const char *file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *word = env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	struct plain p = { 0 };
	char *url, *text, *token = NULL;
	int rc;

	if (!rel && !full)
		return 0;
	if (file) {
		FILE *f = fopen(file, "re");

		token = f ? fd_slurp(fileno(f), ANSWER_MAX, NULL) : NULL;
		if (f)
			fclose(f);
		if (!token)
			return err_set(e, DM_ENV, "%s: cannot be read", file);
		token[strcspn(token, "\r\n")] = 0;
	}
	if (token || word)
		p = (struct plain){ { "Authorization: ", token ? token : word } };
	url = rel ? x_printf(CONTAINER "%s", rel) : x_strdup(full);
	text = ask(c, "GET", url, &p, e);
	rc = text ? parse_key(text, "Token", url, k, e) : -1;
	free(text);
	free(url);
	free(token);
	return rc;
}

int aws_from_instance(struct http_client *c, struct aws_key *k, struct err *e)
{
	const char *base = env("AWS_EC2_METADATA_SERVICE_ENDPOINT"), *off = env("AWS_EC2_METADATA_DISABLED");
	struct plain p = { { "X-aws-ec2-metadata-token-ttl-seconds: ", "21600" } };
	char *url, *token, *role, *text = NULL;
	struct err nobody = { 0 };
	size_t len;
	int rc = -1;

	if (off && !strcasecmp(off, "true"))
		return 0;
	len = strlen(base ? base : INSTANCE);
	while (base && len > 0 && base[len - 1] == '/')
		len--;
	url = x_printf("%.*s/latest/api/token", (int)len, base ? base : INSTANCE);
	token = ask(c, "PUT", url, &p, &nobody);
	free(url);
	if (!token)
		return 0;	/* this is no instance */
	p = (struct plain){ { "X-aws-ec2-metadata-token: ", token } };
	url = x_printf("%.*s" ROLE_PATH, (int)len, base ? base : INSTANCE);
	role = ask(c, "GET", url, &p, e);
	free(url);
	if (role) {
		role[strcspn(role, "\r\n")] = 0;
		url = x_printf("%.*s" ROLE_PATH "%s", (int)len, base ? base : INSTANCE, role);
		text = ask(c, "GET", url, &p, e);
		rc = text ? parse_key(text, "Token", "the instance's role", k, e) : -1;
		free(url);
	}
	free(text);
	free(role);
	free(token);
	return rc;
}
