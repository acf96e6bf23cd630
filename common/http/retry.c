#include "http/retry.h"

#define TOKENS 500
#define WAIT_MIN 50000000ll
#define WAIT_MAX 20000000000ll

void retry_budget_init(struct retry_budget *b)
{
	pthread_mutex_init(&b->lock, NULL);
	b->tokens = TOKENS;
}

void retry_budget_destroy(struct retry_budget *b)
{
	pthread_mutex_destroy(&b->lock);
}

bool retry_budget_take(struct retry_budget *b, enum err_class cls)
{
	int cost = cls == CLASS_TIMEOUT ? 10 : 5;
	bool ok;

	pthread_mutex_lock(&b->lock);
	ok = b->tokens >= cost;
	if (ok)
		b->tokens -= cost;
	pthread_mutex_unlock(&b->lock);
	return ok;
}

void retry_budget_give(struct retry_budget *b)
{
	pthread_mutex_lock(&b->lock);
	if (b->tokens < TOKENS)
		b->tokens++;
	pthread_mutex_unlock(&b->lock);
}

int64_t retry_wait(int64_t *prev, uint64_t random)
{
	int64_t top = *prev > WAIT_MIN ? 3 * *prev : 3 * WAIT_MIN;
	int64_t wait = WAIT_MIN + (int64_t)(random % (uint64_t)(top - WAIT_MIN + 1));

	*prev = wait < WAIT_MAX ? wait : WAIT_MAX;
	return *prev;
}
