#include "job/sealing.h"

int sealing_load(struct sealing *s, struct err *e)
{
	if (s->session && !s->seal && !s->unseal)
		return err_set(e, DM_USAGE, "--session is for sealed streams: --seal or --unseal");
	if (s->pad && !s->seal)
		return err_set(e, DM_USAGE, "--pad is for sealed streams: --seal");
	if (s->seal) {
		s->out = seal_load(s->seal, SEAL_WRITER, s->session, s->pad, e);
		if (!s->out)
			return -1;
	}
	if (s->unseal) {
		s->in = seal_load(s->unseal, SEAL_READER, s->session, false, e);
		if (!s->in)
			return -1;
	}
	return 0;
}

void sealing_free(struct sealing *s)
{
	if (s->in != s->out)
		seal_free(s->in);
	seal_free(s->out);
	s->in = s->out = NULL;
}
