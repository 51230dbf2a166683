/* `server evidence`: what a provider's support needs to see about one server, and nothing else.
 * Every text goes through mail/mask with a key of this bundle and with the server's own secrets, in
 * clear and in base64, so that even a server that echoes a password does not put it here. Runs on
 * the looking thread. */
#include "base/alloc.h"
#include "base/codec.h"
#include "engine/look.h"
#include "engine/state.h"
#include "feedback/explain.h"
#include "feedback/shape.h"
#include "mail/mask.h"
#include "store/events.h"
#include "store/reports.h"
#include "store/trouble.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_MS            (INT64_C(24) * 3600 * 1000)
#define ROWS_MAX          100000
#define ATTEMPTS_MAX      200
#define CONVERSATIONS_MAX 30
#define EVENTS_MAX        200
#define REPLIES_MAX       50
#define HOURS_MAX         744

struct bundle {
    const struct look *look;
    int64_t since;
    uint16_t num;
    struct mask mask;
    struct buf secrets[MASK_SECRETS_MAX];
    struct shapes *shapes;
    json_t *attempts, *verdicts;
    size_t conversations;
    uint64_t refused, looked;
    int64_t sent, tried;
    struct err *e;
    bool failed;
};

/* ---- what must not be in it ---- */

static void add_secret(struct bundle *b, struct str plain, bool coded)
{
    if (!plain.n || b->mask.n_secrets == MASK_SECRETS_MAX)
        return;
    struct buf *at = &b->secrets[b->mask.n_secrets];
    buf_init(at, 32768);
    if (coded)
        codec_base64_add(at, plain.p, plain.n);
    else
        buf_addstr(at, plain);
    while (coded && at->n && at->p[at->n - 1] == '=')
        at->n--; /* found with and without padding */
    b->mask.secrets[b->mask.n_secrets++] = buf_str(at);
}

static void add_secrets(struct bundle *b)
{
    const struct server *s = b->look->server->server;
    struct str user = str_of(s->user), password = STR_NONE;
    struct buf both;
    if (s->password)
        password = secret_reveal(s->password);
    rand_secret(b->mask.key, sizeof b->mask.key);
    buf_init(&both, 16384);
    if (user.n && password.n) {
        buf_addc(&both, 0);
        buf_addstr(&both, user);
        buf_addc(&both, 0);
        buf_addstr(&both, password);
    }
    add_secret(b, password, false);
    add_secret(b, password, true);
    add_secret(b, user, false);
    add_secret(b, user, true);
    add_secret(b, buf_str(&both), true);
    if (both.n)
        secret_wipe(both.p, both.n);
    buf_free(&both);
}

enum text_kind { TEXT_PLAIN, TEXT_AUTH_REPLY, TEXT_CONVERSATION };

static json_t *masked_as(struct bundle *b, struct str text, enum text_kind kind)
{
    static void (*const masks[])(const struct mask *m, struct str text,
                                 struct buf *out) = {mask_text, mask_auth_reply, mask_conversation};
    struct buf out;
    buf_init(&out, 1 << 20);
    masks[kind](&b->mask, text, &out);
    json_t *j = json_stringn(out.n ? out.p : "", out.n);
    buf_free(&out);
    return j ? j : json_string("(not UTF-8)");
}

static json_t *masked(struct bundle *b, struct str text)
{
    return masked_as(b, text, TEXT_PLAIN);
}

static json_t *masked_reply(struct bundle *b, struct str text, enum phase phase)
{
    return masked_as(b, text, phase == PHASE_AUTH ? TEXT_AUTH_REPLY : TEXT_PLAIN);
}

/* Every string below j. */
static json_t *mask_all(struct bundle *b, const json_t *j)
{
    const char *key;
    json_t *v, *out;
    size_t i;
    if (json_is_string(j))
        return masked(b, str_from(json_string_value(j), json_string_length(j)));
    if (json_is_array(j)) {
        out = json_array();
        json_array_foreach(j, i, v)
        {
            json_array_append_new(out, mask_all(b, v));
        }
        return out;
    }
    if (!json_is_object(j))
        return json_deep_copy(j);
    out = json_object();
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        json_object_set_new(out, key, mask_all(b, v));
    }
    return out;
}

/* ---- the parts ---- */

/* Whom a login belongs to and what headers carry may be secret: only that they are set is told. */
static bool add_configuration(struct bundle *b, json_t *out)
{
    json_t *full = NULL;
    if (!report_server(b->look->db, b->look->server->server->name, NULL, &full, b->e))
        return false;
    static const char *const kept[] = {"host",
                                       "port",
                                       "tls",
                                       "tls_verify",
                                       "helo",
                                       "from",
                                       "return_path",
                                       "from_domain",
                                       "per_second",
                                       "per_minute",
                                       "per_hour",
                                       "per_day",
                                       "per_month",
                                       "calendar",
                                       "counts",
                                       "pause_between",
                                       "provider",
                                       "profile",
                                       "region",
                                       "ip_type",
                                       "max_connections",
                                       "chunking",
                                       "password_set",
                                       "admin_state",
                                       "connect_timeout",
                                       "reply_timeout",
                                       "dot_timeout",
                                       "max_messages_per_connection"};
    json_t *j = json_object();
    for (size_t i = 0; i < countof(kept); i++)
        if (json_object_get(full, kept[i]))
            json_object_set_new(j, kept[i], mask_all(b, json_object_get(full, kept[i])));
    json_object_set_new(j, "user_set", json_boolean(json_is_string(json_object_get(full, "user"))));
    json_object_set_new(j, "extra_headers",
                        json_integer((json_int_t)json_array_size(json_object_get(full, "header"))));
    json_object_set_new(out, "configuration", j);
    json_decref(full);
    return true;
}

static bool add_hours(struct bundle *b, json_t *out)
{
    struct stmt *s = db_stmt(b->look->db,
                             "SELECT start, attempts, sent FROM usage WHERE server_num = $1"
                             " AND span_s = 3600 AND start >= $2 ORDER BY start LIMIT $3",
                             b->e);
    json_t *all = json_array();
    bool row = false, ok = s != NULL;
    if (s) {
        db_bind_i64(s, 1, b->num);
        db_bind_i64(s, 2, b->since / 3600000 * 3600000);
        db_bind_i64(s, 3, HOURS_MAX);
    }
    while (ok && (ok = db_step(s, &row, b->e)) && row) {
        char at[32];
        clock_format(db_i64(s, 0), at);
        b->tried += db_i64(s, 1);
        b->sent += db_i64(s, 2);
        json_array_append_new(all, json_pack("{s:s,s:I,s:I,s:I}", "hour", at, "attempts",
                                             (json_int_t)db_i64(s, 1), "accepted",
                                             (json_int_t)db_i64(s, 2), "not_accepted",
                                             (json_int_t)(db_i64(s, 1) - db_i64(s, 2))));
    }
    if (s)
        db_reset(s);
    json_object_set_new(out, "hours", all);
    return ok;
}

static bool on_event(void *arg, const struct event *ev)
{
    void **both = arg;
    struct bundle *b = both[0];
    char at[32];
    if (ev->at < b->since)
        return false;
    clock_format(ev->at, at);
    json_array_append_new(both[1], json_pack("{s:s,s:o,s:o}", "at", at, "kind", masked(b, ev->kind),
                                             "reason", masked(b, ev->reason)));
    return true;
}

static bool add_states(struct bundle *b, json_t *out)
{
    json_t *all = json_array();
    void *both[] = {b, all};
    json_object_set_new(out, "state_changes", all);
    return events_latest(b->look->db, str_of(b->look->server->server->name), EVENTS_MAX, on_event,
                         both, b->e);
}

/* ---- attempts ---- */

static void count_verdict(struct bundle *b, enum verdict v)
{
    json_t *n = json_object_get(b->verdicts, verdict_name(v));
    json_object_set_new(b->verdicts, verdict_name(v), json_integer(json_integer_value(n) + 1));
}

static bool add_attempt(struct bundle *b, const struct trouble_row *r)
{
    json_t *whole = NULL;
    char at[32], id[24];
    clock_format(r->a.at, at);
    codec_id_format("msg", r->a.message_id, id);
    json_t *line = json_pack("{s:s,s:s,s:I,s:s,s:o,s:o,s:o,s:s,s:I}", "at", at, "id", id, "attempt",
                             (json_int_t)r->a.n, "step", phase_name(r->a.phase), "code",
                             r->a.code ? json_integer(r->a.code) : json_null(), "enhanced",
                             r->enhanced.n ? masked(b, r->enhanced) : json_null(), "reply",
                             masked_reply(b, r->a.reply, r->a.phase), "verdict",
                             verdict_name(r->a.verdict), "ms", (json_int_t)r->a.ms);
    json_array_append_new(b->attempts, line);
    if (!report_message(b->look->db, r->a.message_id, &whole, b->e))
        return b->e->code == ERR_NOT_FOUND;
    const char *to = json_string_value(json_object_get(whole, "to"));
    const char *message_id = json_string_value(json_object_get(whole, "message_id"));
    json_object_set_new(line, "to", masked(b, str_of(to ? to : "")));
    json_object_set_new(line, "message_id", message_id ? json_string(message_id) : json_null());
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(whole, "attempts"), i, one)
    {
        const char *talk = json_string_value(json_object_get(one, "conversation"));
        bool is_it = json_integer_value(json_object_get(one, "n")) == (json_int_t)r->a.n;
        if (!is_it || !talk || b->conversations == CONVERSATIONS_MAX)
            continue;
        b->conversations++;
        json_object_set_new(line, "conversation", masked_as(b, str_of(talk), TEXT_CONVERSATION));
    }
    json_decref(whole);
    return true;
}

static bool on_row(void *arg, const struct trouble_row *r)
{
    struct bundle *b = arg;
    struct sighting x = look_sighting(r);
    b->refused++;
    count_verdict(b, r->a.verdict);
    (void)shapes_add(b->shapes, &x);
    if (json_array_size(b->attempts) < ATTEMPTS_MAX)
        b->failed = !add_attempt(b, r);
    return !b->failed;
}

static void add_replies(struct bundle *b, json_t *out)
{
    size_t n = 0;
    const struct shape **all = shapes_sorted(b->shapes, &n);
    json_t *data = json_array();
    for (size_t i = 0; i < n && i < REPLIES_MAX; i++) {
        char first[32], last[32];
        struct explanation x =
            explain_find(explain_builtin(), str_of(all[i]->rule), all[i]->verdict);
        clock_format(all[i]->first_at, first);
        clock_format(all[i]->last_at, last);
        json_array_append_new(
            data, json_pack("{s:I,s:s,s:o,s:o,s:o,s:s,s:s,s:s}", "count", (json_int_t)all[i]->count,
                            "step", phase_name(all[i]->phase), "code",
                            all[i]->code ? json_integer(all[i]->code) : json_null(), "enhanced",
                            masked(b, str_of(all[i]->enhanced)), "example",
                            masked_reply(b, str_of(all[i]->sample), all[i]->phase), "means",
                            x.means, "first_at", first, "last_at", last));
    }
    free(all);
    json_object_set_new(out, "replies", data);
}

/* ---- the page on top ---- */

static void add_summary(struct bundle *b, json_t *out, const char *since, const char *until)
{
    struct buf t;
    size_t i;
    json_t *one;
    const struct server *s = b->look->server->server;
    buf_init(&t, 65536);
    buf_addf(&t,
             "Report about SMTP server %s, port %d (\"%s\"), for its operator's support\n\n"
             "From %s to %s (all times UTC).\n"
             "We opened SMTP sessions to it as a client. %lld messages were tried, %lld of them\n"
             "accepted (2xx to the end of data). %llu attempts were refused, deferred or lost.\n\n"
             "The answers we got, the most frequent first:\n\n",
             s->host, s->port, s->name, since, until, (long long)b->tried, (long long)b->sent,
             (unsigned long long)b->refused);
    json_array_foreach(json_object_get(out, "replies"), i, one)
    {
        if (i == 10)
            break;
        buf_addf(
            &t, "%8lld x  after %s: ", (long long)json_integer_value(json_object_get(one, "count")),
            json_string_value(json_object_get(one, "step")));
        json_int_t code = json_integer_value(json_object_get(one, "code"));
        if (code)
            buf_addf(&t, "%lld ", (long long)code);
        struct str example = str_of(json_string_value(json_object_get(one, "example"))), line;
        (void)str_split(&example, '\n', &line);
        buf_addf(&t, STR_F "\n            first %s, last %s\n", STR_A(str_cut(line, 0, 200)),
                 json_string_value(json_object_get(one, "first_at")),
                 json_string_value(json_object_get(one, "last_at")));
    }
    buf_adds(&t, "\nLocal parts of addresses are replaced by a short hash (the same address has the"
                 "\nsame hash within this report). Message-IDs are as sent; with them and the times"
                 "\nyou find the messages in your logs. Login data is not part of this report.\n");
    json_object_set_new(out, "summary", masked(b, buf_str(&t)));
    buf_free(&t);
}

static bool fill(struct bundle *b, json_t *out)
{
    struct trouble_ask ask = {
        .since = b->since, .until = b->look->now, .server_num = b->num, .limit = ROWS_MAX};
    char since[32], until[32];
    clock_format(b->since, since);
    clock_format(b->look->now, until);
    json_object_set_new(out, "server", json_string(b->look->server->server->name));
    json_object_set_new(out, "since", json_string(since));
    json_object_set_new(out, "until", json_string(until));
    if (!add_configuration(b, out) || !add_hours(b, out) || !add_states(b, out) ||
        !trouble_walk(b->look->db, &ask, on_row, b, &b->looked, b->e) || b->failed)
        return false;
    add_replies(b, out);
    add_summary(b, out, since, until);
    json_object_set_new(out, "tried", json_integer((json_int_t)b->tried));
    json_object_set_new(out, "accepted", json_integer((json_int_t)b->sent));
    json_object_set_new(out, "not_accepted", json_integer((json_int_t)b->refused));
    json_object_set_new(out, "complete", json_boolean(b->looked < ROWS_MAX));
    json_object_set(out, "verdicts", b->verdicts);
    json_object_set(out, "attempts", b->attempts);
    return true;
}

bool look_evidence(const struct look *l, json_t **data_out, struct err *e)
{
    struct bundle b = {.look = l, .e = e, .num = l->server->server->num};
    if (!look_since(l->args, "since", l->now, DAY_MS, &b.since, e))
        return false;
    add_secrets(&b);
    b.shapes = shapes_new();
    b.attempts = json_array();
    b.verdicts = json_object();
    *data_out = json_object();
    bool ok = fill(&b, *data_out);
    if (!ok) {
        json_decref(*data_out);
        *data_out = NULL;
    }
    json_decref(b.attempts);
    json_decref(b.verdicts);
    shapes_free(&b.shapes);
    for (size_t i = 0; i < b.mask.n_secrets; i++) {
        secret_wipe(b.secrets[i].p, b.secrets[i].n);
        buf_free(&b.secrets[i]);
    }
    return ok;
}

void evidence_start(struct core *c, struct link_request *r)
{
    const char *name = json_string_value(json_object_get(r->args, "name"));
    struct outlet *o = outlet_by_name(c, name);
    struct err e;
    if (!o) {
        err_set(&e, ERR_NOT_FOUND, "there is no server '%s'", name ? name : "");
        link_answer(r, link_answer_error(&e));
        return;
    }
    __atomic_add_fetch(&o->server->refs, 1, __ATOMIC_RELAXED);
    look_start(c, r, look_evidence, o->server);
}
