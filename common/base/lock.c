#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/lock.h"

static struct flock whole(short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

static short type_of(enum lock_kind kind)
{
	return kind == LOCK_SHARED ? F_RDLCK : F_WRLCK;
}

int lock_try(int fd, enum lock_kind kind, struct err *e)
{
	struct flock l = whole(type_of(kind));

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return 1;
	return err_sys(e, DM_ENV, errno, "lock");
}

int lock_wait(int fd, enum lock_kind kind, struct err *e)
{
	struct flock l = whole(type_of(kind));
	int r;

	do
		r = fcntl(fd, F_OFD_SETLKW, &l);
	while (r < 0 && errno == EINTR);
	return r < 0 ? err_sys(e, DM_ENV, errno, "lock") : 0;
}

int lock_drop(int fd)
{
	struct flock l = whole(F_UNLCK);

	return fcntl(fd, F_OFD_SETLK, &l);
}

int lock_held(int fd, struct err *e)
{
	struct flock l = whole(F_WRLCK);

	if (fcntl(fd, F_OFD_GETLK, &l) < 0)
		return err_sys(e, DM_ENV, errno, "lock");
	return l.l_type != F_UNLCK;
}
