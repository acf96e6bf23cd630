/* The options with which programs seal what they write and open what they
 * read.  dm-crypto(7) */
#ifndef DM_JOB_SEALING_H
#define DM_JOB_SEALING_H

#include <stdbool.h>

#include "base/opt.h"
#include "stream/seal.h"

struct sealing {
	const char *seal, *unseal;	/* key files, or NULL */
	const char *session;
	bool pad;
	struct seal *out, *in;		/* once loaded; NULL where not asked for */
};

#define SEALING_OUT(s) \
	{ "seal", 0, OPT_STR, &(s)->seal, "KEYFILE", "seal the output with this key", 0, 0 }, \
	{ "pad", 0, OPT_FLAG, &(s)->pad, NULL, "hide the lengths of what is sealed", 0, 0 }
#define SEALING_IN(s) \
	{ "unseal", 0, OPT_STR, &(s)->unseal, "KEYFILE", "the input is sealed with this key", 0, 0 }
#define SEALING_SESSION(s) \
	{ "session", 0, OPT_STR, &(s)->session, "TEXT", "what sealed one-way streams are bound to", 0, 0 }

/* For one-way streams: load what was asked for.  0 or -1 with *e. */
int sealing_load(struct sealing *s, struct err *e);
void sealing_free(struct sealing *s);

#endif
