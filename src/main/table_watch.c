/* Commands: looking on, keys, people. Their place in help is that of their table in commands.c. */
#include "main/table.h"

/* clang-format off */
static const struct option key_create_options[] = {
    OPT(ARG_TEXT, "scope", "S", "scope", "what it may do: messages:send, servers:read, admin ...",
        .flags = OPT_REPEAT | OPT_REQUIRED),
    OPT(ARG_NAME, "group", "G", "group", "may send by this group only", .flags = OPT_REPEAT),
    OPT(ARG_TIME, "expires", "T", NULL, "not valid after this time, or in 90d as 90d"),
    FLAG("test", "test", "a test key (pf_test_...): what it submits is rendered and never leaves"), END};
#define ROLES "viewer|sender|admin|owner"
static const struct option user_create_options[] = {
    OPT(ARG_CHOICE, "role", "R", "role", "viewer looks, sender sends too, admin runs the fleet too, owner lets people in too",
        .choices = ROLES, .flags = OPT_REQUIRED),
    OPT(ARG_FILE, "password-file", "F", NULL, "file with the password; - is standard input", .flags = OPT_REQUIRED), END};
static const struct option user_set_options[] = {
    OPT(ARG_CHOICE, "role", "R", "role", "another role", .choices = ROLES),
    OPT(ARG_FILE, "password-file", "F", NULL, "file with another password; - is standard input"), END};
static const struct option user_test_options[] = {
    OPT(ARG_FILE, "password-file", "F", NULL, "file with the password; - is standard input", .flags = OPT_REQUIRED), END};
static const struct option audit_options[] = {
    OPT(ARG_COUNT, "limit", "N", NULL, "the newest N", RANGE(1, INT32_MAX)), END};
static const struct option credential_create_options[] = {
    OPT(ARG_NAME, "group", "G", "group", "group of servers that its mail goes to", .flags = OPT_REQUIRED),
    OPT(ARG_CHOICE, "stream", "S", "stream", "lane of its mail", .choices = "transactional|priority|bulk", .flags = OPT_REQUIRED),
    OPT(ARG_TEXT, "from-domain", "D", "from_domain", "may send in the name of this domain only", .flags = OPT_REPEAT),
    OPT(ARG_TEXT, "ip", "CIDR", "ip", "may log in from this network only", .flags = OPT_REPEAT),
    OPT(ARG_COUNT, "per-second", "N", "per_second", "send at most N of its messages a second; more wait"),
    OPT(ARG_COUNT, "per-minute", "N", "per_minute", "a minute"),
    OPT(ARG_COUNT, "per-hour", "N", "per_hour", "an hour"),
    OPT(ARG_COUNT, "per-day", "N", "per_day", "a day"),
    OPT(ARG_COUNT, "per-month", "N", "per_month", "a month"),
    OPT(ARG_TEXT, "max-size", "BYTES", "size_max", "refuse bigger mail (10M)"),
    OPT(ARG_TIME, "expires", "T", NULL, "not valid after this time, or in 90d as 90d"), END};
static const struct option credential_test_options[] = {
    OPT(ARG_FILE, "password-file", "F", NULL, "file with the password; - is standard input", .flags = OPT_REQUIRED), END};
static const struct option events_options[] = {
    OPT(ARG_TEXT, "after", "ID", NULL, "begin behind this event (default: with new ones)"),
    OPT(ARG_COUNT, "limit", "N", NULL, "end after N events", RANGE(1, INT32_MAX)), END};
#define LOG_FILTERS                                                                               \
    OPT(ARG_NAME, "server", "S", NULL, "only on this server"),                                    \
    OPT(ARG_CHOICE, "verdict", "V", NULL, "only with this verdict",                               \
        .choices = "accepted|failover|uncertain|try_later|rate_limited|quota|auth_config|"        \
                   "hard_bounce|soft_bounce|blocked|content|protocol|unknown"),                   \
    OPT(ARG_NAME, "campaign", "C", NULL, "only of this campaign"),                                \
    OPT(ARG_TEXT, "to", "A", NULL, "only to this address"),                                       \
    OPT(ARG_TEXT, "text", "T", NULL, "only with this in the reply or the rule; case does not matter"), \
    OPT(ARG_TIME, "since", "T", NULL, "from this time on: 2026-11-21T09:30:00Z, or 2h ago as 2h"), \
    OPT(ARG_TIME, "until", "T", NULL, "up to this time")
static const struct option log_search_options[] = {
    LOG_FILTERS, OPT(ARG_COUNT, "limit", "N", NULL, "the newest N (default 1000)", RANGE(1, INT32_MAX)), END};
static const struct option log_tail_options[] = {
    LOG_FILTERS, OPT(ARG_COUNT, "lines", "N", NULL, "begin with the newest N (default 20)", RANGE(1, 10000)),
    FLAG("follow", NULL, "go on with new ones until Ctrl-C"), END};
static const struct option patterns_options[] = {
    OPT(ARG_TEXT, "since", "D", NULL, "from this time or that long ago on (default 24h)"),
    OPT(ARG_NAME, "server", "S", NULL, "only replies of this server"),
    OPT(ARG_COUNT, "limit", "N", NULL, "at most N kinds (default 100)", RANGE(1, 2000)), END};

const struct command commands_watch[] = {
    COMMAND("queue", "summary", "", cmd_queue_summary, NULL, CLIENT, "what waits, and for what", NULL),
    COMMAND("pause", NULL, "", cmd_pause, NULL, CLIENT, "stop all sending within a second", NULL),
    COMMAND("resume", NULL, "", cmd_resume, NULL, CLIENT, "send again", NULL),
    COMMAND("key", "create", "NAME", cmd_key_create, key_create_options, CLIENT, "make an API key; it is shown once", NULL),
    COMMAND("key", "list", "", cmd_key_list, NULL, CLIENT, "all API keys, without the secret", NULL),
    COMMAND("key", "revoke", "NAME", cmd_key_revoke, NULL, ASKS, "take an API key back", NULL),
    COMMAND("user", "create", "NAME", cmd_user_create, user_create_options, CLIENT, "let somebody log in", "The password comes from --password-file (- is standard input); 12 characters at least."),
    COMMAND("user", "list", "", cmd_user_list, NULL, CLIENT, "who may log in, and their roles", NULL),
    COMMAND("user", "set", "NAME", cmd_user_set, user_set_options, CLIENT, "another role or password; logins end", NULL),
    COMMAND("user", "revoke", "NAME", cmd_user_revoke, NULL, ASKS, "let somebody in no more, at once", NULL),
    COMMAND("user", "test", "NAME", cmd_user_test, user_test_options, CLIENT, "is this the password?", NULL),
    COMMAND("audit", "list", "", cmd_audit_list, audit_options, CLIENT, "what was changed, when and by whom",
        "Every change that was asked for, newest last. --json shows what was asked (without secrets)."),
    COMMAND("audit", "verify", "", cmd_audit_verify, NULL, CLIENT, "is the audit log as it was written?",
        "Exit status 1 when a row was changed, put in or taken out."),
    COMMAND("credential", "create", "NAME", cmd_credential_create, credential_create_options, CLIENT,
        "make an application's login for SMTP; its password is shown once",
        "Example:\n  postfleet credential create shop --group fast --stream transactional --from-domain shop.example"),
    COMMAND("credential", "list", "", cmd_credential_list, NULL, CLIENT, "all logins for SMTP, without the password", NULL),
    COMMAND("credential", "show", "NAME", cmd_credential_show, NULL, CLIENT, "one of them, and how long its mail took", NULL),
    COMMAND("credential", "revoke", "NAME", cmd_credential_revoke, NULL, ASKS, "take a login back", NULL),
    COMMAND("credential", "test", "NAME", cmd_credential_test, credential_test_options, CLIENT, "is this its password?", NULL),
    COMMAND("log", "tail", "", cmd_log_tail, log_tail_options, CLIENT, "the newest attempts: when, server, verdict, recipient, reply",
        "Example:\n  postfleet log tail --follow --verdict blocked --server ses1"),
    COMMAND("log", "search", "", cmd_log_search, log_search_options, CLIENT, "attempts by server, verdict, campaign, recipient, time or text, newest first", NULL),
    COMMAND("log", "patterns", "", cmd_log_patterns, patterns_options, CLIENT, "replies by shape: how often, by whom, what they mean",
        "Numbers, ids, addresses, IPs and host names are masked, so that alike replies count as one\n"
        "kind. NEW: first seen within 24 hours. What no rule knows stands first."),
    COMMAND("events", "follow", "", cmd_events_follow, events_options, CLIENT, "what happens, as it happens", NULL),
};
const size_t n_commands_watch = countof(commands_watch);
/* clang-format on */
