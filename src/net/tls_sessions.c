/* TLS sessions kept for the next connections, a shelf a peer.
 *
 * RFC 8446, C.4 asks for a new ticket on each connection, so that nobody watching can tell that
 * two come from the same client; servers give one or two tickets a connection. So the newest is
 * taken off the shelf, but the last one stays: our peers see our address anyway, and a full
 * handshake costs them and us more than twice. One that was not accepted is dropped. Bounded:
 * SHELVES peers, those unused for longest go first. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/map.h"
#include "net/tls_inner.h"

#define SHELVES   2048
#define PER_SHELF 8
#define KEY_SIZE  288

struct shelf {
    struct list age; /* unused for longest first */
    char key[KEY_SIZE];
    unsigned n;
    SSL_SESSION *at[PER_SHELF]; /* newest last */
};

struct tls_sessions {
    struct map_str *shelves;
    struct list ages;
};

static void key_of(const struct tls_peer *peer, char out[KEY_SIZE])
{
    snprintf(out, KEY_SIZE, "%llx %d %s", (unsigned long long)peer->session_key, peer->verify,
             peer->host);
}

static void shelf_free(struct tls_sessions *s, struct shelf *shelf)
{
    for (unsigned i = 0; i < shelf->n; i++)
        SSL_SESSION_free(shelf->at[i]);
    map_str_remove(s->shelves, str_of(shelf->key));
    list_remove(&shelf->age);
    free(shelf);
}

static void shelf_remove(struct shelf *shelf, unsigned i)
{
    SSL_SESSION_free(shelf->at[i]);
    memmove(&shelf->at[i], &shelf->at[i + 1], (shelf->n - i - 1) * sizeof shelf->at[0]);
    shelf->n--;
}

static struct shelf *shelf_find(struct tls_sessions *s, const struct tls_peer *peer)
{
    char key[KEY_SIZE];
    key_of(peer, key);
    struct shelf *shelf = map_str_get(s->shelves, str_of(key));
    if (shelf) {
        list_remove(&shelf->age);
        list_push_back(&s->ages, &shelf->age);
    }
    return shelf;
}

static struct shelf *shelf_make(struct tls_sessions *s, const struct tls_peer *peer)
{
    if (map_str_count(s->shelves) >= SHELVES)
        shelf_free(s, list_first(&s->ages, struct shelf, age));
    struct shelf *shelf = alloc_one(struct shelf);
    key_of(peer, shelf->key);
    map_str_set(s->shelves, str_of(shelf->key), shelf);
    list_push_back(&s->ages, &shelf->age);
    return shelf;
}

struct tls_sessions *tls_sessions_new(void)
{
    struct tls_sessions *s = alloc_one(struct tls_sessions);
    s->shelves = map_str_new();
    list_init(&s->ages);
    return s;
}

void tls_sessions_free(struct tls_sessions **sp)
{
    struct tls_sessions *s = *sp;
    if (!s)
        return;
    while (!list_empty(&s->ages))
        shelf_free(s, list_first(&s->ages, struct shelf, age));
    map_str_free(&s->shelves);
    free(s);
    *sp = NULL;
}

static bool is_once(const SSL_SESSION *session)
{
    return SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
}

void tls_sessions_add(struct tls_sessions *s, const struct tls_peer *peer, SSL_SESSION *session)
{
    struct shelf *shelf = shelf_find(s, peer);
    if (!shelf)
        shelf = shelf_make(s, peer);
    /* A TLS 1.2 session is used over and over: the newest does. */
    while (shelf->n > 0 && (shelf->n == PER_SHELF || !is_once(session)))
        shelf_remove(shelf, 0);
    shelf->at[shelf->n++] = session;
}

static bool has_run_out(const SSL_SESSION *session)
{
    return SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session) <= (long)time(NULL) ||
           !SSL_SESSION_is_resumable(session);
}

SSL_SESSION *tls_sessions_take(struct tls_sessions *s, const struct tls_peer *peer)
{
    struct shelf *shelf = shelf_find(s, peer);
    if (!shelf)
        return NULL;
    while (shelf->n > 0 && has_run_out(shelf->at[shelf->n - 1]))
        shelf_remove(shelf, shelf->n - 1);
    if (shelf->n == 0)
        return NULL;
    SSL_SESSION *session = shelf->at[shelf->n - 1];
    if (!is_once(session)) {
        SSL_SESSION_up_ref(session);
        return session;
    }
    /* OpenSSL spoils a TLS 1.3 session once it was resumed; the one that stays is given as a copy.
     */
    if (shelf->n == 1)
        return SSL_SESSION_dup(session);
    shelf->n--;
    return session;
}

static bool is_same(const SSL_SESSION *a, const SSL_SESSION *b)
{
    const unsigned char *ticket_a = NULL, *ticket_b = NULL;
    size_t n_a = 0, n_b = 0;
    SSL_SESSION_get0_ticket(a, &ticket_a, &n_a);
    SSL_SESSION_get0_ticket(b, &ticket_b, &n_b);
    return a == b || (n_a > 0 && n_a == n_b && memcmp(ticket_a, ticket_b, n_a) == 0);
}

void tls_sessions_drop(struct tls_sessions *s, const struct tls_peer *peer,
                       const SSL_SESSION *session)
{
    struct shelf *shelf = shelf_find(s, peer);
    for (unsigned i = 0; shelf && i < shelf->n; i++) {
        if (is_same(shelf->at[i], session)) {
            shelf_remove(shelf, i);
            return;
        }
    }
}
