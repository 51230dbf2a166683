/* From a raw path and query to a route, its parameters and its fields. Segments are split before
 * they are decoded, so an encoded slash stays inside its segment. Table: routes.c. */
#include "api/inner.h"

#include "base/alloc.h"
#include "base/codec.h"

#include <stdio.h>
#include <stdlib.h>

#define SEGMENT_MAX 4096
#define QUERY_MAX   16384

static char *decode(struct str s, bool plus_is_blank)
{
    struct buf b;
    buf_init(&b, QUERY_MAX);
    bool ok = codec_percent_decode(s, plus_is_blank, &b) && str_is_utf8(buf_str(&b)) &&
              (!b.n || !memchr(b.p, '\0', b.n));
    char *text = ok ? alloc_copy(buf_cstr(&b)) : NULL;
    buf_free(&b);
    return text;
}

static void drop_params(struct http_request *r)
{
    for (size_t i = 0; i < HTTP_PARAMS_MAX; i++) {
        free(r->params[i]);
        r->params[i] = NULL;
    }
}

static bool fits(struct http_request *r, const char *pattern, struct str path)
{
    struct str rest = str_of(pattern), want, got;
    size_t n = 0;
    drop_params(r);
    while (str_split(&rest, '/', &want)) {
        if (!str_split(&path, '/', &got))
            return false;
        if (!str_is(want, "{}")) {
            if (!str_eq(want, got))
                return false;
            continue;
        }
        if (!got.n || got.n > SEGMENT_MAX || !(r->params[n++] = decode(got, false)))
            return false;
    }
    return !str_split(&path, '/', &got);
}

static const char *method_name(enum http_method m)
{
    static const char *const names[] = {"GET", "POST", "PATCH", "DELETE", "PUT"};
    return names[m];
}

enum route_found route_find(struct http_request *r, struct str path, char allow[64])
{
    enum route_found found = ROUTE_NO_PATH;
    size_t n = 0;
    allow[0] = '\0';
    for (size_t i = 0; i < http_routes_n; i++) {
        if (!fits(r, http_routes[i].pattern, path))
            continue;
        if (http_routes[i].method == r->method) {
            r->route = &http_routes[i];
            return ROUTE_FOUND;
        }
        found = ROUTE_NO_METHOD;
        int w =
            snprintf(allow + n, 64 - n, "%s%s", n ? ", " : "", method_name(http_routes[i].method));
        n = MIN((size_t)63, n + (size_t)MAX(w, 0));
    }
    drop_params(r);
    return found;
}

bool route_queries(struct http_request *r, struct str query, struct err *e)
{
    struct str part;
    while (query.n && str_split(&query, '&', &part)) {
        if (!part.n)
            continue;
        if (r->n_queries >= HTTP_QUERIES_MAX)
            return err_set(e, ERR_INVALID, "the query has over %d fields", HTTP_QUERIES_MAX);
        ptrdiff_t eq = str_chr(part, '=');
        struct str name = eq < 0 ? part : str_cut(part, 0, (size_t)eq);
        struct str value = eq < 0 ? STR("") : str_from_index(part, (size_t)eq + 1);
        struct http_pair p = {decode(name, true), decode(value, true)};
        if (!p.name || !p.value) {
            free(p.name);
            free(p.value);
            return err_set(e, ERR_INVALID, "the query is not properly encoded");
        }
        r->queries[r->n_queries++] = p;
    }
    return true;
}

const char *http_query(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_queries; i++)
        if (!strcmp(r->queries[i].name, name))
            return r->queries[i].value;
    return NULL;
}

bool http_queries_known(const struct http_request *r, const char *const *known, struct err *e)
{
    for (size_t i = 0; i < r->n_queries; i++) {
        bool is_known = false;
        for (const char *const *k = known; *k; k++)
            is_known = is_known || !strcmp(*k, r->queries[i].name);
        if (!is_known)
            return err_set(e, ERR_INVALID, "%.60s: there is no such field in this query",
                           r->queries[i].name);
    }
    return true;
}
