/* The shared config and credentials files of AWS's tools (AWS SDKs and Tools
 * Reference Guide, "Shared config and credentials files"). */
#ifndef DM_HTTP_AWS_PROFILE_H
#define DM_HTTP_AWS_PROFILE_H

/* The name of the profile in use: the argument, AWS_PROFILE, or "default". */
const char *aws_profile_name(const char *profile);
/* Value of key in the profile: the credentials file (AWS_SHARED_CREDENTIALS_FILE)
 * first, then the config file (AWS_CONFIG_FILE).  An allocation or NULL. */
char *aws_profile_get(const char *profile, const char *key);

#endif
