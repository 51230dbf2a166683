/* Commands: groups, rules, warm-ups, failover, routes. Their place in help is that of their table
 * in commands.c. */
#include "main/table.h"

/* clang-format off */
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

const struct command commands_fleet[] = {
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
};
const size_t n_commands_fleet = countof(commands_fleet);
/* clang-format on */
