/* A site's config: whatever is in it, site_open opens the site or says why not. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "repo/site.h"

static char dir[] = "/tmp/dm-fuzz-XXXXXX";

static void clean(void)
{
	char path[64];

	snprintf(path, sizeof path, "%s/config", dir);
	unlink(path);
	rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (!mkdtemp(dir))
		abort();
	atexit(clean);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct err e = { 0 };
	struct site *s;
	char path[64];
	int fd;

	snprintf(path, sizeof path, "%s/config", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, p, len) != (ssize_t)len)
		abort();
	close(fd);
	s = site_open(dir, &e);
	if (!s != !!e.code)
		abort();
	site_close(s);
	return 0;
}
