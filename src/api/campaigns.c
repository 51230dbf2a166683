/* /v1/templates and /v1/campaigns. Reports are read here, everything else is core's. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/clock.h"
#include "model/campaign.h"
#include "store/reports.h"

static void act(struct http_request *r, const char *op, int status)
{
    call_core(r, status, op, named_body(r, "name"));
}

/* ---- templates ---- */

void on_templates_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_templates(r->db, &p, &j, &e), &j, &e);
}

void on_templates_add(struct http_request *r)
{
    call_with_body(r, 201, "template.add");
}

void on_templates_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    answer_report(r, report_template(r->db, r->params[0], &j, &e), &j, &e);
}

void on_templates_set(struct http_request *r)
{
    act(r, "template.set", 200);
}

void on_templates_remove(struct http_request *r)
{
    act(r, "template.remove", 200);
}

void on_templates_render(struct http_request *r)
{
    act(r, "template.render", 200);
}

void on_templates_lint(struct http_request *r)
{
    act(r, "template.lint", 200);
}

void on_templates_lint_given(struct http_request *r)
{
    call_with_body(r, 200, "template.lint");
}

/* ---- campaigns ---- */

void on_campaigns_list(struct http_request *r)
{
    struct err e;
    enum campaign_state state;
    struct report_page p;
    json_t *j = NULL;
    if (!read_page_with(r, "state", &p))
        return;
    p.filter = http_query(r, "state");
    if (p.filter && !campaign_state_parse(p.filter, &state)) {
        err_set(&e, ERR_INVALID,
                "state: \"%.40s\" is none of draft, scheduled, running, paused, stalled, finished, "
                "cancelled, failed",
                p.filter);
        http_answer_error(r, &e);
        return;
    }
    json_t *live = call_live(r, "live.campaigns");
    answer_report(r, report_campaigns(r->db, &p, live, &j, &e), &j, &e);
    json_decref(live);
}

void on_campaigns_create(struct http_request *r)
{
    struct err e;
    json_t *body = body_object(r, &e);
    if (!body)
        http_answer_error(r, &e);
    else if (caller_may_group(r, body))
        call_core(r, 201, "campaign.create", body);
    else
        json_decref(body);
}

void on_campaigns_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL, *live = call_live(r, "live.campaigns");
    answer_report(r, report_campaign(r->db, r->params[0], live, &j, &e), &j, &e);
    json_decref(live);
}

void on_campaigns_remove(struct http_request *r)
{
    act(r, "campaign.remove", 200);
}

/* A test key renders and sends nothing. A deadline that cannot be met is refused with figures,
 * unless the body says `late` true: what is left over then expires. */
void on_campaigns_start(struct http_request *r)
{
    struct err e;
    json_t *args = named_body(r, "name");
    bool late = json_is_true(json_object_get(args, "late"));
    if (!args)
        return;
    json_object_del(args, "late");
    if (!r->caller.is_test && !late && !forecast_allows(r, &e)) {
        http_answer_error(r, &e);
        json_decref(args);
        return;
    }
    call_core(r, 200, r->caller.is_test ? "campaign.check" : "campaign.start", args);
}

void on_campaigns_pause(struct http_request *r)
{
    act(r, "campaign.pause", 200);
}

void on_campaigns_resume(struct http_request *r)
{
    act(r, "campaign.resume", 200);
}

void on_campaigns_cancel(struct http_request *r)
{
    act(r, "campaign.cancel", 200);
}

void on_campaigns_check(struct http_request *r)
{
    act(r, "campaign.check", 200);
}

void on_campaigns_test(struct http_request *r)
{
    if (r->caller.is_test)
        http_answer_problem(r, 403, "not_allowed", "a test key sends no mail");
    else
        act(r, "campaign.test", 202);
}

/* In bites: a campaign of millions must not hold up the ledger. */
void on_campaigns_retry_failed(struct http_request *r)
{
    struct err e;
    json_t *args = named_body(r, "name"), *data = NULL;
    json_int_t queued = 0;
    bool ok = args != NULL, more = true;
    bool dry = json_is_true(json_object_get(args, "dry_run"));
    if (!args)
        return;
    while (ok && more && !r->web->is_stopping) {
        ok = call_data(r, "campaign.retry_failed", args, STR_NONE, CALL_MS, &data, &e);
        json_t *after = json_object_get(data, "after");
        queued += json_integer_value(json_object_get(data, "queued"));
        more = ok && json_is_integer(after);
        if (more)
            json_object_set(args, "after", after);
        json_decref(data);
        data = NULL;
    }
    json_decref(args);
    if (ok)
        http_answer_json(
            r, 200,
            json_pack("{s:s, s:I, s:b}", "name", r->params[0], "queued", queued, "dry_run", dry));
    else
        http_answer_error(r, &e);
}

void on_campaigns_report(struct http_request *r)
{
    static const char *const known[] = {"forecast", NULL};
    struct err e;
    json_t *j = NULL, *live = NULL, *plan = NULL;
    bool ok = http_queries_known(r, known, &e);
    if (ok) {
        live = call_live(r, "live.campaigns");
        plan = outlook_plan(r);
        ok = report_campaign_figures(r->db, r->params[0], live, plan, clock_wall_ms(), &j, &e);
    }
    if (ok && http_query(r, "forecast"))
        outlook_add(r, j);
    answer_report(r, ok, &j, &e);
    json_decref(live);
    json_decref(plan);
}

void on_campaigns_preview(struct http_request *r)
{
    static const char *const known[] = {"contact", NULL};
    struct err e;
    json_t *args =
        json_pack("{s:s, s:s?}", "name", r->params[0], "contact", http_query(r, "contact"));
    if (http_queries_known(r, known, &e)) {
        call_core(r, 200, "campaign.preview", args);
        return;
    }
    json_decref(args);
    http_answer_error(r, &e);
}
