/* The dry run of a failure matrix against the attempts of the last day: each is asked what the
 * present matrix makes of it and what the new one would. Goes in bites, so that the ledger thread
 * is never held: a bite gives back `state`, with which the caller asks for the next, until done. */
#include "engine/admin_failover.h"

#include "base/codec.h"
#include "store/failover.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/reports.h"
#include "store/servers.h"

#include <stdio.h>
#include <stdlib.h>

#define BITE_ROWS    1000
#define SPAN_MS      INT64_C(86400000)
#define OLD_MS       (3 * SPAN_MS) /* messages made so long before are looked at too */
#define TRIED_MAX    64
#define EXAMPLES_MAX 3

struct life { /* of the message that is walked now, as the present matrix had it */
    uint64_t id;
    int64_t first_at;
    uint32_t attempts, n_tried;
    uint16_t tried[TRIED_MAX];
    bool was_blocked, same_once;
};

struct trial {
    struct admin_context *c;
    uint32_t group_num, default_num;
    const struct policy *present, *wanted;
    int64_t since;
    struct life life;
    json_t *state; /* borrowed: {"seen","changed","rows":{...}} */
    uint64_t rows, last_id;
    bool more; /* the bite ended before the rows did */
};

static void add_to(json_t *object, const char *key, int64_t n)
{
    json_object_set_new(object, key,
                        json_integer(json_integer_value(json_object_get(object, key)) + n));
}

/* ---- what is shown of an attempt: no address */

/* "j***@example.org" for every word with an @ in it. */
static json_t *masked(struct str text)
{
    char out[300];
    size_t n = 0;
    for (size_t i = 0; i < text.n && n + 8 < sizeof out;) {
        size_t end = i;
        while (end < text.n && !ascii_isspace(text.p[end]))
            end++;
        struct str word = str_cut(text, i, end - i);
        ptrdiff_t at = str_rchr(word, '@');
        size_t skip = at > 0 && !ascii_isalnum(word.p[0]) ? 1 : 0; /* "<" stays */
        if (at > 0) {
            n += (size_t)snprintf(out + n, sizeof out - n, "%.*s***", (int)(skip + 1), word.p);
            word = str_from_index(word, (size_t)at);
        }
        word = str_cut(word, 0, sizeof out - 8 - MIN(n, sizeof out - 8));
        memcpy(out + n, word.p, word.n);
        n += word.n;
        for (i = end; i < text.n && ascii_isspace(text.p[i]); i++)
            if (i == end && n + 8 < sizeof out)
                out[n++] = ' ';
    }
    while (n && !str_is_utf8(str_from(out, n)))
        n--; /* cut inside a letter */
    return json_stringn(out, n);
}

static json_t *example(struct trial *t, const struct past_attempt *p)
{
    char id[24], server[128] = "", enhanced[16] = "";
    struct err e;
    json_t *message = NULL;
    codec_id_format("msg", p->a.message_id, id);
    if (!servers_name(t->c->db, p->a.server_num, server, &e))
        server[0] = 0;
    if (p->a.enhanced[0])
        snprintf(enhanced, sizeof enhanced, "%u.%u.%u", p->a.enhanced[0], p->a.enhanced[1],
                 p->a.enhanced[2]);
    const char *to = report_message(t->c->db, p->a.message_id, &message, &e)
                         ? json_string_value(json_object_get(message, "to"))
                         : NULL;
    json_t *j = json_pack("{s:s, s:o, s:s, s:s, s:s, s:i, s:s, s:o}", "message", id, "to",
                          masked(str_of(to)), "server", server, "verdict",
                          verdict_name(p->a.verdict), "phase", phase_name(p->a.phase), "code",
                          p->a.code, "enhanced", enhanced, "reply", masked(p->a.reply));
    json_decref(message);
    return j;
}

/* ---- two answers to one question */

static void note_change(struct trial *t, const struct past_attempt *p, const struct step *present,
                        const struct step *wanted)
{
    static const char *const settings[] = {[STEP_BY_TRIES_PER_ROUND] = "tries_per_round",
                                           [STEP_BY_TRIES] = "tries",
                                           [STEP_BY_ROUNDS] = "rounds",
                                           [STEP_BY_DEADLINE] = "deadline"};
    const char *setting = wanted->by != STEP_BY_VERDICT    ? settings[wanted->by]
                          : wanted->rule                   ? NULL
                          : present->rule                  ? "rule_gone"
                          : present->by != STEP_BY_VERDICT ? settings[present->by]
                                                           : NULL;
    char key[100];
    json_t *rows = json_object_get(t->state, "rows");
    snprintf(key, sizeof key, "%03u/%s/%s/%s", (unsigned)(setting ? 999 : wanted->rule),
             setting ? setting : "", policy_step_name(present), policy_step_name(wanted));
    json_t *row = json_object_get(rows, key);
    if (!row) {
        row = json_pack("{s:o, s:s?, s:s, s:s, s:i, s:[]}", "rule",
                        setting ? json_null() : json_integer(wanted->rule), "setting", setting,
                        "from", policy_step_name(present), "to", policy_step_name(wanted),
                        "attempts", 0, "examples");
        json_object_set_new(rows, key, row);
    }
    add_to(row, "attempts", 1);
    add_to(t->state, "changed", 1);
    json_t *examples = json_object_get(row, "examples");
    if (json_array_size(examples) < EXAMPLES_MAX)
        json_array_append_new(examples, example(t, p));
}

static bool is_permanent(const struct attempt *a)
{
    return a->code >= 500 && a->verdict != VERDICT_FAILOVER && a->verdict != VERDICT_QUOTA &&
           a->verdict != VERDICT_RATE_LIMITED && a->verdict != VERDICT_TRY_LATER;
}

static struct retry_ask ask_of(const struct life *l, const struct past_attempt *p)
{
    struct retry_ask a = {.verdict = p->a.verdict,
                          .permanent = is_permanent(&p->a),
                          .lane = p->lane,
                          .attempts = l->attempts,
                          .uncertain_resends = 1,
                          .was_fresh = l->same_once,
                          .was_blocked = l->was_blocked,
                          .first_at = l->first_at,
                          .phase = p->a.phase,
                          .code = p->a.code,
                          .text = p->a.reply,
                          .tries = p->a.n,
                          .n_tried = l->n_tried,
                          .same_once = l->same_once};
    memcpy(a.enhanced, p->a.enhanced, sizeof a.enhanced);
    return a;
}

static void new_round(struct life *l, uint32_t counts)
{
    l->attempts += counts;
    l->n_tried = 0;
    l->was_blocked = l->same_once = false;
}

static void begin_attempt(struct life *l, const struct past_attempt *p)
{
    if (l->id != p->a.message_id)
        *l = (struct life){.id = p->a.message_id, .first_at = p->a.at};
    bool again = false;
    for (uint32_t i = 0; i < l->n_tried; i++)
        again = again || l->tried[i] == p->a.server_num;
    if (again) /* every server was tried: its round ended without a row */
        new_round(l, 1);
}

static void end_attempt(struct life *l, const struct past_attempt *p, const struct step *st)
{
    l->was_blocked = l->was_blocked || p->a.verdict == VERDICT_BLOCKED;
    if (st->kind == STEP_LATER)
        new_round(l, st->counts);
    else if (st->kind == STEP_SAME_SERVER)
        l->same_once = true;
    else if (l->n_tried < TRIED_MAX)
        l->tried[l->n_tried++] = p->a.server_num;
}

static void try_attempt(struct trial *t, const struct past_attempt *p)
{
    uint32_t group = p->group_num ? p->group_num : t->default_num;
    struct step present = {0}, wanted = {0};
    if (!p->is_whole || group != t->group_num || !p->a.server_num || p->a.verdict == VERDICT_NONE)
        return;
    begin_attempt(&t->life, p);
    struct retry_ask a = ask_of(&t->life, p);
    a.policy = t->present;
    retry_after(&a, p->a.at, &present);
    a.policy = t->wanted;
    retry_after(&a, p->a.at, &wanted);
    if (p->a.at >= t->since) {
        add_to(t->state, "seen", 1);
        if (strcmp(policy_step_name(&present), policy_step_name(&wanted)) != 0)
            note_change(t, p, &present, &wanted);
    }
    end_attempt(&t->life, p, &present);
}

static bool each_attempt(void *arg, const struct past_attempt *p)
{
    struct trial *t = arg;
    if (t->rows >= BITE_ROWS && p->a.message_id != t->last_id) {
        t->more = true;
        return false;
    }
    t->rows++;
    t->last_id = p->a.message_id;
    try_attempt(t, p);
    return true;
}

/* ---- bites */

/* The last day's messages first, then those made in the three days before. */
static bool bite(struct trial *t, struct err *e)
{
    json_t *s = t->state;
    int64_t now = json_integer_value(json_object_get(s, "now"));
    bool is_old = json_is_true(json_object_get(s, "is_old"));
    uint64_t least = ids_least(now - SPAN_MS);
    uint64_t before = is_old ? least : (uint64_t)INT64_MAX;
    uint64_t after = (uint64_t)json_integer_value(json_object_get(s, "after"));
    t->since = now - SPAN_MS;
    t->last_id = after;
    if (!failover_history(t->c->db, after, before, each_attempt, t, e))
        return false;
    if (t->more || t->rows >= BITE_ROWS) {
        json_object_set_new(s, "after", json_integer((json_int_t)t->last_id));
    } else if (!is_old) {
        json_object_set_new(s, "is_old", json_true());
        json_object_set_new(s, "after",
                            json_integer((json_int_t)ids_least(now - SPAN_MS - OLD_MS) - 1));
    } else {
        json_object_set_new(s, "done", json_true());
    }
    add_to(s, "rows_read", (int64_t)t->rows);
    return true;
}

static json_t *first_state(const struct admin_context *c)
{
    return json_pack("{s:I, s:I, s:b, s:b, s:I, s:I, s:I, s:{}}", "now", (json_int_t)c->wall_ms,
                     "after", (json_int_t)ids_least(c->wall_ms - SPAN_MS) - 1, "is_old", 0, "done",
                     0, "seen", (json_int_t)0, "changed", (json_int_t)0, "rows_read", (json_int_t)0,
                     "rows");
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Rows of one rule or setting in one object: {"rule","text","setting","changed","moves"}. */
static json_t *summary(json_t *rows, const struct failover *wanted)
{
    const char *keys[512], *key;
    json_t *row, *all = json_array(), *item = NULL;
    size_t n = 0;
    json_object_foreach(rows, key, row)
    {
        if (n < countof(keys))
            keys[n++] = key;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < n; i++) {
        row = json_object_get(rows, keys[i]);
        json_t *rule = json_object_get(row, "rule"), *setting = json_object_get(row, "setting");
        size_t at = (size_t)json_integer_value(rule);
        if (!item || !json_equal(json_object_get(item, "rule"), rule) ||
            !json_equal(json_object_get(item, "setting"), setting)) {
            item = json_pack("{s:O, s:s?, s:O, s:i, s:[]}", "rule", rule, "text",
                             at && at <= wanted->n_rules ? wanted->rules[at - 1] : NULL, "setting",
                             setting, "changed", 0, "moves");
            json_array_append_new(all, item);
        }
        add_to(item, "changed", json_integer_value(json_object_get(row, "attempts")));
        json_array_append_new(
            json_object_get(item, "moves"),
            json_pack("{s:O, s:O, s:O, s:O}", "from", json_object_get(row, "from"), "to",
                      json_object_get(row, "to"), "attempts", json_object_get(row, "attempts"),
                      "examples", json_object_get(row, "examples")));
    }
    return all;
}

static bool answer(struct trial *t, const struct group *g, const struct failover *f,
                   json_t **data_out, struct err *e)
{
    json_t *matrix = NULL, *s = t->state;
    if (!failover_to_json(t->c, g, f, t->wanted, &matrix, e))
        return false;
    *data_out =
        json_pack("{s:s, s:O, s:O, s:O, s:o, s:O, s:O}", "group", g->name, "done",
                  json_object_get(s, "done"), "attempts", json_object_get(s, "seen"), "changed",
                  json_object_get(s, "changed"), "changes", summary(json_object_get(s, "rows"), f),
                  "warnings", json_object_get(matrix, "warnings"), "state", s);
    json_decref(matrix);
    return true;
}

static bool default_group(struct admin_context *c, uint32_t *out, struct err *e)
{
    struct group *g = NULL;
    if (!groups_get(c->db, GROUPS_DEFAULT, &g, e))
        return false;
    *out = g->num;
    group_free(&g);
    return true;
}

bool failover_dry_run(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    const char *name = NULL;
    struct group *g = NULL;
    struct failover *now = NULL, *f = NULL;
    struct policy *present = NULL, *wanted = NULL;
    if (!args_need(args, "name", 4096, &name, e) || !groups_get(c->db, name, &g, e))
        return false;
    json_t *given = json_object_get(args, "state");
    json_t *state = json_is_object(given) ? json_deep_copy(given) : first_state(c);
    json_object_del(args, "state");
    struct trial t = {.c = c, .group_num = g->num, .state = state};
    bool ok = failover_of_args(c, args, g, &f, &wanted, e) && default_group(c, &t.default_num, e) &&
              failover_load(c->db, g->num, &now, e) && policy_compile(now, &present, e);
    t.present = present;
    t.wanted = wanted;
    ok = ok && bite(&t, e) && answer(&t, g, f, data_out, e);
    json_decref(state);
    policy_free(&present);
    policy_free(&wanted);
    failover_free(&now);
    failover_free(&f);
    group_free(&g);
    return ok;
}
