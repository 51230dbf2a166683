/* Replies answer commands in order, so commands wait in a short queue; a command that is pipelined
 * waits behind the others. */
#include "smtp/talk.h"

#include <string.h>

#define WAITING_MAX 16

struct reading {
    enum talk_step waiting[WAITING_MAX];
    size_t n;
    enum talk_step last;
    struct talk_steps *out;
};

static bool verb_of(struct str line, enum talk_step *out)
{
    static const struct {
        const char *verb;
        enum talk_step step;
    } verbs[] = {{"EHLO", TALK_EHLO}, {"HELO", TALK_EHLO}, {"STARTTLS", TALK_TLS},
                 {"AUTH", TALK_AUTH}, {"MAIL", TALK_MAIL}, {"RCPT", TALK_RCPT},
                 {"DATA", TALK_DATA}, {"BDAT", TALK_DOT},  {".", TALK_DOT}};
    for (size_t i = 0; i < countof(verbs); i++) {
        struct str verb = str_of(verbs[i].verb);
        if (str_istarts(line, verb) && (line.n == verb.n || ascii_isspace(line.p[verb.n]))) {
            *out = verbs[i].step;
            return true;
        }
    }
    return false;
}

static void on_command(struct reading *r, struct str line)
{
    enum talk_step step = r->last;
    if (line.n && line.p[0] == '<')
        return; /* the body, told in bytes */
    if (!verb_of(line, &step) && step != TALK_AUTH)
        step = TALK_STEPS; /* QUIT, RSET: their replies are nobody's */
    if (r->n < WAITING_MAX)
        r->waiting[r->n++] = step;
    r->last = step;
}

static void read_enhanced(struct str text, char out[16])
{
    size_t n = 0;
    while (n < text.n && n < 15 && (ascii_isdigit(text.p[n]) || text.p[n] == '.'))
        n++;
    bool is_code = n >= 5 && text.p[1] == '.' && strchr("245", text.p[0]);
    str_copy(is_code ? str_cut(text, 0, n) : STR_NONE, out, 16);
}

static void on_reply(struct reading *r, struct str line)
{
    uint64_t code = 0;
    if (line.n < 3 || !str_to_u64(str_cut(line, 0, 3), 999, &code) ||
        (line.n > 3 && line.p[3] == '-'))
        return;
    enum talk_step step = r->n ? r->waiting[0] : TALK_STEPS;
    if (r->n)
        memmove(r->waiting, r->waiting + 1, --r->n * sizeof *r->waiting);
    else if (!r->out->step[TALK_GREETING].code)
        step = TALK_GREETING;
    if (step == TALK_STEPS)
        return;
    r->out->step[step].code = (int)code;
    read_enhanced(str_trim(str_from_index(line, MIN((size_t)4, line.n))),
                  r->out->step[step].enhanced);
}

void talk_read(struct str conversation, struct talk_steps *out)
{
    struct reading r = {.out = out, .last = TALK_STEPS};
    struct str rest = conversation, line;
    memset(out, 0, sizeof *out);
    while (str_split(&rest, '\n', &line)) {
        if (str_starts(line, STR("C: ")))
            on_command(&r, str_trim(str_from_index(line, 3)));
        else if (str_starts(line, STR("S: ")))
            on_reply(&r, str_from_index(line, 3));
    }
}

const struct talk_reply *talk_reply_of(const struct talk_steps *t, const char *step)
{
    static const struct {
        const char *name;
        enum talk_step step;
    } names[] = {{"tls", TALK_TLS},   {"ehlo", TALK_EHLO}, {"auth", TALK_AUTH},
                 {"mail", TALK_MAIL}, {"rcpt", TALK_RCPT}, {"message", TALK_DOT}};
    for (size_t i = 0; i < countof(names); i++)
        if (strcmp(names[i].name, step) == 0)
            return &t->step[names[i].step];
    return NULL;
}

const struct talk_reply *talk_refusal(const struct talk_steps *t, const char *step)
{
    const struct talk_reply *r = talk_reply_of(t, step);
    if (r == &t->step[TALK_EHLO] && t->step[TALK_GREETING].code / 100 != 2)
        return &t->step[TALK_GREETING];
    if (r == &t->step[TALK_RCPT] && r->code / 100 == 2 && t->step[TALK_DATA].code)
        return &t->step[TALK_DATA];
    return r;
}
