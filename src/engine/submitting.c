/* See submitting.h. A batch goes through the ledger in bites of BITE messages, so that it holds
 * nobody up; with an Idempotency-Key each bite keeps its answer in its own transaction, so that the
 * repeated request of an impatient client, or of one that saw a crash, sends nothing twice. */
#include "engine/submitting.h"
#include "base/alloc.h"
#include "base/check.h"
#include "engine/admin_outgoing.h"
#include "engine/drafts.h"
#include "engine/spooling.h"
#include "engine/state.h"
#include "store/idempotency.h"
#include "store/keys.h"

#include <stdio.h>
#include <stdlib.h>

#define BITE          64
#define AT_WORK_MAX   (192u << 20) /* bytes of requests and their mails at a time */
#define MAILS_MAX     (64u << 20)  /* bytes of the mails of one request */
#define WEIGHT_FACTOR 3            /* a request, its JSON and its mails */

struct submission {
    struct pool_job desk;
    struct core *core;
    struct link_request *request;
    struct admin_context ctx;
    char spool[4200];
    /* what was asked for */
    json_t *body;  /* parsed tail, or NULL */
    json_t *items; /* array */
    const json_t *defaults;
    struct str mail; /* the tail is the mail */
    bool is_batch, is_test;
    bool is_shared; /* one mail for many recipients */
    struct outgoing_body body_of;
    struct str key; /* n 0: none */
    uint8_t hash[IDEMPOTENCY_HASH];
    size_t weight;
    /* templates */
    const char *names[DRAFTS_AT_ONCE];
    struct kept_draft *drafts[DRAFTS_AT_ONCE];
    size_t n_names;
    bool has_drafts;
    /* what became of it */
    struct arena *arena;
    struct composed *mails; /* by item */
    json_t **answers;       /* by item; NULL: not answered yet */
    uint32_t n, n_bites;
    bool failed; /* as a whole: error says why */
    bool replayed;
    struct err error;
};

struct bite {
    struct ledger_job lj;
    struct submission *s;
    uint32_t first, n;
    json_t *found; /* answered before */
};

/* ---- the end ---- */

static void submission_free(struct submission *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->mails)
            composed_free(&s->mails[i]);
        if (s->answers)
            json_decref(s->answers[i]);
    }
    for (size_t i = 0; i < s->n_names; i++)
        kept_draft_drop(s->drafts[i]);
    s->core->n_submitting -= s->weight;
    json_decref(s->items);
    json_decref(s->body);
    free(s->mails);
    free(s->answers);
    arena_free(&s->arena);
    free(s);
}

static json_t *batch_answer(struct submission *s)
{
    json_t *data = json_array();
    json_int_t accepted = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        accepted += json_object_get(s->answers[i], "id") != NULL;
        json_array_append(data, s->answers[i]);
    }
    return json_pack("{s:I, s:I, s:o}", "accepted", accepted, "rejected",
                     (json_int_t)s->n - accepted, "data", data);
}

static void answer(struct submission *s)
{
    json_t *j = s->failed     ? link_answer_error(&s->error)
                : s->is_batch ? link_answer_ok(batch_answer(s))
                              : link_answer_ok(json_incref(s->answers[0]));
    json_t *data = json_object_get(j, "data");
    if (data && s->replayed)
        json_object_set_new(data, "replayed", json_true());
    link_answer(s->request, j);
    if (s->ctx.changed.bits & ADMIN_CHANGED_QUEUE) {
        campaigner_want_queue(s->core);
        campaigner_tick(s->core);
    }
    submission_free(s);
}

static void fail(struct submission *s, const struct err *e)
{
    if (!s->failed)
        s->error = *e;
    s->failed = true;
}

/* An item that is refused does not stop the others of its batch. */
static void refuse(struct submission *s, uint32_t i, const struct err *e)
{
    if (!s->is_batch) {
        fail(s, e);
        return;
    }
    json_t *text = json_string(e->text);
    json_decref(s->answers[i]);
    s->answers[i] = json_pack("{s:{s:s, s:o}}", "error", "code", err_code_name(e->code), "detail",
                              text ? text : json_string("an error whose text is not UTF-8"));
}

/* ---- storing, on the ledger thread ---- */

static struct idempotent key_of(const struct bite *b, uint32_t credential_num)
{
    return (struct idempotent){.credential_num = credential_num,
                               .key = b->s->key,
                               .part = b->first,
                               .request = b->s->hash};
}

static bool is_for_item(enum err_code code)
{
    return code == ERR_REFUSED || code == ERR_NOT_FOUND || code == ERR_INVALID;
}

/* Groups are named over and over: a batch asks for each once. */
static bool find_group(struct submission *s, uint32_t i, const struct bite *b, struct err *e)
{
    struct composed *m = &s->mails[i];
    const struct composed *last = i > b->first ? m - 1 : NULL;
    if (last && last->group && m->group && !strcmp(last->group, m->group) && last->group_num) {
        m->group_num = last->group_num;
        return true;
    }
    return outgoing_group(&s->ctx, m->group, &m->group_num, e);
}

static bool store_item(struct bite *b, uint32_t i, uint32_t credential_num, struct err *e)
{
    struct submission *s = b->s;
    uint64_t id = 0;
    if (s->answers[i]) /* refused before */
        return true;
    if (find_group(s, i, b, e) && outgoing_store(&s->ctx, &s->mails[i], credential_num,
                                                 s->is_shared ? &s->body_of : NULL, &id, e)) {
        s->answers[i] =
            outgoing_answer(s->is_shared ? s->body_of.mail : &s->mails[i], id, false, e);
        return s->answers[i] != NULL;
    }
    if (!s->is_batch || !is_for_item(e->code))
        return false;
    refuse(s, i, e);
    return true;
}

static bool keep_answers(struct bite *b, const struct idempotent *k, struct err *e)
{
    json_t *all = json_array();
    for (uint32_t i = b->first; i < b->first + b->n; i++)
        json_array_append(all, b->s->answers[i]);
    char *text = json_dumps(all, JSON_COMPACT);
    bool ok = idempotency_keep(b->s->ctx.db, k, str_of(text), b->s->ctx.wall_ms, e);
    free(text);
    json_decref(all);
    return ok;
}

static bool find_answers(struct bite *b, const struct idempotent *k, struct err *e)
{
    bool found = false;
    char *text = NULL;
    bool ok = idempotency_find(b->s->ctx.db, k, &found, &text, e);
    if (ok && found)
        b->found = json_loads(text, 0, NULL);
    free(text);
    return ok && (!found || json_array_size(b->found) == b->n ||
                  err_set(e, ERR_CORRUPT, "Idempotency-Key: its kept answer cannot be read"));
}

/* Bites of a request come in their order: what the first one meets holds for the rest. */
static bool store_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct bite *b = container_of(lj, struct bite, lj);
    struct submission *s = b->s;
    uint32_t credential_num = 0;
    s->ctx.db = db;
    if (s->failed)
        return err_set(e, s->error.code, "%s", s->error.text);
    if (!keys_num_of_actor(db, s->ctx.actor, &credential_num, e))
        return false;
    struct idempotent k = key_of(b, credential_num);
    bool ok = !s->key.n || find_answers(b, &k, e);
    for (uint32_t i = b->first; ok && !b->found && i < b->first + b->n; i++)
        ok = store_item(b, i, credential_num, e);
    ok = ok && (!s->key.n || b->found || keep_answers(b, &k, e));
    if (!ok && b->first == 0 && s->key.n)
        fail(s, e);
    return ok;
}

static void take_found(struct bite *b)
{
    b->s->replayed = true;
    for (uint32_t i = 0; i < b->n; i++) {
        json_decref(b->s->answers[b->first + i]);
        b->s->answers[b->first + i] = json_incref(json_array_get(b->found, i));
    }
    json_decref(b->found);
}

/* What its rows were is undone: none of the bite is accepted. */
static void take_failed(struct bite *b, const struct err *e)
{
    for (uint32_t i = b->first; i < b->first + b->n; i++)
        if (!b->s->answers[i] || json_object_get(b->s->answers[i], "id"))
            refuse(b->s, i, e);
}

static void store_done(struct ledger_job *lj)
{
    struct bite *b = container_of(lj, struct bite, lj);
    struct submission *s = b->s;
    if (!lj->ok)
        take_failed(b, &lj->error);
    else if (b->found)
        take_found(b);
    free(b);
    if (--s->n_bites == 0)
        answer(s);
}

static void store(void *owner, const struct err *failed)
{
    struct submission *s = owner;
    if (failed) {
        fail(s, failed);
        answer(s);
        return;
    }
    s->n_bites = (s->n + BITE - 1) / BITE;
    for (uint32_t first = 0; first < s->n; first += BITE) {
        struct bite *b = alloc_one(struct bite);
        b->s = s;
        b->first = first;
        b->n = MIN((uint32_t)BITE, s->n - first);
        b->lj.order = LEDGER_ACCEPT;
        b->lj.work = store_work;
        b->lj.done = store_done;
        ledger_post(s->core->ledger, &b->lj);
    }
}

/* ---- composing, on a desk ---- */

static const struct draft *find_draft(void *arg, const char *name)
{
    struct submission *s = arg;
    for (size_t i = 0; i < s->n_names; i++)
        if (!strcmp(s->names[i], name) && s->drafts[i])
            return kept_draft_of(s->drafts[i]);
    return NULL;
}

/* Shared with nobody: a template may make megabytes of a few words, a thousand times. */
static bool compose_one(struct submission *s, const struct compose_context *cx, uint32_t i,
                        size_t *bytes, struct err *e)
{
    if (!compose_item(cx, json_array_get(s->items, i), s->defaults, s->mail, i, s->arena,
                      &s->mails[i], e))
        return false;
    *bytes += s->mails[i].mail.n;
    return *bytes <= MAILS_MAX ||
           err_set(e, ERR_TOO_BIG, "messages: over %u MB in one request", MAILS_MAX >> 20);
}

/* One mail, composed for the first of its recipients; the others have its facts. */
static void compose_shared(struct submission *s, const struct compose_context *cx)
{
    json_t *item = json_copy(json_array_get(s->items, 0)), *to;
    size_t i;
    struct err e;
    struct composed *first = NULL;
    json_array_foreach(json_object_get(s->body, "to"), i, to)
    {
        struct composed *m = &s->mails[i];
        struct addr a;
        char name[512];
        struct str text = str_from(json_string_value(to), json_string_length(to));
        if (!addr_parse_mailbox(text, &a, name, sizeof(name), &e) || !a.n) {
            if (!a.n)
                err_set(&e, ERR_INVALID, "is empty");
            err_prefix(&e, "to");
            refuse(s, (uint32_t)i, &e);
            continue;
        }
        json_object_set(item, "to", to);
        if (!first && !compose_item(cx, item, NULL, STR_NONE, 0, s->arena, m, &e)) {
            fail(s, &e);
            break;
        }
        if (first)
            composed_again(first, &a, m);
        else
            first = m;
        if (s->is_test)
            s->answers[i] = outgoing_answer(first, 0, true, &e);
    }
    s->body_of.mail = first;
    json_decref(item);
}

static void compose_all(struct submission *s)
{
    size_t bytes = 0;
    const struct compose_context cx = {.now_ms = s->ctx.wall_ms,
                                       .random = s->ctx.random,
                                       .groups = json_object_get(s->request->args, "groups"),
                                       .find = find_draft,
                                       .find_arg = s};
    s->arena = arena_new(COMPOSE_MAX);
    s->mails = alloc_many(struct composed, s->n);
    s->answers = alloc_many(json_t *, s->n);
    if (s->is_shared) {
        compose_shared(s, &cx);
        return;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        struct err e;
        if (!compose_one(s, &cx, i, &bytes, &e)) {
            refuse(s, i, &e);
            buf_free(&s->mails[i].mail);
        } else if (s->is_test && !(s->answers[i] = outgoing_answer(&s->mails[i], 0, true, &e))) {
            refuse(s, i, &e);
        }
    }
}

static bool name_template(struct submission *s, const char *name, struct err *e)
{
    for (size_t i = 0; i < s->n_names; i++)
        if (!strcmp(s->names[i], name))
            return true;
    if (s->n_names == DRAFTS_AT_ONCE)
        return err_set(e, ERR_INVALID, "template: over %d different ones in a request",
                       DRAFTS_AT_ONCE);
    s->names[s->n_names++] = name;
    return true;
}

static bool name_templates(struct submission *s, struct err *e)
{
    for (uint32_t i = 0; i < s->n; i++) {
        const char *name = compose_template_of(json_array_get(s->items, i), s->defaults);
        if (name && !name_template(s, name, e))
            return false;
    }
    return true;
}

static bool read_batch(struct submission *s, struct err *e)
{
    static const char *const fields[] = {"messages", "defaults", NULL};
    json_t *all = json_object_get(s->body, "messages");
    s->defaults = json_object_get(s->body, "defaults");
    if (!args_known(s->body, fields, e))
        return false;
    if (s->defaults && !json_is_null(s->defaults) && !json_is_object(s->defaults))
        return err_set(e, ERR_INVALID, "defaults: must be an object");
    if (!json_is_array(all) || !json_array_size(all) || json_array_size(all) > BATCH_MAX)
        return err_set(e, ERR_INVALID, "messages: must be a list of 1 to %d", BATCH_MAX);
    s->items = json_incref(all);
    return true;
}

/* Of a mail as it is there may be many; its To field says whom it is for, not we. */
static bool read_recipients(struct submission *s, struct err *e)
{
    json_t *to = json_object_get(s->body, "to");
    size_t n = json_array_size(to);
    bool is_mail = json_object_get(s->body, "raw") || json_object_get(s->body, "raw_base64");
    if (n < 2 || !is_mail)
        return true;
    if (n > BATCH_MAX)
        return err_set(e, ERR_INVALID, "to: over %d recipients", BATCH_MAX);
    s->is_batch = s->is_shared = true;
    return true;
}

static bool read_body(struct submission *s, struct err *e)
{
    json_error_t why;
    struct str tail = s->request->tail;
    if (str_is(str_of(s->request->op), "message.send")) {
        json_t *item = json_object_get(s->request->args, "item");
        s->items = json_pack("[o]", item ? json_incref(item) : json_object());
        s->mail = tail;
        return true;
    }
    s->body = json_loadb(tail.p, tail.n, JSON_REJECT_DUPLICATES, &why);
    if (!s->body)
        return err_set(e, ERR_INVALID, "the body is no valid JSON: %.200s (line %d, column %d)",
                       why.text, why.line, why.column);
    if (!json_is_object(s->body))
        return err_set(e, ERR_INVALID, "the body must be a JSON object");
    if (s->is_batch)
        return read_batch(s, e);
    s->items = json_pack("[O]", s->body);
    return read_recipients(s, e);
}

/* All that was asked for: of a mail as it is, recipients and the like stand beside it. */
static void hash_request(struct submission *s)
{
    struct buf what;
    json_t *item = json_object_get(s->request->args, "item");
    char *text = item ? json_dumps(item, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    buf_init(&what, 1u << 20);
    bool fits = buf_adds(&what, s->request->op) && buf_adds(&what, text ? text : "");
    check(fits); /* a query is a few KB */
    idempotency_hash(buf_str(&what), s->request->tail, s->hash);
    buf_free(&what);
    free(text);
}

static void desk_work(struct pool_job *d)
{
    struct submission *s = container_of(d, struct submission, desk);
    struct err e;
    if (s->items) {
        compose_all(s);
        return;
    }
    if (s->key.n)
        hash_request(s);
    if (!read_body(s, &e)) {
        fail(s, &e);
        return;
    }
    s->n = (uint32_t)json_array_size(s->items);
    if (s->is_shared)
        s->n = (uint32_t)json_array_size(json_object_get(s->body, "to"));
    if (!s->is_shared && !name_templates(s, &e))
        fail(s, &e);
    else if (!s->n_names)
        compose_all(s);
}

/* ---- on the reactor ---- */

static void drafts_here(void *arg, const struct err *failed)
{
    struct submission *s = arg;
    if (failed) {
        fail(s, failed);
        answer(s);
        return;
    }
    pool_submit(s->core->desks, &s->desk);
}

static bool anything_to_store(const struct submission *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (!s->answers[i])
            return true;
    return s->key.n > 0; /* the refusals are kept too */
}

static void spool_then_store(struct submission *s)
{
    bool is_needed = false;
    for (uint32_t i = 0; i < s->n && !is_needed; i++)
        is_needed = !s->answers[i] && spooling_is_needed(&s->mails[i]);
    if (is_needed)
        spooling_start(s->core, s->mails, s->n, s->ctx.wall_ms, store, s);
    else
        store(s, NULL);
}

static void desk_done(struct pool_job *d)
{
    struct submission *s = container_of(d, struct submission, desk);
    if (s->failed)
        answer(s);
    else if (!s->mails)
        drafts_get(s->core, s->names, s->n_names, s->drafts, drafts_here, s);
    else if (s->is_test || !anything_to_store(s))
        answer(s);
    else
        spool_then_store(s);
}

static struct submission *submission_new(struct core *c, struct link_request *r)
{
    struct submission *s = alloc_one(struct submission);
    s->core = c;
    s->request = r;
    s->is_batch = str_is(str_of(r->op), "message.batch");
    s->is_test = json_is_true(json_object_get(r->args, "test"));
    s->key = str_of(json_string_value(json_object_get(r->args, "key")));
    s->weight = r->tail.n * WEIGHT_FACTOR + 4096;
    c->n_submitting += s->weight;
    snprintf(s->spool, sizeof s->spool, "%s/spool", c->cfg->data_dir);
    s->ctx = (struct admin_context){.ids = &c->ids,
                                    .places = c->places,
                                    .suppressible = c->suppressible,
                                    .wall_ms = core_steady(c),
                                    .random = rand_u64(&c->rand),
                                    .spool_dir = s->spool,
                                    .actor = r->actor};
    s->desk.work = desk_work;
    s->desk.done = desk_done;
    s->desk.lane = LANE_TRANSACTIONAL;
    return s;
}

bool submitting_start(struct core *c, struct link_request *r)
{
    struct err e;
    struct str op = str_of(r->op);
    if (!str_is(op, "message.send") && !str_is(op, "message.send_json") &&
        !str_is(op, "message.batch"))
        return false;
    if (ledger_disk_full(c->ledger))
        err_set(&e, ERR_FULL, "the disk is full: nothing can be accepted until there is space");
    else if (c->n_submitting && c->n_submitting + r->tail.n * WEIGHT_FACTOR > AT_WORK_MAX)
        err_set(&e, ERR_LATER, "many messages are being accepted now: try again in a second");
    else {
        pool_submit(c->desks, &submission_new(c, r)->desk);
        return true;
    }
    link_answer(r, link_answer_error(&e));
    return true;
}
