/* The table of commands: everything that can be typed, in the order help shows it. Parsing, help,
 * the manual, completion and suggestions are made from here; what is not here does not exist. */
#include "main/commands.h"

#define FLAG(n, f, h)                                                                              \
    {                                                                                              \
        .name = n, .kind = ARG_FLAG, .field = f, .help = h                                         \
    }
/* The last of OPT is the help text; bounds, choices and flags may stand behind it. */
#define OPT(k, n, a, f, ...)                                                                       \
    {                                                                                              \
        .name = n, .arg = a, .kind = k, .field = f, .help = __VA_ARGS__                            \
    }
#define END                                                                                        \
    {                                                                                              \
        0                                                                                          \
    }
#define RANGE(lo, hi) .min = lo, .max = hi
#define MINUTE_MS     60000
#define HOUR_MS       3600000

/* clang-format off */
#define SERVER_OPTIONS                                                                            \
    OPT(ARG_TEXT, "host", "H", "host", "name or address of the SMTP server"),                     \
    OPT(ARG_COUNT, "port", "N", "port", "port (default 587, with --tls tls 465, with none 25)", RANGE(1, 65535)),           \
    OPT(ARG_CHOICE, "tls", "MODE", "tls", "none, starttls (default) or tls from the start",     \
        .choices = "none|starttls|tls"),                                                          \
    OPT(ARG_CHOICE, "tls-verify", "HOW", "tls_verify", "check the certificate fully (default) or not", \
        .choices = "full|none"),                                                                  \
    OPT(ARG_TEXT, "user", "U", "user", "user name for AUTH"),                                     \
    OPT(ARG_FILE, "password-file", "F", NULL, "file with the password; - is standard input"),     \
    OPT(ARG_TEXT, "from", "A", "from", "From address when a message and its campaign have none"), \
    OPT(ARG_TEXT, "reply-to", "A", "reply_to", "Reply-To address"),                               \
    OPT(ARG_TEXT, "return-path", "A", "return_path", "envelope sender, where bounces go"),        \
    OPT(ARG_TEXT, "helo", "NAME", "helo", "name to say in EHLO"),                                 \
    OPT(ARG_NAME, "group", "G", "group", "group to be in (default: default)", .flags = OPT_REPEAT), \
    OPT(ARG_COUNT, "weight", "N", "weight", "share within its groups: 10 sends twice as much as 5", \
        RANGE(1, 1000000)),                                                                       \
    OPT(ARG_COUNT, "priority", "N", "priority", "tier within its groups, 1 first", RANGE(1, 1000000)), \
    OPT(ARG_COUNT, "per-second", "N", "per_second", "at most N a second, or none",                \
        RANGE(1, 1000000000), .flags = OPT_NONE_OK),                                              \
    OPT(ARG_COUNT, "per-minute", "N", "per_minute", "at most N a minute, or none",                \
        RANGE(1, 1000000000), .flags = OPT_NONE_OK),                                              \
    OPT(ARG_COUNT, "per-hour", "N", "per_hour", "at most N an hour, or none",                     \
        RANGE(1, 1000000000), .flags = OPT_NONE_OK),                                              \
    OPT(ARG_COUNT, "per-day", "N", "per_day", "at most N a day, or none",                         \
        RANGE(1, 1000000000), .flags = OPT_NONE_OK),                                              \
    OPT(ARG_COUNT, "per-month", "N", "per_month", "at most N a month, or none",                   \
        RANGE(1, 1000000000), .flags = OPT_NONE_OK),                                              \
    OPT(ARG_TEXT, "calendar", "ZONE", "calendar",                                                 \
        "days and months by the calendar of this time zone, not sliding; or none", .flags = OPT_NONE_OK), \
    OPT(ARG_DURATION, "pause-between", "D", "pause_between", "pause between two messages of a connection", \
        RANGE(0, HOUR_MS)),                                                                       \
    OPT(ARG_CHOICE, "counts", "WHAT", "counts", "what limits count: accepted messages, attempts or recipients", \
        .choices = "accepted|attempts|recipients"),                                               \
    OPT(ARG_COUNT, "max-connections", "N", "max_connections", "connections at a time (default 10)", \
        RANGE(1, 10000)),                                                                         \
    OPT(ARG_COUNT, "max-messages-per-connection", "N", "max_messages_per_connection",             \
        "messages before a connection is closed, or none", RANGE(1, 1000000), .flags = OPT_NONE_OK), \
    OPT(ARG_DURATION, "connect-timeout", "D", "connect_timeout",                                  \
        "for the whole way to a ready session (default 30s)", RANGE(100, 10 * MINUTE_MS)),        \
    OPT(ARG_DURATION, "reply-timeout", "D", "reply_timeout", "for each later reply (default 5m)", \
        RANGE(100, HOUR_MS)),                                                                     \
    OPT(ARG_DURATION, "dot-timeout", "D", "dot_timeout", "for the reply to the final dot (default 10m)", \
        RANGE(100, HOUR_MS)),                                                                     \
    OPT(ARG_CHOICE, "chunking", "YES", "chunking", "use CHUNKING (BDAT) when offered (default yes)", \
        .choices = "yes|no"),                                                                     \
    OPT(ARG_TEXT, "region", "R", "region", "where it stands, for your own order"),                \
    OPT(ARG_CHOICE, "ip-type", "KIND", "ip_type", "shared or dedicated address", .choices = "shared|dedicated"), \
    OPT(ARG_DECIMAL, "cost-per-1000", "X", "cost_per_1000", "what a thousand messages cost"),     \
    OPT(ARG_COUNT, "included-per-month", "N", "included_per_month",                               \
        "messages a month that are paid for already, or none", RANGE(1, 1000000000), .flags = OPT_NONE_OK), \
    OPT(ARG_CHOICE, "spread", "HOW", "spread", "bulk takes a day's or month's quota asap (default) or evenly", \
        .choices = "asap|even"),                                                                  \
    OPT(ARG_CHOICE, "role", "R", "role", "within its groups: active (default), reserve (when no active one can), resting", \
        .choices = "active|reserve|resting"),                                                     \
    OPT(ARG_TEXT, "provider", "NAME", "provider", "who runs it"),                                 \
    OPT(ARG_TEXT, "profile", "NAME", "profile", "whose replies it speaks: ses, sendgrid, gmail, generic ..."), \
    OPT(ARG_TEXT, "from-domain", "D", "from_domain", "may send only from this domain; or none", .flags = OPT_REPEAT | OPT_NONE_OK), \
    OPT(ARG_HEADER, "header", "N: V", "header", "header to add to every message", .flags = OPT_REPEAT), \
    OPT(ARG_TEXT, "notes", "S", "notes", "remarks of yours")

static const struct option server_add_options[] = {
    OPT(ARG_NAME, "preset", "NAME", NULL, "take host, port, TLS and limits of a known provider; "
        "see server presets"), SERVER_OPTIONS, END};
static const struct option server_set_options[] = {
    SERVER_OPTIONS,
    OPT(ARG_NAME, "leave-group", "G", "leave_group", "group to leave", .flags = OPT_REPEAT),
    OPT(ARG_NAME, "new-name", "NAME", "new_name", "another name"), END};
static const struct option server_clone_options[] = {
    OPT(ARG_FILE, "password-file", "F", NULL, "password of the copy; without it the original's is taken"),
    END};
static const struct option server_test_options[] = {
    OPT(ARG_MAIL, "to", "A", "to", "recipient to ask for with RCPT; nothing is sent"), END};
static const struct option send_test_options[] = {
    OPT(ARG_MAIL, "to", "A", "to", "where the test mail goes", .flags = OPT_REQUIRED), END};

static const struct option quarantine_options[] = {
    OPT(ARG_TEXT, "reason", "R", "reason", "why; shown wherever its state is", .flags = OPT_REQUIRED),
    OPT(ARG_DURATION, "for", "D", "for", "back by itself after this long, by a ramp (default: until released)",
        RANGE(1000, INT64_C(366) * 24 * HOUR_MS)), END};
static const struct option isolate_options[] = {
    OPT(ARG_TEXT, "to", "A[,B...]", NULL, "addresses to probe, at most 10", .flags = OPT_REPEAT | OPT_REQUIRED),
    OPT(ARG_TEXT, "server", "S[,T...]", NULL, "servers to compare, at most 200", .flags = OPT_REPEAT),
    OPT(ARG_NAME, "group", "G", NULL, "all servers of this group (default: default)"),
    OPT(ARG_TEXT, "from", "A", NULL, "From address instead of each server's own"),
    FLAG("verbose", NULL, "also the conversations of all probes"), END};
static const struct option evidence_options[] = {
    OPT(ARG_TEXT, "since", "D", NULL, "from this time or that long ago on (default 24h)"),
    OPT(ARG_FILE, "to", "FILE.tar|DIR", NULL, "where to write (default evidence-NAME-DAY.tar)"), END};
#define LIMIT_SUBJECT                                                                             \
    OPT(ARG_NAME, "group", "G", "group", "limit of a group"),                                     \
    OPT(ARG_NAME, "campaign", "C", "campaign", "of a campaign"),                                  \
    OPT(ARG_NAME, "credential", "K", "credential", "of a credential (API key)"),                  \
    OPT(ARG_NAME, "provider", "P", "provider", "of a mailbox provider: gmail, outlook ... or other"), \
    OPT(ARG_NAME, "server", "S", "server", "with --provider: of this server for that provider")
static const struct option limit_subject_options[] = {LIMIT_SUBJECT, END};
static const struct option limit_set_options[] = {
    LIMIT_SUBJECT,
    OPT(ARG_COUNT, "per-second", "N", "per_second", "at most N a second, or none", RANGE(1, 1000000000), .flags = OPT_NONE_OK),
    OPT(ARG_COUNT, "per-minute", "N", "per_minute", "at most N a minute, or none", RANGE(1, 1000000000), .flags = OPT_NONE_OK),
    OPT(ARG_COUNT, "per-hour", "N", "per_hour", "at most N an hour, or none", RANGE(1, 1000000000), .flags = OPT_NONE_OK),
    OPT(ARG_COUNT, "per-day", "N", "per_day", "at most N a day, or none", RANGE(1, 1000000000), .flags = OPT_NONE_OK),
    OPT(ARG_COUNT, "per-month", "N", "per_month", "at most N a month, or none", RANGE(1, 1000000000), .flags = OPT_NONE_OK),
    OPT(ARG_TEXT, "calendar", "ZONE", "calendar", "days and months by the calendar of this time zone, or none", .flags = OPT_NONE_OK),
    OPT(ARG_CHOICE, "spread", "HOW", "spread", "bulk takes a day's or month's quota asap (default) or evenly", .choices = "asap|even"), END};

#define GROUP_OPTIONS                                                                             \
    OPT(ARG_NAME, "fallback", "G", "fallback", "group to use when this one cannot send, in order; or none", \
        .flags = OPT_REPEAT | OPT_NONE_OK),                                                                     \
    OPT(ARG_CHOICE, "at-limit", "HOW", "at_limit", "at the limit of all its servers: wait (default) or spill", \
        .choices = "wait|spill"),                                                                 \
    OPT(ARG_CHOICE, "shares", "HOW", "shares", "exact shares (default) or elastic: pass busy servers by", \
        .choices = "exact|elastic"),                                                              \
    OPT(ARG_CHOICE, "sticky", "HOW", "sticky",                                                    \
        "stay with a server: none (default), a message over its attempts, or a recipient",        \
        .choices = "none|message|recipient"),                                                     \
    OPT(ARG_COUNT, "rotate-active", "K", "rotate_active", "K of its servers send, the others rest, or none", \
        RANGE(1, 10000), .flags = OPT_NONE_OK),                                                   \
    OPT(ARG_DURATION, "rotate-every", "D", "rotate_every", "the set changes after this time", RANGE(0, INT64_C(744) * HOUR_MS)), \
    OPT(ARG_COUNT, "rotate-messages", "N", "rotate_messages", "or after so many messages, or none", \
        RANGE(1, 1000000000), .flags = OPT_NONE_OK), \
    OPT(ARG_CHOICE, "nearest", "YES", "nearest",                                                  \
        "servers of the region nearest to the contact's country first (default no)", .choices = "yes|no")
static const struct option group_add_options[] = {
    OPT(ARG_CHOICE, "strategy", "S", "strategy", "how a server is chosen",
        .choices = "round-robin|weighted|priority|least-loaded|adaptive|cheapest", .flags = OPT_REQUIRED),
    GROUP_OPTIONS, END};
static const struct option group_simulate_options[] = {
    OPT(ARG_COUNT, "messages", "N", "messages", "how many (default 1000)", RANGE(1, 100000)),
    OPT(ARG_CHOICE, "stream", "S", "stream", "bulk (default), priority or transactional",
        .choices = "bulk|priority|transactional"), END};
static const struct option group_set_options[] = {
    OPT(ARG_CHOICE, "strategy", "S", "strategy", "how a server is chosen",
        .choices = "round-robin|weighted|priority|least-loaded|adaptive|cheapest"), GROUP_OPTIONS,
    OPT(ARG_NAME, "new-name", "NAME", "new_name", "another name"), END};

#define REPUTATION_OPTIONS                                                                        \
    OPT(ARG_TEXT, "when", "CONDITION", "when", "\"hard_bounce_rate > 5% and open_rate < 0.5x\"; 0.5x is half of the group's"), \
    OPT(ARG_CHOICE, "action", "A", "action", "what follows; graded: the next harder one each time", \
        .choices = "notify|lower|rest|quarantine|graded|step-back"),                              \
    OPT(ARG_CHOICE, "scope", "S", "scope", "look at a server (default), or at each mailbox provider there", \
        .choices = "server|provider"),                                                            \
    OPT(ARG_DURATION, "window", "D", "window", "of how long (default 24h)", RANGE(HOUR_MS, 720LL * HOUR_MS)), \
    OPT(ARG_COUNT, "volume", "N", "volume", "answers below which no rate is judged (default 1000)", RANGE(0, 1000000000)), \
    OPT(ARG_DURATION, "for", "D", "for", "how long, doubled each time (default 6h); 0s: till released", RANGE(0, 720LL * HOUR_MS)), \
    OPT(ARG_DECIMAL, "weight", "X", "weight", "share of its weight that stays when lowered (default 0.5)"), \
    OPT(ARG_DURATION, "cooldown", "D", "cooldown", "not again on that server for so long (default 6h)", RANGE(0, 720LL * HOUR_MS)), \
    OPT(ARG_CHOICE, "approval", "YES", "approval", "wait for reputation approve (default no)", .choices = "yes|no")
static const struct option reputation_add_options[] = {REPUTATION_OPTIONS, END};
static const struct option reputation_set_options[] = {
    REPUTATION_OPTIONS,
    OPT(ARG_CHOICE, "enabled", "YES", "enabled", "use it", .choices = "yes|no"), END};
static const struct option reputation_signal_options[] = {
    OPT(ARG_CHOICE, "kind", "KIND", "kind", "a blocklist, or a seed mailbox", .choices = "dnsbl|inbound", .flags = OPT_REQUIRED),
    OPT(ARG_TEXT, "source", "NAME", "source", "which one", .flags = OPT_REQUIRED),
    OPT(ARG_COUNT, "value", "N", "value", "1: listed (default), 0: not any more", RANGE(0, 1000000000)), END};

static const struct option warmup_start_options[] = {
    OPT(ARG_NAME, "plan", "NAME", "plan", "a plan of warmup plans"),
    OPT(ARG_TEXT, "table", "N,N,N", "curve", "or a cap for each day of sending"),
    OPT(ARG_TEXT, "curve", "CURVE", "curve", "or linear:50-10000/30, exponential:50-100000*1.4"),
    OPT(ARG_COUNT, "from-day", "N", "from_day", "begin at this day", RANGE(1, 366)),
    OPT(ARG_TEXT, "provider", "P=CURVE", "provider", "a curve of its own for a mailbox provider: gmail=40% or gmail=20,40,80",
        .flags = OPT_REPEAT),
    OPT(ARG_TEXT, "classes", "DAY:CLASS...", "classes", "engagement classes allowed: \"1:2 8:4\" is 1 to 2, from day 8 to 4"),
    OPT(ARG_COUNT, "unknown", "CLASS", "unknown", "class of contacts of whom nothing is known (default 4)", RANGE(1, 7)),
    OPT(ARG_DECIMAL, "hard-bounces", "PERCENT", "hard_bounces", "a good day has at most these (default 2)"),
    OPT(ARG_DECIMAL, "complaints", "PERCENT", "complaints", "and these (default 0.1)"),
    OPT(ARG_DECIMAL, "deferrals", "PERCENT", "deferrals", "and these (default 10)"), END};
static const struct option warmup_skip_options[] = {
    OPT(ARG_COUNT, "days", "N", "days", "days to go forward (default 1)", RANGE(1, 366)), END};
static const struct option failover_show_options[] = {
    OPT(ARG_NAME, "group", "G", NULL, "group (default: default)"), END};
static const struct option failover_set_options[] = {
    OPT(ARG_NAME, "group", "G", NULL, "group (default: default)"),
    OPT(ARG_FILE, "file", "FILE", NULL, "the whole matrix as YAML; - is standard input"),
    OPT(ARG_TEXT, "rule", "'IF -> THEN'", NULL, "a rule; those given replace all rules, in this order", .flags = OPT_REPEAT),
    OPT(ARG_COUNT, "tries", "N", "tries", "attempts in all, or none", RANGE(1, 10000), .flags = OPT_NONE_OK),
    OPT(ARG_COUNT, "tries-per-round", "N", "tries_per_round", "servers asked in a round, or none: all",
        RANGE(1, 64), .flags = OPT_NONE_OK),
    OPT(ARG_COUNT, "rounds", "N", "rounds", "rounds in all, or none", RANGE(1, 1000), .flags = OPT_NONE_OK),
    OPT(ARG_DURATION, "deadline", "D", "deadline", "given up after this time, or none: 72h, transactional 24h",
        RANGE(1000, INT64_C(30) * 24 * HOUR_MS), .flags = OPT_NONE_OK),
    OPT(ARG_DURATION, "first-delay", "D", "first_delay", "the first pause, which doubles, or none: by stream",
        RANGE(1000, 24 * HOUR_MS), .flags = OPT_NONE_OK),
    OPT(ARG_DURATION, "max-delay", "D", "max_delay", "the longest pause, or none: by stream",
        RANGE(1000, 7 * 24 * HOUR_MS), .flags = OPT_NONE_OK),
    OPT(ARG_TEXT, "order", "S1,S2", NULL, "servers to ask first once one has failed, or none"),
    FLAG("reset", NULL, "begin with the defaults, not with what is set"), END};

#define ROUTE_PLACE                                                                               \
    OPT(ARG_NAME, "before", "R", "before", "stand right before this route"),                      \
    FLAG("last", "last", "stand behind all others")
#define ROUTE_CONDITIONS                                                                          \
    OPT(ARG_CHOICE, "stream", "S", "stream", "messages of this stream",                           \
        .choices = "transactional|priority|bulk", .flags = OPT_REPEAT),                           \
    OPT(ARG_NAME, "campaign", "C", "campaign", "of this campaign", .flags = OPT_REPEAT),          \
    OPT(ARG_NAME, "list", "L", "list", "of campaigns to this list", .flags = OPT_REPEAT),         \
    OPT(ARG_TEXT, "tag", "T", "tag", "with this tag", .flags = OPT_REPEAT),                       \
    OPT(ARG_TEXT, "from-domain", "D", "from_domain", "whose From is of this domain; *.D: of one below it", \
        .flags = OPT_REPEAT),                                                                     \
    OPT(ARG_TEXT, "recipient-domain", "D", "recipient_domain", "to this domain; *.D: to one below it", \
        .flags = OPT_REPEAT),                                                                     \
    OPT(ARG_TEXT, "provider", "P", "provider", "to this mailbox provider: gmail, outlook, other ...", \
        .flags = OPT_REPEAT),                                                                     \
    OPT(ARG_TEXT, "country", "CC", "country", "to contacts whose field country is this: AT, US ...", \
        .flags = OPT_REPEAT),                                                                     \
    OPT(ARG_TEXT, "engagement", "N", "engagement", "to contacts of this class: 1 (best) to 7, 1-3, \">=5\"", \
        .flags = OPT_REPEAT),                                                                     \
    OPT(ARG_TEXT, "size", "SIZE", "size", "of this size: \">5M\", \"<=100k\", 1M-5M", .flags = OPT_REPEAT), \
    OPT(ARG_NAME, "credential", "K", "credential", "brought by this API key", .flags = OPT_REPEAT)
static const struct option route_add_options[] = {
    ROUTE_CONDITIONS, OPT(ARG_NAME, "group", "G", "group", "group to send them to", .flags = OPT_REQUIRED),
    OPT(ARG_NAME, "before", "R", "before", "stand right before this route (default: behind all)"), END};
static const struct option route_set_options[] = {
    ROUTE_CONDITIONS, OPT(ARG_NAME, "group", "G", "group", "group to send them to"), ROUTE_PLACE,
    OPT(ARG_NAME, "new-name", "NAME", "new_name", "another name"), END};
static const struct option route_move_options[] = {ROUTE_PLACE, END};
static const struct option route_explain_options[] = {
    OPT(ARG_MAIL, "to", "A", NULL, "recipient", .flags = OPT_REQUIRED),
    OPT(ARG_TEXT, "from", "A", NULL, "From address (default: the campaign's)"),
    OPT(ARG_TEXT, "tag", "T", NULL, "tag of the message", .flags = OPT_REPEAT),
    OPT(ARG_CHOICE, "stream", "S", NULL, "its stream (default transactional, or the campaign's)",
        .choices = "transactional|priority|bulk"),
    OPT(ARG_NAME, "campaign", "C", NULL, "as a message of this campaign"),
    OPT(ARG_NAME, "credential", "K", NULL, "as if this API key had brought it"),
    OPT(ARG_TEXT, "size", "SIZE", NULL, "of this size: 300k, 5M"), END};

static const struct option list_options[] = {
    OPT(ARG_TEXT, "group", "G", "group", "group of servers for campaigns that name none"), END};
static const struct option contact_add_options[] = {
    OPT(ARG_NAME, "list", "NAME", "list", "list to be on"),
    OPT(ARG_PAIR, "field", "F=VALUE", NULL, "field of the contact", .flags = OPT_REPEAT), END};
static const struct option contact_import_options[] = {
    OPT(ARG_NAME, "list", "NAME", NULL, "list to put them on", .flags = OPT_REQUIRED),
    OPT(ARG_PAIR, "map", "COL=FIELD", NULL, "take column COL as FIELD (email, first_name ...)",
        .flags = OPT_REPEAT),
    OPT(ARG_CHOICE, "policy", "P", NULL, "known addresses: new skips them, update (default) takes the new fields, skip leaves them as they are",
        .choices = "new|update|skip"), END};
static const struct option contact_list_options[] = {
    OPT(ARG_NAME, "list", "NAME", NULL, "only those of this list"),
    OPT(ARG_COUNT, "limit", "N", NULL, "at most N", RANGE(1, INT32_MAX)), END};
static const struct option contact_export_options[] = {
    OPT(ARG_NAME, "list", "NAME", NULL, "list to export", .flags = OPT_REQUIRED),
    OPT(ARG_FILE, "output", "FILE", NULL, "write to FILE instead of standard output"), END};

static const struct option suppression_add_options[] = {
    OPT(ARG_CHOICE, "reason", "R", "reason", "why (default manual)",
        .choices = "manual|hard_bounce|soft_bounces|complaint|unsubscribe"), END};
static const struct option suppression_import_options[] = {
    OPT(ARG_CHOICE, "reason", "R", NULL, "why, where the file does not say (default manual)",
        .choices = "manual|hard_bounce|soft_bounces|complaint|unsubscribe"), END};
static const struct option suppression_list_options[] = {
    OPT(ARG_COUNT, "limit", "N", NULL, "at most N", RANGE(1, INT32_MAX)), END};
static const struct option suppression_revert_options[] = {
    OPT(ARG_NAME, "server", "S", "server", "undo what bounces of this server suppressed", .flags = OPT_REQUIRED),
    OPT(ARG_TIME, "since", "T", "since", "from this time on: 2026-11-21T09:30:00Z, or 2h ago as 2h",
        .flags = OPT_REQUIRED), END};

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

static const struct option key_create_options[] = {
    OPT(ARG_TEXT, "scope", "S", "scope", "what it may do: messages:send, servers:read, admin ...",
        .flags = OPT_REPEAT | OPT_REQUIRED),
    OPT(ARG_NAME, "group", "G", "group", "may send by this group only", .flags = OPT_REPEAT),
    OPT(ARG_TIME, "expires", "T", NULL, "not valid after this time, or in 90d as 90d"),
    FLAG("test", "test", "a test key (pf_test_...): what it submits is rendered and never leaves"), END};
static const struct option events_options[] = {
    OPT(ARG_TEXT, "after", "ID", NULL, "begin behind this event (default: with new ones)"),
    OPT(ARG_COUNT, "limit", "N", NULL, "end after N events", RANGE(1, INT32_MAX)), END};

static const struct option top_options[] = {
    OPT(ARG_DURATION, "interval", "D", NULL, "ask again after this long (default 1s)", RANGE(200, HOUR_MS)),
    FLAG("once", NULL, "print once and end"), END};
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

static const struct option classify_options[] = {
    FLAG("replies", NULL, "standard input holds SMTP replies, one a line, PHASE<TAB> allowed before each"),
    OPT(ARG_TEXT, "profile", "NAME", NULL, "by the rules of this provider too: ses, sendgrid, gmail ..."),
    END};
static const struct option doctor_options[] = {
    FLAG("ready", NULL, "only ask the daemon: exits 0 when all listeners and sending are up"), END};
static const struct option db_check_options[] = {
    FLAG("ledger", NULL, "also verify what the ledger promises about every message"), END};
static const struct option init_options[] = {END};
static const struct option help_options[] = {
    FLAG("man", NULL, "the manual page as roff"), END};

static const struct option serve_options[] = {
    OPT(ARG_ENDPOINT, "http", "ADDR:PORT", NULL, "where HTTP listens (default 127.0.0.1:8025)"),
    OPT(ARG_CHOICE, "role", "ROLE", NULL, "", .choices = "core|web", .flags = OPT_HIDDEN),
    OPT(ARG_COUNT, "parent-pid", "N", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_COUNT, "poison-fd", "N", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_COUNT, "desk-threads", "N", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_COUNT, "ledger-ahead", "N", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "http-url", "U", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "public-url", "U", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "dns-servers", "S", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "ca-file", "F", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "log-level", "L", NULL, "", .flags = OPT_HIDDEN),
    {.name = "held", .kind = ARG_FLAG, .help = "", .flags = OPT_HIDDEN}, END};
static const struct option demo_options[] = {
    OPT(ARG_COUNT, "seconds", "N", NULL, "how long to show it", RANGE(1, 3600)),
    OPT(ARG_COUNT, "contacts", "N", NULL, "contacts of the campaign (default 20000)", RANGE(1, 10000000)),
    OPT(ARG_COUNT, "seed", "N", NULL, "the same seed gives the same run"),
    FLAG("no-web", NULL, "without the HTTP listener"),
    FLAG("json", NULL, "last line as JSON"),
    OPT(ARG_DIR, "keep", "DIR", NULL, "keep data and sink logs in DIR"), END};
static const struct option bench_options[] = {
    OPT(ARG_COUNT, "contacts", "N", NULL, "contacts, rows or messages", RANGE(10, 50000000)),
    OPT(ARG_COUNT, "servers", "N", NULL, "servers of the campaign (default 4)", RANGE(1, 64)),
    OPT(ARG_COUNT, "connections", "N", NULL, "connections in all (default 50; rtt: 20)", RANGE(1, 5000)),
    OPT(ARG_COUNT, "body", "BYTES", NULL, "size of a message, about (default 10000)", RANGE(512, 1000000)),
    OPT(ARG_CHOICE, "form", "FORM", NULL, "HTML with its text form, or text alone", .choices = "html|text"),
    OPT(ARG_CHOICE, "tls", "MODE", NULL, "of bench tls", .choices = "starttls|tls"),
    OPT(ARG_COUNT, "per-connection", "N", NULL, "messages a connection", RANGE(0, 1000000)),
    OPT(ARG_COUNT, "rtt", "MS", NULL, "round trip of bench rtt (default 20)", RANGE(0, 10000)),
    OPT(ARG_COUNT, "ahead", "N", NULL, "intents ahead of the disk", RANGE(0, 65536)),
    OPT(ARG_COUNT, "sync-delay", "MS", NULL, "what --slow-sync adds to every sync (default 5)", RANGE(0, 1000)),
    OPT(ARG_FILE, "slow-sync", "FILE", NULL, "library that delays syncs: bench/run builds it"),
    OPT(ARG_DIR, "keep", "DIR", NULL, "keep the data folder"),
    FLAG("json", NULL, "figures as JSON, an object a bench"), END};
static const struct option sink_options[] = {
    OPT(ARG_TEXT, "ports", "A-B", NULL, "ports of 127.0.0.1 to listen on"),
    OPT(ARG_FILE, "log", "FILE", NULL, "a line per accepted message"),
    OPT(ARG_TEXT, "bind", "ADDR", NULL, "another address than 127.0.0.1, still on loopback"),
    OPT(ARG_FILE, "cert", "FILE", NULL, "certificate and key for TLS, PEM"),
    FLAG("json", NULL, "figures as JSON"),
    OPT(ARG_TEXT, "behave", "PORT=VERB[:PHASE][:CODE][:SHARE][@FROM-TO]", NULL,
        "fault of a port: delay, reject, close, quota, refuse, hole, auth, tls", .flags = OPT_REPEAT), END};

#define CLIENT CMD_CLIENT
#define ASKS   (CMD_CLIENT | CMD_ASKS)
#define COMMAND(n, v, a, fn, o, fl, h, m) {n, v, a, h, o, fl, fn, m}

const struct command commands[] = {
    COMMAND("init", NULL, "", cmd_init, init_options, CMD_OFFLINE, "make a data directory",
        "Creates the directory with database, key file, configuration sample and the group default. "
        "A directory that holds something else is refused."),
    COMMAND("serve", NULL, "", cmd_serve, serve_options, CMD_OFFLINE, "run the daemon",
        "Makes a missing or empty data directory, then runs until SIGTERM, which ends it within 10 s. "
        "Running campaigns go on by themselves."),
    COMMAND("demo", NULL, "", cmd_demo, demo_options, CMD_THROUGH, "watch a campaign leave through six servers, some failing", NULL),
    COMMAND("doctor", NULL, "", cmd_doctor, doctor_options, CLIENT, "check the data directory and the daemon", NULL),
    COMMAND("status", NULL, "", cmd_status, NULL, CLIENT, "what the daemon does now", NULL),

    COMMAND("top", NULL, "", cmd_top, top_options, CLIENT, "live screen: servers, rates, quotas, queue, campaigns, events",
        "Keys: q quit, p pause or resume all (asks first), s sort by state, rate, failures or name,\n"
        "/ filter by name, arrows and PgUp, PgDn scroll. Without a terminal a block of text each\n"
        "interval; with --json an object each."),

    COMMAND("server", "add", "NAME", cmd_server_add, server_add_options, CLIENT, "add an SMTP server",
        "Example:\n  postfleet server add alpha --host smtp.example.com --port 587 --tls starttls \\\n"
        "      --user shop --password-file key --per-hour 50k --weight 10\n"
        "  postfleet server add ses1 --preset ses-eu-west-1 --user AKIA... --password-file - < key"),
    COMMAND("server", "list", "", cmd_server_list, NULL, CLIENT, "all servers with state and quota", NULL),
    COMMAND("server", "show", "NAME", cmd_server_show, NULL, CLIENT, "one server in full", NULL),
    COMMAND("server", "set", "NAME", cmd_server_set, server_set_options, CLIENT, "change a server; acts at once",
        "Only what is named changes. An empty value, or none for a limit, takes it away."),
    COMMAND("server", "remove", "NAME", cmd_server_remove, NULL, ASKS, "remove a server; its results stay", NULL),
    COMMAND("server", "clone", "NAME NEW", cmd_server_clone, server_clone_options, CLIENT, "copy a server under a new name", NULL),
    COMMAND("server", "test", "NAME", cmd_server_test, server_test_options, CLIENT, "test the connection step by step; sends nothing", NULL),
    COMMAND("server", "send-test", "NAME", cmd_server_send_test, send_test_options, CLIENT, "send a test mail through this server only", NULL),
    COMMAND("server", "pause", "NAME", cmd_server_pause, NULL, CLIENT, "stop using a server", NULL),
    COMMAND("server", "resume", "NAME", cmd_server_resume, NULL, CLIENT, "use a server again", NULL),
    COMMAND("server", "drain", "NAME", cmd_server_drain, NULL, CLIENT, "finish what it has, take nothing new", NULL),
    COMMAND("server", "quarantine", "NAME", cmd_server_quarantine, quarantine_options, CLIENT, "take a server out, with a reason", NULL),
    COMMAND("server", "release", "NAME", cmd_server_release, NULL, CLIENT, "let a quarantined or suspect server back, by a ramp", NULL),
    COMMAND("server", "isolate", "", cmd_server_isolate, isolate_options, CLIENT, "one probe mail through each server, compared: which one is it?",
        "Sends a real test mail through every server to every address and compares step by step. The\n"
        "probes count in the limits of their servers. Exits 0 when all went well, else 1.\n"
        "Example:\n  postfleet server isolate --to me@gmail.com,me@example.net --group shop"),
    COMMAND("server", "evidence", "NAME", cmd_server_evidence, evidence_options, CLIENT, "a bundle for the provider's support, without secrets",
        "Times, replies, conversations, counts by hour, changes of state. Addresses keep their\n"
        "domain, the part before it becomes a short hash; Message-IDs stay. With --json: the bundle itself."),
    COMMAND("server", "import", "FILE.csv|-", cmd_server_import, NULL, CLIENT | CMD_DRY_RUN, "add servers from CSV",
        "Columns are the option names of server add, with name first; several groups, domains or "
        "headers stand in one cell, one a line"),
    COMMAND("server", "export", "", cmd_server_export, contact_export_options + 1, CLIENT, "all servers as CSV, without passwords", NULL),
    COMMAND("server", "presets", "[WORD]", cmd_server_presets, NULL, CMD_PLAIN, "providers known to server add --preset", NULL),

    COMMAND("limit", "set", "", cmd_limit_set, limit_set_options, CLIENT, "limit a group, campaign, credential or mailbox provider; acts at once",
        "What a server may take is set with server set. All limits that concern a message are checked\n"
        "together; it waits until all of them have room.\n\n"
        "  postfleet limit set --campaign spring --per-hour 5k\n"
        "  postfleet limit set --provider gmail --per-minute 300\n"
        "  postfleet limit set --server ses1 --provider outlook --per-hour 2k"),
    COMMAND("limit", "list", "", cmd_limit_list, NULL, CLIENT, "limits beside those of servers, with their use", NULL),
    COMMAND("limit", "remove", "", cmd_limit_remove, limit_subject_options, CLIENT, "lift a limit", NULL),

    COMMAND("group", "add", "NAME", cmd_group_add, group_add_options, CLIENT, "add a group of servers", NULL),
    COMMAND("group", "list", "", cmd_group_list, NULL, CLIENT, "all groups", NULL),
    COMMAND("group", "show", "NAME", cmd_group_show, NULL, CLIENT, "one group with its servers", NULL),
    COMMAND("group", "set", "NAME", cmd_group_set, group_set_options, CLIENT, "change a group; acts at once", NULL),
    COMMAND("group", "simulate", "NAME", cmd_group_simulate, group_simulate_options, CLIENT, "how the next messages would be shared, by the fleet as it is now",
        "The dispatcher's own code on a virtual clock; nothing is sent and nothing is used up.\n\n"
        "  postfleet group simulate default --messages 10000"),
    COMMAND("group", "remove", "NAME", cmd_group_remove, NULL, ASKS, "remove a group", NULL),

    COMMAND("reputation", "rules", "", cmd_reputation_rules, NULL, CLIENT, "what is done about a server's reputation, and when", NULL),
    COMMAND("reputation", "add", "NAME", cmd_reputation_add, reputation_add_options, CLIENT, "add a rule",
        "Example:\n  postfleet reputation add bounces --when 'hard_bounce_rate > 8%' --action rest --for 12h"),
    COMMAND("reputation", "set", "NAME", cmd_reputation_set, reputation_set_options, CLIENT, "change a rule", NULL),
    COMMAND("reputation", "remove", "NAME", cmd_reputation_remove, NULL, ASKS, "remove a rule, or undo changes of one that came with Postfleet", NULL),
    COMMAND("reputation", "status", "", cmd_reputation_status, NULL, CLIENT, "servers not in good standing, and what rules did or want", NULL),
    COMMAND("reputation", "check", "", cmd_reputation_check, NULL, CLIENT, "look at all rules now, not within the minute", NULL),
    COMMAND("reputation", "approve", "ID", cmd_reputation_approve, NULL, CLIENT, "let a rule do what waits for your word", NULL),
    COMMAND("reputation", "release", "SERVER", cmd_reputation_release, NULL, CLIENT, "back to good standing at once", NULL),
    COMMAND("reputation", "signal", "SERVER", cmd_reputation_signal, reputation_signal_options, CLIENT, "tell what is said of a server elsewhere", NULL),

    COMMAND("warmup", "plans", "", cmd_warmup_plans, NULL, CLIENT, "plans to warm a new server up by", NULL),
    COMMAND("warmup", "start", "SERVER", cmd_warmup_start, warmup_start_options, CLIENT, "warm a server up: a cap a day that rises",
        "Example:\n  postfleet warmup start alpha --plan standard-45\n"
        "  postfleet warmup start beta --table 50,100,200,400 --provider gmail=40%\n"
        "Days without a message do not count; a day with too many bounces, complaints or deferrals is\n"
        "done again, block replies lead two days back. Other servers of the group take the rest."),
    COMMAND("warmup", "status", "[SERVER]", cmd_warmup_status, NULL, CLIENT, "day, cap and use, planned and actual", NULL),
    COMMAND("warmup", "hold", "SERVER", cmd_warmup_hold, NULL, CLIENT, "stay at this day", NULL),
    COMMAND("warmup", "release", "SERVER", cmd_warmup_release, NULL, CLIENT, "go on after a hold or 30 idle days", NULL),
    COMMAND("warmup", "skip", "SERVER", cmd_warmup_skip, warmup_skip_options, CLIENT, "go days forward; the cap rises at once", NULL),
    COMMAND("warmup", "stop", "SERVER", cmd_warmup_stop, NULL, ASKS, "end it; the server sends without a cap", NULL),
    COMMAND("failover", "show", "", cmd_failover_show, failover_show_options, CLIENT, "what follows each answer: rules, settings, defaults", NULL),
    COMMAND("failover", "set", "", cmd_failover_set, failover_set_options, CLIENT | CMD_DRY_RUN,
        "change what follows an answer; acts at once",
        "A rule is conditions -> action. Conditions, all of which must hold: codes (552, 4xx, 550-559), enhanced "
        "codes (5.7.1, 5.7.*), verdicts (blocked, !content), phase=rcpt,dot, a text of the reply in quotes, with * "
        "for anything between. Actions: retry_same next_server defer give_up suppress open quarantine. "
        "--dry-run tells what it would have changed in the last day.\n"
        "Example:\n  postfleet failover set --group eu --rule '552 -> next_server' \\\n"
        "      --rule \"5xx 'try another' -> next_server\" --tries-per-round 3 --dry-run"),

    COMMAND("route", "add", "NAME", cmd_route_add, route_add_options, CLIENT,
        "add a rule that sends messages to a group",
        "Rules are tried in order; the first whose conditions all hold names the group. A condition\n"
        "given several times holds when one of its values does. A group that was given with a single\n"
        "message goes before all rules. Acts at once, on messages that wait too.\n"
        "Example:\n  postfleet route add eu-shop --from-domain shop.example --country DE --country AT --group eu"),
    COMMAND("route", "list", "", cmd_route_list, NULL, CLIENT, "all rules, in their order", NULL),
    COMMAND("route", "show", "NAME", cmd_route_show, NULL, CLIENT, "one rule in full", NULL),
    COMMAND("route", "set", "NAME", cmd_route_set, route_set_options, CLIENT, "change a rule; acts at once",
        "Only what is named changes; an empty value takes a condition away."),
    COMMAND("route", "move", "NAME", cmd_route_move, route_move_options, CLIENT, "give a rule another place", NULL),
    COMMAND("route", "remove", "NAME", cmd_route_remove, NULL, ASKS, "remove a rule", NULL),
    COMMAND("route", "explain", "", cmd_route_explain, route_explain_options, CLIENT,
        "which rule, group and server a message would get now, and why not the others", NULL),

    COMMAND("list", "add", "NAME", cmd_list_add, list_options, CLIENT, "add a list of contacts", NULL),
    COMMAND("list", "list", "", cmd_list_list, NULL, CLIENT, "all lists", NULL),
    COMMAND("list", "show", "NAME", cmd_list_show, NULL, CLIENT, "one list with its counts", NULL),
    COMMAND("list", "set", "NAME", cmd_list_set, list_options, CLIENT, "change a list; acts at once", NULL),
    COMMAND("list", "remove", "NAME", cmd_list_remove, NULL, ASKS, "remove a list; its contacts stay", NULL),

    COMMAND("contact", "add", "EMAIL", cmd_contact_add, contact_add_options, CLIENT, "add a contact", NULL),
    COMMAND("contact", "import", "FILE.csv|-", cmd_contact_import, contact_import_options, CLIENT | CMD_DRY_RUN,
        "import contacts from CSV",
        "Comma, semicolon or tab; UTF-8, UTF-16 or Latin-1. A column email is needed, other headers "
        "become fields. Rows that are wrong are written to FILE.errors.csv; then the exit status is 4."),
    COMMAND("contact", "list", "", cmd_contact_list, contact_list_options, CLIENT, "contacts", NULL),
    COMMAND("contact", "show", "EMAIL", cmd_contact_show, NULL, CLIENT, "one contact with fields and lists", NULL),
    COMMAND("contact", "export", "", cmd_contact_export, contact_export_options, CLIENT, "a list as CSV, safe for spreadsheets", NULL),
    COMMAND("contact", "remove", "EMAIL", cmd_contact_remove, NULL, ASKS, "remove a contact from all lists", NULL),

    COMMAND("suppression", "add", "ADDRESS...", cmd_suppression_add, suppression_add_options, CLIENT, "send no more to these addresses", NULL),
    COMMAND("suppression", "import", "FILE.csv|-", cmd_suppression_import, suppression_import_options, CLIENT | CMD_DRY_RUN,
        "suppress addresses from a file, one a line or CSV with a column email", NULL),
    COMMAND("suppression", "list", "", cmd_suppression_list, suppression_list_options, CLIENT, "suppressed addresses", NULL),
    COMMAND("suppression", "check", "ADDRESS", cmd_suppression_check, NULL, CLIENT, "why an address is suppressed; exits 3 when it is not", NULL),
    COMMAND("suppression", "remove", "ADDRESS...", cmd_suppression_remove, NULL, ASKS, "allow sending to these addresses again", NULL),
    COMMAND("suppression", "revert", "", cmd_suppression_revert, suppression_revert_options, ASKS,
        "undo what a broken server suppressed", NULL),

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
    COMMAND("queue", "summary", "", cmd_queue_summary, NULL, CLIENT, "what waits, and for what", NULL),
    COMMAND("pause", NULL, "", cmd_pause, NULL, CLIENT, "stop all sending within a second", NULL),
    COMMAND("resume", NULL, "", cmd_resume, NULL, CLIENT, "send again", NULL),

    COMMAND("key", "create", "NAME", cmd_key_create, key_create_options, CLIENT, "make an API key; it is shown once", NULL),
    COMMAND("key", "list", "", cmd_key_list, NULL, CLIENT, "all API keys, without the secret", NULL),
    COMMAND("key", "revoke", "NAME", cmd_key_revoke, NULL, ASKS, "take an API key back", NULL),
    COMMAND("log", "tail", "", cmd_log_tail, log_tail_options, CLIENT, "the newest attempts: when, server, verdict, recipient, reply",
        "Example:\n  postfleet log tail --follow --verdict blocked --server ses1"),
    COMMAND("log", "search", "", cmd_log_search, log_search_options, CLIENT, "attempts by server, verdict, campaign, recipient, time or text, newest first", NULL),
    COMMAND("log", "patterns", "", cmd_log_patterns, patterns_options, CLIENT, "replies by shape: how often, by whom, what they mean",
        "Numbers, ids, addresses, IPs and host names are masked, so that alike replies count as one\n"
        "kind. NEW: first seen within 24 hours. What no rule knows stands first."),
    COMMAND("events", "follow", "", cmd_events_follow, events_options, CLIENT, "what happens, as it happens", NULL),

    COMMAND("bounce", "classify", "", cmd_bounce_classify, classify_options, CMD_PLAIN, "what SMTP replies mean, without a daemon",
        "Example:\n  printf 'rcpt\\t550 5.1.1 no such user\\n' | postfleet bounce classify --replies --json"),
    COMMAND("config", "check", "", cmd_config_check, NULL, CMD_OFFLINE, "is postfleet.yaml in order?", NULL),
    COMMAND("config", "show", "", cmd_config_show, NULL, CMD_OFFLINE, "every setting and where it comes from", NULL),
    COMMAND("config", "sample", "", cmd_config_sample, NULL, CMD_PLAIN, "a postfleet.yaml with every setting explained", NULL),
    COMMAND("db", "check", "", cmd_db_check, db_check_options, CMD_OFFLINE, "is the database whole?", NULL),
    COMMAND("db", "backup", "FILE", cmd_db_backup, NULL, CMD_OFFLINE, "copy the database while the daemon runs", NULL),
    COMMAND("db", "restore", "FILE", cmd_db_restore, NULL, CMD_OFFLINE | CMD_ASKS, "put a backup in the place of the database; sending is paused",
        "While no daemon runs. The backup is checked first: whole, of this version or older, and sealed\n"
        "with the key of the folder. What was there is moved to DATA/before-restore-TIME, never removed."),
    COMMAND("db", "migrate", "", cmd_db_migrate, NULL, CMD_OFFLINE | CMD_DRY_RUN, "bring the database to this version", NULL),
    COMMAND("db", "recover", "", cmd_db_recover, NULL, CMD_OFFLINE, "settle what a crash left behind, sending nothing",
        "Does what serve does first after a crash or a power cut, tells what became of the messages\n"
        "that were on their way, and checks database and ledger. serve needs no such help: this is\n"
        "for a look before it sends again. Exits 1 when something is not whole."),
    COMMAND("sink", NULL, "", cmd_sink, sink_options, CMD_THROUGH, "a test SMTP server: many ports, faults on demand",
        "Takes mail on every port, counts it, stores none. --behave makes a port misbehave; several combine,\n"
        "PORT may be A-B or *:\n"
        "  delay:PHASE:MS     answers MS later (greeting ehlo starttls auth mail rcpt data dot quit)\n"
        "  reject:PHASE:CODE  answers CODE there (rcpt and 550 by default); 421 closes as well\n"
        "  close:PHASE        drops the connection there without a word\n"
        "  quota:N[:CODE]     after N messages CODE (452)\n"
        "  refuse             the port is closed\n"
        "  hole[:PHASE]       takes the connection and never answers\n"
        "  auth[:CODE]        wants AUTH and answers CODE (535; 235 lets anybody in)\n"
        "  tls:starttls|implicit|broken\n"
        "A SHARE of 0 to 1 behind it makes it fall on a part of the messages, @FROM-TO only in that span\n"
        "of seconds since the start.\n"
        "Examples:\n"
        "  postfleet sink --ports 2501-2504 --log sink.log --behave 2502=reject:rcpt:550:0.1\n"
        "  postfleet sink --ports 2501 --behave 2501=delay:dot:200 --behave 2501=refuse@20-40"),
    COMMAND("bench", NULL, "[campaign|tls|rtt|pick|import|start]", cmd_bench, bench_options, CMD_THROUGH, "measure this machine",
        "campaign, tls and rtt send to sinks of their own on loopback, import and start look at\n"
        "the database. Every rate stands beside a baseline: see doc/BENCH.md."),
    COMMAND("completion", NULL, "bash|zsh|fish", cmd_completion, NULL, 0, "shell completion to be sourced",
        "Example:\n  source <(postfleet completion bash)"),
    COMMAND("version", NULL, "", cmd_version, NULL, CMD_PLAIN, "version of the program", NULL),
    COMMAND("help", NULL, "[COMMAND] [VERB]", cmd_help, help_options, 0, "help for all or one command", NULL),
};
/* clang-format on */
const size_t n_commands = countof(commands);
