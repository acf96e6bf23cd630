/* dm-checkpoint sessions, abandon. */
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/opt.h"
#include "base/timefmt.h"
#include "job/checkpoint.h"
#include "repo/session.h"

static json_t *session_json(const struct session *se, bool alive)
{
	json_t *disks = json_array();
	char when[32];

	for (size_t i = 0; i < se->ndisks; i++)
		json_array_append_new(disks, json_pack("{s:s, s:s, s:s}", "name", se->disk[i].name,
		    "target_point", se->disk[i].target_point ? se->disk[i].target_point : "",
		    "work", se->disk[i].work ? se->disk[i].work : ""));
	return json_pack("{s:s, s:s, s:s, s:I, s:b, s:o}", "session", se->name,
	    "workload", se->workload ? se->workload : "", "started", time_format(se->started, when),
	    "epoch", (json_int_t)se->epoch, "alive", alive, "disks", disks);
}

static void session_line(const struct session *se, bool alive)
{
	char when[32];

	printf("%s  %-11s  %-20s  %5u  %5zu  %s\n", se->name, alive ? "at work" : "interrupted",
	    time_format(se->started, when), se->epoch, se->ndisks,
	    se->workload && *se->workload ? se->workload : "-");
}

static void free_sessions(struct session **v, bool *alive, size_t n)
{
	for (size_t i = 0; i < n; i++)
		session_close(v[i]);
	free(v);
	free(alive);
}

int checkpoint_sessions_main(int argc, char **argv, struct err *e)
{
	struct session **v;
	bool json = false, *alive;
	json_t *a;
	struct site *s;
	char **args;
	size_t nargs, n;
	int rc;
	const struct opt opts[] = {
		{ "json", 0, OPT_FLAG, &json, NULL, "one JSON array", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint sessions", "SITE",
		"List iterations that are in progress or were interrupted.", opts, 1, 1,
	};

	checkpoint_opts(&prog, argc, argv, &args, &nargs);
	s = site_open(args[0], e);
	if (!s)
		return -1;
	rc = session_list(s, &v, &alive, &n, e);
	site_close(s);
	if (rc)
		return -1;
	a = json_array();
	if (n && !json)
		printf("%-32s  %-11s  %-20s  %5s  %5s  WORKLOAD\n", "SESSION", "STATE", "STARTED",
		    "EPOCH", "DISKS");
	for (size_t i = 0; i < n; i++) {
		if (json)
			json_array_append_new(a, session_json(v[i], alive[i]));
		else
			session_line(v[i], alive[i]);
	}
	free_sessions(v, alive, n);
	if (json)
		return checkpoint_print(a, e);
	json_decref(a);
	return checkpoint_flush(e);
}

static int abandon_one(struct site *s, const char *name, struct err *e)
{
	int rc = session_abandon(s, name, e);

	return rc == 1 ? err_set(e, DM_NO, "session %s is at work", name) : rc;
}

/* All that are not at work. */
static int abandon_all(struct site *s, struct err *e)
{
	struct session **v;
	bool *alive;
	size_t n;
	int rc = 0;

	if (session_list(s, &v, &alive, &n, e))
		return -1;
	for (size_t i = 0; rc >= 0 && i < n; i++)
		rc = session_abandon(s, v[i]->name, e);
	free_sessions(v, alive, n);
	return rc < 0 ? -1 : 0;
}

int checkpoint_abandon_main(int argc, char **argv, struct err *e)
{
	const struct opt opts[] = { { NULL, 0, 0, NULL, NULL, NULL, 0, 0 } };
	const struct opt_prog prog = {
		"dm-checkpoint abandon", "SITE [SESSION]",
		"Give up an interrupted iteration, or all of them: they cannot be resumed then.",
		opts, 1, 2,
	};
	struct site *s;
	char **args;
	size_t n;
	int rc;

	checkpoint_opts(&prog, argc, argv, &args, &n);
	s = site_open(args[0], e);
	if (!s)
		return -1;
	rc = n > 1 ? abandon_one(s, args[1], e) : abandon_all(s, e);
	site_close(s);
	return rc;
}
