/* A new file that appears under its name once it is whole, and replaces
 * nothing.  One that is given up, or whose maker was killed, leaves none. */
#ifndef DM_BASE_NEWFILE_H
#define DM_BASE_NEWFILE_H

#include "err.h"

struct newfile {
	int fd;			/* to write to */
	const char *path;	/* the caller's */
	char *part;		/* where files without a name cannot be: its name until
				 * then, "PATH.part"; NULL: it has none */
};
/* Begin it.  One that an earlier one left as PATH.part is taken over, unless
 * somebody writes it.  0; -1 with *e: DM_NO, something is in the way. */
int newfile_open(struct newfile *f, const char *path, struct err *e);
/* Make it durable and give it its name.  0; -1 with *e (DM_NO: there is a file
 * of that name meanwhile). */
int newfile_publish(struct newfile *f, struct err *e);
void newfile_close(struct newfile *f);	/* harmless twice */

#endif
