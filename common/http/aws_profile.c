#include "http/aws_profile.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fdio.h"

#define FILE_MAX (1u << 20)

const char *aws_profile_name(const char *profile)
{
	const char *env = getenv("AWS_PROFILE");

	return profile ? profile : env && *env ? env : "default";
}

static char *file_text(const char *variable, const char *name)
{
	const char *env = getenv(variable), *home = getenv("HOME");
	char *path = env && *env ? x_strdup(env) : x_printf("%s/.aws/%s", home ? home : "", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : fd_slurp(fd, FILE_MAX, NULL);

	fd_close(fd);
	free(path);
	return text;
}

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (*s == ' ' || *s == '\t')
		s++;
	while (end > s && strchr(" \t\r", end[-1]))
		*--end = 0;
	return s;
}

/* "[default]", "[profile NAME]" in the config file, "[NAME]" in the other. */
static bool section_is(char *line, const char *name, bool config)
{
	char *end = strchr(line, ']'), *s;

	if (!end)
		return false;
	*end = 0;
	s = trim(line + 1);
	if (config && strcmp(s, "default") != 0) {
		if (strncmp(s, "profile", 7) != 0 || !strchr(" \t", s[7]))
			return false;
		s = trim(s + 7);
	}
	return !strcmp(s, name);
}

/* Lines that begin with a blank belong to a nested setting: not ours. */
static char *find(char *text, const char *name, const char *key, bool config)
{
	char *next = text, *line, *found = NULL;
	bool inside = false;

	while ((line = strsep(&next, "\n"))) {
		char *value = strchr(line, '=');

		if (*line == '[') {
			inside = section_is(line, name, config);
		} else if (inside && value && !strchr("#; \t", *line)) {
			*value++ = 0;
			if (!strcmp(trim(line), key)) {
				free(found);
				found = x_strdup(trim(value));
			}
		}
	}
	return found;
}

char *aws_profile_get(const char *profile, const char *key)
{
	static const struct { const char *variable, *name; bool config; } file[] = {
		{ "AWS_SHARED_CREDENTIALS_FILE", "credentials", false },
		{ "AWS_CONFIG_FILE", "config", true },
	};
	char *value = NULL;

	for (size_t i = 0; !value && i < LEN(file); i++) {
		char *text = file_text(file[i].variable, file[i].name);

		if (!text)
			continue;
		value = find(text, aws_profile_name(profile), key, file[i].config);
		explicit_bzero(text, strlen(text));
		free(text);
	}
	return value;
}
