/* Commands: domains that mail is sent from, and their DKIM keys. Their place in help is that of
 * their table in commands.c. */
#include "main/table.h"

/* clang-format off */
#define DOMAIN_EXPIRES                                                                            \
    OPT(ARG_DURATION, "expires", "D", "expires", "signatures hold so long, or none: for good (default)", \
        RANGE(HOUR_MS, INT64_C(365) * 24 * HOUR_MS), .flags = OPT_NONE_OK)
static const struct option domain_add_options[] = {
    OPT(ARG_CHOICE, "dkim", "WHICH", "dkim", "keys to make: rsa (default), ed25519, both or none",
        .choices = "rsa|ed25519|both|none"),
    OPT(ARG_TEXT, "selector", "S", "selector", "selector of the key (default: by month)"), DOMAIN_EXPIRES, END};
static const struct option domain_set_options[] = {DOMAIN_EXPIRES, END};
static const struct option keygen_options[] = {
    OPT(ARG_TEXT, "selector", "S", "selector", "its name in DNS (default: by month)"),
    OPT(ARG_CHOICE, "algorithm", "A", "algorithm", "rsa (default; 2048 bits) or ed25519", .choices = "rsa|ed25519"),
    OPT(ARG_CHOICE, "start", "WHEN", "start", "sign with it now, or once its record is published (default for a second key)",
        .choices = "now|published"),
    OPT(ARG_FILE, "private-key", "FILE.pem", NULL, "take this key instead of making one; - is standard input"), END};

const struct command commands_domains[] = {
    COMMAND("domain", "add", "NAME", cmd_domain_add, domain_add_options, CLIENT, "add a domain that mail is sent from, with a key for DKIM", NULL),
    COMMAND("domain", "list", "", cmd_domain_list, NULL, CLIENT, "all domains, and how their last check went", NULL),
    COMMAND("domain", "show", "NAME", cmd_domain_show, NULL, CLIENT, "one domain with its keys and last check", NULL),
    COMMAND("domain", "set", "NAME", cmd_domain_set, domain_set_options, CLIENT, "change a domain; acts at once", NULL),
    COMMAND("domain", "remove", "NAME", cmd_domain_remove, NULL, ASKS, "remove a domain and its keys", NULL),
    COMMAND("domain", "check", "NAME", cmd_domain_check, NULL, CLIENT, "SPF, DKIM, DMARC, MX and host of links, for each server; what to publish",
        "Asks DNS now, and tells for each server that may send the domain's mail whether it will pass.\n"
        "Exits 4 when something is bad. All domains are checked every six hours; changes are events."),
    COMMAND("dkim", "keygen", "DOMAIN", cmd_dkim_keygen, keygen_options, CLIENT, "make a DKIM key and print the record to publish",
        "Works without a daemon too. The first key of an algorithm signs at once; a later one waits until a\n"
        "check has seen its record, then takes over from the older one, which is retired."),
    COMMAND("dkim", "show", "DOMAIN [SELECTOR]", cmd_dkim_show, NULL, CLIENT, "keys of a domain with their records", NULL),
    COMMAND("dkim", "activate", "DOMAIN SELECTOR", cmd_dkim_activate, NULL, CLIENT, "sign with this key from now on", NULL),
    COMMAND("dkim", "retire", "DOMAIN SELECTOR", cmd_dkim_retire, NULL, CLIENT, "sign with this key no more", NULL),
    COMMAND("dkim", "remove", "DOMAIN SELECTOR", cmd_dkim_remove, NULL, ASKS, "remove a key for good", NULL),
};
const size_t n_commands_domains = countof(commands_domains);
/* clang-format on */
