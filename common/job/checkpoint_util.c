#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "content/jsontext.h"
#include "job/checkpoint.h"

void checkpoint_opts(const struct opt_prog *prog, int argc, char **argv, char ***args, size_t *n)
{
	struct opt_prog with_key = *prog;
	const char *key = NULL;
	struct opt *opts;
	size_t count = 0;

	while (prog->opts[count].name)
		count++;
	opts = x_array(count + 2, sizeof(*opts));
	memcpy(opts, prog->opts, count * sizeof(*opts));
	opts[count] = (struct opt){ "key", 'k', OPT_STR, &key, "FILE",
		"key or passphrase of an encrypted site (" SITE_KEY_ENV ")", 0, 0 };
	with_key.opts = opts;
	opt_parse(&with_key, argc, argv, args, n, NULL);
	free(opts);
	if (key)
		site_use_key(key);
	err_set_program("dm-checkpoint");
}

int checkpoint_flush(struct err *e)
{
	if (fflush(stdout) || ferror(stdout))
		return err_sys(e, DM_ENV, errno ? errno : EIO, "standard output");
	return 0;
}

json_t *checkpoint_load(const char *opt, const char *path, size_t max, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	json_error_t why;
	json_t *o = NULL;
	size_t len;
	char *text = fd < 0 ? NULL : fd_slurp(fd, max, &len);

	if (!text)
		err_sys(e, err_code_named(errno), errno, "%s %s", opt, path);
	else if (!(o = jsontext_parse(text, len, &why)))
		err_set(e, DM_USAGE, "%s %s: line %d: %s", opt, path, why.line, why.text);
	free(text);
	fd_close(fd);
	return o;
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
