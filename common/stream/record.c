/* What all records share: names, and the checks around a body. */
#include "stream/record_impl.h"

static const char *const type_name[] = {
	[FT_HELLO] = "hello", [FT_EXTENT] = "extent", [FT_DESC] = "desc",
	[FT_CHUNK] = "chunk", [FT_ZERO] = "zero", [FT_REF] = "ref", [FT_HELD] = "held",
	[FT_BARRIER] = "barrier", [FT_WRITTEN] = "written", [FT_DURABLE] = "durable",
	[FT_NAK] = "nak", [FT_FINAL] = "final", [FT_STAT] = "stat",
	[FT_PROGRESS] = "progress", [FT_ABORT] = "abort", [FT_END] = "end",
};

static const char *const kind_names[] = {
	[KIND_FULL] = "full", [KIND_INCREMENTAL] = "incremental",
	[KIND_RECOVERY] = "recovery", [KIND_IDS] = "ids",
};

const char *frame_type_name(int type)
{
	return type > 0 && type < (int)LEN(type_name) ? type_name[type] : "unknown";
}

const char *kind_name(int kind)
{
	return kind > 0 && kind < (int)LEN(kind_names) ? kind_names[kind] : "unknown";
}

int frame_misplaced(const struct frame *f, const char *what, struct err *e)
{
	if (f->flags & FF_MAY_IGNORE)
		return 0;
	return err_set(e, DM_BAD, "%s: a frame of type %s does not belong here", what,
	    frame_type_name(f->type));
}

int body_end(const struct cursor *c, const struct frame *f, struct err *e)
{
	if (c->bad)
		return err_set(e, DM_BAD, "%s frame: too short", frame_type_name(f->type));
	if (cur_left(c))
		return err_set(e, DM_BAD, "%s frame: %zu bytes too many",
		    frame_type_name(f->type), cur_left(c));
	return 0;
}

int disk_check(const struct frame *f, const struct hello *h, struct err *e)
{
	if (f->disk < h->ndisks)
		return 0;
	return err_set(e, DM_BAD, "%s frame: disk %u is not in the hello frame",
	    frame_type_name(f->type), f->disk);
}
