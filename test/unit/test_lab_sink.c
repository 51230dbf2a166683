/* The sink over real sockets on loopback: what it takes, logs and counts, each fault on demand, and
 * the behaviour words. Every wait has a limit; nothing here measures time but for "not before". */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/alloc.h"
#include "base/clock.h"
#include "lab/sink.h"

static char log_path[64];

static struct sink *start(const char *const *specs, size_t n, uint16_t ports)
{
    struct sink *s = NULL;
    struct sink_behaviour b[8];
    struct err e = {0};
    char text[128];
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "1=%s", specs[i]);
        if (!sink_parse_behaviour(str_of(text), &b[i], &e))
            fail_msg("%s", e.text);
        b[i].port = 0; /* all ports */
    }
    struct sink_config cfg = {
        .ports = ports, .log_path = log_path, .behaviour = b, .behaviours = n};
    if (!sink_start(&cfg, &s, &e))
        fail_msg("%s", e.text);
    return s;
}

static struct sink *start_one(const char *spec)
{
    return start(&spec, spec ? 1 : 0, 1);
}

static int dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void put(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* Reads until `want` is seen, the end, or the limit. False: it was not seen. */
static bool sees_within(int fd, const char *want, int limit_ms)
{
    char got[65536];
    size_t n = 0;
    int64_t end = clock_boot_ms() + limit_ms;
    while (n + 1 < sizeof(got)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = end - clock_boot_ms();
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        ssize_t k = recv(fd, got + n, sizeof(got) - 1 - n, 0);
        if (k <= 0)
            return false;
        n += (size_t)k;
        got[n] = '\0';
        if (strstr(got, want))
            return true;
    }
    return false;
}

static bool sees(int fd, const char *want)
{
    return sees_within(fd, want, 5000);
}

/* True when the peer ends the connection within the limit; what comes before is skipped. */
static bool is_dropped(int fd)
{
    char got[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 5000) > 0)
        if (recv(fd, got, sizeof(got), 0) <= 0)
            return true;
    return false;
}

/* All that was put is read: the kernel holds nothing more for the peer. */
static void wait_until_read(int fd)
{
    struct sockaddr_in us, them;
    socklen_t n = sizeof(us), m = sizeof(them);
    char line[512], want[64];
    assert_int_equal(getsockname(fd, (struct sockaddr *)&us, &n), 0);
    assert_int_equal(getpeername(fd, (struct sockaddr *)&them, &m), 0);
    /* "local:port remote:port state tx:rx", hexadecimal; the sink's side has its own port first */
    snprintf(want, sizeof(want), "0100007F:%04X 0100007F:%04X", ntohs(them.sin_port),
             ntohs(us.sin_port));
    for (bool is_read = false; !is_read;) {
        FILE *f = fopen("/proc/net/tcp", "r");
        assert_non_null(f);
        is_read = true;
        while (fgets(line, sizeof(line), f)) {
            unsigned state = 0, tx = 0, rx = 0;
            const char *at = strstr(line, want);
            if (at && sscanf(at + strlen(want), " %x %x:%x", &state, &tx, &rx) == 3)
                is_read = rx == 0;
        }
        fclose(f);
    }
}

static struct sink_counts counts(const struct sink *s)
{
    struct sink_counts c = {0};
    sink_count(s, 0, &c);
    return c;
}

#define ENVELOPE "MAIL FROM:<a@x.example> SIZE=10\r\nRCPT TO:<b@y.example>\r\n"
#define MAIL     ENVELOPE "DATA\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n.\r\n"

static void takes_mail_in_any_cut(void **state)
{
    (void)state;
    struct sink *s = start_one(NULL);
    static const char talk[] =
        "EHLO me\r\n" MAIL ENVELOPE "BDAT 7\r\nhello\r\nBDAT 3 LAST\r\n.\r\n" ENVELOPE
        "DATA\r\n.\r\n" ENVELOPE "DATA\r\n..\r\n.x\r\n\r.\r\n.\r\nQUIT\r\n";
    for (size_t cut = 1; cut < sizeof(talk) - 1; cut += cut < 80 ? 1 : 7) {
        int fd = dial(sink_port(s, 0));
        assert_true(fd >= 0);
        (void)!send(fd, talk, cut, MSG_NOSIGNAL);
        if (cut % 5 == 0)
            wait_until_read(fd);
        (void)!send(fd, talk + cut, sizeof(talk) - 1 - cut, MSG_NOSIGNAL);
        assert_true(sees(fd, "221 "));
        assert_true(is_dropped(fd));
        close(fd);
    }
    struct sink_counts c = counts(s);
    assert_int_equal(c.messages, 4 * c.connections);
    assert_int_equal(c.bdat, c.connections);
    assert_int_equal(c.refused, 0);
    assert_int_equal(c.bytes, c.connections * (28 + 10 + 0 + 12));
    sink_stop(&s);
    assert_null(s);
}

static void finds_the_end_wherever_it_lies(void **state)
{
    (void)state;
    struct sink *s = start_one(NULL);
    int fd = dial(sink_port(s, 0));
    uint64_t bytes = 0;
    char body[1200];
    put(fd, "EHLO me\r\n");
    for (size_t n = 0; n < 1100; n++) {
        for (size_t i = 0; i < n; i++) /* stuffed dots and bare ends of line on the way */
            body[i] = (i * 7 + n) % 61 == 0 ? '\n' : (i * 7 + n) % 61 == 7 ? '.' : 'a';
        memcpy(body + n, "\r\n.\r\n", 6);
        put(fd, ENVELOPE "DATA\r\n");
        put(fd, body);
        bytes += n + 2;
    }
    put(fd, "QUIT\r\n");
    bool said_bye = false;
    for (int i = 0; i < 20 && !said_bye; i++) /* each look takes up to 64 KB */
        said_bye = sees(fd, "221 ");
    assert_true(said_bye);
    struct sink_counts c = counts(s);
    assert_int_equal(c.messages, 1100);
    assert_int_equal(c.bytes, bytes);
    assert_int_equal(c.refused, 0);
    close(fd);
    sink_stop(&s);
}

static void logs_each_message(void **state)
{
    (void)state;
    unlink(log_path);
    struct sink *s = start_one(NULL);
    int fd = dial(sink_port(s, 0));
    put(fd, "EHLO me\r\n" MAIL "MAIL FROM:<>\r\nRCPT TO:<c@y.example>\r\nRCPT TO:<d@y.example>\r\n"
            "DATA\r\nSubject: x\r\nmessage-id:\r\n <2@x>\r\n\r\nMessage-ID: <no>\r\n.\r\nQUIT\r\n");
    assert_true(sees(fd, "221 "));
    close(fd);
    unsigned port = sink_port(s, 0), port_1, port_2;
    sink_stop(&s);
    char line_1[300], line_2[300], rest_1[200], rest_2[200];
    long long time_1, time_2;
    FILE *f = fopen(log_path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line_1, sizeof(line_1), f));
    assert_non_null(fgets(line_2, sizeof(line_2), f));
    assert_null(fgets(rest_1, sizeof(rest_1), f));
    fclose(f);
    assert_int_equal(sscanf(line_1, "%u %lld %199[^\n]", &port_1, &time_1, rest_1), 3);
    assert_int_equal(sscanf(line_2, "%u %lld %199[^\n]", &port_2, &time_2, rest_2), 3);
    assert_int_equal(port_1, port);
    assert_string_equal(rest_1, "<1@x> a@x.example b@y.example");
    assert_string_equal(rest_2, "<2@x> <> c@y.example,d@y.example");
    assert_true(time_2 >= time_1 && time_1 > 1600000000000);
}

static void rejects_a_share(void **state)
{
    (void)state;
    struct sink *s = start_one("reject:rcpt:550:0.25");
    int fd = dial(sink_port(s, 0));
    put(fd, "EHLO me\r\n");
    for (int i = 0; i < 40; i++)
        put(fd, ENVELOPE "RSET\r\n");
    put(fd, "QUIT\r\n");
    assert_true(sees(fd, "221 "));
    assert_int_equal(counts(s).refused, 10);
    close(fd);
    sink_stop(&s);
}

static void falls_on_a_domain_alone(void **state)
{
    (void)state;
    struct sink *s = start_one("reject:rcpt:554:to=sick.example");
    int fd = dial(sink_port(s, 0));
    put(fd, "EHLO me\r\n" ENVELOPE "RSET\r\nMAIL FROM:<a@b.example>\r\n"
            "RCPT TO:<x@Sick.Example>\r\nRSET\r\nMAIL FROM:<a@b.example>\r\n"
            "RCPT TO:<x@very.sick.example>\r\nQUIT\r\n");
    assert_true(sees(fd, "221 "));
    assert_int_equal(counts(s).refused, 1);
    close(fd);
    sink_stop(&s);
}

static void says(const char *spec, const char *talk, const char *want)
{
    struct sink *s = start_one(spec);
    int fd = dial(sink_port(s, 0));
    assert_true(fd >= 0);
    put(fd, talk);
    if (!sees(fd, want))
        fail_msg("%s: no `%s`", spec, want);
    close(fd);
    sink_stop(&s);
}

static void answers_as_told(void **state)
{
    (void)state;
    says("reject:greeting:554", "", "554 ");
    says("reject:greeting:421", "", "421 4.3.2");
    says("reject:ehlo:502", "EHLO me\r\n", "502 ");
    says("reject:rcpt:554", "EHLO me\r\n" ENVELOPE, "554 5.7.1 Client host blocked");
    says("reject:mail:451", "EHLO me\r\n" ENVELOPE, "451 4.3.0");
    says("reject:mail", "EHLO me\r\n" ENVELOPE, "550 5.1.8");
    says("reject:data:554", "EHLO me\r\n" MAIL, "554 ");
    says("reject:dot:552", "EHLO me\r\n" MAIL, "552 5.2.2");
    says("reject:dot:554", "EHLO me\r\n" MAIL, "554 5.7.1");
    says("auth", "EHLO me\r\nAUTH PLAIN AGEAYg==\r\n", "535 5.7.8");
    says("auth:454", "EHLO me\r\nAUTH PLAIN AGEAYg==\r\n", "454 4.7.0");
    says("auth", "EHLO me\r\n" ENVELOPE, "530 5.7.0");
    says("auth:235", "EHLO me\r\nAUTH LOGIN\r\nYQ==\r\nYg==\r\n" ENVELOPE, "250 2.1.5");
    says("auth:235", "EHLO me\r\nAUTH CRAM-MD5\r\nYQ==\r\n" ENVELOPE, "250 2.1.5");
    says("quota:1", "EHLO me\r\n" MAIL MAIL, "452 4.5.3 Daily");
    says("quota:0:421", "EHLO me\r\n" MAIL, "421 4.5.3 Daily");
    says(NULL, "EHLO me\r\nWHAT\r\n", "500 5.5.2");
    says(NULL, "EHLO me\r\nRCPT TO:<a@b>\r\n", "503 ");
    says(NULL, "EHLO me\r\nAUTH PLAIN\r\n*\r\n", "501 ");
    says(NULL, "EHLO me\r\nSTARTTLS\r\n", "502 ");
    says("tls:broken", "EHLO me\r\nSTARTTLS\r\n", "no handshake");
}

static void quota_is_exact(void **state)
{
    (void)state;
    struct sink *s = start_one("quota:3");
    int a = dial(sink_port(s, 0)), b = dial(sink_port(s, 0));
    put(a, "EHLO me\r\n" ENVELOPE "DATA\r\nx\r\n");
    assert_true(sees(a, "354 "));
    put(b, "EHLO me\r\n" MAIL MAIL MAIL "QUIT\r\n");
    assert_true(sees(b, "221 "));
    put(a, ".\r\nQUIT\r\n"); /* its MAIL was taken before the quota was used up */
    assert_true(sees(a, "452 4.5.3"));
    assert_int_equal(counts(s).messages, 3);
    close(a);
    close(b);
    sink_stop(&s);
}

static void drops_where_told(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *before, *seen, *then;
    } cases[] = {
        {"close", "", NULL, ""},
        {"close:greeting", "", NULL, ""},
        {"close:mail", "EHLO me\r\n", "ENHANCED", ENVELOPE},
        {"close:rcpt", "EHLO me\r\nMAIL FROM:<a@b>\r\n", "2.1.0", "RCPT TO:<a@b>\r\n"},
        {"close:data", "EHLO me\r\n" ENVELOPE, "2.1.5", "DATA\r\n"},
        {"close:dot", "EHLO me\r\n" ENVELOPE "DATA\r\nx\r\n", "354", ".\r\n"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct sink *s = start_one(cases[i].spec);
        int fd = dial(sink_port(s, 0));
        put(fd, cases[i].before);
        if (cases[i].seen)
            assert_true(sees(fd, cases[i].seen));
        put(fd, cases[i].then);
        assert_true(is_dropped(fd));
        assert_int_equal(counts(s).messages, 0);
        close(fd);
        sink_stop(&s);
    }
}

static void holes_say_nothing(void **state)
{
    (void)state;
    struct sink *s = start_one("hole");
    int fd = dial(sink_port(s, 0));
    assert_true(fd >= 0);
    put(fd, "EHLO me\r\n");
    assert_false(sees_within(fd, "2", 200));
    close(fd);
    sink_stop(&s);
    s = start_one("hole:dot");
    fd = dial(sink_port(s, 0));
    put(fd, "EHLO me\r\n" MAIL);
    assert_true(sees(fd, "354 "));
    assert_false(sees_within(fd, "2.0.0", 200));
    assert_int_equal(counts(s).messages, 0);
    close(fd);
    sink_stop(&s);
}

static void delays_not_before(void **state)
{
    (void)state;
    struct sink *s = start_one("delay:dot:120");
    int fd = dial(sink_port(s, 0));
    int64_t began = clock_boot_ms();
    put(fd, "EHLO me\r\n" MAIL MAIL "QUIT\r\n");
    assert_true(sees(fd, "221 "));
    assert_true(clock_boot_ms() - began >= 240); /* a thinking server: one after the other */
    close(fd);
    sink_stop(&s);
    s = start_one("delay:120");
    fd = dial(sink_port(s, 0));
    began = clock_boot_ms();
    assert_true(sees(fd, "220 "));
    assert_true(clock_boot_ms() - began >= 120); /* a long line: all in one go */
    put(fd, "EHLO me\r\n" MAIL MAIL "QUIT\r\n");
    assert_true(sees(fd, "221 "));
    assert_true(clock_boot_ms() - began >= 240);
    close(fd);
    sink_stop(&s);
}

/* Until somebody listens there again. */
static int dial_when_open(uint16_t port)
{
    for (int i = 0; i < 1000; i++, usleep(5000)) {
        int fd = dial(port);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

static void ports_close_and_open(void **state)
{
    (void)state;
    static const char *const specs[] = {"refuse@0-0.3"};
    struct sink *s = start(specs, 1, 2);
    uint16_t port = sink_port(s, 1);
    assert_int_equal(dial(port), -1);
    int fd = dial_when_open(port);
    assert_true(fd >= 0);
    assert_true(sees(fd, "220 "));
    struct sink_behaviour b = {.verb = SINK_REFUSE, .share = 1, .to_ms = INT64_MAX};
    struct err e = {0};
    assert_true(sink_behave(s, port, &b, 1, &e));
    assert_true(is_dropped(fd));
    close(fd);
    assert_int_equal(dial(port), -1);
    assert_true(sink_behave(s, port, NULL, 0, &e));
    fd = dial_when_open(port);
    assert_true(sees(fd, "220 "));
    close(fd);
    assert_false(sink_behave(s, 1, NULL, 0, &e));
    sink_stop(&s);
}

/* Says `talk` over TLS and looks for `want`; *session is offered and replaced. */
static bool sees_over_tls(SSL_CTX *ctx, int fd, const char *talk, const char *want,
                          SSL_SESSION **session)
{
    char got[8192];
    size_t n = 0;
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    if (*session)
        SSL_set_session(ssl, *session);
    bool found = false;
    if (SSL_connect(ssl) == 1) {
        SSL_write(ssl, talk, (int)strlen(talk));
        for (int k; !found && (k = SSL_read(ssl, got + n, (int)(sizeof(got) - 1 - n))) > 0;) {
            n += (size_t)k;
            got[n] = '\0';
            found = strstr(got, want) != NULL;
        }
    }
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(ssl);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    return found;
}

static void speaks_tls_and_resumes(void **state)
{
    (void)state;
    char cert[80];
    snprintf(cert, sizeof(cert), "%s.pem", log_path);
    struct sink_behaviour b = {
        .verb = SINK_TLS, .tls = SINK_TLS_STARTTLS, .share = 1, .to_ms = INT64_MAX};
    struct sink_config cfg = {.ports = 1, .cert_path = cert, .behaviour = &b, .behaviours = 1};
    for (int implicit = 0; implicit < 2; implicit++) {
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        SSL_SESSION *session = NULL;
        struct sink *s = NULL;
        struct err e = {0};
        b.tls = implicit ? SINK_TLS_IMPLICIT : SINK_TLS_STARTTLS;
        assert_true(sink_start(&cfg, &s, &e));
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        assert_int_equal(SSL_CTX_load_verify_locations(ctx, cert, NULL), 1);
        for (int turn = 0; turn < 3; turn++) {
            int fd = dial(sink_port(s, 0));
            if (!implicit) {
                put(fd, "EHLO me\r\n");
                assert_true(sees(fd, "250-STARTTLS"));
                put(fd, "STARTTLS\r\nNOOP injected\r\n");
                assert_true(sees(fd, "220 2.0.0"));
            }
            assert_true(sees_over_tls(ctx, fd, "EHLO me\r\n" MAIL "QUIT\r\n", "221 ", &session));
            close(fd);
        }
        struct sink_counts c = counts(s);
        assert_int_equal(c.messages, 3);
        assert_int_equal(c.tls_full, 1);
        assert_int_equal(c.tls_resumed, 2);
        SSL_SESSION_free(session);
        SSL_CTX_free(ctx);
        sink_stop(&s);
    }
    unlink(cert);
}

static const struct {
    const char *text;
    struct sink_behaviour want;
} good_words[] = {
    {"2500=refuse", {2500, SINK_REFUSE, PHASE_NONE, 0, 1, 0, 0, 0, 0, INT64_MAX, ""}},
    {"1=refuse@2-5.5", {1, SINK_REFUSE, PHASE_NONE, 0, 1, 0, 0, 0, 2000, 5500, ""}},
    {"1=refuse@10-", {1, SINK_REFUSE, PHASE_NONE, 0, 1, 0, 0, 0, 10000, INT64_MAX, ""}},
    {"1=refuse@-5", {1, SINK_REFUSE, PHASE_NONE, 0, 1, 0, 0, 0, 0, 5000, ""}},
    {"1=delay:dot:50", {1, SINK_DELAY, PHASE_DOT, 0, 1, 0, 50, 0, 0, INT64_MAX, ""}},
    {"1=delay:20", {1, SINK_DELAY, PHASE_NONE, 0, 1, 0, 20, 0, 0, INT64_MAX, ""}},
    {"1=reject:mail:451:.5", {1, SINK_REJECT, PHASE_MAIL, 451, .5, 0, 0, 0, 0, INT64_MAX, ""}},
    {"1=reject:0.1", {1, SINK_REJECT, PHASE_RCPT, 550, .1, 0, 0, 0, 0, INT64_MAX, ""}},
    {"1=reject", {1, SINK_REJECT, PHASE_RCPT, 550, 1, 0, 0, 0, 0, INT64_MAX, ""}},
    {"1=close:dot:0.5@1-2", {1, SINK_CLOSE, PHASE_DOT, 0, .5, 0, 0, 0, 1000, 2000, ""}},
    {"1=quota:100:421", {1, SINK_QUOTA, PHASE_NONE, 421, 1, 100, 0, 0, 0, INT64_MAX, ""}},
    {"1=hole", {1, SINK_HOLE, PHASE_GREETING, 0, 1, 0, 0, 0, 0, INT64_MAX, ""}},
    {"1=auth:454", {1, SINK_AUTH, PHASE_NONE, 454, 1, 0, 0, 0, 0, INT64_MAX, ""}},
    {"1=tls:implicit", {1, SINK_TLS, PHASE_NONE, 0, 1, 0, 0, SINK_TLS_IMPLICIT, 0, INT64_MAX, ""}},
    {"1=reject:rcpt:451:0.5:to=a.example@1-",
     {1, SINK_REJECT, PHASE_RCPT, 451, .5, 0, 0, 0, 1000, INT64_MAX, "a.example"}},
    {"1=delay:dot:9:to=b.example",
     {1, SINK_DELAY, PHASE_DOT, 0, 1, 0, 9, 0, 0, INT64_MAX, "b.example"}},
};
static const char *const bad_words[] = {
    "",
    "2500",
    "=refuse",
    "x=refuse",
    "70000=refuse",
    "0=refuse",
    "1=",
    "1=dance",
    "1=delay",
    "1=delay:dot",
    "1=delay:dot:5:6",
    "1=delay:lunch:5",
    "1=reject:rcpt:9999",
    "1=reject:dns:550",
    "1=reject:rcpt:550:1.5",
    "1=reject:rcpt:550:0.5:x",
    "1=close:550",
    "1=quota",
    "1=quota:x",
    "1=refuse:1",
    "1=tls",
    "1=tls:none",
    "1=tls:best",
    "1=refuse@",
    "1=refuse@5",
    "1=refuse@5-2",
    "1=refuse@a-b",
    "1=refuse@-",
    "1=reject:rcpt:",
    "1=auth:99",
    "1=hole:5",
    "1=hole:to=a.example",
    "1=delay:9:to=a.example",
    "1=reject:rcpt:to=",
    "1=reject:rcpt:to=a:to=b",
    "1=quota:5:to=a.example",
};

static void words_are_checked(void **state)
{
    (void)state;
    struct err e = {0};
    struct sink_behaviour b;
    for (size_t i = 0; i < countof(good_words); i++) {
        if (!sink_parse_behaviour(str_of(good_words[i].text), &b, &e))
            fail_msg("%s", e.text);
        const struct sink_behaviour *w = &good_words[i].want;
        if (b.port != w->port || b.verb != w->verb || b.phase != w->phase || b.code != w->code ||
            b.share != w->share || b.count != w->count || b.ms != w->ms || b.tls != w->tls ||
            b.from_ms != w->from_ms || b.to_ms != w->to_ms || strcmp(b.domain, w->domain) != 0)
            fail_msg("%s is read as another thing", good_words[i].text);
    }
    for (size_t i = 0; i < countof(bad_words); i++) {
        e.text[0] = '\0';
        if (sink_parse_behaviour(str_of(bad_words[i]), &b, &e))
            fail_msg("%s is taken", bad_words[i]);
        assert_non_null(strstr(e.text, "--behave"));
    }
}

static void command_line_is_checked(void **state)
{
    (void)state;
    static const char *const bad[][4] = {
        {"sink", NULL},
        {"sink", "--ports"},
        {"sink", "--ports", "9-3"},
        {"sink", "--ports", "0"},
        {"sink", "--prots", "1-2"},
        {"sink", "word"},
        {"sink", "--ports=2000", "--behave", "2001=refuse"},
        {"sink", "--ports=2000", "--behave=2000=dance"},
    };
    int saved = dup(2), quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(quiet, 2);
    for (size_t i = 0; i < countof(bad); i++) {
        char *argv[5] = {0};
        int argc = 0;
        while (argc < 4 && bad[i][argc]) {
            argv[argc] = alloc_copy(bad[i][argc]);
            argc++;
        }
        int status = lab_sink_main(argc, argv);
        for (int k = 0; k < argc; k++)
            free(argv[k]);
        if (status != 2)
            fail_msg("case %zu ends with %d", i, status);
    }
    dup2(saved, 2);
    close(saved);
    close(quiet);
    struct sink *s = start_one(NULL), *second = NULL;
    struct err e = {0};
    struct sink_config cfg = {.first_port = sink_port(s, 0), .ports = 1};
    assert_false(sink_start(&cfg, &second, &e));
    assert_non_null(strstr(e.text, "cannot listen"));
    cfg = (struct sink_config){.ports = 1, .log_path = "/nonexistent/x/y"};
    assert_false(sink_start(&cfg, &second, &e));
    sink_stop(&s);
}

int main(void)
{
    snprintf(log_path, sizeof(log_path), "/tmp/test-lab-sink-%d.log", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_mail_in_any_cut),   cmocka_unit_test(finds_the_end_wherever_it_lies),
        cmocka_unit_test(logs_each_message),       cmocka_unit_test(rejects_a_share),
        cmocka_unit_test(answers_as_told),         cmocka_unit_test(quota_is_exact),
        cmocka_unit_test(drops_where_told),        cmocka_unit_test(holes_say_nothing),
        cmocka_unit_test(delays_not_before),       cmocka_unit_test(ports_close_and_open),
        cmocka_unit_test(speaks_tls_and_resumes),  cmocka_unit_test(words_are_checked),
        cmocka_unit_test(command_line_is_checked), cmocka_unit_test(falls_on_a_domain_alone),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(log_path);
    return failed;
}
