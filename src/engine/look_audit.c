/* Is the audit log as it was written? Read whole, beside the ledger. */
#include "engine/look.h"
#include "engine/state.h"
#include "store/audit.h"
#include "store/db.h"

bool look_audit(const struct look *l, json_t **data_out, struct err *e)
{
    uint8_t key[SECRETS_KEY_BYTES];
    struct audit_found f;
    struct err ignored;
    secrets_derive(l->core->secrets, AUDIT_LABEL, key);
    if (!db_exec(l->db, "BEGIN", e))
        return false;
    bool ok = audit_verify(l->db, key, &f, e);
    if (!db_exec(l->db, "COMMIT", &ignored))
        db_rollback(l->db);
    if (ok)
        *data_out =
            json_pack("{s:b, s:I, s:o, s:o}", "whole", f.broken == 0, "rows", (json_int_t)f.rows,
                      "broken_at", f.broken ? json_integer((json_int_t)f.broken) : json_null(),
                      "why", f.broken ? json_string(f.why) : json_null());
    return ok;
}
