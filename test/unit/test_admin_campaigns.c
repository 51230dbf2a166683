/* engine/admin on templates, campaigns and messages: what a start fixes and what it refuses,
 * states, one mail durable, and reports whose sums hold. */
#include "admin_fixture.h"

#include "base/codec.h"
#include "mail/token.h"
#include "model/campaign.h"
#include "store/campaign_edit.h"
#include "store/outbox.h"
#include "store/reports.h"
#include "store/results.h"
#include "store/spool.h"
#include "store/tally.h"

#define GOOD_HTML                                                                                  \
    "<p>Hi {{ contact.first_name | default: \"you\" }} "                                           \
    "<a href=\"{{ unsubscribe_url }}\">leave</a></p>"

static void make_house(struct fixture *f)
{
    done(f, "server.add",
         json_pack("{s:s, s:s, s:s, s:s}", "name", "one", "host", "127.0.0.1", "tls", "none",
                   "from", "News <news@example.com>"));
    done(f, "list.add", json_pack("{s:s}", "name", "news"));
    done(f, "contact.add",
         json_pack("{s:s, s:s, s:{s:s}}", "email", "ann@example.com", "list", "news", "fields",
                   "first_name", "Ann"));
    done(f, "contact.add", json_pack("{s:s, s:s}", "email", "bob@example.com", "list", "news"));
}

static void make_campaign(struct fixture *f, const char *name, const char *html, const char *text)
{
    done(f, "template.add",
         json_pack("{s:s, s:s, s:s?, s:s?}", "name", name, "subject",
                   "Hello {{ contact.first_name | default: \"you\" }}", "html", html, "text",
                   text));
    done(f, "campaign.create",
         json_pack("{s:s, s:s, s:s}", "name", name, "list", "news", "template", name));
}

static json_t *named(const char *name)
{
    return json_pack("{s:s}", "name", name);
}

static void test_templates_name_line_and_column(void **state)
{
    struct fixture *f = *state;
    refused(f, "template.add",
            json_pack("{s:s, s:s, s:s}", "name", "t", "subject", "s", "html", "a\nb {{ contact."),
            ERR_INVALID, "html: ");
    assert_non_null(strstr(f->e.text, "line 2"));
    refused(f, "template.add", json_pack("{s:s, s:s}", "name", "t", "subject", "s"), ERR_INVALID,
            "one of them is needed");
    refused(
        f, "template.add",
        json_pack("{s:s, s:s, s:s}", "name", "t", "subject", "a\r\nBcc: x@y.example", "text", "t"),
        ERR_INVALID, "subject:");
    json_t *j = run(f, "template.add",
                    json_pack("{s:s, s:s, s:s}", "name", "md", "subject", "s", "markdown",
                              "# Hi {{ contact.x | default: \"y\" }}\n\n[leave]({{ unsubscribe_url "
                              "}}) | ok"));
    must(j != NULL, f);
    assert_non_null(strstr(text_of(j, "html"), "<a href=\"{{ unsubscribe_url }}\">leave</a>"));
    assert_non_null(strstr(text_of(j, "html"), "<h1>Hi {{ contact.x | default: \"y\" }}</h1>"));
    json_decref(j);
    j = run(f, "template.lint", json_pack("{s:s, s:s}", "subject", "s", "html", "{{ oops }} {{ "));
    must(j != NULL, f);
    assert_true(json_is_false(json_object_get(j, "ok")));
    json_decref(j);
    j = run(f, "template.lint", json_pack("{s:s, s:s}", "subject", "s", "html", "{{ oops }}"));
    must(j != NULL, f);
    assert_int_equal(json_array_size(json_object_get(j, "warnings")), 2);
    json_decref(j);
}

static void test_start_fixes_audience_and_content(void **state)
{
    struct fixture *f = *state;
    struct campaign *c = NULL;
    make_house(f);
    make_campaign(f, "may", GOOD_HTML, NULL);
    json_t *j = run(f, "campaign.start", named("may"));
    must(j != NULL, f);
    assert_string_equal(text_of(j, "state"), "running");
    assert_int_equal(number_of(j, "recipients"), 2);
    json_decref(j);
    assert_int_equal(f->c.changed.n_campaigns, 1);
    done(f, "template.set", json_pack("{s:s, s:s}", "name", "may", "html", "<p>other</p>"));
    must(campaign_edit_get(f->db, "may", &c, &f->e), f);
    assert_string_equal(c->html, GOOD_HTML);
    assert_int_equal(c->contact_max, 2);
    assert_true(c->group_num > 0 && c->started_at > 0);
    campaign_free(&c);
    refused(f, "campaign.start", named("may"), ERR_CONFLICT, "running already");
    refused(f, "campaign.remove", named("may"), ERR_CONFLICT, "cancel it");
}

static void refuse_start(struct fixture *f, const char *name, const char *words)
{
    refused(f, "campaign.start", named(name), ERR_REFUSED, words);
    json_t *j = run(f, "campaign.check", named(name));
    must(j != NULL, f);
    assert_true(json_is_false(json_object_get(j, "ok")));
    assert_true(json_array_size(json_object_get(j, "errors")) > 0);
    json_decref(j);
}

static void test_start_refuses_what_would_not_work(void **state)
{
    struct fixture *f = *state;
    make_house(f);
    make_campaign(f, "typo", "{{ contact.frist_name }} {{ unsubscribe_url }}", NULL);
    refuse_start(f, "typo", "html, line 1, column");
    assert_non_null(strstr(f->e.text, "frist_name"));
    make_campaign(f, "word", "{{ weather }} {{ unsubscribe_url }}", NULL);
    refuse_start(f, "word", "weather is unknown");
    make_campaign(f, "no-link", "<p>{{ contact.first_name }}</p>", NULL);
    refuse_start(f, "no-link", "html: has no unsubscribe link");
    make_campaign(f, "no-link-in-text", GOOD_HTML, "plain");
    refuse_start(f, "no-link-in-text", "text: has no unsubscribe link");
    make_campaign(f, "good", GOOD_HTML, NULL);
    done(f, "server.set", json_pack("{s:s, s:n}", "name", "one", "from"));
    refuse_start(f, "good", "from: neither the campaign nor server");
    done(f, "server.set",
         json_pack("{s:s, s:s, s:[s]}", "name", "one", "from", "a@b.example", "from_domain",
                   "c.example"));
    refuse_start(f, "good", "none of its servers may send this From address");
    done(f, "server.set",
         json_pack("{s:s, s:s, s:[]}", "name", "one", "host", "mx.b.example", "from_domain"));
    refuse_start(f, "good", "public_url is not set");
    f->c.public_url = "https://news.example.com";
    done(f, "server.remove", named("one"));
    refuse_start(f, "good", "no server that may send");
    done(
        f, "server.add",
        json_pack("{s:s, s:s, s:s}", "name", "two", "host", "mx.b.example", "from", "a@b.example"));
    done(f, "contact.remove", json_pack("{s:s}", "email", "ann@example.com"));
    done(f, "contact.remove", json_pack("{s:s}", "email", "bob@example.com"));
    refuse_start(f, "good", "nobody to write to");
}

static void test_create_refuses(void **state)
{
    struct fixture *f = *state;
    make_house(f);
    make_campaign(f, "a", GOOD_HTML, NULL);
    refused(f, "campaign.create",
            json_pack("{s:s, s:s, s:s}", "name", "a", "list", "news", "template", "a"),
            ERR_CONFLICT, "taken");
    refused(f, "campaign.create",
            json_pack("{s:s, s:s, s:s}", "name", "b", "list", "nix", "template", "a"),
            ERR_NOT_FOUND, "nix");
    refused(f, "campaign.create",
            json_pack("{s:s, s:s, s:s}", "name", "b", "list", "news", "template", "nix"),
            ERR_NOT_FOUND, "nix");
    refused(f, "campaign.create",
            json_pack("{s:s, s:s, s:s, s:s}", "name", "b", "list", "news", "template", "a",
                      "stream", "transactional"),
            ERR_INVALID, "stream:");
    refused(f, "campaign.create",
            json_pack("{s:s, s:s, s:s, s:s}", "name", "b", "list", "news", "template", "a",
                      "deadline", "2001-01-01T00:00:00Z"),
            ERR_INVALID, "deadline:");
    refused(f, "campaign.create",
            json_pack("{s:s, s:s, s:s, s:s}", "name", "b", "list", "news", "template", "a",
                      "segment", "x"),
            ERR_INVALID, "segment: there is no such field");
}

static void test_states(void **state)
{
    struct fixture *f = *state;
    make_house(f);
    make_campaign(f, "a", GOOD_HTML, NULL);
    refused(f, "campaign.pause", named("a"), ERR_CONFLICT, "draft");
    done(f, "campaign.start", named("a"));
    done(f, "campaign.pause", named("a"));
    done(f, "campaign.pause", named("a"));
    done(f, "campaign.resume", named("a"));
    done(f, "campaign.cancel", named("a"));
    refused(f, "campaign.resume", named("a"), ERR_CONFLICT, "cancelled");
    json_t *j = NULL;
    must(report_campaign_figures(f->db, "a", NULL, NULL, f->c.wall_ms, &j, &f->e), f);
    assert_int_equal(number_of(j, "cancelled"), 2);
    assert_int_equal(number_of(j, "pending"), 0);
    json_decref(j);
}

static void each_counts_once_by_provider(json_t *report)
{
    static const char *const kinds[] = {"sent", "failed", "uncertain"};
    for (size_t k = 0; k < countof(kinds); k++) {
        int64_t sum = 0;
        size_t i;
        json_t *one;
        json_array_foreach(json_object_get(report, "by_provider"), i, one)
        {
            assert_true(number_of(one, kinds[k]) >= 0);
            sum += number_of(one, kinds[k]);
        }
        assert_true(sum <= number_of(report, kinds[k]));
    }
}

static void sum_holds(struct fixture *f, const char *name)
{
    json_t *j = NULL;
    must(report_campaign_figures(f->db, name, NULL, NULL, f->c.wall_ms, &j, &f->e), f);
    json_t *bounced = json_object_get(j, "bounced");
    int64_t sum = number_of(j, "sent") + number_of(bounced, "hard") + number_of(bounced, "soft") +
                  number_of(j, "failed") + number_of(j, "uncertain") + number_of(j, "suppressed") +
                  number_of(j, "cancelled") + number_of(j, "expired") + number_of(j, "pending");
    assert_int_equal(sum, number_of(j, "recipients"));
    assert_true(number_of(j, "deferred") <= number_of(j, "pending"));
    each_counts_once_by_provider(j);
    json_decref(j);
}

/* Leases the campaign's two contacts; gives the first message id. */
static uint64_t claim(struct fixture *f)
{
    struct lease *l = NULL;
    must(db_begin(f->db, &f->e) &&
             outbox_claim_campaign(f->db, &f->ids, 1, 10, f->c.wall_ms, 1, &l, &f->e) &&
             db_commit(f->db, &f->e),
         f);
    assert_non_null(l);
    assert_int_equal(l->n, 2);
    uint64_t first = l->first_id;
    lease_free(&l);
    return first;
}

static void settle(struct fixture *f, uint64_t id, enum outcome_kind kind, enum message_state to,
                   enum verdict verdict)
{
    struct results *r = results_new();
    bool suppressed = false;
    struct outcome o = {.kind = kind,
                        .a = {.message_id = id,
                              .n = 1,
                              .server_num = 1,
                              .state = to,
                              .verdict = verdict,
                              .phase = PHASE_DOT,
                              .code = 451,
                              .enhanced = {4, 7, 1},
                              .at = f->c.wall_ms,
                              .ms = 12,
                              .reply = STR("451 4.7.1 <script>alert(1)</script>")},
                        .has_attempt = true,
                        .contact_id = 1,
                        .campaign_num = 1,
                        .group_num = 1,
                        .lane = LANE_BULK,
                        .key = STR("ann@example.com"),
                        .provider = STR("other"),
                        .due = f->c.wall_ms + 1000,
                        .attempts = 1,
                        .tries = 1,
                        .first_at = f->c.wall_ms};
    must(db_begin(f->db, &f->e) && results_add(r, f->db, &o, f->c.wall_ms, &suppressed, &f->e) &&
             results_flush(r, f->db, &f->e) && db_commit(f->db, &f->e),
         f);
    results_free(&r);
}

static json_t *search(struct fixture *f, const struct report_search *s)
{
    json_t *j = NULL;
    struct report_page p = {0};
    must(report_messages(f->db, s, &p, &j, &f->e), f);
    return j;
}

static size_t found(struct fixture *f, const struct report_search *s)
{
    json_t *j = search(f, s);
    size_t n = json_array_size(json_object_get(j, "data"));
    json_decref(j);
    return n;
}

static void test_reports_and_search(void **state)
{
    struct fixture *f = *state;
    make_house(f);
    make_campaign(f, "a", GOOD_HTML, NULL);
    done(f, "campaign.start", named("a"));
    sum_holds(f, "a");
    uint64_t first = claim(f);
    sum_holds(f, "a");
    settle(f, first, OUTCOME_LATER, MESSAGE_QUEUED, VERDICT_TRY_LATER);
    sum_holds(f, "a");
    settle(f, first + 1, OUTCOME_END, MESSAGE_FAILED, VERDICT_UNKNOWN);
    sum_holds(f, "a");
    assert_int_equal(found(f, &(struct report_search){0}), 2);
    assert_int_equal(found(f, &(struct report_search){.campaign = "a", .state = "deferred"}), 1);
    assert_int_equal(found(f, &(struct report_search){.state = "queued"}), 1);
    assert_int_equal(found(f, &(struct report_search){.state = "failed", .server = "one"}), 1);
    assert_int_equal(found(f, &(struct report_search){.to = "bob@example.com"}), 1);
    assert_int_equal(found(f, &(struct report_search){.to = "eve@example.com"}), 0);
    json_t *j = NULL;
    must(report_message(f->db, first, &j, &f->e), f);
    assert_string_equal(text_of(j, "state"), "deferred");
    assert_string_equal(text_of(j, "to"), "ann@example.com");
    json_t *attempt = json_array_get(json_object_get(j, "attempts"), 0);
    assert_string_equal(text_of(attempt, "verdict"), "try_later");
    assert_string_equal(text_of(attempt, "enhanced"), "4.7.1");
    assert_string_equal(text_of(attempt, "server"), "one");
    json_decref(j);
    assert_false(report_message(f->db, 7, &j, &f->e));
    assert_int_equal(f->e.code, ERR_NOT_FOUND);
}

static void test_retry_and_cancel_keep_the_sum(void **state)
{
    struct fixture *f = *state;
    char id[24];
    make_house(f);
    make_campaign(f, "a", GOOD_HTML, NULL);
    done(f, "campaign.start", named("a"));
    uint64_t first = claim(f);
    settle(f, first, OUTCOME_LATER, MESSAGE_QUEUED, VERDICT_TRY_LATER);
    settle(f, first + 1, OUTCOME_END, MESSAGE_FAILED, VERDICT_UNKNOWN);
    json_t *j = run(f, "campaign.retry_failed", named("a"));
    must(j != NULL, f);
    assert_int_equal(number_of(j, "queued"), 1);
    json_decref(j);
    sum_holds(f, "a");
    codec_id_format("msg", first + 1, id);
    refused(f, "message.retry", json_pack("{s:s}", "id", id), ERR_CONFLICT, "already");
    done(f, "message.cancel", json_pack("{s:s}", "id", id));
    sum_holds(f, "a");
    done(f, "message.retry", json_pack("{s:s}", "id", id));
    sum_holds(f, "a");
    refused(f, "message.cancel", json_pack("{s:s}", "id", "msg_zzz"), ERR_INVALID, "id:");
    refused(f, "message.cancel", json_pack("{s:s}", "id", "msg_0000000000001"), ERR_NOT_FOUND, "");
}

static bool everything_is_at_work(void *arg, uint64_t message_id)
{
    (void)arg, (void)message_id;
    return true;
}

/* What core works on is neither taken from the queue here nor put into it a second time. */
static void test_what_core_works_on_is_left_to_core(void **state)
{
    struct fixture *f = *state;
    char id[24];
    make_house(f);
    make_campaign(f, "a", GOOD_HTML, NULL);
    done(f, "campaign.start", named("a"));
    uint64_t first = claim(f);
    /* on its way to the second server: an attempt, no row in the queue */
    settle(f, first, OUTCOME_ATTEMPT, MESSAGE_QUEUED, VERDICT_TRY_LATER);
    codec_id_format("msg", first, id);
    refused(f, "message.retry", json_pack("{s:s}", "id", id), ERR_CONFLICT, "already");
    json_t *j = run(f, "message.cancel", json_pack("{s:s}", "id", id));
    assert_string_equal(text_of(j, "state"), "cancelling");
    json_decref(j);
    assert_int_equal(f->c.changed.n_messages, 1);
    sum_holds(f, "a");
    /* in the queue and claimed */
    settle(f, first + 1, OUTCOME_LATER, MESSAGE_QUEUED, VERDICT_TRY_LATER);
    codec_id_format("msg", first + 1, id);
    f->c.is_at_work = everything_is_at_work;
    j = run(f, "message.cancel", json_pack("{s:s}", "id", id));
    assert_string_equal(text_of(j, "state"), "cancelling");
    json_decref(j);
    f->c.is_at_work = NULL;
    j = run(f, "message.cancel", json_pack("{s:s}", "id", id));
    assert_string_equal(text_of(j, "state"), "cancelled");
    json_decref(j);
    sum_holds(f, "a");
}

static json_t *mail(const char *to)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "from", "App <app@example.com>", "to", to, "subject",
                     "Gr\xc3\xbc\xc3\x9f\x65", "html", "<p>Hi</p>");
}

static void test_send_stores_mail_and_queue(void **state)
{
    struct fixture *f = *state;
    struct buf b;
    bool spooled = true;
    uint64_t id = 0, holder = 0;
    buf_init(&b, 1u << 20);
    json_t *j = post_message(f, mail("Ann <ann@example.com>"), STR_NONE);
    must(j != NULL, f);
    assert_true(f->c.changed.bits & ADMIN_CHANGED_QUEUE);
    assert_true(codec_id_parse("msg", str_of(text_of(j, "id")), &id));
    assert_non_null(strstr(text_of(j, "message_id"), "@example.com"));
    must(report_message_body(f->db, id, &b, &spooled, &holder, &f->e), f);
    assert_false(spooled);
    assert_true(str_find(buf_str(&b), STR("multipart/alternative")) > 0);
    json_decref(j);
    must(report_message(f->db, id, &j, &f->e), f);
    assert_string_equal(text_of(j, "state"), "queued");
    assert_string_equal(text_of(j, "to"), "ann@example.com");
    assert_string_equal(text_of(j, "stream"), "transactional");
    json_decref(j);
    buf_free(&b);
}

static void test_send_spools_large_ones(void **state)
{
    struct fixture *f = *state;
    uint64_t id = 0;
    size_t n = 200000;
    char *raw = alloc_bytes(n);
    memset(raw, 'x', n);
    static const char head[] = "From: a@example.com\r\nBcc: z@example.com\r\n\r\n";
    memcpy(raw, head, sizeof(head) - 1);
    for (size_t i = sizeof(head) + 70; i + 2 < n; i += 72)
        memcpy(raw + i, "\r\n", 2);
    json_t *j = post_message(f, json_pack("{s:s}", "to", "b@example.org"), str_from(raw, n));
    must(j != NULL, f);
    assert_true(codec_id_parse("msg", str_of(text_of(j, "id")), &id));
    json_decref(j);
    struct spool_body body;
    must(spool_open(f->spool, id, &body, &f->e), f);
    assert_true(body.bytes.n > n - 200);
    assert_true(str_find(body.bytes, STR("z@example.com")) < 0);
    spool_close(&body);
    free(raw);
}

static void refused_message(struct fixture *f, json_t *item, enum err_code code, const char *words)
{
    json_t *j = post_message(f, item, STR_NONE);
    assert_null(j);
    if (f->e.code != code || !strstr(f->e.text, words))
        print_error("%d, %s\n", (int)f->e.code, f->e.text);
    assert_int_equal(f->e.code, code);
    assert_non_null(strstr(f->e.text, words));
}

static void test_send_refuses(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *field, *json, *words;
    } cases[] = {
        {"to", "\"nobody\"", "to:"},
        {"to", "[\"a@b.example\",\"c@d.example\"]", "one recipient"},
        {"to", "\"a@b.example,c@d.example\"", "to:"},
        {"to", "\"a@b.example> SIZE=1\"", "to:"},
        {"to", "\"<a@b.example>\\r\\nRCPT TO:<c@d.example>\"", "to:"},
        {"from", "\"a\\r\\nBcc: v@x.example\"", "from:"},
        {"from", "null", "from: is needed"},
        {"subject", "\"a\\nBcc: v@x.example\"", "subject:"},
        {"subject", "\"a\\u2028Bcc: v@x.example\"", "subject:"},
        {"reply_to", "\"a\\u000bX: y\"", "reply_to:"},
        {"headers", "{\"X-A\":\"b\\r\\nBcc: v@x.example\"}", "headers"},
        {"headers", "{\"X A\":\"b\"}", ""},
        {"headers", "{\"X-A:\\nBcc\":\"b\"}", "headers"},
        {"stream", "\"fast\"", "stream:"},
        {"expires_at", "\"yesterday\"", "expires_at:"},
        {"expires_at", "\"2001-01-01T00:00:00Z\"", "in the past"},
        {"tot", "\"x\"", "did you mean"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        json_t *args = mail("ann@example.com");
        json_object_set_new(args, cases[i].field, json_loads(cases[i].json, JSON_DECODE_ANY, NULL));
        refused_message(f, args, ERR_INVALID, cases[i].words);
    }
    json_t *args = mail("ann@example.com");
    json_object_set_new(args, "group", json_string("nowhere"));
    refused_message(f, args, ERR_NOT_FOUND, "nowhere");
    done(f, "suppression.add", json_pack("{s:s}", "address", "ann@example.com"));
    refused_message(f, mail("Ann@Example.com"), ERR_REFUSED, "is suppressed");
    assert_int_equal(found(f, &(struct report_search){0}), 0);
}

static void test_a_test_mail_and_a_preview(void **state)
{
    struct fixture *f = *state;
    make_house(f);
    make_campaign(f, "a", GOOD_HTML, NULL);
    json_t *j = run(f, "campaign.preview",
                    json_pack("{s:s, s:s}", "name", "a", "contact", "ann@example.com"));
    must(j != NULL, f);
    assert_string_equal(text_of(j, "subject"), "Hello Ann");
    assert_non_null(strstr(text_of(j, "html"), "http://127.0.0.1:8025/u/"));
    assert_non_null(strstr(text_of(j, "text"), "Hi Ann"));
    json_decref(j);
    done(f, "campaign.test",
         json_pack("{s:s, s:s, s:s}", "name", "a", "to", "me@example.org", "contact",
                   "ann@example.com"));
    assert_int_equal(found(f, &(struct report_search){.to = "me@example.org"}), 1);
    refused(f, "campaign.test", named("a"), ERR_INVALID, "to: is needed");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_set_up, fixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_templates_name_line_and_column),
        TEST(test_start_fixes_audience_and_content),
        TEST(test_start_refuses_what_would_not_work),
        TEST(test_create_refuses),
        TEST(test_states),
        TEST(test_reports_and_search),
        TEST(test_retry_and_cancel_keep_the_sum),
        TEST(test_what_core_works_on_is_left_to_core),
        TEST(test_send_stores_mail_and_queue),
        TEST(test_send_spools_large_ones),
        TEST(test_send_refuses),
        TEST(test_a_test_mail_and_a_preview),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
