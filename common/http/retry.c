#include "http/retry.h"

#define TOKENS 500

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
