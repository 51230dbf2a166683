/* `--behave` in words: parsing, checks, and when and on whom a behaviour falls. */
#include "lab/sink_inner.h"
#include <stdlib.h>

static const char *const verb_names[] = {"delay",  "reject", "close", "quota",
                                         "refuse", "hole",   "auth",  "tls"};
static const char *const tls_names[] = {"none", "starttls", "implicit", "broken"};

static bool find_word(const char *const *names, size_t n, struct str w, int *out)
{
    for (size_t i = 0; i < n; i++)
        if (str_is(w, names[i])) {
            *out = (int)i;
            return true;
        }
    return false;
}

/* Decimal seconds to ms. */
static bool read_seconds(struct str s, int64_t *ms_out)
{
    char text[32], *end;
    if (!s.n || !ascii_isdigit(s.p[0]) || !str_copy(s, text, sizeof(text)))
        return false;
    double v = strtod(text, &end);
    *ms_out = (int64_t)(v * 1000);
    return *end == '\0' && v <= 1e9;
}

static bool read_span(struct str span, struct sink_behaviour *b, struct err *e)
{
    ptrdiff_t dash = str_chr(span, '-');
    struct str from = dash < 0 ? span : str_cut(span, 0, (size_t)dash);
    struct str to = dash < 0 ? STR_NONE : str_from_index(span, (size_t)dash + 1);
    bool ok = dash >= 0 && (from.n || to.n) && (!from.n || read_seconds(from, &b->from_ms)) &&
              (!to.n || read_seconds(to, &b->to_ms)) && b->from_ms < b->to_ms;
    return ok ||
           err_set(e, ERR_INVALID,
                   "span `@" STR_F "` is not @FROM-TO in seconds with FROM before TO", STR_A(span));
}

static bool read_share(struct str w, struct sink_behaviour *b)
{
    char text[32], *end;
    if (!w.n || !(ascii_isdigit(w.p[0]) || w.p[0] == '.') || !str_copy(w, text, sizeof(text)))
        return false;
    b->share = strtod(text, &end);
    return *end == '\0' && b->share >= 0 && b->share <= 1;
}

static bool read_number(struct str w, uint64_t max, int64_t *out)
{
    uint64_t v = 0;
    bool ok = str_to_u64(w, max, &v);
    *out = (int64_t)v;
    return ok;
}

static bool read_code(struct str w, struct sink_behaviour *b)
{
    int64_t code = 0;
    bool ok = read_number(w, 599, &code) && code >= 200;
    if (ok)
        b->code = (int)code;
    return ok;
}

/* What stands behind a verb, in this order; each may be there at most once. */
struct form {
    bool phase, number_needed, number, code, share;
    enum phase usual_phase;
    int usual_code;
};

static const struct form forms[] = {
    [SINK_DELAY] = {.phase = true, .number = true, .number_needed = true, .share = true},
    [SINK_REJECT] =
        {.phase = true, .code = true, .share = true, .usual_phase = PHASE_RCPT, .usual_code = 550},
    [SINK_CLOSE] = {.phase = true, .share = true, .usual_phase = PHASE_GREETING},
    [SINK_QUOTA] = {.number = true, .number_needed = true, .code = true, .usual_code = 452},
    [SINK_REFUSE] = {0},
    [SINK_HOLE] = {.phase = true, .share = true, .usual_phase = PHASE_GREETING},
    [SINK_AUTH] = {.code = true, .usual_code = 535},
    [SINK_TLS] = {0},
};

static bool read_phase(struct str w, struct sink_behaviour *b)
{
    enum phase p;
    if (!phase_parse(w, &p) || p < PHASE_GREETING)
        return false;
    b->phase = p;
    return true;
}

/* "to=DOMAIN", behind verbs with a phase. */
static bool read_domain(struct str w, struct sink_behaviour *b)
{
    return str_istarts(w, STR("to=")) && w.n > 3 &&
           str_copy(str_from_index(w, 3), b->domain, sizeof(b->domain));
}

static bool check_domain(const struct sink_behaviour *b, struct err *e)
{
    return !b->domain[0] || b->phase == PHASE_RCPT || b->phase == PHASE_DATA ||
           b->phase == PHASE_DOT ||
           err_set(e, ERR_INVALID,
                   "to=%s: the recipient is known at rcpt, data and dot only, name one of them",
                   b->domain);
}

static bool read_words(struct str rest, struct sink_behaviour *b, struct err *e)
{
    struct form f = forms[b->verb];
    bool by_phase = f.phase;
    struct str w;
    int64_t *number = b->verb == SINK_QUOTA ? &b->count : &b->ms;
    while (str_split(&rest, ':', &w)) {
        if (f.phase && read_phase(w, b))
            f.phase = false;
        else if (f.number && read_number(w, 1000000000, number))
            f.phase = f.number = f.number_needed = false;
        else if (f.code && read_code(w, b))
            f.phase = f.code = false;
        else if (f.share && !f.number && read_share(w, b))
            f.phase = f.code = f.share = false;
        else if (by_phase && !b->domain[0] && read_domain(w, b))
            f.phase = f.code = f.share = false;
        else
            return err_set(e, ERR_INVALID, "`" STR_F "` does not fit behind %s", STR_A(w),
                           verb_names[b->verb]);
    }
    if (f.number_needed)
        return err_set(e, ERR_INVALID, "%s needs %s", verb_names[b->verb],
                       b->verb == SINK_QUOTA ? "a number of messages" : "a number of milliseconds");
    return check_domain(b, e);
}

static bool read_verb(struct str text, struct sink_behaviour *b, struct err *e)
{
    struct str word;
    int found = 0;
    (void)str_split(&text, ':', &word);
    if (!find_word(verb_names, countof(verb_names), word, &found))
        return err_set(e, ERR_INVALID,
                       "verb `" STR_F "` is unknown; known: delay reject close quota refuse hole "
                       "auth tls",
                       STR_A(word));
    b->verb = (enum sink_verb)found;
    b->phase = forms[found].usual_phase;
    b->code = forms[found].usual_code;
    if (b->verb != SINK_TLS)
        return read_words(text, b, e);
    if (!find_word(tls_names, countof(tls_names), text, &found) || found == SINK_TLS_NONE)
        return err_set(e, ERR_INVALID, "tls is one of tls:starttls tls:implicit tls:broken");
    b->tls = (enum sink_tls)found;
    return true;
}

bool sink_parse_behaviour(struct str spec, struct sink_behaviour *out, struct err *e)
{
    struct str rest = spec, port, span = STR_NONE;
    uint64_t number = 0;
    struct err inner = {0};
    *out = (struct sink_behaviour){.share = 1, .to_ms = INT64_MAX};
    ptrdiff_t equals = str_chr(rest, '=');
    port = equals < 0 ? rest : str_cut(rest, 0, (size_t)equals);
    rest = equals < 0 ? STR_NONE : str_from_index(rest, (size_t)equals + 1);
    ptrdiff_t at = str_rchr(rest, '@');
    if (at >= 0) {
        span = str_from_index(rest, (size_t)at + 1);
        rest = str_cut(rest, 0, (size_t)at);
    }
    bool ok = str_to_u64(port, 65535, &number) && number > 0;
    if (!ok || equals < 0)
        (void)err_set(&inner, ERR_INVALID, "it does not begin with PORT=VERB");
    out->port = (uint16_t)number;
    ok = ok && equals >= 0 && read_verb(rest, out, &inner) &&
         (at < 0 || read_span(span, out, &inner));
    return ok || err_set(e, ERR_INVALID, "--behave " STR_F ": %s", STR_A(spec), inner.text);
}

bool sink_slot_active(const struct sink_slot *slot, int64_t now_ms)
{
    return now_ms >= slot->b.from_ms && now_ms < slot->b.to_ms;
}

struct sink_slot *sink_slot_find(struct sink_listener *l, enum sink_verb verb, enum phase phase,
                                 int64_t now_ms)
{
    for (size_t i = 0; i < l->slots; i++) {
        struct sink_slot *slot = &l->slot[i];
        if (slot->b.verb == verb && (phase == PHASE_NONE || slot->b.phase == phase) &&
            sink_slot_active(slot, now_ms))
            return slot;
    }
    return NULL;
}

bool sink_slot_takes(struct sink_slot *slot)
{
    slot->owed += slot->b.share;
    if (slot->owed < 1 - 1e-9)
        return false;
    slot->owed -= 1;
    return true;
}
