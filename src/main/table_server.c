/* Commands: servers and limits. Their place in help is that of their table in commands.c. */
#include "main/table.h"

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
    OPT(ARG_CHOICE, "dkim", "HOW", "dkim", "sign its mail: auto (default: unless its provider does), on or off", \
        .choices = "auto|on|off"),                                                                \
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
static const struct option release_options[] = {
    OPT(ARG_NAME, "provider", "P", "provider", "only for this mailbox provider, which it is closed to or slowed for: one message tries now"), END};
static const struct option isolate_options[] = {
    OPT(ARG_TEXT, "to", "A[,B...]", NULL, "addresses to probe, at most 10", .flags = OPT_REPEAT | OPT_REQUIRED),
    OPT(ARG_TEXT, "server", "S[,T...]", NULL, "servers to compare, at most 200", .flags = OPT_REPEAT),
    OPT(ARG_NAME, "group", "G", NULL, "all servers of this group (default: default)"),
    OPT(ARG_TEXT, "from", "A", NULL, "From address instead of each server's own"),
    FLAG("verbose", NULL, "also the conversations of all probes"), END};
static const struct option server_export_options[] = {
    OPT(ARG_FILE, "output", "FILE", NULL, "write to FILE instead of standard output"), END};
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

const struct command commands_servers[] = {
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
    COMMAND("server", "release", "NAME", cmd_server_release, release_options, CLIENT, "let a quarantined or suspect server back, by a ramp", NULL),
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
    COMMAND("server", "export", "", cmd_server_export, server_export_options, CLIENT, "all servers as CSV, without passwords", NULL),
    COMMAND("server", "presets", "[WORD]", cmd_server_presets, NULL, CMD_PLAIN, "providers known to server add --preset", NULL),
    COMMAND("limit", "set", "", cmd_limit_set, limit_set_options, CLIENT, "limit a group, campaign, credential or mailbox provider; acts at once",
        "What a server may take is set with server set. All limits that concern a message are checked\n"
        "together; it waits until all of them have room.\n\n"
        "  postfleet limit set --campaign spring --per-hour 5k\n"
        "  postfleet limit set --provider gmail --per-minute 300\n"
        "  postfleet limit set --server ses1 --provider outlook --per-hour 2k"),
    COMMAND("limit", "list", "", cmd_limit_list, NULL, CLIENT, "limits beside those of servers, with their use", NULL),
    COMMAND("limit", "remove", "", cmd_limit_remove, limit_subject_options, CLIENT, "lift a limit", NULL),
};
const size_t n_commands_servers = countof(commands_servers);
/* clang-format on */
