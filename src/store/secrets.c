/* Master key, sealing and derived keys: see secrets.h. The file holds one line: a magic word and
 * the key in base64. Sealed form: 1 byte version, 24 bytes nonce, ciphertext with a 16-byte tag. */
#include "store/secrets.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/codec.h"
#include "store/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC          "postfleet-key-1 "
#define FILE_BYTES_MAX 256
#define VERSION        1
#define NONCE_BYTES    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES      crypto_aead_xchacha20poly1305_ietf_ABYTES
#define CONTEXT        "postflt1" /* crypto_kdf_CONTEXTBYTES */
#define CHECK_SETTING  "key_check"
#define PATH_BYTES     4096

enum subkey { SUBKEY_SEAL = 1, SUBKEY_LABELS = 2 };

struct secrets {
    struct secret *seal, *labels; /* the master key itself is not kept */
    char path[PATH_BYTES];
};

static struct secret *subkey(const uint8_t *master, enum subkey id)
{
    uint8_t key[SECRETS_KEY_BYTES];
    check(crypto_kdf_derive_from_key(key, sizeof key, (uint64_t)id, CONTEXT, master) == 0);
    struct secret *s = secret_new(key, sizeof key);
    secret_wipe(key, sizeof key);
    return s;
}

static bool path_in(const char *dir, char out[PATH_BYTES], struct err *e)
{
    int n = snprintf(out, PATH_BYTES, "%s/" SECRETS_FILE, dir);
    return (n > 0 && n < PATH_BYTES) || err_set(e, ERR_INVALID, "path %.80s... is too long", dir);
}

static bool write_whole(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

static bool sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The whole line in a new file of that name; one that an earlier try left is removed. */
static bool write_key(const char *path, struct err *e)
{
    uint8_t key[SECRETS_KEY_BYTES];
    struct buf line;
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (fd < 0)
        return err_set(
            e, errno == ENOSPC ? ERR_FULL : ERR_FAILED,
            "key file %s cannot be created: %s; check the folder's owner and permissions", path,
            strerror(errno));
    randombytes_buf(key, sizeof key);
    buf_init(&line, FILE_BYTES_MAX);
    bool ok = buf_adds(&line, MAGIC) && codec_base64_add(&line, key, sizeof key) &&
              buf_addc(&line, '\n') && write_whole(fd, line.p, line.n) && fsync(fd) == 0;
    int error = errno;
    close(fd);
    secret_wipe(key, sizeof key);
    secret_wipe(line.p, line.n);
    buf_free(&line);
    return ok || err_set(e, error == ENOSPC ? ERR_FULL : ERR_FAILED,
                         "key file %s cannot be written: %s", path, strerror(error));
}

/* Under its own name there is only ever a whole key, whatever a power cut leaves: link() gives the
 * name to synced bytes, and never takes it from another key. */
bool secrets_create(const char *dir, struct err *e)
{
    char path[PATH_BYTES], fresh[PATH_BYTES + 8];
    if (!path_in(dir, path, e))
        return false;
    check(sodium_init() >= 0);
    if (access(path, F_OK) == 0)
        return err_set(e, ERR_CONFLICT, "key file %s is there already; it is never replaced", path);
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    if (!write_key(fresh, e)) {
        (void)unlink(fresh);
        return false;
    }
    bool ok = link(fresh, path) == 0;
    int error = errno;
    (void)unlink(fresh);
    if (!ok && error == EEXIST)
        return err_set(e, ERR_CONFLICT, "key file %s is there already; it is never replaced", path);
    ok = ok && sync_folder(dir);
    return ok || err_set(e, error == ENOSPC ? ERR_FULL : ERR_FAILED,
                         "key file %s cannot be written: %s", path, strerror(error));
}

/* False with e->code ERR_NOT_FOUND when there is no such file. */
static bool read_file(const char *path, char *out, size_t size, size_t *n_out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_NOT_ALLOWED,
                       "key file %s cannot be read: %s", path, strerror(errno));
    struct stat st;
    ssize_t n = -1;
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (n = read(fd, out, size)) >= 0;
    close(fd);
    if (!ok)
        return err_set(e, ERR_FAILED, "key file %s is no readable file", path);
    *n_out = (size_t)n;
    /* A systemd credential is made by the system, with modes of its own. */
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    bool ours = !credentials || !str_starts(str_of(path), str_of(credentials));
    if (ours && (st.st_mode & 077))
        return err_set(e, ERR_NOT_ALLOWED,
                       "key file %s can be read by others: run 'chmod 0400 %s' (and think of the "
                       "passwords it protects as seen)",
                       path, path);
    return true;
}

static bool parse_key(struct str text, uint8_t key[SECRETS_KEY_BYTES])
{
    struct str line = str_trim(text), magic = STR(MAGIC);
    if (!str_starts(line, magic))
        return false;
    struct buf b;
    buf_init(&b, FILE_BYTES_MAX);
    bool ok = codec_base64_decode(str_from_index(line, magic.n), &b) && b.n == SECRETS_KEY_BYTES;
    if (ok)
        memcpy(key, b.p, SECRETS_KEY_BYTES);
    if (b.p)
        secret_wipe(b.p, b.n);
    buf_free(&b);
    return ok;
}

static bool load_from(const char *path, struct secrets **out, struct err *e)
{
    char text[FILE_BYTES_MAX];
    uint8_t key[SECRETS_KEY_BYTES];
    size_t n = 0;
    if (!read_file(path, text, sizeof text, &n, e))
        return false;
    bool ok = parse_key(str_from(text, n), key);
    secret_wipe(text, sizeof text);
    if (!ok)
        return err_set(e, ERR_CORRUPT,
                       "key file %s is no key of postfleet; put the right one back from a backup",
                       path);
    struct secrets *s = alloc_one(struct secrets);
    (void)snprintf(s->path, sizeof s->path, "%s", path);
    s->seal = subkey(key, SUBKEY_SEAL);
    s->labels = subkey(key, SUBKEY_LABELS);
    secret_wipe(key, sizeof key);
    *out = s;
    return true;
}

bool secrets_load(const char *dir, struct secrets **out, struct err *e)
{
    char path[PATH_BYTES];
    struct err own = {0};
    *out = NULL;
    check(sodium_init() >= 0);
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (credentials && *credentials && path_in(credentials, path, &own)) {
        if (load_from(path, out, &own))
            return true;
        if (own.code != ERR_NOT_FOUND)
            return err_set(e, own.code, "%s", own.text);
    }
    if (!path_in(dir, path, e))
        return false;
    if (load_from(path, out, &own))
        return true;
    if (own.code == ERR_NOT_FOUND)
        return err_set(
            e, ERR_NOT_FOUND,
            "key file %s is missing: put it back from a backup (a new folder gets one by "
            "'postfleet init')",
            path);
    return err_set(e, own.code, "%s", own.text);
}

void secrets_free(struct secrets **sp)
{
    struct secrets *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    secret_free(&s->seal);
    secret_free(&s->labels);
    free(s);
}

void secrets_derive(const struct secrets *s, const char *label, uint8_t out[SECRETS_KEY_BYTES])
{
    struct str key = secret_reveal(s->labels);
    check(crypto_generichash(out, SECRETS_KEY_BYTES, (const uint8_t *)label, strlen(label),
                             (const uint8_t *)key.p, key.n) == 0);
}

/* One sealed password, of the oldest server that has one; its id, 0: there is none. */
static bool any_sealed(struct db *db, struct buf *out, uint64_t *id_out, struct err *e)
{
    struct stmt *s = db_stmt(
        db, "SELECT id, password FROM server WHERE password IS NOT NULL ORDER BY num LIMIT 1", e);
    bool row = false;
    *id_out = 0;
    if (!s || !db_step(s, &row, e))
        return false;
    if (row) {
        struct str sealed = db_blob(s, 1);
        *id_out = (uint64_t)db_i64(s, 0);
        buf_add(out, sealed.p, sealed.n);
    }
    db_reset(s);
    return true;
}

/* The check value of the key, what the database holds of it, and one sealed password. */
struct evidence {
    struct buf expected, stored, sealed;
    bool found;
    uint64_t server_id;
};

static bool gather(const struct secrets *s, struct db *db, struct evidence *x, struct err *e)
{
    uint8_t own[SECRETS_KEY_BYTES];
    *x = (struct evidence){.found = false};
    buf_init(&x->expected, 256);
    buf_init(&x->stored, 256);
    buf_init(&x->sealed, 1 + NONCE_BYTES + SECRETS_PLAIN_MAX + TAG_BYTES);
    secrets_derive(s, "check", own);
    return codec_base64_add(&x->expected, own, sizeof own) &&
           settings_get(db, CHECK_SETTING, &x->stored, &x->found, e) &&
           any_sealed(db, &x->sealed, &x->server_id, e);
}

static void evidence_free(struct evidence *x)
{
    buf_free(&x->expected);
    buf_free(&x->stored);
    buf_free(&x->sealed);
}

static bool is_foreign(const struct evidence *x)
{
    return x->found ? !str_eq(buf_str(&x->stored), buf_str(&x->expected)) : x->server_id != 0;
}

static bool refuse(const struct secrets *s, struct db *db, struct err *e)
{
    return err_set(e, ERR_REFUSED,
                   "key file %s is not the one that database %s was made with: put the right one "
                   "back from a backup",
                   s->path, db_path(db));
}

bool secrets_match(const struct secrets *s, struct db *db, struct err *e)
{
    struct evidence x;
    bool ok = gather(s, db, &x, e);
    if (ok && is_foreign(&x))
        ok = refuse(s, db, e);
    else if (ok && !x.found)
        ok = settings_set(db, CHECK_SETTING, buf_str(&x.expected), e);
    evidence_free(&x);
    return ok;
}

bool secrets_check(const struct secrets *s, struct db *db, struct err *e)
{
    struct evidence x;
    struct secret *plain = NULL;
    bool ok = gather(s, db, &x, e);
    if (ok && is_foreign(&x))
        ok = refuse(s, db, e);
    else if (ok && x.server_id)
        ok = secrets_unseal(s, "server", x.server_id, "password", buf_str(&x.sealed), &plain, e);
    secret_free(&plain);
    evidence_free(&x);
    return ok;
}

int64_t secrets_written_at(const struct secrets *s, const char **path_out)
{
    struct stat st;
    *path_out = s->path;
    return stat(s->path, &st) == 0 ? (int64_t)st.st_mtime * 1000 : 0;
}

static int place_text(char *out, size_t size, const char *table, uint64_t id, const char *column)
{
    int n = snprintf(out, size, "%s|%llu|%s", table, (unsigned long long)id, column);
    check(n > 0 && (size_t)n < size);
    return n;
}

bool secrets_seal(const struct secrets *s, const char *table, uint64_t id, const char *column,
                  struct str plain, struct buf *out, struct err *e)
{
    char place[160];
    int place_n = place_text(place, sizeof place, table, id, column);
    size_t n = 1 + NONCE_BYTES + plain.n + TAG_BYTES;
    char *p = plain.n <= SECRETS_PLAIN_MAX ? buf_reserve(out, n) : NULL;
    if (!p)
        return err_set(e, ERR_TOO_BIG, "%s.%s: a secret of %zu bytes is too large", table, column,
                       plain.n);
    unsigned char *at = (unsigned char *)p;
    at[0] = VERSION;
    randombytes_buf(at + 1, NONCE_BYTES);
    check(crypto_aead_xchacha20poly1305_ietf_encrypt(
              at + 1 + NONCE_BYTES, NULL, (const unsigned char *)plain.p, plain.n,
              (const unsigned char *)place, (unsigned long long)place_n, NULL, at + 1,
              (const unsigned char *)secret_reveal(s->seal).p) == 0);
    buf_commit(out, n);
    return true;
}

bool secrets_unseal(const struct secrets *s, const char *table, uint64_t id, const char *column,
                    struct str sealed, struct secret **out, struct err *e)
{
    char place[160];
    int place_n = place_text(place, sizeof place, table, id, column);
    const unsigned char *at = (const unsigned char *)sealed.p;
    *out = NULL;
    bool shaped = sealed.n >= 1 + NONCE_BYTES + TAG_BYTES && at[0] == VERSION &&
                  sealed.n <= 1 + NONCE_BYTES + TAG_BYTES + SECRETS_PLAIN_MAX;
    if (shaped) {
        size_t n = sealed.n - 1 - NONCE_BYTES, plain_n = n - TAG_BYTES;
        unsigned char *plain = alloc_bytes(plain_n + 1);
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(
                plain, NULL, NULL, at + 1 + NONCE_BYTES, n, (const unsigned char *)place,
                (unsigned long long)place_n, at + 1,
                (const unsigned char *)secret_reveal(s->seal).p) == 0)
            *out = secret_new(plain, plain_n);
        secret_wipe(plain, plain_n);
        free(plain);
    }
    return *out || err_set(e, ERR_CORRUPT,
                           "the sealed %s of %s %llu does not open: it was changed, or sealed with "
                           "another key; set it anew",
                           column, table, (unsigned long long)id);
}
