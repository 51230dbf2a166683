/* One desk for all looking; the database is opened anew for each: no handle stays behind. */
#include "engine/look.h"
#include "base/alloc.h"
#include "base/codec.h"
#include "engine/state.h"

#include <stdio.h>
#include <stdlib.h>

#define WAITING_MAX 8

struct look_job {
    struct pool_job job;
    struct look look;
    struct link_request *request;
    look_work *work;
    char path[4200];
    json_t *data;
    struct err error;
    bool ok;
};

static void run(struct pool_job *pj)
{
    struct look_job *k = container_of(pj, struct look_job, job);
    k->ok = db_open(k->path, DB_READ_ONLY, &k->look.db, &k->error);
    k->ok = k->ok && k->work(&k->look, &k->data, &k->error);
    db_close(&k->look.db);
}

static void done(struct pool_job *pj)
{
    struct look_job *k = container_of(pj, struct look_job, job);
    link_answer(k->request, k->ok ? link_answer_ok(k->data) : link_answer_error(&k->error));
    if (k->look.server)
        server_ref_drop(k->look.server);
    free(k);
}

void look_start(struct core *c, struct link_request *r, look_work *work, struct server_ref *server)
{
    struct err e;
    if (!c->looks)
        c->looks = pool_new(c->loop, 1);
    if (pool_pending(c->looks) >= WAITING_MAX) {
        err_set(&e, ERR_LATER, "others are looking already: try again in a few seconds");
        link_answer(r, link_answer_error(&e));
        if (server)
            server_ref_drop(server);
        return;
    }
    struct look_job *k = alloc_one(struct look_job);
    k->look = (struct look){.core = c, .args = r->args, .now = clock_wall_ms(), .server = server};
    k->request = r;
    k->work = work;
    k->job.work = run;
    k->job.done = done;
    snprintf(k->path, sizeof k->path, "%s/postfleet.db", c->cfg->data_dir);
    pool_submit(c->looks, &k->job);
}

struct sighting look_sighting(const struct trouble_row *r)
{
    return (struct sighting){.reply = r->a.reply,
                             .rule = r->a.rule,
                             .enhanced = r->enhanced,
                             .code = r->a.code,
                             .verdict = r->a.verdict,
                             .phase = r->a.phase,
                             .server_num = r->a.server_num,
                             .at = r->a.at,
                             .counts = true};
}

bool look_since(json_t *args, const char *field, int64_t now, int64_t fallback_ms, int64_t *out,
                struct err *e)
{
    const char *text = json_string_value(json_object_get(args, field));
    int64_t ms = fallback_ms;
    if (text && clock_parse(text, out))
        return true;
    if (text && !codec_duration_parse(str_of(text), &ms))
        return err_set(e, ERR_INVALID,
                       "%s: \"%.40s\" is neither a time (2026-11-21T09:30:00Z) nor a duration (2h)",
                       field, text);
    *out = now - MIN(ms, now);
    return true;
}
