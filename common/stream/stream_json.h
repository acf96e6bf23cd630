/* Frames as lines of JSON and back; dm-json(1) describes the lines. */
#ifndef DM_STREAM_STREAM_JSON_H
#define DM_STREAM_STREAM_JSON_H

#include "stream/record.h"

/* Longest line taken: a CHUNK with its payload fits. */
#define JSON_LINE_MAX (4u << 20)

/* What one stream has said so far, in either direction. */
struct stream_json;
struct stream_json *stream_json_new(void);
void stream_json_free(struct stream_json *s);

/* Append the lines of one frame: one, or one for each entry of a batch; with
 * its payload if `data'.  Every frame is decoded, indices may come once, END
 * must agree with what came.  0 or -1 with *e (DM_BAD). */
int json_print(struct stream_json *s, const struct frame *f, bool data, struct buf *out,
    struct err *e);

/* Turn one line (without its newline) into frames on o; descriptors and
 * extents wait to be put together until json_flush.  With `renumber' entries
 * get new indices and END what was put.  0 or -1 with *e (DM_BAD). */
int json_parse(struct stream_json *s, const char *line, size_t len, bool renumber,
    struct frame_out *o, struct err *e);
int json_flush(struct stream_json *s, struct frame_out *o, struct err *e);
/* After the line of END and the end of the input: only now END goes out. */
int json_finish(struct stream_json *s, struct frame_out *o, struct err *e);

/* The frame that ended it: FT_END, FT_ABORT or 0; *e of an ABORT is filled by
 * the call that saw it, which returns 0. */
int stream_json_ended(const struct stream_json *s);
/* What an ABORT said; relayed. */
const struct err *stream_json_abort(const struct stream_json *s);

/* The line for a failure of our own. */
void json_print_abort(const struct err *e, struct buf *out);

#endif
