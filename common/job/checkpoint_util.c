#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/opt.h"
#include "job/checkpoint.h"

void checkpoint_opts(const struct opt_prog *prog, int argc, char **argv, char ***args, size_t *n)
{
	opt_parse(prog, argc, argv, args, n, NULL);
	err_set_program("dm-checkpoint");
}

int checkpoint_flush(struct err *e)
{
	if (fflush(stdout) || ferror(stdout))
		return err_sys(e, DM_ENV, errno ? errno : EIO, "standard output");
	return 0;
}

int checkpoint_print(json_t *o, struct err *e)
{
	char *text = json_dumps(o, JSON_INDENT(2));

	json_decref(o);
	if (!text)
		return err_set(e, DM_ENV, "out of memory");
	puts(text);
	free(text);
	return checkpoint_flush(e);
}
