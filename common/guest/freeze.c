#include <string.h>

#include "guest/freeze.h"

/* An agent answers at once or is not there; flushing may take a guest long. */
#define GREET_MS 3000
#define FREEZE_MS 10000
#define THAW_MS 10000

struct qmp *freeze_begin(const char *agent, struct err *e)
{
	struct qmp *q = qmp_open(QMP_AGENT, agent, GREET_MS, e);
	struct err ignored = { 0 };

	if (!q)
		return NULL;
	qmp_timeout(q, FREEZE_MS);
	if (qmp_do(q, "guest-fsfreeze-freeze", NULL, e) == 0)
		return q;
	/* It may freeze later than we waited, or some of them only. */
	err_prefix(e, "%s", agent);
	freeze_end(q, agent, &ignored);
	return NULL;
}

static int thaw(struct qmp *q, struct err *e)
{
	qmp_timeout(q, THAW_MS);
	return qmp_do(q, "guest-fsfreeze-thaw", NULL, e);
}

int freeze_end(struct qmp *q, const char *agent, struct err *e)
{
	struct err first = { 0 };
	int r = thaw(q, &first);

	qmp_close(q);
	if (r == 0)
		return 0;
	q = qmp_open(QMP_AGENT, agent, GREET_MS, e);
	r = q ? thaw(q, e) : -1;
	qmp_close(q);
	return r ? err_prefix(e, "%s: the guest's file systems may still be frozen", agent) : 0;
}

int freeze_undo(const char *agent, struct err *e)
{
	struct qmp *q = qmp_open(QMP_AGENT, agent, GREET_MS, e);
	const char *status;
	json_t *ret;
	int r = -1;

	if (!q)
		return -1;
	ret = qmp_call(q, "guest-fsfreeze-status", NULL, e);
	status = json_string_value(ret);
	if (ret)
		r = status && !strcmp(status, "frozen") ? thaw(q, e) : 0;
	json_decref(ret);
	qmp_close(q);
	return r;
}
