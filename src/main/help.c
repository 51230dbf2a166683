/* Help, manual page and shell completion, all made from the table of commands. Prints only. */
#include <stdio.h>

#include "base/str.h"
#include "main/command.h"

#define WRAP_AT 92

static const char *const exit_statuses[][2] = {
    {"0", "done"},
    {"1", "failed"},
    {"2", "usage: the line was not understood"},
    {"3", "not found"},
    {"4", "partly done"},
    {"5", "refused by policy or quota"},
    {"6", "the daemon was not reached"},
    {"7", "not allowed"},
    {"75", "try later"},
    {"130", "interrupted"},
};

static const char *const environment[][2] = {
    {"POSTFLEET_DATA", "data directory when --data is not given"},
    {"POSTFLEET_URL, POSTFLEET_TOKEN_FILE", "as --url and --token-file"},
    {"POSTFLEET_HTTP__LISTEN ...", "every setting of postfleet.yaml; SECTION__KEY; with _FILE the "
                                   "value is read from that file"},
    {"NO_COLOR", "no colours"},
};

/* Text from column `at` on, wrapped at blanks; the caller stands at column `at` already. */
static void print_wrapped(const char *text, size_t at)
{
    size_t column = at;
    struct str rest = str_of(text), word;
    bool first = true;
    while (str_split(&rest, ' ', &word)) {
        if (!first && column + 1 + word.n > WRAP_AT) {
            printf("\n%*s", (int)at, "");
            column = at;
            first = true;
        }
        printf("%s" STR_F, first ? "" : " ", STR_A(word));
        column += word.n + !first;
        first = false;
    }
    printf("\n");
}

static void print_pair(const char *left, size_t width, const char *right)
{
    printf("  %-*s", (int)width, left);
    if (strlen(left) > width)
        printf("\n  %*s", (int)width, "");
    printf("  ");
    print_wrapped(right, width + 4);
}

static void usage_line(const struct command *c)
{
    const struct option *o;
    printf("Usage: postfleet %s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "");
    if (c->args[0])
        printf(" %s", c->args);
    for (size_t i = 0; (o = command_option(c, i)) != NULL; i++)
        if (o->flags & OPT_REQUIRED)
            printf(" --%s %s", o->name, o->arg);
    printf(" [options]\n");
}

static void option_label(const struct option *o, char *out, size_t size)
{
    snprintf(out, size, "--%s%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "",
             o->flags & OPT_REPEAT ? " ..." : "");
}

void help_command(const struct command *c)
{
    const struct option *o;
    char label[96];
    usage_line(c);
    printf("\n");
    print_wrapped(c->help, 0);
    if (c->more) {
        struct str rest = str_of(c->more), line;
        printf("\n");
        while (str_split(&rest, '\n', &line)) {
            char text[900];
            str_copy(line, text, sizeof(text));
            if (text[0] == ' ')
                printf("%s\n", text);
            else
                print_wrapped(text, 0);
        }
    }
    printf("\nOptions:\n");
    for (size_t i = 0; (o = command_option(c, i)) != NULL; i++) {
        if (o->flags & OPT_HIDDEN)
            continue;
        option_label(o, label, sizeof(label));
        print_pair(label, 26, o->help);
        if (o->choices)
            printf("  %26s  one of: %s\n", "", o->choices);
    }
}

static void command_label(const struct command *c, char *out, size_t size)
{
    snprintf(out, size, "%s%s%s%s%s", c->noun, c->verb ? " " : "", c->verb ? c->verb : "",
             c->args[0] ? " " : "", c->args);
}

bool help_noun(const char *noun)
{
    char label[96];
    bool found = false;
    for (size_t i = 0; i < commands_n(); i++) {
        if (strcmp(command_at(i)->noun, noun) != 0)
            continue;
        if (!command_at(i)->verb) {
            help_command(command_at(i));
            return true;
        }
        if (!found)
            printf("Usage: postfleet %s VERB\n\n", noun);
        found = true;
        command_label(command_at(i), label, sizeof(label));
        print_pair(label, 32, command_at(i)->help);
    }
    if (found)
        printf("\npostfleet %s VERB --help tells the options.\n", noun);
    return found;
}

void help_overview(void)
{
    char label[96];
    printf("Postfleet sends mail through a fleet of SMTP servers.\n\n"
           "Usage: postfleet COMMAND [VERB] [arguments] [options]\n\n");
    for (size_t i = 0; i < commands_n(); i++) {
        const struct command *c = command_at(i);
        if (!c->verb) {
            print_pair(c->noun, 12, c->help);
            continue;
        }
        if (i > 0 && command_at(i - 1)->verb && !strcmp(command_at(i - 1)->noun, c->noun))
            continue;
        char verbs[400];
        size_t at = 0;
        for (size_t k = i; k < commands_n() && !strcmp(command_at(k)->noun, c->noun); k++)
            at += (size_t)snprintf(verbs + at, sizeof(verbs) - at, "%s%s", k > i ? " " : "",
                                   command_at(k)->verb);
        snprintf(label, sizeof(label), "%s", c->noun);
        print_pair(label, 12, verbs);
    }
    printf("\npostfleet COMMAND --help tells more; postfleet help --man is the whole manual.\n"
           "First steps: postfleet demo, or postfleet init, serve, server add, server test.\n");
}

/* ---- the manual page ---- */

/* roff: a leading dot or quote and every backslash and dash are guarded. */
static void roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        printf("\\&");
    for (; *text; text++) {
        if (*text == '\\')
            printf("\\e");
        else if (*text == '-')
            printf("\\-");
        else if (*text == '\n')
            printf("\n.br\n");
        else
            putchar(*text);
    }
}

static void man_pairs(const char *title, const char *const (*pairs)[2], size_t n)
{
    printf(".SH %s\n", title);
    for (size_t i = 0; i < n; i++) {
        printf(".TP\n.B ");
        roff(pairs[i][0]);
        printf("\n");
        roff(pairs[i][1]);
        printf("\n");
    }
}

static void man_command(const struct command *c)
{
    const struct option *o;
    char label[96];
    command_label(c, label, sizeof(label));
    printf(".SS \"");
    roff(label);
    printf("\"\n");
    roff(c->help);
    printf(".\n");
    if (c->more) {
        printf(".PP\n");
        roff(c->more);
        printf("\n");
    }
    for (const struct option *p = c->options; p && p->name; p++) {
        o = p;
        if (o->flags & OPT_HIDDEN)
            continue;
        option_label(o, label, sizeof(label));
        printf(".TP\n.B ");
        roff(label);
        printf("\n");
        roff(o->help);
        if (o->choices) {
            printf(": ");
            roff(o->choices);
        }
        printf("\n");
    }
}

void help_man(void)
{
    printf(".TH POSTFLEET 1 \"\" \"postfleet " POSTFLEET_VERSION "\" \"User Commands\"\n"
           ".SH NAME\npostfleet \\- send mail through a fleet of SMTP servers\n"
           ".SH SYNOPSIS\n.B postfleet\n.I COMMAND\n[\\fIVERB\\fR] [\\fIarguments\\fR] "
           "[\\fIoptions\\fR]\n.SH DESCRIPTION\nOptions and arguments come in any order after the "
           "command; \\fB\\-\\-opt=value\\fR and \\fB\\-\\-opt value\\fR mean the same; \\fB\\-\\-"
           "\\fR ends the options. Durations are written 10s, 5m, 2h; counts 50k, 1M. Commands "
           "that talk to the daemon take \\fB\\-\\-data\\fR \\fIDIR\\fR, or \\fB\\-\\-url\\fR "
           "\\fIURL\\fR with \\fB\\-\\-token\\-file\\fR \\fIFILE\\fR; all print JSON with "
           "\\fB\\-\\-json\\fR and no remarks with \\fB\\-\\-quiet\\fR.\n.SH COMMANDS\n");
    for (size_t i = 0; i < commands_n(); i++)
        man_command(command_at(i));
    man_pairs("EXIT STATUS", exit_statuses, countof(exit_statuses));
    man_pairs("ENVIRONMENT", environment, countof(environment));
    printf(".SH FILES\n.TP\n.I DIR/postfleet.yaml\nsettings; see \\fBpostfleet config sample\\fR\n"
           ".TP\n.I DIR/secret.key\nencrypts passwords in the database; keep a copy apart\n");
}
