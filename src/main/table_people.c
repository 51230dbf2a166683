/* Commands: lists, contacts, suppressions. Their place in help is that of their table in
 * commands.c. */
#include "main/table.h"

/* clang-format off */
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

const struct command commands_people[] = {
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
};
const size_t n_commands_people = countof(commands_people);
/* clang-format on */
