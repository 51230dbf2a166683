/* What a transcript being played consists of, and how its lines are read. */
#ifndef TALK_H
#define TALK_H

#include "base/buf.h"
#include "smtp/client.h"

enum { TALK_WHOLE = 0, TALK_BY_BYTE = -1, TALK_MESSAGES = 8 };

struct talk_message {
    struct smtp_envelope e;
    struct buf text; /* what the envelope points into */
    struct str body;
};

struct talk {
    const char *file;
    size_t line_number;
    ptrdiff_t cut; /* TALK_WHOLE, TALK_BY_BYTE, or after that many bytes of the server */
    ptrdiff_t fed;
    bool failed, chunk, garbage;
    struct smtp_client *c;
    struct secret *password;
    int64_t now_ms;
    struct buf server, client;
    struct talk_socket *socket; /* NULL: the server is the file */
    struct talk_message messages[TALK_MESSAGES];
};

struct talk_word {
    const char *word;
    bool (*play)(struct talk *t, struct str rest);
};

/* Makes the client as the `config` lines of the text say. */
void talk_start(struct talk *t, const char *file, struct str text, ptrdiff_t cut);
void talk_finish(struct talk *t);
/* \r \n \t \0 \\ \xHH */
bool talk_unescape(struct str s, struct buf *out);
/* Takes a number and the blank behind it off the front. */
uint64_t talk_number(struct str *s);
struct talk_message *talk_message(struct talk *t, uint64_t id);
/* ID [from=A] [rcpt=A] [body=TEXT] [8bit] [utf8] [requiretls] [ret= envid= notify= orcpt=]
 */
struct talk_message *talk_message_read(struct talk *t, struct str rest);
/* A blocking connection to 127.0.0.1; NULL when there is none. */
struct talk_socket *talk_socket_open(uint16_t port);
void talk_socket_close(struct talk_socket **s);
/* Reads exactly n bytes; false when the peer closed before. n 0: waits for the close. */
bool talk_socket_read(struct talk_socket *s, char *p, size_t n);
void talk_socket_write(struct talk_socket *s, struct str bytes);
bool talk_socket_tls(struct talk_socket *s);
bool talk_read_file(const char *path, struct buf *out);

#endif
