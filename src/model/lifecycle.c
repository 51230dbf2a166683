/* New, clone and free of the model's structs. */
#include "base/alloc.h"
#include "model/campaign.h"
#include "model/server.h"

#include <stdlib.h>

static char **clone_strings(char *const *from, size_t n)
{
    if (!n)
        return NULL;
    char **to = alloc_many(char *, n);
    for (size_t i = 0; i < n; i++)
        to[i] = alloc_copy(from[i]);
    return to;
}

static void free_strings(char **s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(s[i]);
    free(s);
}

bool server_on_loopback(const struct server *s)
{
    struct str host = str_of(s->host);
    return str_starts(host, STR("127.")) || str_is(host, "localhost") || str_is(host, "::1") ||
           str_is(host, "[::1]");
}

struct server *server_new(void)
{
    struct server *s = alloc_one(struct server);
    s->tls_verify = true;
    s->limits.max_connections = 10;
    s->connect_timeout_ms = 30 * 1000;
    s->reply_timeout_ms = 5 * 60 * 1000;
    s->dot_timeout_ms = 10 * 60 * 1000;
    return s;
}

struct server *server_clone(const struct server *s)
{
    struct server *c = alloc_one(struct server);
    *c = *s;
    c->name = alloc_copy(s->name);
    c->host = alloc_copy(s->host);
    c->user = alloc_copy(s->user);
    c->password = secret_clone(s->password);
    c->from = alloc_copy(s->from);
    c->reply_to = alloc_copy(s->reply_to);
    c->return_path = alloc_copy(s->return_path);
    c->helo = alloc_copy(s->helo);
    c->limits.calendar = alloc_copy(s->limits.calendar);
    c->region = alloc_copy(s->region);
    c->ip_type = alloc_copy(s->ip_type);
    c->provider = alloc_copy(s->provider);
    c->profile = alloc_copy(s->profile);
    c->notes = alloc_copy(s->notes);
    c->headers = clone_strings(s->headers, s->n_headers);
    c->from_domains = clone_strings(s->from_domains, s->n_from_domains);
    return c;
}

void server_free(struct server **sp)
{
    struct server *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    free(s->name);
    free(s->host);
    free(s->user);
    secret_free(&s->password);
    free(s->from);
    free(s->reply_to);
    free(s->return_path);
    free(s->helo);
    free(s->limits.calendar);
    free(s->region);
    free(s->ip_type);
    free(s->provider);
    free(s->profile);
    free(s->notes);
    free_strings(s->headers, s->n_headers);
    free_strings(s->from_domains, s->n_from_domains);
    free(s);
}

struct group *group_new(void)
{
    return alloc_one(struct group);
}

struct group *group_clone(const struct group *g)
{
    struct group *c = alloc_one(struct group);
    *c = *g;
    c->name = alloc_copy(g->name);
    c->fallbacks = alloc_many(uint32_t, g->n_fallbacks);
    for (size_t i = 0; i < g->n_fallbacks; i++)
        c->fallbacks[i] = g->fallbacks[i];
    c->members = alloc_many(struct membership, g->n_members);
    for (size_t i = 0; i < g->n_members; i++)
        c->members[i] = g->members[i];
    return c;
}

void group_free(struct group **gp)
{
    struct group *g = *gp;
    *gp = NULL;
    if (!g)
        return;
    free(g->name);
    free(g->fallbacks);
    free(g->members);
    free(g);
}

void campaign_free(struct campaign **cp)
{
    struct campaign *c = *cp;
    *cp = NULL;
    if (!c)
        return;
    free(c->name);
    free(c->from);
    free(c->reply_to);
    free(c->tags);
    free(c->state_reason);
    free(c->subject);
    free(c->html);
    free(c->text);
    free(c);
}
