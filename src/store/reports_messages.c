/* One message as JSON: what became of it, its mail, and what a reader of its web copy needs. */
#include "base/codec.h"
#include "store/message_view.h"
#include "store/outbox.h"
#include "store/reports.h"
#include "store/reports_parts.h"

#include <stdio.h>
#include <unistd.h>

static json_t *attempts_json(struct db *db, uint64_t id, json_t **why_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT r.n, s.name, r.verdict, r.rule, r.code, r.enhanced, r.reply,"
                             " r.phase, r.ms, r.at, r.why, r.conversation, r.server_num,"
                             " s.removed_at, r.group_num, r.route_num FROM result r LEFT JOIN "
                             "server s ON s.num = r.server_num"
                             " WHERE r.message_id = $1 ORDER BY r.n",
                             e);
    bool row = false, ok = true;
    if (!s)
        return NULL;
    json_t *all = json_array();
    db_bind_i64(s, 1, (int64_t)id);
    while ((ok = db_step(s, &row, e)) && row) {
        json_decref(*why_out);
        *why_out = part_column(s, 10);
        if (!db_i64(s, 12)) /* no server was asked: an end, but no attempt */
            continue;
        json_t *j =
            json_pack("{s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:s, s:I, s:o, s:o, s:o}", "n",
                      (json_int_t)db_i64(s, 0), "server", part_name(s, 1, 13), "verdict",
                      verdict_name((enum verdict)db_i64(s, 2)), "rule", part_column(s, 3), "code",
                      part_count((uint64_t)db_i64(s, 4), true), "enhanced", part_column(s, 5),
                      "reply", part_column(s, 6), "phase", phase_name((enum phase)db_i64(s, 7)),
                      "ms", (json_int_t)db_i64(s, 8), "at", part_time(db_i64(s, 9)), "why",
                      part_column(s, 10), "conversation", part_column(s, 11));
        json_object_set_new(j, "group", message_view_group(db, db_i64(s, 14)));
        json_object_set_new(j, "route", message_view_route(db, db_i64(s, 15)));
        json_array_append_new(all, j);
    }
    db_reset(s);
    if (ok)
        return all;
    json_decref(all);
    return NULL;
}

/* What only single messages keep. */
static bool add_single(struct db *db, uint64_t id, json_t *j, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT message_id, header_from, subject, from_address, created_at,"
                             " expires_at, tags, metadata, (SELECT k.name FROM api_key k WHERE"
                             " k.num = credential_num) FROM message WHERE id = $1",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, e))
        return false;
    if (row) {
        json_object_set_new(j, "message_id", part_column(s, 0));
        json_object_set_new(j, "from", part_column(s, 1));
        json_object_set_new(j, "subject", part_column(s, 2));
        json_object_set_new(j, "return_path", part_column(s, 3));
        json_object_set_new(j, "accepted_at", part_time(db_i64(s, 4)));
        json_object_set_new(j, "expires_at", part_time(db_i64(s, 5)));
        json_object_set_new(j, "tags", part_lines(s, 6));
        json_object_set_new(j, "metadata", part_json(s, 7));
        json_object_set_new(j, "credential", part_column(s, 8));
    }
    db_reset(s);
    return true;
}

/* The address in "Name <a@b>" or "a@b", from its '@' on; STR_NONE: there is none. */
static struct str domain_of(struct str mailbox)
{
    ptrdiff_t at = str_rchr(mailbox, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(mailbox, (size_t)at + 1);
    ptrdiff_t end = str_chr(domain, '>');
    return str_trim(end < 0 ? domain : str_cut(domain, 0, (size_t)end));
}

/* The From of the server that was asked last. */
static bool server_domain(struct db *db, int64_t server_num, char *out, size_t size, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT from_address FROM server WHERE num = $1", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    if (!db_step(s, &row, e))
        return false;
    str_copy(row ? domain_of(db_text(s, 0)) : STR_NONE, out, size);
    db_reset(s);
    return true;
}

/* As engine/render makes it: the domain of the campaign's From, else the sending host, else (a bare
 * host name is no domain of the world) that of the server's From. */
static bool message_id_of(struct db *db, const struct message_view *v,
                          const struct campaign_view *c, json_t **out, struct err *e)
{
    char id[24], domain[256];
    *out = NULL;
    if (!v->campaign_num) {
        *out = json_null();
        return true;
    }
    codec_id_format("msg", v->id, id);
    str_copy(domain_of(str_of(c->from)), domain, sizeof(domain));
    if (!domain[0] && gethostname(domain, sizeof(domain) - 1) == 0 && !strchr(domain, '.') &&
        v->server_num) {
        char of_server[256];
        if (!server_domain(db, v->server_num, of_server, sizeof(of_server), e))
            return false;
        if (of_server[0])
            str_copy(str_of(of_server), domain, sizeof(domain));
    }
    *out = json_sprintf("%s@%s", id, domain);
    return true;
}

static bool show(struct db *db, uint64_t id, json_t **out, struct err *e)
{
    struct message_view v;
    struct campaign_view c = {0};
    bool found = false;
    char text[24];
    if (!message_view_find(db, id, &v, &found, e))
        return false;
    if (!found) {
        codec_id_format("msg", id, text);
        return err_set(e, ERR_NOT_FOUND, "message \"%s\": there is none", text);
    }
    json_t *why = json_null(), *attempts = NULL;
    if (!message_view_load(db, &v, &c, e) || !(attempts = attempts_json(db, id, &why, e))) {
        json_decref(why);
        return false;
    }
    json_t *message_id = NULL;
    if (!message_id_of(db, &v, &c, &message_id, e)) {
        json_decref(attempts);
        json_decref(why);
        return false;
    }
    json_t *j = message_view_json(db, &v, &c);
    json_object_set_new(j, "message_id", message_id);
    json_object_set_new(j, "attempts", attempts);
    json_object_set_new(j, "why", why);
    json_object_set_new(j, "route", message_view_route(db, v.route_num));
    *out = j;
    if (!v.campaign_num)
        return add_single(db, id, j, e);
    return true;
}

bool report_message(struct db *db, uint64_t id, json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    *out = NULL;
    bool ok = show(db, id, out, e);
    part_end(db, begun);
    if (!ok) {
        json_decref(*out);
        *out = NULL;
    }
    return ok;
}

bool report_message_body(struct db *db, uint64_t id, struct buf *out, bool *spooled_out,
                         uint64_t *holder_out, struct err *e)
{
    char text[24];
    struct stmt *s = db_stmt(db,
                             "SELECT b.body, b.id FROM message m JOIN message b ON b.id ="
                             " CASE m.body_of WHEN 0 THEN m.id ELSE m.body_of END WHERE m.id = $1",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, e))
        return false;
    codec_id_format("msg", id, text);
    if (!row)
        return err_set(
            e, ERR_NOT_FOUND,
            "message \"%s\": its mail is not kept (mails of campaigns are made when they "
            "leave)",
            text);
    *spooled_out = db_is_null(s, 0);
    *holder_out = (uint64_t)db_i64(s, 1);
    bool ok = *spooled_out || buf_addstr(out, db_blob(s, 0)) ||
              err_set(e, ERR_TOO_BIG, "message \"%s\": its mail is too large", text);
    db_reset(s);
    return ok;
}

static bool view_of(struct db *db, uint64_t contact, uint32_t campaign, json_t **out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT c.name, l.name, c.list_id, p.email, p.address, p.fields,"
                             " c.subject, c.html, c.text, c.started_at FROM campaign c"
                             " LEFT JOIN list l ON l.id = c.list_id"
                             " LEFT JOIN contact p ON p.id = $2 WHERE c.num = $1",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign);
    db_bind_i64(s, 2, (int64_t)contact);
    if (!part_row(s, "mail", "of this link", e))
        return false;
    *out = json_pack("{s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:I}", "campaign", part_column(s, 0),
                     "list", part_column(s, 1), "list_id", (json_int_t)db_i64(s, 2), "email",
                     part_column(s, db_is_null(s, 4) ? 3 : 4), "fields", part_json(s, 5), "subject",
                     part_column(s, 6), "html", part_column(s, 7), "text", part_column(s, 8),
                     "started_at", (json_int_t)db_i64(s, 9));
    db_reset(s);
    return true;
}

bool report_view(struct db *db, uint64_t message_id, json_t **out, struct err *e)
{
    bool begun;
    uint64_t contact = 0;
    uint32_t campaign = 0;
    if (!part_begin(db, &begun, e))
        return false;
    bool ok = outbox_contact_of(db, message_id, &contact, &campaign, e) &&
              view_of(db, contact, campaign, out, e);
    part_end(db, begun);
    return ok;
}
