/* The world has no web: scenarios have no webhooks, so that their thread is never started, and
 * whoever asks a URL here all the same is a bug. */
#include "base/check.h"
#include "net/fetch.h"

bool fetch_check_url(const char *url, bool allow_private, struct err *e)
{
    return err_set(e, ERR_REFUSED, "%.80s: the world has no web%s", url, allow_private ? "" : ".");
}

struct fetcher *fetcher_new(struct loop *l, struct dns *d, const struct fetch_config *cfg,
                            struct err *e)
{
    err_set(e, ERR_REFUSED, "the world has no web");
    return NULL;
}

void fetcher_free(struct fetcher **f)
{
    *f = NULL;
}

struct fetch *fetch_post(struct fetcher *f, const struct fetch_ask *ask,
                         void (*done)(void *arg, const struct fetch_answer *a), void *arg)
{
    check(f != NULL && false);
    return NULL;
}

struct dns *dns_new(struct loop *l, const struct dns_config *cfg, struct err *e)
{
    err_set(e, ERR_REFUSED, "the world has no web");
    return NULL;
}

void dns_free(struct dns **d)
{
    *d = NULL;
}
