/* What the files of intake share.
 *   intake.c           listeners, credentials in force
 *   intake_session.c   a connection: bytes, events of smtp/server, who is in
 *   intake_mail.c      one mail: its rights, recipients, body, rows
 *   intake_header.c    what a mail's header asks of us, and the header that goes on */
#ifndef ENGINE_INTAKE_INNER_H
#define ENGINE_INTAKE_INNER_H

#include "base/arena.h"
#include "engine/admin_outgoing.h"
#include "engine/derive.h"
#include "engine/intake.h"
#include "engine/network.h"
#include "engine/state.h"
#include "net/listen.h"
#include "net/tls.h"
#include "smtp/server.h"
#include "store/credentials.h"

#define INTAKE_SIZE_MAX       (OUTGOING_MAX - (1u << 20)) /* bytes of a mail as it comes */
#define INTAKE_RECIPIENTS_MAX 100
#define INTAKE_SESSIONS_MAX   5000
#define INTAKE_BODIES_MAX     (256u << 20) /* bytes of all mails that are coming or with us */
#define INTAKE_RECEIVED_MAX   50           /* Received fields: RFC 5321, 6.3 */
#define INTAKE_HEADER_MAX     (1u << 20)

struct rights { /* a credential in force; counted, immutable but for `revoked` */
    int refs;
    bool revoked;
    struct credential *c;
    struct network *networks;
    bool has_proof; /* a login has succeeded: the next ones with that password cost no derivation */
    uint8_t proof[SMTP_KEY_SIZE];
};

struct intake {
    struct core *core;
    struct listener *plain, *tls;
    bool plain_is_loopback, tls_is_loopback;
    struct tls_identity *identity; /* NULL: no TLS */
    struct map_str *users;         /* name -> struct rights */
    struct list sessions;
    struct map_u64 *peers;       /* place of an address -> its open connections */
    uint32_t n_sessions, n_busy; /* mails with a desk or the ledger */
    size_t body_bytes;
    uint8_t decoy[SMTP_KEY_SIZE], proof_key[SMTP_KEY_SIZE];
    bool is_stopping;
};

struct intake_session {
    struct list link;
    struct intake *in;
    struct conn *conn;
    struct smtp_server *smtp; /* NULL: implicit TLS is not there yet */
    struct timer *timer;
    struct derivation *derivation;
    struct rights *asked, *who; /* whose keys were asked for; who is in */
    bool has_proof;
    uint8_t proof[SMTP_KEY_SIZE]; /* of the password that is being looked at */
    struct intake_mail *mail;     /* since MAIL; NULL: none */
    char peer[80];                /* address in figures */
    uint64_t place;               /* of that address: counted in in->peers */
    bool is_tls, in_pump, is_over, may_clear;
};

/* What a header asks of us; strings live in the arena. */
struct intake_words {
    struct arena *arena;
    struct buf tags;
    json_t *metadata; /* object, or NULL */
    const char *group;
    bool has_lane, is_test;
    enum lane lane;
    int64_t send_at, expires_at;
    struct str idempotency;
    unsigned received, from_fields;
};

struct intake_mail {
    struct pool_job desk;
    struct ledger_job lj;
    struct intake *in;
    struct intake_session *session; /* NULL: it is gone */
    struct rights *who;
    struct addr from; /* n 0: the null path */
    struct addr *to;
    char **dsn; /* of each recipient; NULL: nothing was said */
    size_t n, cap;
    struct addr asked; /* a recipient that suppression is asked about */
    char *asked_dsn;
    char ret[8], envid[104]; /* said with MAIL; "": not */
    bool is_suppressed, is_away;
    bool is_full; /* no room for its body */
    char suppressed_why[400];
    struct buf body, raw; /* as it came; with our header */
    char received[900];
    struct intake_words words;
    struct composed *mails; /* by recipient; the first has the bytes */
    struct admin_context ctx;
    char spool[4200];
    uint64_t first_id;
    bool is_replayed;
    uint8_t hash[32];
    int code; /* 0: as it should be */
    const char *enhanced;
    struct err error;
};

/* intake.c */
struct rights *rights_keep(struct rights *r);
void rights_drop(struct rights **r);
/* May whoever is at `peer` log in as that user? NULL: no, and it is not said why. */
struct rights *intake_user(struct intake *in, struct str user, const char *peer);
void intake_session_begin(struct intake *in, int fd, bool tls); /* intake_session.c */
void intake_session_stop(struct intake_session *s);
void intake_session_pump(struct intake_session *s);
void intake_session_free(struct intake_session *s);

/* intake_mail.c: each answers the machine, now or later */
void intake_mail_begin(struct intake_session *s, const struct smtp_server_event *e);
void intake_mail_recipient(struct intake_session *s, const struct smtp_server_event *e);
void intake_mail_data(struct intake_session *s);
void intake_mail_body(struct intake_session *s, struct str bytes);
void intake_mail_done(struct intake_session *s);
/* The session wants it no more. */
void intake_mail_drop(struct intake_session *s);

/* intake_header.c. Fills m->words and m->raw. On a desk. */
bool intake_header_read(struct intake_mail *m, struct err *e) MUST_USE;
void intake_words_free(struct intake_words *w);

#endif
