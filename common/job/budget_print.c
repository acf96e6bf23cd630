/* dm-window --status: who takes part in a budget. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "job/budget_impl.h"

static json_t *slot_json(const struct budget_slot *s, const char *name)
{
	json_t *j = json_pack("{s:s s:i s:i s:i}", "workload", name, "pid", (int)s->pid,
	    "disks", (int)s->disks, "priority", (int)s->priority);
	const struct { const char *key; uint64_t v; } numbers[] = {
		{ "held", UINT64_C(1024) * s->held }, { "want", UINT64_C(1024) * s->want },
		{ "flight", UINT64_C(1024) * s->flight }, { "window", UINT64_C(1024) * s->window },
		{ "rate", UINT64_C(1024) * s->rate * s->live }, { "latency_us", s->latency },
		{ "done", s->done }, { "total", s->total },
	};

	for (size_t i = 0; j && i < LEN(numbers); i++)
		json_object_set_new(j, numbers[i].key, json_integer((json_int_t)numbers[i].v));
	if (j)
		json_object_set_new(j, "reason", json_string(law_reason_name(s->reason)));
	return j;
}

static void slot_row(const struct budget_slot *s, const char *name)
{
	char held[16], flight[16], window[16], rate[16], done[16], total[16];

	printf("%-20s %8u %5u %8u %10s %10s %10s %-8s %10s %7.1f %10s %10s\n", name, s->pid,
	    s->disks, s->priority, size_format(UINT64_C(1024) * s->held, held),
	    size_format(UINT64_C(1024) * s->flight, flight),
	    size_format(UINT64_C(1024) * s->window, window), law_reason_name(s->reason),
	    size_format(UINT64_C(1024) * s->rate * s->live, rate), s->latency / 1000.0,
	    size_format(s->done, done), s->total ? size_format(s->total, total) : "-");
}

static int print_all(struct slots *slots, json_t *list, uint64_t *held)
{
	unsigned end = slots_end(slots), n = 0;
	char name[SLOT_NAME];

	*held = 0;
	for (unsigned i = 0; i < end; i++) {
		const struct budget_slot *s = slots_at(slots, i);

		if (!slots_alive(slots, i))
			continue;
		slots_name(slots, i, name);
		*held += UINT64_C(1024) * s->held;
		if (list) {
			json_array_append_new(list, slot_json(s, name));
			continue;
		}
		if (!n++)
			printf("%-20s %8s %5s %8s %10s %10s %10s %-8s %10s %7s %10s %10s\n", "workload",
			    "pid", "disks", "priority", "held", "in flight", "window", "why",
			    "per second", "ms", "done", "total");
		slot_row(s, line_clean(name));
	}
	return 0;
}

int budget_print(const char *path, bool json, struct err *e)
{
	struct slots *slots = slots_open(path, false, e);
	char a[16], b[16], *text;
	json_t *list = NULL, *j;
	uint64_t size, held;

	if (!slots)
		return -1;
	size = budget_size(slots_header(slots));
	if (json)
		list = json_array();
	print_all(slots, list, &held);
	slots_close(slots);
	if (!json) {
		printf("%s of %s held\n", size_format(held, a), size_format(size, b));
		return 0;
	}
	j = json_pack("{s:I s:I s:o}", "size", (json_int_t)size, "held", (json_int_t)held,
	    "pipelines", list);
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (!text)
		return err_set(e, DM_ENV, "out of memory");
	puts(text);
	free(text);
	return 0;
}
