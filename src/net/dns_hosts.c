/* The hosts file as a map from name to addresses. A file that cannot be read is an empty one; what
 * is over 1 MB of it is not looked at. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/str.h"
#include "net/dns_inner.h"

#define FILE_MAX      (1u << 20)
#define LOOK_AGAIN_MS 5000

struct host {
    size_t n[DNS_TYPES];
    struct dns_record records[DNS_TYPES][DNS_RECORDS_MAX];
};

struct dns_hosts {
    char *path;
    struct map_str *names;
    int64_t looked_ms;
    struct timespec changed;
    off_t size;
};

static void clear(struct dns_hosts *h)
{
    size_t pos = 0;
    struct str key;
    void *host;
    while (map_str_next(h->names, &pos, &key, &host))
        free(host);
    map_str_free(&h->names);
    h->names = map_str_new();
}

static bool take_word(struct str *line, struct str *word)
{
    *line = str_trim(*line);
    size_t n = 0;
    while (n < line->n && !ascii_isspace(line->p[n]))
        n++;
    *word = str_cut(*line, 0, n);
    *line = str_from_index(*line, n);
    return n > 0;
}

static void add_name(struct dns_hosts *h, struct str word, enum dns_type type,
                     const struct dns_record *record)
{
    char name[254];
    if (!str_copy(word, name, sizeof name))
        return;
    for (char *p = name; *p; p++)
        *p = ascii_lower(*p);
    struct host *host = map_str_get(h->names, str_of(name));
    if (!host) {
        host = alloc_one(struct host);
        map_str_set(h->names, str_of(name), host);
    }
    if (host->n[type] < DNS_RECORDS_MAX)
        host->records[type][host->n[type]++] = *record;
}

static void add_line(struct dns_hosts *h, struct str line)
{
    ptrdiff_t hash = str_chr(line, '#');
    if (hash >= 0)
        line = str_cut(line, 0, (size_t)hash);
    struct str word;
    char address[64];
    enum dns_type type;
    struct dns_record record;
    if (!take_word(&line, &word) || !str_copy(word, address, sizeof address) ||
        !dns_literal(address, &type, &record))
        return;
    while (take_word(&line, &word))
        add_name(h, word, type, &record);
}

static void load(struct dns_hosts *h)
{
    clear(h);
    int fd = open(h->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    struct buf b;
    buf_init(&b, FILE_MAX);
    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0 && buf_add(&b, part, (size_t)n))
        ;
    close(fd);
    struct str rest = buf_str(&b), line;
    while (rest.n > 0 && str_split(&rest, '\n', &line))
        add_line(h, line);
    buf_free(&b);
}

struct dns_hosts *dns_hosts_new(const char *path)
{
    struct dns_hosts *h = alloc_one(struct dns_hosts);
    h->path = alloc_copy(path);
    h->names = map_str_new();
    h->looked_ms = INT64_MIN;
    return h;
}

void dns_hosts_free(struct dns_hosts **hp)
{
    struct dns_hosts *h = *hp;
    if (!h)
        return;
    clear(h);
    map_str_free(&h->names);
    free(h->path);
    free(h);
    *hp = NULL;
}

void dns_hosts_refresh(struct dns_hosts *h, int64_t now_ms)
{
    if (h->looked_ms != INT64_MIN && now_ms - h->looked_ms < LOOK_AGAIN_MS)
        return;
    h->looked_ms = now_ms;
    struct stat st;
    if (stat(h->path, &st) != 0) {
        clear(h);
        h->size = 0;
        return;
    }
    if (st.st_size == h->size && st.st_mtim.tv_sec == h->changed.tv_sec &&
        st.st_mtim.tv_nsec == h->changed.tv_nsec)
        return;
    h->size = st.st_size;
    h->changed = st.st_mtim;
    load(h);
}

static void loopback(enum dns_type type, struct dns_record *out)
{
    memset(out, 0, sizeof *out);
    if (type == DNS_A) {
        out->address[0] = 127;
        out->address[3] = 1;
    } else {
        out->address[15] = 1;
    }
}

bool dns_hosts_find(const struct dns_hosts *h, struct str name, enum dns_type type,
                    struct dns_record *records, size_t *n_out)
{
    const struct host *host = map_str_get(h->names, name);
    if (host) {
        *n_out = host->n[type];
        memcpy(records, host->records[type], *n_out * sizeof *records);
        return true;
    }
    if (!str_is(name, "localhost") && !str_ends(name, STR(".localhost")))
        return false;
    loopback(type, &records[0]);
    *n_out = 1;
    return true;
}
