#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/child.h"
#include "base/fdio.h"
#include "base/uri.h"
#include "job/against.h"

static int take_entry(struct against *a, uint32_t disk, const struct entry *en, struct err *e)
{
	const struct hello *h = &a->hello;
	struct id id;

	if (en->flags & EF_ZERO)
		return 0;
	if ((en->flags & EF_RUN) || !(en->flags & EF_LEAVES) ||
	    en->nleaves != leaf_count(h->chunk_size, (uint32_t)en->len))
		return err_set(e, DM_BAD, "ids of disk %s: the chunk at %llu comes without its leaves",
		    h->disk[disk].name, (unsigned long long)en->off);
	id_chunk(h->algo, en->leaf, en->nleaves, &id);
	if ((en->flags & EF_ID) && !id_equal(&id, &en->id))
		return err_set(e, DM_BAD, "ids of disk %s: those of the chunk at %llu contradict each other",
		    h->disk[disk].name, (unsigned long long)en->off);
	return idfile_put(a->ids[disk], en->off / leaf_size(h->chunk_size), en->leaf, en->nleaves, e);
}

static int take_descs(struct against *a, const struct frame *f, struct tally *t, struct err *e)
{
	struct cursor c = { f->body, f->body + f->len, false };
	struct entry en;

	if (f->disk >= a->hello.ndisks)
		return err_set(e, DM_BAD, "ids: disk %u of %u", f->disk, a->hello.ndisks);
	while (cur_left(&c)) {
		if (entry_decode(&c, &a->hello, f->disk, &en, e) != 0)
			return -1;
		tally_add(t, f->disk, &en, a->hello.chunk_size);
		if (take_entry(a, f->disk, &en, e) != 0)
			return -1;
	}
	return 0;
}

static int check_end(const struct frame *f, const struct tally *mine, struct err *e)
{
	struct tally said = { 0 };

	if (end_decode(f, &said, e) != 0)
		return -1;
	if (!tally_equal(&said, mine))
		return err_set(e, DM_BAD, "ids: END does not agree with what came");
	return 0;
}

static int take_stream(struct against *a, struct frame_in *in, struct err *e)
{
	struct tally t;
	struct frame f;

	tally_init(&t, &a->hello);
	for (;;) {
		if (frame_read(in, &f, e) != 1)
			return -1;
		if (f.type == FT_END)
			break;
		if (f.type == FT_ABORT)
			return abort_decode(&f, e);
		if (f.type == FT_DESC ? take_descs(a, &f, &t, e) != 0 :
		    f.type != FT_FINAL && !(f.flags & FF_MAY_IGNORE) &&
		    err_set(e, DM_BAD, "ids: unexpected %s frame", frame_type_name(f.type)))
			return -1;
	}
	return check_end(&f, &t, e) == 0 ? frame_in_close(in, e) : -1;
}

/* The ids must come to the root that the stream promised; without a promise
 * their own root names the state. */
static int seal(struct against *a, struct err *e)
{
	for (uint32_t i = 0; i < a->hello.ndisks; i++) {
		const struct disk *d = &a->hello.disk[i];
		struct id root;

		if (idfile_root(a->ids[i], &root, e) != 0)
			return -1;
		if ((d->flags & DF_TARGET_ROOT) && !id_equal(&root, &d->target_root))
			return err_set(e, DM_BAD, "ids of disk %s do not come to its root", d->name);
		if (idfile_seal(a->ids[i], &root, e) != 0)
			return -1;
	}
	return 0;
}

int against_read(struct against *a, int fd, const char *what, struct err *e)
{
	struct frame_in *in = frame_in_new(fd, what);
	int r;

	frame_in_seal(in, a->seal);
	r = hello_read(in, &a->hello, e);
	if (r == 0 && a->hello.kind != KIND_IDS)
		r = err_set(e, DM_BAD, "%s: not a stream of ids but a %s one (dm-recover --ids makes one)",
		    what, kind_name(a->hello.kind));
	a->ids = r == 0 ? x_array(a->hello.ndisks, sizeof(*a->ids)) : NULL;
	for (uint32_t i = 0; r == 0 && i < a->hello.ndisks; i++) {
		a->ids[i] = idfile_create(NULL, a->hello.algo, a->hello.chunk_size,
		    a->hello.disk[i].size, NULL, e);
		r = a->ids[i] ? 0 : -1;
	}
	if (r == 0)
		r = take_stream(a, in, e);
	frame_in_free(in);
	return r == 0 ? seal(a, e) : -1;
}

struct idfile *against_find(const struct against *a, const char *name, bool only)
{
	const struct disk *d = a->ids ? hello_disk(&a->hello, name) : NULL;

	if (!d && a->ids && only && a->hello.ndisks == 1)
		d = a->hello.disk;
	return d ? a->ids[d - a->hello.disk] : NULL;
}

void against_free(struct against *a)
{
	for (uint32_t i = 0; a->ids && i < a->hello.ndisks; i++)
		idfile_close(a->ids[i]);
	free(a->ids);
	hello_free(&a->hello);
}

static int load_child(struct against *a, char *const argv[], const char *from, struct err *e)
{
	struct child c;
	int rc;

	if (a->seal)
		return err_set(e, DM_USAGE, "--unseal: a checkpoint at hand gives plain ids");
	if (child_spawn(&c, argv, e) < 0)
		return -1;
	fd_close(c.in);
	c.in = -1;
	rc = against_read(a, c.out, from, e);
	/* The stream's END was verified; what is left is to reap. */
	child_kill(&c);
	return rc;
}

static int load_checkpoint(struct against *a, const struct uri *u, const char *from, struct err *e)
{
	char *workload = u->fragment ? x_strdup(u->fragment) : x_strdup("");
	char *at = strchr(workload, '/');
	char *argv[] = { "dm-recover", "--ids", "--at", at ? at + 1 : "latest", "--", u->path,
		workload, NULL };
	int rc;

	if (at)
		*at = 0;
	rc = name_valid(workload) ? load_child(a, argv, from, e) :
	    err_set(e, DM_USAGE, "--against %s: say which checkpoint: repo:SITE#WORKLOAD[/NUMBER]", from);
	free(workload);
	return rc;
}

int against_load(struct against *a, const char *from, struct err *e)
{
	struct uri u;
	int fd, rc;

	if (!strcmp(from, "-"))
		return against_read(a, STDIN_FILENO, "input", e);
	if (uri_parse(from, &u, e) < 0)
		return -1;
	if (!strcmp(u.scheme, "repo")) {
		rc = load_checkpoint(a, &u, from, e);
	} else {
		fd = open(u.path, O_RDONLY | O_CLOEXEC);
		rc = fd < 0 ? err_sys(e, DM_ENV, errno, "%s", from) : against_read(a, fd, from, e);
		fd_close(fd);
	}
	uri_free(&u);
	return rc;
}
