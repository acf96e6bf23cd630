/* Times as people write them.  Nanoseconds since the epoch, UTC. */
#ifndef DM_BASE_TIMEFMT_H
#define DM_BASE_TIMEFMT_H

#include <stdint.h>

/* "2026-11-23T10:00:05.25Z", "2026-11-23T10:00" (local time without a zone),
 * "2026-11-23", "+02:00" zones, "@SECONDS", and "-2h", "-30m", "-7d", "-90s"
 * relative to now.  0 or -1. */
int time_parse(const char *s, int64_t now, int64_t *out);
/* "2026-11-23T10:00:05Z"; out has room for 32. */
char *time_format(int64_t ns, char out[32]);
int64_t time_now(void);		/* wall clock */
int64_t time_mono(void);	/* monotonic, nanoseconds */
#define SECOND 1000000000ll	/* of either */
/* "2h", "30m", "15s", "7d" as seconds.  0 or -1. */
int duration_parse(const char *s, uint64_t *seconds);

#endif
