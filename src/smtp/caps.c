/* EHLO keywords as a table: a keyword sets a bool, SIZE and AUTH read their parameters too.
 * "AUTH=LOGIN" of old servers is understood. Nothing here fails: odd lines mean nothing. */
#include "smtp/caps.h"

struct keyword {
    const char *word;
    size_t at; /* offset of its bool in struct smtp_caps */
};

static const struct keyword KEYWORDS[] = {
    {"PIPELINING", offsetof(struct smtp_caps, pipelining)},
    {"CHUNKING", offsetof(struct smtp_caps, chunking)},
    {"STARTTLS", offsetof(struct smtp_caps, starttls)},
    {"8BITMIME", offsetof(struct smtp_caps, eightbit)},
    {"SMTPUTF8", offsetof(struct smtp_caps, utf8)},
    {"DSN", offsetof(struct smtp_caps, dsn)},
    {"ENHANCEDSTATUSCODES", offsetof(struct smtp_caps, enhanced)},
    {"REQUIRETLS", offsetof(struct smtp_caps, require_tls)},
    {"SIZE", offsetof(struct smtp_caps, size)},
};

static const struct keyword MECHANISMS[] = {
    {"PLAIN", offsetof(struct smtp_caps, auth_plain)},
    {"LOGIN", offsetof(struct smtp_caps, auth_login)},
    {"CRAM-MD5", offsetof(struct smtp_caps, auth_cram_md5)},
    {"SCRAM-SHA-256", offsetof(struct smtp_caps, auth_scram_sha256)},
    {"XOAUTH2", offsetof(struct smtp_caps, auth_xoauth2)},
};

static bool set_bool(struct smtp_caps *caps, const struct keyword *table, size_t n, struct str word)
{
    for (size_t i = 0; i < n; i++) {
        if (!str_iis(word, table[i].word))
            continue;
        *(bool *)((char *)caps + table[i].at) = true;
        return true;
    }
    return false;
}

static void read_line(struct smtp_caps *caps, struct str line)
{
    struct str word = STR_NONE;

    if (str_istarts(line, STR("AUTH=")))
        line = str_from_index(line, 5);
    else if (!str_split(&line, ' ', &word))
        return;
    bool is_auth = word.p == NULL || str_iis(word, "AUTH");
    if (!is_auth)
        set_bool(caps, KEYWORDS, countof(KEYWORDS), word);
    if (str_iis(word, "SIZE") && !str_to_u64(str_trim(line), UINT64_MAX, &caps->size_max))
        caps->size_max = 0;
    while (is_auth && str_split(&line, ' ', &word))
        set_bool(caps, MECHANISMS, countof(MECHANISMS), word);
}

void smtp_caps_read(struct smtp_caps *caps, struct str lines)
{
    struct str line;

    memset(caps, 0, sizeof *caps);
    str_split(&lines, '\n', &line);
    while (str_split(&lines, '\n', &line))
        read_line(caps, line);
}
