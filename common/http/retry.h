/* How often to try again: a budget that many requests share.  When is
 * base/jitter.h's. */
#ifndef DM_HTTP_RETRY_H
#define DM_HTTP_RETRY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* 500 tokens; an error takes 5 and a timeout 10, a success gives 1 back.  When
 * it is empty something is wrong that trying again does not mend. */
struct retry_budget {
	pthread_mutex_t lock;
	int tokens;
};
void retry_budget_init(struct retry_budget *b);
void retry_budget_destroy(struct retry_budget *b);
/* Take what a failure of this class costs; false when there is too little. */
bool retry_budget_take(struct retry_budget *b, enum err_class cls);
void retry_budget_give(struct retry_budget *b);

#endif
