/* A program that reads hostile bytes gives up what it does not need. */
#ifndef DM_BASE_CONFINE_H
#define DM_BASE_CONFINE_H

/* From now on this process gains no privileges, and, where the kernel filters
 * system calls, runs no program, makes no process, opens no file, speaks to no
 * network and looks into no other process: such calls fail with EPERM.  What
 * is open stays usable, and threads can be made.  Whatever the kernel lacks is
 * left out. */
void confine(void);

/* Gain no privileges, nor may programs that are run: setuid bits count for
 * nothing. */
void confine_privileges(void);

#endif
