/* The subcommands of dm-checkpoint.  Each parses its own command line (which
 * may end the program), prints its result on standard output and returns 0,
 * or -1 with *e. */
#ifndef DM_JOB_CHECKPOINT_H
#define DM_JOB_CHECKPOINT_H

#include <jansson.h>

#include "base/err.h"
#include "repo/catalog.h"

int checkpoint_init_main(int argc, char **argv, struct err *e);
int checkpoint_commit_main(int argc, char **argv, struct err *e);
int checkpoint_list_main(int argc, char **argv, struct err *e);
int checkpoint_show_main(int argc, char **argv, struct err *e);
int checkpoint_verify_main(int argc, char **argv, struct err *e);
int checkpoint_prune_main(int argc, char **argv, struct err *e);
int checkpoint_pin_main(int argc, char **argv, struct err *e);
int checkpoint_unpin_main(int argc, char **argv, struct err *e);
int checkpoint_sessions_main(int argc, char **argv, struct err *e);
int checkpoint_abandon_main(int argc, char **argv, struct err *e);
int checkpoint_stats_main(int argc, char **argv, struct err *e);
int checkpoint_reindex_main(int argc, char **argv, struct err *e);
int checkpoint_key_main(int argc, char **argv, struct err *e);
int checkpoint_export_main(int argc, char **argv, struct err *e);
int checkpoint_import_main(int argc, char **argv, struct err *e);

/* What they share. */

/* Parse; what follows is said in the name of dm-checkpoint. */
struct opt_prog;
void checkpoint_opts(const struct opt_prog *prog, int argc, char **argv, char ***args, size_t *n);
/* The JSON in a file that option opt names, a new reference; NULL with *e. */
json_t *checkpoint_load(const char *opt, const char *path, size_t max, struct err *e);
/* Print a value of JSON and release it.  0 or -1. */
int checkpoint_print(json_t *o, struct err *e);
/* Empty standard output's buffer.  0 or -1. */
int checkpoint_flush(struct err *e);

#endif
