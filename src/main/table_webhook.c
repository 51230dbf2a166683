/* Commands: webhooks. Their place in help is that of their table in commands.c. */
#include "main/table.h"

/* clang-format off */
#define FILTERS                                                                                   \
    OPT(ARG_TEXT, "event", "E", "events", "tell of this only: message.bounced, campaign.*; none: of all", .flags = OPT_REPEAT | OPT_NONE_OK), \
    OPT(ARG_NAME, "server", "S", "servers", "only what this server did or had; none: any", .flags = OPT_REPEAT | OPT_NONE_OK), \
    OPT(ARG_NAME, "group", "G", "groups", "only messages of this group; none: any", .flags = OPT_REPEAT | OPT_NONE_OK), \
    OPT(ARG_TEXT, "tag", "T", "tags", "only messages with this tag; none: any", .flags = OPT_REPEAT | OPT_NONE_OK), \
    OPT(ARG_CHOICE, "allow-private", "yes|no", "allow_private", "it may lie in a private network, or on this machine", .choices = "yes|no")
#define SECRET_FILE                                                                               \
    OPT(ARG_FILE, "secret-file", "F", NULL, "take the secret (whsec_...) from this file instead of making one; - is standard input")
static const struct option webhook_add_options[] = {
    FILTERS, SECRET_FILE, END};
static const struct option webhook_set_options[] = {
    OPT(ARG_URL, "to", "U", "url", "another URL"), FILTERS,
    OPT(ARG_CHOICE, "state", "S", "state", "active (after paused or disabled: goes on where it stood) or paused", .choices = "active|paused"), END};
static const struct option webhook_rotate_options[] = {
    OPT(ARG_DURATION, "overlap", "D", "overlap", "the old secret signs too for so long (24h)", RANGE(0, INT64_C(30) * 24 * HOUR_MS)),
    SECRET_FILE, END};
static const struct option webhook_log_options[] = {
    FLAG("failed", NULL, "only what did not go through"),
    OPT(ARG_COUNT, "limit", "N", NULL, "the newest N", RANGE(1, INT32_MAX)), END};
static const struct option webhook_resend_options[] = {
    OPT(ARG_TIME, "since", "T", NULL, "all that the log has from this time on: 2026-11-21T09:30:00Z, or 2h ago as 2h"),
    OPT(ARG_TIME, "until", "T", NULL, "up to this time"),
    FLAG("failed", "failed", "of these only what never went through"), END};

const struct command commands_webhooks[] = {
    COMMAND("webhook", "add", "NAME URL", cmd_webhook_add, webhook_add_options, CLIENT, "tell a receiver of what happens; its secret is shown once",
        "Events are POSTed as JSON with the signature of Standard Webhooks, at least once each.\n"
        "Example:\n  postfleet webhook add shop https://shop.example/hook --event message.bounced --event message.failed"),
    COMMAND("webhook", "list", "", cmd_webhook_list, NULL, CLIENT, "all webhooks, and how they are", NULL),
    COMMAND("webhook", "show", "NAME", cmd_webhook_show, NULL, CLIENT, "one webhook", NULL),
    COMMAND("webhook", "set", "NAME", cmd_webhook_set, webhook_set_options, CLIENT, "change, pause or go on with a webhook", NULL),
    COMMAND("webhook", "rotate", "NAME", cmd_webhook_rotate, webhook_rotate_options, CLIENT, "a new secret; the old one signs beside it for a while", NULL),
    COMMAND("webhook", "remove", "NAME", cmd_webhook_remove, NULL, ASKS, "tell it nothing more", NULL),
    COMMAND("webhook", "test", "NAME", cmd_webhook_test, NULL, CLIENT, "send it an event of type webhook.test now, and show what it answers",
        "Exits 1 when the receiver did not take it."),
    COMMAND("webhook", "log", "NAME", cmd_webhook_log, webhook_log_options, CLIENT, "attempts to deliver, newest first: status, time, the next one", NULL),
    COMMAND("webhook", "resend", "NAME [EVENT]", cmd_webhook_resend, webhook_resend_options, CLIENT, "send one event again, or all of a span of time",
        "Example:\n  postfleet webhook resend shop --since 2h --failed"),
};
const size_t n_commands_webhooks = countof(commands_webhooks);
/* clang-format on */
