/* Operations on the whole: pause and resume of everything, and the key by which web reads links. */
#include "base/buf.h"
#include "base/codec.h"
#include "engine/admin_parts.h"
#include "mail/token.h"
#include "store/settings.h"

static bool set_pause(struct admin_context *c, bool paused, json_t **data_out, struct err *e)
{
    bool ok =
        paused ? settings_set(c->db, "pause", STR("1"), e) : settings_remove(c->db, "pause", e);
    if (!ok || !note_event(c, paused ? "sending.paused" : "sending.resumed", "everything", e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_PAUSE;
    *data_out = json_pack("{s:b}", "paused", paused);
    return true;
}

static bool run_pause(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    return args_known(args, (const char *const[]){NULL}, e) && set_pause(c, true, data_out, e);
}

static bool run_resume(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    return args_known(args, (const char *const[]){NULL}, e) && set_pause(c, false, data_out, e);
}

/* For web, which has no master key: it proves unsubscribe and view links with this one. */
static bool run_web_keys(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                         struct err *e)
{
    (void)args, (void)tail;
    if (!c->token_key)
        return err_set(e, ERR_LATER, "core has no key for links yet");
    struct buf b;
    buf_init(&b, 256);
    codec_hex_add(&b, c->token_key, TOKEN_KEY_BYTES);
    *data_out = json_pack("{s:s}", "token_key", buf_cstr(&b));
    buf_free(&b);
    return true;
}

static const struct admin_entry entries[] = {{"system.pause", run_pause, false, false},
                                             {"system.resume", run_resume, false, false},
                                             {"system.web_keys", run_web_keys, true, false}};
const struct admin_noun admin_system = {entries, countof(entries)};
