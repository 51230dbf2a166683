/* Commands: templates, campaigns, messages. Their place in help is that of their table in
 * commands.c. */
#include "main/table.h"

/* clang-format off */
#define TEMPLATE_OPTIONS                                                                          \
    OPT(ARG_FILE, "html", "FILE", NULL, "HTML part"),                                             \
    OPT(ARG_FILE, "text", "FILE", NULL, "text part (made from the HTML when missing)"),           \
    OPT(ARG_FILE, "markdown", "FILE", NULL, "Markdown, from which HTML and text are made")
static const struct option template_add_options[] = {
    OPT(ARG_TEXT, "subject", "S", "subject", "subject, may have variables", .flags = OPT_REQUIRED),
    TEMPLATE_OPTIONS, END};
static const struct option template_set_options[] = {
    OPT(ARG_TEXT, "subject", "S", "subject", "subject, may have variables"), TEMPLATE_OPTIONS, END};
static const struct option template_render_options[] = {
    OPT(ARG_MAIL, "contact", "EMAIL", "contact", "with the fields of this contact"),
    OPT(ARG_PAIR, "field", "F=VALUE", NULL, "with this field", .flags = OPT_REPEAT),
    OPT(ARG_CHOICE, "part", "P", NULL, "print only this part", .choices = "subject|html|text"), END};
static const struct option template_lint_options[] = {
    OPT(ARG_TEXT, "subject", "S", "subject", "subject to look at with the files"), TEMPLATE_OPTIONS, END};
static const struct option campaign_create_options[] = {
    OPT(ARG_NAME, "list", "L", "list", "list of contacts", .flags = OPT_REQUIRED),
    OPT(ARG_NAME, "template", "T", "template", "template", .flags = OPT_REQUIRED),
    OPT(ARG_TEXT, "from", "A", "from", "From address (else the server's)"),
    OPT(ARG_TEXT, "reply-to", "A", "reply_to", "Reply-To address"),
    OPT(ARG_NAME, "group", "G", "group", "group of servers (default: default)"),
    OPT(ARG_CHOICE, "stream", "S", "stream", "bulk (default) or priority", .choices = "bulk|priority"),
    OPT(ARG_TEXT, "tag", "T", "tags", "tag of its messages, for routes and search", .flags = OPT_REPEAT),
    OPT(ARG_TIME, "deadline", "T", "deadline", "not after this time: 2026-11-21T18:00:00Z, or in 6h as 6h"),
    END};
static const struct option campaign_list_options[] = {
    OPT(ARG_COUNT, "limit", "N", NULL, "at most N", RANGE(1, INT32_MAX)), END};
static const struct option campaign_test_options[] = {
    OPT(ARG_MAIL, "to", "A", "to", "where the test mail goes", .flags = OPT_REQUIRED),
    OPT(ARG_MAIL, "contact", "EMAIL", "contact", "with the fields of this contact"), END};
static const struct option campaign_preview_options[] = {
    OPT(ARG_MAIL, "contact", "EMAIL", NULL, "as this contact sees it (default: the first)"),
    OPT(ARG_CHOICE, "part", "P", NULL, "print only this part", .choices = "subject|html|text|raw"), END};
static const struct option campaign_start_options[] = {
    FLAG("wait", NULL, "stay until it has finished: bar, rate, time left; Ctrl-C leaves it running"),
    FLAG("late", "late", "start though its deadline cannot be met: what is left by then expires"), END};
static const struct option retry_failed_options[] = {
    FLAG("uncertain", "uncertain", "also those that may have arrived: they may get it twice"), END};
static const struct option message_search_options[] = {
    OPT(ARG_NAME, "campaign", "C", NULL, "only of this campaign"),
    OPT(ARG_CHOICE, "state", "S", NULL, "only in this state",
        .choices = "queued|deferred|held|sent|uncertain|bounced|failed|suppressed|cancelled|expired"),
    OPT(ARG_NAME, "server", "N", NULL, "only by this server"),
    OPT(ARG_TEXT, "to", "A", NULL, "only to this address"),
    OPT(ARG_TEXT, "tag", "T", NULL, "only with this tag, its own or its campaign's"),
    OPT(ARG_COUNT, "limit", "N", NULL, "at most N (default: all)", RANGE(1, INT32_MAX)), END};
static const struct option message_move_options[] = {
    OPT(ARG_NAME, "group", "G", NULL, "group whose servers send it", .flags = OPT_REQUIRED), END};
static const struct option message_raw_options[] = {
    OPT(ARG_FILE, "output", "FILE", NULL, "write to FILE instead of standard output"), END};
static const struct option send_options[] = {
    OPT(ARG_MAIL, "to", "A", NULL, "recipient", .flags = OPT_REQUIRED),
    OPT(ARG_TEXT, "from", "A", NULL, "envelope sender and, when the mail has none, From"),
    OPT(ARG_CHOICE, "stream", "S", NULL, "transactional (default), priority or bulk",
        .choices = "transactional|priority|bulk"),
    OPT(ARG_NAME, "group", "G", NULL, "group of servers (default: by routes)"),
    OPT(ARG_TEXT, "tag", "T", NULL, "tag, for routes and search", .flags = OPT_REPEAT), END};
static const struct option sendmail_options[] = {
    OPT(ARG_NAME, "group", "G", NULL, "group whose servers send it"),
    OPT(ARG_CHOICE, "stream", "S", NULL, "transactional (default), priority or bulk",
        .choices = "transactional|priority|bulk"),
    OPT(ARG_TEXT, "tag", "T", NULL, "a tag, for routes and reports", .flags = OPT_REPEAT),
    END,
};

const struct command commands_mail[] = {
    COMMAND("template", "add", "NAME", cmd_template_add, template_add_options, CLIENT, "add a template",
        "Variables: {{ contact.email }} {{ contact.first_name | default: \"friend\" }} (any field), "
        "{{ campaign.name }} {{ list.name }} {{ unsubscribe_url }} {{ view_url }} {{ date }}."),
    COMMAND("template", "list", "", cmd_template_list, NULL, CLIENT, "all templates", NULL),
    COMMAND("template", "show", "NAME", cmd_template_show, NULL, CLIENT, "one template in full", NULL),
    COMMAND("template", "render", "NAME", cmd_template_render, template_render_options, CLIENT, "what a recipient would get", NULL),
    COMMAND("template", "lint", "[NAME]", cmd_template_lint, template_lint_options, CLIENT, "errors and unknown variables, with line and column", NULL),
    COMMAND("template", "set", "NAME", cmd_template_set, template_set_options, CLIENT, "change a template; started campaigns keep theirs", NULL),
    COMMAND("template", "remove", "NAME", cmd_template_remove, NULL, ASKS, "remove a template", NULL),
    COMMAND("campaign", "create", "NAME", cmd_campaign_create, campaign_create_options, CLIENT, "prepare a campaign", NULL),
    COMMAND("campaign", "list", "", cmd_campaign_list, campaign_list_options, CLIENT, "all campaigns", NULL),
    COMMAND("campaign", "show", "NAME", cmd_campaign_show, NULL, CLIENT, "one campaign", NULL),
    COMMAND("campaign", "check", "NAME", cmd_campaign_check, NULL, CLIENT, "what would hinder a start", NULL),
    COMMAND("campaign", "test", "NAME", cmd_campaign_test, campaign_test_options, CLIENT, "send it to one address as a test", NULL),
    COMMAND("campaign", "preview", "NAME", cmd_campaign_preview, campaign_preview_options, CLIENT, "as a contact would see it", NULL),
    COMMAND("campaign", "start", "NAME", cmd_campaign_start, campaign_start_options, CLIENT | CMD_DRY_RUN, "start sending; returns when the start is durable",
        "With --wait: exits 0 when all was sent, 4 when some was not, 130 on Ctrl-C (the campaign goes on)."),
    COMMAND("campaign", "pause", "NAME", cmd_campaign_pause, NULL, CLIENT, "stop within a second", NULL),
    COMMAND("campaign", "resume", "NAME", cmd_campaign_resume, NULL, CLIENT, "go on", NULL),
    COMMAND("campaign", "cancel", "NAME", cmd_campaign_cancel, NULL, ASKS, "give up what is not sent yet", NULL),
    COMMAND("campaign", "retry-failed", "NAME", cmd_campaign_retry_failed, retry_failed_options, ASKS, "try again what failed", NULL),
    COMMAND("campaign", "forecast", "NAME", cmd_campaign_forecast, NULL, CLIENT, "when it will end, what holds it up, who sends how much each day",
        "Before the start and while it runs; by the servers, limits, warm-ups and other campaigns of now."),
    COMMAND("campaign", "report", "NAME", cmd_campaign_report, NULL, CLIENT, "who got it, by server", NULL),
    COMMAND("message", "search", "", cmd_message_search, message_search_options, CLIENT, "find messages", NULL),
    COMMAND("message", "show", "ID", cmd_message_show, NULL, CLIENT, "one message with every attempt", NULL),
    COMMAND("message", "cancel", "ID...", cmd_message_cancel, NULL, CLIENT, "do not send it", NULL),
    COMMAND("message", "retry", "ID...", cmd_message_retry, NULL, CLIENT, "send it again", NULL),
    COMMAND("message", "move", "ID...", cmd_message_move, message_move_options, CLIENT, "send it by another group", NULL),
    COMMAND("message", "raw", "ID", cmd_message_raw, message_raw_options, CLIENT, "the mail as submitted", NULL),
    COMMAND("send", NULL, "FILE.eml|-", cmd_send, send_options, CLIENT, "send one message; answers when it is durable",
        "Example:\n  postfleet send mail.eml --to ana@example.net --from shop@example.com"),
    COMMAND("sendmail", NULL, "[RECIPIENT]...", cmd_sendmail, sendmail_options, CMD_THROUGH | CLIENT, "submit a mail from standard input as sendmail(1) does",
        "By the name sendmail (a link to postfleet) it is the same. Options of sendmail are\n"
        "understood: -t -i -f ADDR -F NAME -r ADDR -v, and those that change nothing here (-oi -oem\n"
        "-odb -bm -B8BITMIME ...); others are refused. Exit status: 0 queued, 64 usage, 65 malformed,\n"
        "69 refused (suppressed), 75 the daemon is away: nothing is known to be queued, try later,\n"
        "77 not allowed, 78 no such group.\n"
        "Example:\n  printf 'To: ana@example.net\\nSubject: hi\\n\\nHello\\n' | postfleet sendmail -t -i -f me@example.com"),
};
const size_t n_commands_mail = countof(commands_mail);
/* clang-format on */
