/* Table server, read and written: see servers.h. One table of columns serves INSERT, UPDATE and
 * SELECT; what comes out of the database is checked before it becomes an enum. */
#include "store/servers.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "store/fields.h"
#include "store/groups.h"
#include "store/limits.h"
#include "store/names.h"
#include "store/secrets.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX          65536
#define NUM_MAX           65535
#define REMOVED_SEPARATOR '~' /* names_check keeps it out of names */

#define COLUMNS                                                                                    \
    "num, id, name, host, port, tls, tls_verify, user_name, password, from_address, reply_to, "    \
    "return_path, helo, per_second, per_minute, per_hour, per_day, per_month, calendar, "          \
    "pause_between_ms, counts, max_connections, max_messages_per_connection, "                     \
    "connect_timeout_ms, reply_timeout_ms, dot_timeout_ms, chunking_off, region, ip_type, "        \
    "cost_per_1000, provider, profile, headers, from_domains, notes, admin, created_at, "          \
    "updated_at, spread, included_per_month, dkim"

static const char *const insert_sql =
    "INSERT INTO server (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
    "$13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, "
    "$31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41)";
static const char *const update_sql =
    "UPDATE server SET name = $3, host = $4, port = $5, tls = $6, tls_verify = $7, user_name = $8, "
    "password = $9, from_address = $10, reply_to = $11, return_path = $12, helo = $13, "
    "per_second = $14, per_minute = $15, per_hour = $16, per_day = $17, per_month = $18, "
    "calendar = $19, pause_between_ms = $20, counts = $21, max_connections = $22, "
    "max_messages_per_connection = $23, connect_timeout_ms = $24, reply_timeout_ms = $25, "
    "dot_timeout_ms = $26, chunking_off = $27, region = $28, ip_type = $29, cost_per_1000 = $30, "
    "provider = $31, profile = $32, headers = $33, from_domains = $34, notes = $35, admin = $36, "
    "created_at = $37, updated_at = $38, spread = $39, "
    "included_per_month = $40, dkim = $41 WHERE num = $1 AND id = $2 AND removed_at IS NULL";

static bool host_ok(const char *host)
{
    size_t n = host ? strlen(host) : 0;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)host[i] <= 0x20 || host[i] == 0x7f)
            return false;
    return n >= 1 && n <= 255;
}

static bool check_server(const struct server *s, struct err *e)
{
    const struct limits *l = &s->limits;
    const uint64_t counts[] = {l->per_second, l->per_minute, l->per_hour, l->per_day, l->per_month};
    if (!names_check("server", s->name, e))
        return false;
    if (!host_ok(s->host))
        return err_set(e, ERR_INVALID, "server %s: the host is missing or malformed", s->name);
    if (!s->port)
        return err_set(e, ERR_INVALID, "server %s: the port is from 1 to 65535", s->name);
    for (size_t i = 0; i < countof(counts); i++)
        if (counts[i] > INT64_MAX)
            return err_set(e, ERR_INVALID, "server %s: a limit is too large", s->name);
    if (!l->max_connections || l->max_connections > 65535)
        return err_set(e, ERR_INVALID, "server %s: max_connections is from 1 to 65535", s->name);
    if (s->connect_timeout_ms <= 0 || s->reply_timeout_ms <= 0 || s->dot_timeout_ms <= 0 ||
        l->pause_between_ms < 0)
        return err_set(e, ERR_INVALID, "server %s: a time is not possible", s->name);
    if (s->n_headers > SERVER_HEADERS_MAX || s->n_from_domains > SERVER_FROM_DOMAINS_MAX)
        return err_set(e, ERR_INVALID, "server %s: at most %d headers and %d From domains", s->name,
                       SERVER_HEADERS_MAX, SERVER_FROM_DOMAINS_MAX);
    return true;
}

static void bind_limits(struct stmt *st, const struct limits *l)
{
    db_bind_i64(st, 14, (int64_t)l->per_second);
    db_bind_i64(st, 15, (int64_t)l->per_minute);
    db_bind_i64(st, 16, (int64_t)l->per_hour);
    db_bind_i64(st, 17, (int64_t)l->per_day);
    db_bind_i64(st, 18, (int64_t)l->per_month);
    db_bind_cstr(st, 19, l->calendar);
    db_bind_i64(st, 20, l->pause_between_ms);
    db_bind_i64(st, 21, (int64_t)l->counts);
    db_bind_i64(st, 22, l->max_connections);
    db_bind_i64(st, 23, l->max_messages_per_connection);
}

static void bind_rest(struct stmt *st, const struct server *s)
{
    db_bind_i64(st, 1, s->num);
    db_bind_i64(st, 2, (int64_t)s->id);
    db_bind_cstr(st, 3, s->name);
    db_bind_cstr(st, 4, s->host);
    db_bind_i64(st, 5, s->port);
    db_bind_i64(st, 6, (int64_t)s->tls);
    db_bind_i64(st, 7, s->tls_verify);
    db_bind_cstr(st, 8, s->user);
    db_bind_cstr(st, 10, s->from);
    db_bind_cstr(st, 11, s->reply_to);
    db_bind_cstr(st, 12, s->return_path);
    db_bind_cstr(st, 13, s->helo);
    db_bind_i64(st, 24, s->connect_timeout_ms);
    db_bind_i64(st, 25, s->reply_timeout_ms);
    db_bind_i64(st, 26, s->dot_timeout_ms);
    db_bind_i64(st, 27, s->chunking_off);
    db_bind_cstr(st, 28, s->region);
    db_bind_cstr(st, 29, s->ip_type);
    db_bind_f64(st, 30, s->cost_per_1000);
    db_bind_cstr(st, 31, s->provider);
    db_bind_cstr(st, 32, s->profile);
    db_bind_cstr(st, 35, s->notes);
    db_bind_i64(st, 36, (int64_t)s->admin);
    db_bind_i64(st, 37, s->created_at);
    db_bind_i64(st, 38, s->updated_at);
    db_bind_i64(st, 39, (int64_t)s->limits.spread);
    db_bind_i64(st, 40, (int64_t)s->included_per_month);
    db_bind_i64(st, 41, (int64_t)s->dkim);
}

static bool bind_lists(struct stmt *st, const struct server *s, struct err *e)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    bool ok = fields_write_strings(s->headers, s->n_headers, &b);
    db_bind_text(st, 33, b.n ? buf_str(&b) : STR_NONE);
    buf_clear(&b);
    ok = ok && fields_write_strings(s->from_domains, s->n_from_domains, &b);
    db_bind_text(st, 34, b.n ? buf_str(&b) : STR_NONE);
    buf_free(&b);
    return ok ||
           err_set(e, ERR_TOO_BIG, "server %s: headers or From domains are too long", s->name);
}

static bool bind_password(struct stmt *st, const struct secrets *key, const struct server *s,
                          struct err *e)
{
    if (!s->password)
        return true;
    if (!key)
        return err_set(e, ERR_FAILED, "server %s: no key at hand to seal its password", s->name);
    struct buf b;
    buf_init(&b, SECRETS_PLAIN_MAX + 256);
    bool ok = secrets_seal(key, "server", s->id, "password", secret_reveal(s->password), &b, e);
    if (ok)
        db_bind_blob(st, 9, buf_str(&b));
    buf_free(&b);
    return ok;
}

static bool write_row(struct db *db, const struct secrets *key, const char *sql,
                      const struct server *s, struct err *e)
{
    struct err own = {0};
    struct stmt *st = db_stmt(db, sql, e);
    if (!st || !bind_password(st, key, s, e) || !bind_lists(st, s, e))
        return false;
    bind_rest(st, s);
    bind_limits(st, &s->limits);
    if (db_run(st, &own))
        return true;
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "there is a server named %s already", s->name);
    return err_set(e, own.code, "%s", own.text);
}

bool servers_add(struct db *db, const struct secrets *key, struct server *s, struct err *e)
{
    if (!check_server(s, e))
        return false;
    struct stmt *st = db_stmt(db, "SELECT max(num) FROM server", e);
    bool row = false;
    if (!st || !db_step(st, &row, e))
        return false;
    int64_t last = db_i64(st, 0);
    db_reset(st);
    if (last >= NUM_MAX)
        return err_set(e, ERR_REFUSED,
                       "all %d numbers of servers are used; change an old server "
                       "instead of adding one",
                       NUM_MAX);
    s->num = (uint16_t)(last + 1);
    s->updated_at = s->created_at;
    return write_row(db, key, insert_sql, s, e);
}

bool servers_update(struct db *db, const struct secrets *key, const struct server *s, struct err *e)
{
    /* Read without the key, a server has no password: writing it back would lose the stored one. */
    check(key);
    if (!check_server(s, e) || !write_row(db, key, update_sql, s, e))
        return false;
    return db_changes(db) == 1 || err_set(e, ERR_NOT_FOUND, "there is no server %s", s->name);
}

static char *text_copy(struct stmt *st, int col)
{
    struct str s = db_text(st, col);
    return s.p ? str_dup(s) : NULL;
}

static int enum_of(struct stmt *st, int col, int last, bool *ok)
{
    int64_t v = db_i64(st, col);
    if (v >= 0 && v <= last)
        return (int)v;
    *ok = false;
    return 0;
}

static void read_limits(struct stmt *st, struct limits *l, bool *ok)
{
    l->per_second = (uint64_t)db_i64(st, 13);
    l->per_minute = (uint64_t)db_i64(st, 14);
    l->per_hour = (uint64_t)db_i64(st, 15);
    l->per_day = (uint64_t)db_i64(st, 16);
    l->per_month = (uint64_t)db_i64(st, 17);
    l->calendar = text_copy(st, 18);
    l->pause_between_ms = db_i64(st, 19);
    l->counts = (enum counts)enum_of(st, 20, COUNTS_RECIPIENTS, ok);
    l->max_connections = (uint32_t)db_i64(st, 21);
    l->max_messages_per_connection = (uint32_t)db_i64(st, 22);
}

static void read_texts(struct stmt *st, struct server *s)
{
    s->name = text_copy(st, 2);
    s->host = text_copy(st, 3);
    s->user = text_copy(st, 7);
    s->from = text_copy(st, 9);
    s->reply_to = text_copy(st, 10);
    s->return_path = text_copy(st, 11);
    s->helo = text_copy(st, 12);
    s->region = text_copy(st, 27);
    s->ip_type = text_copy(st, 28);
    s->provider = text_copy(st, 30);
    s->profile = text_copy(st, 31);
    s->notes = text_copy(st, 34);
}

static struct server *read_plain(struct stmt *st, bool *ok)
{
    struct server *s = server_new();
    s->num = (uint16_t)db_i64(st, 0);
    s->id = (uint64_t)db_i64(st, 1);
    s->port = (uint16_t)db_i64(st, 4);
    s->tls = (enum tls_mode)enum_of(st, 5, TLS_MODE_TLS, ok);
    s->tls_verify = db_i64(st, 6) != 0;
    s->connect_timeout_ms = db_i64(st, 23);
    s->reply_timeout_ms = db_i64(st, 24);
    s->dot_timeout_ms = db_i64(st, 25);
    s->chunking_off = db_i64(st, 26) != 0;
    s->cost_per_1000 = db_f64(st, 29);
    s->admin = (enum admin_state)enum_of(st, 35, ADMIN_DISABLED, ok);
    s->created_at = db_i64(st, 36);
    s->updated_at = db_i64(st, 37);
    s->limits.spread = (enum spread)enum_of(st, 38, SPREAD_EVEN, ok);
    s->included_per_month = (uint64_t)db_i64(st, 39);
    s->dkim = (enum dkim_use)enum_of(st, 40, DKIM_USE_OFF, ok);
    read_texts(st, s);
    read_limits(st, &s->limits, ok);
    return s;
}

/* lenient: a server whose password does not open comes out disabled, so that one damaged row does
 * not keep the others from sending; else it is an error. */
static bool read_password(struct stmt *st, const struct secrets *key, bool lenient,
                          struct server *s, struct err *e)
{
    struct err own = {0};
    struct str sealed = db_blob(st, 8);
    if (!sealed.p || !key ||
        secrets_unseal(key, "server", s->id, "password", sealed, &s->password, &own))
        return true;
    if (!lenient)
        return err_set(e, own.code, "server %s: %s", s->name, own.text);
    s->admin = ADMIN_DISABLED;
    log_event(LOG_ERROR, "server.password_unreadable", "server=%s error=%s", s->name, own.text);
    return true;
}

static bool read_row(struct stmt *st, const struct secrets *key, bool lenient, struct server **out,
                     struct err *e)
{
    bool ok = true;
    struct server *s = read_plain(st, &ok);
    if (!ok)
        err_set(e, ERR_CORRUPT, "server %s: its stored row makes no sense", s->name);
    ok = ok &&
         fields_read_strings(db_text(st, 32), SERVER_HEADERS_MAX, &s->headers, &s->n_headers, e) &&
         fields_read_strings(db_text(st, 33), SERVER_FROM_DOMAINS_MAX, &s->from_domains,
                             &s->n_from_domains, e) &&
         read_password(st, key, lenient, s, e);
    if (!ok)
        server_free(&s);
    *out = s;
    return ok;
}

/* st is bound; what: for the text when there is no row. */
static bool read_one(struct stmt *st, const struct secrets *key, const char *what,
                     struct server **out, struct err *e)
{
    bool row = false;
    *out = NULL;
    if (!db_step(st, &row, e))
        return false;
    if (!row)
        return err_set(e, ERR_NOT_FOUND, "there is no server %.80s", what);
    bool ok = read_row(st, key, false, out, e);
    db_reset(st);
    return ok;
}

bool servers_get(struct db *db, const struct secrets *key, const char *name, struct server **out,
                 struct err *e)
{
    struct stmt *st =
        db_stmt(db, "SELECT " COLUMNS " FROM server WHERE name = $1 AND removed_at IS NULL", e);
    if (!st)
        return false;
    db_bind_cstr(st, 1, name);
    return read_one(st, key, name, out, e);
}

bool servers_get_num(struct db *db, const struct secrets *key, uint16_t num, struct server **out,
                     struct err *e)
{
    char what[16];
    struct stmt *st =
        db_stmt(db, "SELECT " COLUMNS " FROM server WHERE num = $1 AND removed_at IS NULL", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, num);
    (void)snprintf(what, sizeof what, "%u", (unsigned)num);
    return read_one(st, key, what, out, e);
}

static bool read_all(struct db *db, const struct secrets *key, bool lenient, struct server ***out,
                     size_t *n_out, struct err *e)
{
    struct server **list = NULL;
    size_t n = 0, cap = 0;
    bool row = false, ok = true;
    struct stmt *st =
        db_stmt(db, "SELECT " COLUMNS " FROM server WHERE removed_at IS NULL ORDER BY name", e);
    while (st && (ok = db_step(st, &row, e)) && row) {
        if (n == cap)
            list = alloc_resize(list, (cap = cap ? cap * 2 : 16) * sizeof(*list));
        ok = read_row(st, key, lenient, &list[n], e);
        if (!ok)
            break;
        n++;
    }
    if (st)
        db_reset(st);
    if (!st || !ok) {
        servers_free_list(list, n);
        return false;
    }
    *out = list;
    *n_out = n;
    return true;
}

bool servers_list(struct db *db, const struct secrets *key, struct server ***out, size_t *n_out,
                  struct err *e)
{
    *out = NULL;
    *n_out = 0;
    return read_all(db, key, false, out, n_out, e);
}

void servers_free_list(struct server **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        server_free(&list[i]);
    free(list);
}

static bool leave_groups(struct db *db, uint16_t num, struct err *e)
{
    struct stmt *st = db_stmt(db, "DELETE FROM membership WHERE server_num = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, num);
    return db_run(st, e) && limits_forget(db, 5, num, e);
}

bool servers_remove(struct db *db, const char *name, int64_t now_ms, struct err *e)
{
    struct server *s = NULL;
    char suffixed[128];
    if (!servers_get(db, NULL, name, &s, e))
        return false;
    uint16_t num = s->num;
    server_free(&s);
    (void)snprintf(suffixed, sizeof suffixed, "%s%c%u", name, REMOVED_SEPARATOR, (unsigned)num);
    struct stmt *st = db_stmt(db,
                              "UPDATE server SET name = $2, removed_at = $3, updated_at = $3, "
                              "password = NULL WHERE num = $1",
                              e);
    if (!st)
        return false;
    db_bind_i64(st, 1, num);
    db_bind_cstr(st, 2, suffixed);
    db_bind_i64(st, 3, now_ms);
    return db_run(st, e) && leave_groups(db, num, e);
}

bool servers_name(struct db *db, uint16_t num, char out[128], struct err *e)
{
    out[0] = 0;
    struct stmt *st = db_stmt(db, "SELECT name FROM server WHERE num = $1", e);
    bool row = false;
    if (!st)
        return false;
    db_bind_i64(st, 1, num);
    if (!db_step(st, &row, e))
        return false;
    if (row) {
        struct str name = db_text(st, 0);
        ptrdiff_t cut = str_rchr(name, REMOVED_SEPARATOR);
        (void)str_copy(cut < 0 ? name : str_cut(name, 0, (size_t)cut), out, 128);
    }
    db_reset(st);
    return true;
}

bool store_load_fleet(struct db *db, const struct secrets *key, struct server ***servers_out,
                      size_t *n_servers_out, struct group ***groups_out, size_t *n_groups_out,
                      struct err *e)
{
    *servers_out = NULL;
    *groups_out = NULL;
    *n_servers_out = *n_groups_out = 0;
    if (!read_all(db, key, true, servers_out, n_servers_out, e))
        return false;
    if (groups_list(db, groups_out, n_groups_out, e))
        return true;
    servers_free_list(*servers_out, *n_servers_out);
    *servers_out = NULL;
    *n_servers_out = 0;
    return false;
}
