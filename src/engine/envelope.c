/* See envelope.h. No value holds a line break: smtp/server lets none in. */
#include "engine/envelope.h"
#include "base/buf.h"
#include "engine/state.h"

#define DSN_MAX 2048 /* an ENVID of 100 bytes, an ORCPT of 500, keywords */

char *dsn_pack(struct str ret, struct str envid, struct str notify, struct str orcpt)
{
    struct buf b;
    if (!ret.n && !envid.n && !notify.n && !orcpt.n)
        return NULL;
    buf_init(&b, DSN_MAX);
    bool fits = buf_addf(&b, STR_F "\n" STR_F "\n" STR_F "\n" STR_F, STR_A(ret), STR_A(envid),
                         STR_A(notify), STR_A(orcpt));
    char *text = fits ? str_dup(buf_str(&b)) : NULL;
    buf_free(&b);
    return text;
}

void dsn_unpack(struct str text, struct smtp_envelope *e)
{
    struct str *const fields[] = {&e->dsn_ret, &e->dsn_envid, &e->dsn_notify, &e->dsn_orcpt};
    for (size_t i = 0; i < countof(fields); i++)
        if (!str_split(&text, '\n', fields[i]))
            return;
}

struct smtp_envelope envelope_of(const struct job *j)
{
    struct smtp_envelope e = {.id = j->item->message_id,
                              .from = str_of(j->from),
                              .rcpt = j->item->address,
                              .body = buf_str(&j->blob),
                              .has_leading_dot = j->has_leading_dot,
                              .is_8bit = j->is_8bit,
                              .needs_utf8 = j->needs_utf8};
    dsn_unpack(j->item->dsn, &e);
    return e;
}
