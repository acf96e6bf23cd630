#include <curl/curl.h>

#include "base/timefmt.h"
#include "http/client.h"

int64_t http_date(const char *s)
{
	int64_t t = curl_getdate(s, NULL);

	return t <= INT64_MAX / SECOND ? t : -1;
}
