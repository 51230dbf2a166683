/* What a forecast wants to know of the database, for core's live.forecast: the campaign and those
 * that share its servers, who they write to by recipient domain, engagement and country, and the
 * warm-ups. Large lists are sampled: at most SAMPLE contacts in SLICES places of the list. */
#include "base/alloc.h"
#include "base/map.h"
#include "store/campaign_edit.h"
#include "store/reports.h"
#include "store/reports_parts.h"
#include "store/warmup.h"

#include <stdio.h>
#include <stdlib.h>

#define SAMPLE       20000
#define SAMPLE_OTHER 2000 /* of another campaign */
#define SLICES       40
#define PARTS_MAX    800 /* different ones of a campaign; what is more counts as no domain of note */
#define OTHERS_MAX   20

/* ---- who is written to */

struct mix {
    struct map_str *parts; /* "domain\nengagement\ncountry" -> count */
    uint64_t last_id;
};

static void field_of(const json_t *fields, const char *name, char *out, size_t size)
{
    const char *v = json_string_value(json_object_get(fields, name));
    str_copy(str_of(v ? v : ""), out, size);
}

static void count_contact(struct mix *m, struct str email, struct str fields)
{
    char key[400], engagement[4] = "", country[4] = "";
    bool has =
        str_find(fields, STR("\"engagement\"")) >= 0 || str_find(fields, STR("\"country\"")) >= 0;
    json_t *j = has ? json_loadb(fields.p, fields.n, 0, NULL) : NULL;
    ptrdiff_t at = str_rchr(email, '@');
    if (j) {
        field_of(j, "engagement", engagement, sizeof engagement);
        field_of(j, "country", country, sizeof country);
        json_decref(j);
    }
    struct str domain = at < 0 ? STR_NONE : str_from_index(email, (size_t)at + 1);
    snprintf(key, sizeof key, STR_F "\n%s\n%s", STR_A(domain), engagement, country);
    uintptr_t n = (uintptr_t)map_str_get(m->parts, str_of(key));
    if (!n && map_str_count(m->parts) >= PARTS_MAX) {
        snprintf(key, sizeof key, "\n%s\n", engagement);
        n = (uintptr_t)map_str_get(m->parts, str_of(key));
    }
    map_str_set(m->parts, str_of(key), (void *)(n + 1));
}

static bool read_slice(struct db *db, uint64_t list_id, uint64_t after, uint64_t n, struct mix *m,
                       struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT c.email, c.fields, c.id FROM list_member m"
                             " JOIN contact c ON c.id = m.contact_id WHERE m.list_id = $1"
                             " AND m.contact_id > $2 AND m.unsubscribed_at IS NULL"
                             " ORDER BY m.contact_id LIMIT $3",
                             e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)list_id);
    db_bind_i64(s, 2, (int64_t)after);
    db_bind_i64(s, 3, (int64_t)n);
    while ((ok = db_step(s, &row, e)) && row) {
        count_contact(m, db_text(s, 0), db_text(s, 1));
        m->last_id = (uint64_t)db_i64(s, 2);
    }
    db_reset(s);
    return ok;
}

static json_t *mix_json(const struct mix *m)
{
    json_t *list = json_array();
    size_t pos = 0;
    struct str key;
    void *n = NULL;
    while (map_str_next(m->parts, &pos, &key, &n)) {
        struct str domain = STR_NONE, engagement = STR_NONE, country = STR_NONE;
        uint64_t class = 0;
        str_split(&key, '\n', &domain);
        str_split(&key, '\n', &engagement);
        str_split(&key, '\n', &country);
        if (!str_to_u64(str_trim(engagement), 7, &class))
            class = 0;
        json_array_append_new(list, json_pack("{s:o, s:I, s:o, s:I}", "domain", part_text(domain),
                                              "engagement", (json_int_t) class, "country",
                                              part_text(country), "n", (json_int_t)(uintptr_t)n));
    }
    return list;
}

static bool read_mix(struct db *db, uint64_t list_id, uint64_t most, json_t **out, struct err *e)
{
    struct mix m = {.parts = map_str_new()};
    uint64_t count = 0, highest = 0;
    bool ok = campaign_edit_audience(db, list_id, &count, &highest, e);
    uint64_t slices = count > most ? SLICES : 1;
    for (uint64_t i = 0; ok && i < slices; i++)
        ok = read_slice(db, list_id, MAX(highest / slices * i, m.last_id), most / slices, &m, e);
    if (ok && !map_str_count(m.parts)) /* everybody left since: as unknown as can be */
        map_str_set(m.parts, STR("\n\n"), (void *)1);
    *out = mix_json(&m);
    map_str_free(&m.parts);
    return ok;
}

/* ---- campaigns */

static bool pending_of(struct db *db, const struct campaign *c, uint64_t *recipients_out,
                       uint64_t *pending_out, struct err *e)
{
    uint64_t highest = 0;
    json_t *j = NULL;
    if (c->state == CAMPAIGN_DRAFT || c->state == CAMPAIGN_SCHEDULED) {
        bool ok = campaign_edit_audience(db, c->list_id, recipients_out, &highest, e);
        *pending_out = *recipients_out;
        return ok;
    }
    if (!report_campaign_figures(db, c->name, NULL, NULL, 0, &j, e))
        return false;
    *recipients_out = (uint64_t)json_integer_value(json_object_get(j, "recipients"));
    *pending_out = (uint64_t)json_integer_value(json_object_get(j, "pending"));
    json_decref(j);
    return true;
}

static bool add_campaign(struct db *db, const char *name, json_t *out, struct err *e)
{
    struct campaign *c = NULL;
    uint64_t recipients = 0, pending = 0;
    json_t *list = json_object_get(out, "campaigns"), *mix = NULL;
    bool first = json_array_size(list) == 0;
    if (!campaign_edit_get(db, name, &c, e))
        return false;
    bool ok = pending_of(db, c, &recipients, &pending, e) &&
              read_mix(db, c->list_id, first ? SAMPLE : SAMPLE_OTHER, &mix, e);
    if (ok)
        json_array_append_new(
            list,
            json_pack("{s:I, s:i, s:I, s:I, s:o, s:o, s:I, s:O}", "num", (json_int_t)c->num, "lane",
                      (int)c->lane, "group", (json_int_t)c->group_num, "list_id",
                      (json_int_t)c->list_id, "from", part_text(str_of(c->from)), "tags",
                      part_text(str_of(c->tags)), "pending", (json_int_t)pending, "mix", mix));
    json_decref(mix);
    if (ok && first) {
        json_object_set_new(out, "name", part_text(str_of(c->name)));
        json_object_set_new(out, "state", json_string(campaign_state_name(c->state)));
        json_object_set_new(out, "recipients", json_integer((json_int_t)recipients));
        json_object_set_new(out, "deadline_ms", json_integer(c->deadline));
    }
    campaign_free(&c);
    return ok;
}

/* Those at work now; paused ones wait. */
static bool add_others(struct db *db, const char *name, json_t *out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT name FROM campaign WHERE state = $1 AND name <> $2"
                             " ORDER BY started_at LIMIT $3",
                             e);
    bool row = false, ok = true;
    json_t *names = json_array();
    if (s) {
        db_bind_i64(s, 1, CAMPAIGN_RUNNING);
        db_bind_cstr(s, 2, name);
        db_bind_i64(s, 3, OTHERS_MAX);
        while ((ok = db_step(s, &row, e)) && row)
            json_array_append_new(names, part_column(s, 0));
        db_reset(s);
    }
    for (size_t i = 0; s && ok && i < json_array_size(names); i++)
        ok = add_campaign(db, json_string_value(json_array_get(names, i)), out, e);
    json_decref(names);
    return s && ok;
}

/* ---- warm-ups */

static bool add_warmup(struct db *db, uint16_t num, bool known, json_t *list, struct err *e)
{
    struct warmup_row r;
    bool found = false;
    if (!warmup_get(db, num, &r, &found, e))
        return false;
    if (!found)
        return true;
    json_t *lines = json_array();
    for (size_t i = 0; i < r.n_lines; i++)
        json_array_append_new(lines, json_pack("{s:s, s:I}", "provider", r.lines[i].provider, "day",
                                               (json_int_t)r.lines[i].day));
    json_array_append_new(
        list, json_pack("{s:i, s:s, s:o, s:I, s:b, s:b}", "server_num", (int)num, "plan", r.plan,
                        "lines", lines, "closes_at", (json_int_t)r.closes_at, "holds",
                        (int)(r.state == WARMUP_HELD), "engagement_known", (int)known));
    warmup_row_free(&r);
    return true;
}

static bool add_warmups(struct db *db, json_t *out, struct err *e)
{
    uint16_t *nums = NULL;
    size_t n = 0;
    bool known = false;
    json_t *list = json_array();
    json_object_set_new(out, "warmups", list);
    bool ok = warmup_servers(db, &nums, &n, e) && (!n || warmup_knows_engagement(db, &known, e));
    for (size_t i = 0; ok && i < n; i++)
        ok = add_warmup(db, nums[i], known, list, e);
    free(nums);
    return ok;
}

bool report_plan_facts(struct db *db, const char *name, json_t **out, struct err *e)
{
    bool begun = false, routes = false;
    *out = NULL;
    if (!part_begin(db, &begun, e))
        return false;
    struct stmt *s = db_stmt(db, "SELECT 1 FROM route LIMIT 1", e);
    bool ok = s && db_step(s, &routes, e);
    if (s)
        db_reset(s);
    json_t *facts = json_pack("{s:[]}", "campaigns");
    if (ok && routes) {
        ok = add_campaign(db, name, facts, e);
        *out = ok ? json_incref(json_array_get(json_object_get(facts, "campaigns"), 0)) : NULL;
    }
    part_end(db, begun);
    json_decref(facts);
    return ok;
}

bool report_forecast_facts(struct db *db, const char *name, json_t **out, struct err *e)
{
    bool begun = false;
    if (!part_begin(db, &begun, e))
        return false;
    *out = json_pack("{s:[]}", "campaigns");
    bool ok = add_campaign(db, name, *out, e) && add_others(db, name, *out, e) &&
              add_warmups(db, *out, e);
    part_end(db, begun);
    if (!ok) {
        json_decref(*out);
        *out = NULL;
    }
    return ok;
}
