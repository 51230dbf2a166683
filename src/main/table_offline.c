/* Commands: what needs no daemon, and the daemon itself. Their place in help is that of their table
 * in commands.c. */
#include "main/table.h"

/* clang-format off */
static const struct option top_options[] = {
    OPT(ARG_DURATION, "interval", "D", NULL, "ask again after this long (default 1s)", RANGE(200, HOUR_MS)),
    FLAG("once", NULL, "print once and end"), END};
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
    OPT(ARG_ENDPOINT, "submission", "ADDR:PORT", NULL, "where applications submit mail by SMTP (STARTTLS)"),
    OPT(ARG_ENDPOINT, "submission-tls", "ADDR:PORT", NULL, "the same with TLS from the first byte"),
    OPT(ARG_CHOICE, "role", "ROLE", NULL, "", .choices = "core|web", .flags = OPT_HIDDEN),
    OPT(ARG_COUNT, "parent-pid", "N", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_COUNT, "poison-fd", "N", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_COUNT, "desk-threads", "N", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_COUNT, "ledger-ahead", "N", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_COUNT, "submission-per-address", "N", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "http-url", "U", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "public-url", "U", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "dns-servers", "S", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "ca-file", "F", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "cert-file", "F", NULL, "", .flags = OPT_HIDDEN),
    OPT(ARG_TEXT, "key-file", "F", NULL, "", .flags = OPT_HIDDEN),
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
    OPT(ARG_CHOICE, "dkim", "A", NULL, "sign the campaign: rsa or ed25519", .choices = "rsa|ed25519"),
    OPT(ARG_CHOICE, "tls", "MODE", NULL, "of bench tls", .choices = "starttls|tls"),
    OPT(ARG_COUNT, "per-connection", "N", NULL, "messages a connection", RANGE(0, 1000000)),
    OPT(ARG_COUNT, "rtt", "MS", NULL, "round trip of bench rtt (default 20)", RANGE(0, 10000)),
    OPT(ARG_COUNT, "ahead", "N", NULL, "intents ahead of the disk", RANGE(0, 65536)),
    OPT(ARG_COUNT, "sync-delay", "MS", NULL, "what --slow-sync adds to every sync (default 5)", RANGE(0, 1000)),
    OPT(ARG_FILE, "slow-sync", "FILE", NULL, "library that delays syncs: bench/run builds it"),
    OPT(ARG_DIR, "keep", "DIR", NULL, "keep the data folder"),
    FLAG("json", NULL, "figures as JSON, an object a bench"), END};
static const struct option sink_options[] = {
    OPT(ARG_TEXT, "ports", "A-B", NULL, "ports of 127.0.0.1 to listen on", .flags = OPT_REQUIRED),
    OPT(ARG_FILE, "log", "FILE", NULL, "a line per accepted message"),
    OPT(ARG_TEXT, "bind", "ADDR", NULL, "another address than 127.0.0.1, still on loopback"),
    OPT(ARG_FILE, "cert", "FILE", NULL, "certificate and key for TLS, PEM"),
    FLAG("json", NULL, "figures as JSON"),
    OPT(ARG_TEXT, "behave", "PORT=VERB[:PHASE][:CODE][:SHARE][:to=DOMAIN][@FROM-TO]", NULL,
        "fault of a port: delay, reject, close, quota, refuse, hole, auth, tls", .flags = OPT_REPEAT), END};

const struct command commands_start[] = {
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
};
const size_t n_commands_start = countof(commands_start);

const struct command commands_offline[] = {
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
        "Takes mail on every port, counts it, stores none. --behave makes a port misbehave; several combine, "
        "PORT may be A-B or *:\n"
        "  delay:PHASE:MS     answers MS later (greeting ehlo starttls auth mail rcpt data dot quit)\n"
        "  reject:PHASE:CODE  answers CODE there (rcpt and 550 by default); 421 closes as well\n"
        "  close:PHASE        drops the connection there without a word\n"
        "  quota:N[:CODE]     after N messages CODE (452)\n"
        "  refuse             the port is closed\n"
        "  hole[:PHASE]       takes the connection and never answers\n"
        "  auth[:CODE]        wants AUTH and answers CODE (535; 235 lets anybody in)\n"
        "  tls:starttls|implicit|broken\n"
        "A SHARE of 0 to 1 behind it makes it fall on a part of the messages, to=DOMAIN on those "
        "to a domain\n"
        "(of the phases rcpt, data and dot), @FROM-TO only in that span of seconds since the start.\n"
        "Examples:\n"
        "  postfleet sink --ports 2501-2504 --log sink.log --behave 2502=reject:rcpt:550:0.1\n"
        "  postfleet sink --ports 2501 --behave 2501=delay:dot:200 --behave 2501=refuse@20-40"),
    COMMAND("bench", NULL, "[campaign|relay|dkim|tls|rtt|pick|import|start|http]", cmd_bench, bench_options, CMD_THROUGH, "measure this machine",
        "campaign, tls and rtt send to sinks of their own on loopback, import and start look at\n"
        "the database, http posts batches while sending is paused, relay takes mail in by SMTP and sends it\n"
        "on, beside Postfix where there is one. Every rate stands beside a baseline: see doc/BENCH.md."),
    COMMAND("completion", NULL, "bash|zsh|fish", cmd_completion, NULL, 0, "shell completion to be sourced",
        "Example:\n  source <(postfleet completion bash)"),
    COMMAND("version", NULL, "", cmd_version, NULL, CMD_PLAIN, "version of the program", NULL),
    COMMAND("help", NULL, "[COMMAND] [VERB]", cmd_help, help_options, 0, "help for all or one command", NULL),
};
const size_t n_commands_offline = countof(commands_offline);
/* clang-format on */
