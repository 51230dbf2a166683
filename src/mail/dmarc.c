/* The DMARC record and alignment: see dmarc.h. The public suffix list is libpsl's built-in one. */
#include "mail/dmarc.h"

#include "mail/dkim_record.h"

#include <libpsl.h>

static const char *const policies[] = {"none", "quarantine", "reject"};

const char *dmarc_policy_name(enum dmarc_policy p)
{
    return policies[p];
}

bool dmarc_is_record(struct str text)
{
    struct str tag, value, rest = text;
    return tags_next(&rest, &tag, &value) && str_is(tag, "v") && str_is(value, "DMARC1");
}

static bool parse_policy(struct str value, enum dmarc_policy *out)
{
    for (size_t i = 0; i < countof(policies); i++)
        if (str_iis(value, policies[i])) {
            *out = (enum dmarc_policy)i;
            return true;
        }
    return false;
}

bool dmarc_parse(struct str text, struct dmarc_record *out, struct err *e)
{
    struct str tag, value, rest = text;
    bool has_policy = false, has_sub = false;
    uint64_t percent = 100;
    *out = (struct dmarc_record){.percent = 100};
    if (!dmarc_is_record(text))
        return err_set(e, ERR_INVALID, "it does not begin with v=DMARC1");
    while (tags_next(&rest, &tag, &value)) {
        if (str_is(tag, "p"))
            has_policy = parse_policy(value, &out->policy);
        if (str_is(tag, "sp"))
            has_sub = parse_policy(value, &out->subdomains);
        if (str_is(tag, "adkim"))
            out->strict_dkim = str_iis(value, "s");
        if (str_is(tag, "aspf"))
            out->strict_spf = str_iis(value, "s");
        if (str_is(tag, "pct") && str_to_u64(value, 100, &percent))
            out->percent = (unsigned)percent;
        if (str_is(tag, "rua"))
            out->has_reports = str_ifind(value, STR("mailto:")) >= 0;
    }
    if (!has_sub)
        out->subdomains = out->policy;
    return has_policy ||
           err_set(e, ERR_INVALID, "p= is missing, or none of none, quarantine, reject");
}

struct str dmarc_organization(struct str domain)
{
    char text[256];
    const psl_ctx_t *psl = psl_builtin();
    if (!psl || !str_copy(domain, text, sizeof text))
        return domain;
    const char *found = psl_registrable_domain(psl, text);
    return found ? str_from_index(domain, (size_t)(found - text)) : domain;
}

bool dmarc_aligned(struct str a, struct str b, bool is_strict)
{
    if (str_ieq(a, b))
        return true;
    return !is_strict && str_ieq(dmarc_organization(a), dmarc_organization(b));
}
