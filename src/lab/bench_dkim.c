/* Signing: how fast OpenSSL alone signs a hash on all cores (what `openssl speed` measures), how
 * fast whole mails are signed, and a campaign whose every message is. */
#include "lab/bench_inner.h"

#include "base/clock.h"
#include "base/secret.h"
#include "mail/dkim.h"
#include "store/domains.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define THREADS_MAX 256
#define RUN_US      1500000
#define DOMAIN      "bench.example"

struct signing_run {
    EVP_PKEY *pkey;
    const struct dkim_key *key; /* NULL: the hash alone */
    struct str mail;
    int64_t until_us;
    uint64_t n;
};

static void *sign_hashes(void *arg)
{
    struct signing_run *r = arg;
    uint8_t hash[DKIM_HASH_BYTES] = {1}, out[512];
    bool is_rsa = EVP_PKEY_is_a(r->pkey, "RSA");
    EVP_PKEY_CTX *ctx = is_rsa ? EVP_PKEY_CTX_new(r->pkey, NULL) : NULL;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = is_rsa ? EVP_PKEY_sign_init(ctx) == 1 &&
                           EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1
                     : EVP_DigestSignInit(md, NULL, NULL, NULL, r->pkey) == 1;
    while (ok && clock_boot_us() < r->until_us) {
        size_t n = sizeof out;
        ok = is_rsa ? EVP_PKEY_sign(ctx, out, &n, hash, sizeof hash) == 1
                    : EVP_DigestSign(md, out, &n, hash, sizeof hash) == 1;
        r->n++;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_MD_CTX_free(md);
    return NULL;
}

static void *sign_mails(void *arg)
{
    struct signing_run *r = arg;
    struct dkim_terms t = {.time_s = 1700000000};
    struct err e;
    struct buf out;
    buf_init(&out, DKIM_FIELD_MAX);
    while (clock_boot_us() < r->until_us) {
        buf_clear(&out);
        if (!dkim_sign(&r->key, 1, r->mail, &t, &out, &e))
            break;
        r->n++;
    }
    buf_free(&out);
    return NULL;
}

/* Signatures a second on all cores. */
static double run_threads(const struct signing_run *proto, void *(*work)(void *arg))
{
    static struct signing_run runs[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = (size_t)MIN(MAX(cores, 1), THREADS_MAX), begun = 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        runs[i] = *proto;
        runs[i].until_us = clock_boot_us() + RUN_US;
        begun += pthread_create(&threads[begun], NULL, work, &runs[i]) == 0;
    }
    for (size_t i = 0; i < begun; i++)
        (void)pthread_join(threads[i], NULL);
    for (size_t i = 0; i < n; i++)
        sum += runs[i].n;
    return (double)sum * 1e6 / RUN_US;
}

static void make_mail(struct buf *mail, uint64_t body)
{
    (void)buf_adds(mail,
                   "From: Bench <news@" DOMAIN ">\r\nTo: Ada <ada@r.example>\r\n"
                   "Subject: what a campaign says\r\nDate: Fri, 21 Nov 2025 21:38:00 +0000\r\n"
                   "Message-ID: <1@" DOMAIN ">\r\nMIME-Version: 1.0\r\n"
                   "List-Unsubscribe: <https://bench.example/u/0123456789>\r\n"
                   "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
                   "Content-Type: text/plain; charset=utf-8\r\n\r\n");
    while (mail->n < body && buf_adds(mail, "Three days of music, bread from the wood-fired oven "
                                            "and a walk with lanterns.\r\n"))
        continue;
}

static bool measure(enum dkim_algorithm a, uint64_t body, double *raw_out, double *mail_out,
                    struct err *e)
{
    struct secret *der = NULL;
    struct dkim_key *key = NULL;
    struct buf mail;
    if (!domain_key_make(a, &der, e))
        return false;
    struct str bytes = secret_reveal(der);
    const unsigned char *p = (const unsigned char *)bytes.p;
    struct signing_run r = {.pkey = d2i_AutoPrivateKey(NULL, &p, (long)bytes.n)};
    bool ok = r.pkey && dkim_key_new(DOMAIN, "bench", bytes, &key, e);
    buf_init(&mail, 2 << 20);
    make_mail(&mail, body);
    r.key = key;
    r.mail = buf_str(&mail);
    if (ok) {
        bench_say("signing");
        double first = run_threads(&r, sign_hashes);
        *mail_out = run_threads(&r, sign_mails);
        *raw_out = (first + run_threads(&r, sign_hashes)) / 2;
    }
    buf_free(&mail);
    EVP_PKEY_free(r.pkey);
    dkim_key_free(&key);
    secret_free(&der);
    return ok;
}

static int run_algorithm(const struct bench_options *o, struct bench_case *c, enum dkim_algorithm a,
                         struct err *e)
{
    struct bench_figures f;
    struct bench_sent sent;
    double raw = 0, mails = 0;
    char name[32];
    c->dkim = dkim_algorithm_name(a);
    if (!measure(a, c->body, &raw, &mails, e) || !bench_send(c, NULL, &sent, e))
        return -1;
    if (bench_asked_to_end)
        return 130;
    bench_say("%s", "");
    snprintf(name, sizeof name, "dkim, %s", c->dkim);
    bench_begin(&f, o, name);
    bench_put(&f, "raw_per_s", raw, "OpenSSL alone, a hash, all cores", "/s");
    bench_put(&f, "mails_per_s", mails, "mails signed, nothing else", "/s");
    bench_put(&f, "ratio_mails", mails / raw, "  ratio", "");
    bench_put(&f, "messages", (double)sent.messages, "messages of a signed campaign", "");
    bench_put(&f, "rate_per_s", sent.rate, "rate of it, all in", "/s");
    bench_put(&f, "ratio", sent.rate / raw, "  ratio", "");
    bench_put(&f, "cpu_us_per_message", sent.cpu_us, "CPU of core a message", "us");
    bench_end(&f);
    return 0;
}

int bench_dkim(const struct bench_options *o, struct err *e)
{
    struct bench_case c = {.servers = o->servers,
                           .connections = o->connections ? o->connections : 50,
                           .body = o->body,
                           .per_connection = o->per_connection,
                           .keep = o->keep};
    c.contacts = o->contacts ? o->contacts : 20000;
    int status = run_algorithm(o, &c, DKIM_RSA_SHA256, e);
    c.contacts = o->contacts ? o->contacts : 60000;
    return status ? status : run_algorithm(o, &c, DKIM_ED25519_SHA256, e);
}
