/* The server on whole sessions: the shared corpus of smuggling sequences, each sent whole and cut
 * at every byte; a matrix of pipelined mails whose answers are refused in every combination; keys
 * by the example of RFC 7677; limits of what it keeps. Transcripts are in test/talk/server. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "smtp_server_auto.h"

#define LOGIN "EHLO x\r\nAUTH PLAIN AHVzZXIAcGVuY2ls\r\n"
#define BEGIN "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n"

/* The whole session cut once at `at`; 0: whole. */
static void play(struct auto_driver *d, struct str session, size_t at, unsigned refuse)
{
    auto_start(d, refuse, false);
    if (at > 0)
        auto_feed(d, str_cut(session, 0, at));
    auto_feed(d, str_from_index(session, at));
}

static int count(const struct buf *b, const char *what)
{
    int n = 0;
    struct str s = buf_str(b), w = str_of(what);

    for (ptrdiff_t at; (at = str_find(s, w)) >= 0; n++)
        s = str_from_index(s, (size_t)at + w.n);
    return n;
}

static void same_every_way(struct str session, unsigned refuse)
{
    struct auto_driver whole, cut;

    play(&whole, session, 0, refuse);
    for (size_t at = 1; at < session.n; at++) {
        play(&cut, session, at, refuse);
        assert_true(str_eq(buf_str(&whole.said), buf_str(&cut.said)));
        assert_true(str_eq(buf_str(&whole.seen), buf_str(&cut.seen)));
        auto_finish(&cut);
    }
    auto_finish(&whole);
}

/* ---- smuggling ---- */

static void unescape(struct str s, struct buf *out)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\\') {
            buf_addc(out, s.p[i]);
        } else if (s.p[++i] == 'x') {
            char hex[3] = {s.p[i + 1], s.p[i + 2], 0};
            buf_addc(out, (char)strtol(hex, NULL, 16));
            i += 2;
        } else {
            buf_addc(out, s.p[i] == 'r' ? '\r' : s.p[i] == 'n' ? '\n' : s.p[i]);
        }
    }
}

/* A mail hides a second one behind what might look like its end. */
static void smuggle(struct str sequence)
{
    struct buf session;
    struct auto_driver d;

    buf_init(&session, 8192);
    buf_adds(&session, LOGIN BEGIN "Subject: a\r\n\r\nhello");
    unescape(sequence, &session);
    buf_adds(&session, BEGIN "Subject: smuggled\r\n\r\nevil\r\n.\r\nQUIT\r\n");
    for (size_t at = 0; at < session.n; at++) {
        play(&d, buf_str(&session), at, 0);
        assert_int_equal(count(&d.seen, "a@b.test"), 1);
        assert_int_equal(count(&d.said, "\r\n250 2.0.0 ok\r\n354"), 1);
        /* Refused, or (a NUL in front of the dot) taken as one mail only after all of it. */
        assert_int_equal(count(&d.said, "554 5.6.0"), 1);
        assert_int_equal(count(&d.seen, "smuggled"), 0);
        auto_finish(&d);
    }
    buf_free(&session);
}

static void smuggling_corpus(void **state)
{
    const char *shared = getenv("POSTFLEET_SHARED"), *root = getenv("POSTFLEET_SOURCE_ROOT");
    char path[4096], line[4096];
    int n = 0;

    snprintf(path, sizeof path, "%s%s/corpora/attacks/smuggling-sequences.tsv",
             shared != NULL ? shared
             : root != NULL ? root
                            : "..",
             shared != NULL ? "" : "/../shared");
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        printf("# SKIP no %s (set POSTFLEET_SHARED)\n", path);
        return;
    }
    while (fgets(line, sizeof line, f) != NULL) {
        struct str rest = str_of(line), id, sequence;
        str_split(&rest, '\t', &id);
        str_split(&rest, '\t', &sequence);
        if (!str_starts(id, STR("SS")))
            continue;
        smuggle(sequence);
        n++;
    }
    fclose(f);
    assert_true(n >= 5);
}

/* Every pair of line ends around a dot but the true one. */
static void smuggling_matrix(void **state)
{
    static const char *const ENDS[] = {"\\n",    "\\r",         "\\r\\r\\n",  "\\n\\r",
                                       "\\r\\n", "\\r\\n\\x00", "\\x00\\r\\n"};
    char sequence[64];

    for (size_t i = 0; i < countof(ENDS); i++) {
        for (size_t k = 0; k < countof(ENDS); k++) {
            bool is_end = str_ends(str_of(ENDS[i]), STR("\\r\\n")) &&
                          str_starts(str_of(ENDS[k]), STR("\\r\\n"));
            snprintf(sequence, sizeof sequence, "%s.%s", ENDS[i], ENDS[k]);
            if (!is_end)
                smuggle(str_of(sequence));
        }
    }
}

/* ---- pipelining ---- */

/* Two mails with BDAT, all of it sent at once; whatever is refused, each command has one answer,
 * and chunks are never taken for commands. */
static void pipelining_matrix(void **state)
{
    static const char SESSION[] = LOGIN
        "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<e@f.test>\r\n"
        "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nRSET\r\nRSET\r\n"
        "MAIL FROM:<g@h.test>\r\nRCPT TO:<i@j.test>\r\nBDAT 6 LAST\r\nNOOP\r\nRSET\r\nNOOP\r\n";
    struct str session = str_from(SESSION, sizeof SESSION - 1);

    for (unsigned refuse = 0; refuse < 32; refuse++) {
        struct auto_driver d;
        play(&d, session, 0, refuse);
        assert_false(d.ended);
        /* greeting, EHLO (one line has no '-'), AUTH, and eleven commands */
        int answers = 0;
        struct str all = buf_str(&d.said), line;
        while (str_split(&all, '\n', &line))
            answers += line.n > 3 && line.p[3] == ' ';
        assert_int_equal(answers, 14);
        assert_int_equal(count(&d.seen, "QUIT"),
                         refuse & 1 || (refuse & 6) == 6 || refuse & 8 ? 0 : 1);
        auto_finish(&d);
        same_every_way(session, refuse);
    }
}

static void data_matrix(void **state)
{
    static const char SESSION[] = LOGIN BEGIN "a\r\n..b\r\n.\r\n" BEGIN "c\r\n.\r\nQUIT\r\n";

    for (unsigned refuse = 0; refuse < 16; refuse++)
        same_every_way(str_from(SESSION, sizeof SESSION - 1), refuse);
}

/* ---- a big one ---- */

static void body_is_not_kept(void **state)
{
    struct auto_driver d;
    char line[1000];
    size_t n = 0;

    auto_start(&d, 0, false);
    smtp_server_limit(d.s, 30 << 20, 10);
    auto_feed(&d, STR(LOGIN BEGIN));
    memset(line, 'x', sizeof line);
    memcpy(line + 998, "\r\n", 2);
    while (n < (25u << 20)) {
        for (int i = 0; i < 60; i++) {
            smtp_server_input(d.s, str_from(line, sizeof line), d.now_ms);
            n += sizeof line;
        }
        assert_true(smtp_server_wants_input(d.s));
        struct smtp_server_event e;
        while (smtp_server_event(d.s, &e))
            assert_int_equal(e.kind, SMTP_SERVER_BODY);
    }
    auto_feed(&d, STR(".\r\n"));
    assert_int_equal(count(&d.said, "250 2.0.0 ok"), 3);
    auto_finish(&d);
}

static void greed_is_bounded(void **state)
{
    struct auto_driver d;
    char *all = alloc_bytes(300000);

    auto_start(&d, 0, false);
    smtp_server_input(d.s, str_from(all, 300000), d.now_ms);
    auto_pump(&d);
    assert_true(d.ended);
    assert_int_equal(d.end, SMTP_SERVER_END_ERRORS);
    auto_finish(&d);
    /* Who never reads our answers is not served further. */
    auto_start(&d, 0, false);
    struct smtp_server_event e;
    for (int i = 0; i < 3000 && smtp_server_wants_input(d.s); i++) {
        smtp_server_input(d.s, STR("FROB x y z\r\n"), d.now_ms);
        assert_false(smtp_server_event(d.s, &e));
    }
    assert_true(smtp_server_output(d.s).n < 20000);
    for (int i = 0; i < 3; i++)
        smtp_server_tick(d.s, d.now_ms += 5000);
    assert_true(smtp_server_event(d.s, &e));
    assert_int_equal(e.end, SMTP_SERVER_END_LOST);
    auto_finish(&d);
    free(all);
}

/* ---- keys ---- */

/* RFC 7677, section 3. */
static void scram_is_rfc7677(void **state)
{
    struct smtp_scram_server s;
    struct smtp_keys k = {.salt = {0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b,
                                   0x14, 0x12, 0x36, 0xfa, 0x81},
                          .iterations = 4096};
    struct secret *password = secret_new("pencil", 6);
    char user[SMTP_USER_MAX + 1];
    struct buf out;

    buf_init(&out, 1024);
    assert_true(smtp_keys_make(&k, password));
    assert_true(smtp_scram_read_first(&s, STR("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), user));
    assert_string_equal(user, "user");
    assert_true(smtp_scram_challenge(&s, &k, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", &out));
    assert_string_equal(buf_cstr(&out), "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                        "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    buf_clear(&out);
    assert_true(smtp_scram_verify(&s,
                                  STR("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                      "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
                                  &out));
    assert_string_equal(buf_cstr(&out), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    assert_false(
        smtp_scram_verify(&s,
                          STR("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                              "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVU="),
                          &out));
    assert_false(
        smtp_scram_verify(&s,
                          STR("c=eSws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                              "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
                          &out));
    buf_free(&out);
    secret_free(&password);
}

static void proofs_tell_passwords_apart(void **state)
{
    static const uint8_t key[SMTP_KEY_SIZE] = {1, 2, 3}, other[SMTP_KEY_SIZE] = {1, 2, 4};
    uint8_t a[SMTP_KEY_SIZE], b[SMTP_KEY_SIZE];
    struct secret *pencil = secret_new("pencil", 6), *pencils = secret_new("pencils", 7);

    assert_true(smtp_keys_proof(key, pencil, a) && smtp_keys_proof(key, pencil, b));
    assert_true(smtp_keys_proofs_equal(a, b));
    assert_true(smtp_keys_proof(key, pencils, b));
    assert_false(smtp_keys_proofs_equal(a, b));
    assert_true(smtp_keys_proof(other, pencil, b));
    assert_false(smtp_keys_proofs_equal(a, b));
    secret_free(&pencil);
    secret_free(&pencils);
}

static void decoys_stay_the_same(void **state)
{
    static const uint8_t secret[SMTP_KEY_SIZE] = {1, 2, 3}, other[SMTP_KEY_SIZE] = {1, 2, 4};
    struct smtp_keys a, b;
    uint8_t salted[SMTP_SALTED_SIZE] = {0};

    smtp_keys_decoy(&a, STR("joe"), secret);
    smtp_keys_decoy(&b, STR("joe"), secret);
    assert_memory_equal(a.salt, b.salt, sizeof a.salt);
    assert_int_equal(a.iterations, SMTP_KEYS_ITERATIONS);
    assert_false(smtp_keys_fit(&a, salted));
    smtp_keys_decoy(&b, STR("ann"), secret);
    assert_memory_not_equal(a.salt, b.salt, sizeof a.salt);
    smtp_keys_decoy(&b, STR("joe"), other);
    assert_memory_not_equal(a.salt, b.salt, sizeof a.salt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smuggling_corpus),     cmocka_unit_test(smuggling_matrix),
        cmocka_unit_test(pipelining_matrix),    cmocka_unit_test(data_matrix),
        cmocka_unit_test(body_is_not_kept),     cmocka_unit_test(greed_is_bounded),
        cmocka_unit_test(scram_is_rfc7677),     cmocka_unit_test(proofs_tell_passwords_apart),
        cmocka_unit_test(decoys_stay_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
