/* A program that reads hostile bytes gives up what it does not need.  Whatever
 * the kernel lacks (seccomp(2), landlock(7)) is left out, and instrumented
 * builds keep all. */
#ifndef DM_BASE_CONFINE_H
#define DM_BASE_CONFINE_H

#include <stddef.h>

/* From now on this process gains no privileges, runs no program, makes no
 * process, opens no file, speaks to no network and looks into no other
 * process: such calls fail with EPERM or EACCES.  What is open stays usable,
 * and threads can be made.  Call it before there are any. */
void confine(void);

/* The same, but files can be read, and those beneath write[0..n), n > 0, which
 * must exist, can be changed. */
void confine_to(const char *const *write, size_t n);

/* No privileges, programs, processes and network, but files as before. */
void confine_local(void);

/* Gain no privileges, nor may programs that are run: setuid bits count for
 * nothing. */
void confine_privileges(void);

#endif
