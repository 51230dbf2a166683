/* config, bounce classify, version, completion, help: what needs neither daemon nor data. */
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "main/call.h"
#include "main/commands.h"
#include "main/config.h"
#ifdef HAVE_FEEDBACK
#include "feedback/classify.h"
#include "model/verdict.h"
#endif

/* ---- config ---- */

static const struct column config_columns[] = {
    {"SETTING", "name", FORM_TEXT, false},
    {"VALUE", "value", FORM_TEXT, false},
    {"FROM", "where", FORM_TEXT, false},
    {NULL, NULL, FORM_TEXT, false},
};

int cmd_config_check(struct cmd *c)
{
    struct config config;
    struct err e = {0};
    bool ok = config_load(data_dir(c), &config, &e);
    config_free(&config);
    if (!ok)
        return output_fail(&e);
    if (output_is_json()) {
        json_t *o = json_pack("{s:b}", "ok", 1);
        output_json(o);
        json_decref(o);
    }
    output_line("the configuration is in order");
    return 0;
}

int cmd_config_show(struct cmd *c)
{
    struct config config;
    struct err e = {0};
    size_t i;
    json_t *row;
    if (!config_load(data_dir(c), &config, &e)) {
        config_free(&config);
        return output_fail(&e);
    }
    json_t *all = config_describe(&config);
    struct table *t = table_new(config_columns);
    json_array_foreach(all, i, row)
    {
        table_add(t, row);
    }
    table_end(&t, NULL);
    json_decref(all);
    config_free(&config);
    return 0;
}

int cmd_config_sample(struct cmd *c)
{
    char *text = config_sample();
    (void)c;
    if (output_is_json()) {
        json_t *o = json_pack("{s:s}", "sample", text);
        output_json(o);
        json_decref(o);
    } else {
        fputs(text, stdout);
    }
    free(text);
    return 0;
}

/* ---- bounce classify --replies ---- */

#ifdef HAVE_FEEDBACK
#define REPLY_LINE_MAX (1u << 20)

/* "rcpt<TAB>550 ..." gives the phase; a word that is no phase belongs to the reply. Written as \r\n
 * and \n in the line, the breaks of a reply of several lines are put back. */
static struct str take_phase(struct str line, enum phase *phase_out)
{
    ptrdiff_t tab = str_chr(line, '\t');
    *phase_out = PHASE_NONE;
    if (tab > 0 && phase_parse(str_cut(line, 0, (size_t)tab), phase_out))
        return str_from_index(line, (size_t)tab + 1);
    return line;
}

static void classify_line(struct str line, const char *profile)
{
    struct answer a = {.phase = PHASE_NONE};
    struct classification v = {0};
    enum phase phase;
    struct str reply = take_phase(line, &phase);
    char *scratch = malloc(reply.n + 64);
    if (!scratch)
        return;
    answer_parse_reply(reply, &a, scratch, reply.n + 64);
    a.phase = phase;
    a.profile = str_of(profile);
    classify_answer(rules_builtin(), &a, &v);
    struct buf b;
    buf_init(&b, REPLY_LINE_MAX * 4);
    if (str_is_utf8(reply))
        buf_addstr(&b, reply);
    else
        for (size_t i = 0; i < reply.n; i++) /* Latin-1 is the likeliest other reading */
            (unsigned char)reply.p[i] < 0x80
                ? (void)buf_addc(&b, reply.p[i])
                : (void)buf_addf(&b, "%c%c", 0xc0 | (unsigned char)reply.p[i] >> 6,
                                 0x80 | ((unsigned char)reply.p[i] & 0x3f));
    json_t *o = json_pack("{s:s%, s:s, s:s, s:b, s:s}", "reply", b.n ? b.p : "", b.n, "verdict",
                          verdict_name(v.verdict), "fault", fault_name(v.fault), "permanent",
                          v.permanent, "rule", v.rule);
    if (output_is_json())
        output_json(o);
    else
        output_line("%-12s %-15s %-9s %-28s %s", verdict_name(v.verdict), fault_name(v.fault),
                    v.permanent ? "permanent" : "temporary", v.rule, json_text(o, "reply"));
    json_decref(o);
    buf_free(&b);
    free(scratch);
}

static int classify_replies(const char *profile)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) >= 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            n--;
        if (n > 0)
            classify_line(str_from(line, MIN((size_t)n, REPLY_LINE_MAX)), profile);
    }
    free(line);
    return ferror(stdin) ? 1 : 0;
}
#endif

int cmd_bounce_classify(struct cmd *c)
{
    struct err e = {0};
    if (!cmd_has(c, "replies")) {
        err_set(&e, ERR_INVALID,
                "this version classifies replies: give --replies and a reply a "
                "line on standard input");
        return output_fail(&e);
    }
#ifdef HAVE_FEEDBACK
    return classify_replies(cmd_text(c, "profile"));
#else
    err_set(&e, ERR_FAILED, "this build has no reply rules");
    return output_fail(&e);
#endif
}

/* ---- version, completion, help ---- */

int cmd_version(struct cmd *c)
{
    (void)c;
    if (output_is_json()) {
        json_t *o = json_pack("{s:s}", "version", POSTFLEET_VERSION);
        output_json(o);
        json_decref(o);
    }
    output_line("postfleet %s", POSTFLEET_VERSION);
    return 0;
}

int cmd_completion(struct cmd *c)
{
    struct err e = {0};
    if (completion_print(cmd_arg(c, 0)))
        return 0;
    err_set(&e, ERR_INVALID, "%.40s: completion is made for bash, zsh and fish", cmd_arg(c, 0));
    return output_fail(&e);
}

int cmd_help(struct cmd *c)
{
    struct err e = {0};
    const char *noun = cmd_arg(c, 0), *verb = cmd_arg(c, 1);
    if (cmd_has(c, "man")) {
        help_man();
        return 0;
    }
    if (!noun) {
        help_overview();
        return 0;
    }
    for (size_t i = 0; verb && i < commands_n(); i++)
        if (!strcmp(command_at(i)->noun, noun) && command_at(i)->verb &&
            !strcmp(command_at(i)->verb, verb)) {
            help_command(command_at(i));
            return 0;
        }
    if (!verb && help_noun(noun))
        return 0;
    err_set(&e, ERR_INVALID, "there is no command %.40s%s%.40s; see postfleet help", noun,
            verb ? " " : "", verb ? verb : "");
    return output_fail(&e);
}
