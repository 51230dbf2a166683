/* See people.h. */
#include "lab/people.h"

#include "base/buf.h"
#include "base/rand.h"

#include <stdio.h>

#define BITE 1000

/* Name as written, name as in the address. */
static const char *const firsts[][2] = {
    {"Ada", "ada"},     {"Amélie", "amelie"},   {"Anna", "anna"},     {"Arjun", "arjun"},
    {"Aylin", "aylin"}, {"Béla", "bela"},       {"Björn", "bjoern"},  {"Carla", "carla"},
    {"Chloé", "chloe"}, {"Daniel", "daniel"},   {"Dario", "dario"},   {"Elena", "elena"},
    {"Emil", "emil"},   {"Fatima", "fatima"},   {"Felix", "felix"},   {"Grace", "grace"},
    {"Hana", "hana"},   {"Ingrid", "ingrid"},   {"Ivan", "ivan"},     {"Jamal", "jamal"},
    {"José", "jose"},   {"Jürgen", "juergen"},  {"Kaja", "kaja"},     {"Kenji", "kenji"},
    {"Laura", "laura"}, {"Leo", "leo"},         {"Łukasz", "lukasz"}, {"Mara", "mara"},
    {"Mei", "mei"},     {"Miguel", "miguel"},   {"Nadia", "nadia"},   {"Niklas", "niklas"},
    {"Noor", "noor"},   {"Oliver", "oliver"},   {"Olga", "olga"},     {"Paul", "paul"},
    {"Priya", "priya"}, {"Quentin", "quentin"}, {"Renée", "renee"},   {"Rosa", "rosa"},
    {"Sofia", "sofia"}, {"Søren", "soeren"},    {"Tamar", "tamar"},   {"Theo", "theo"},
    {"Uma", "uma"},     {"Viktor", "viktor"},   {"Yara", "yara"},     {"Zoë", "zoe"},
};
static const char *const lasts[][2] = {
    {"Adeyemi", "adeyemi"}, {"Ahmed", "ahmed"},     {"Almeida", "almeida"}, {"Bauer", "bauer"},
    {"Berg", "berg"},       {"Bianchi", "bianchi"}, {"Chen", "chen"},       {"Costa", "costa"},
    {"Dubois", "dubois"},   {"Eriksen", "eriksen"}, {"Fischer", "fischer"}, {"García", "garcia"},
    {"Gruber", "gruber"},   {"Haddad", "haddad"},   {"Horvat", "horvat"},   {"Ito", "ito"},
    {"Jensen", "jensen"},   {"Kaur", "kaur"},       {"Kovács", "kovacs"},   {"Lang", "lang"},
    {"Lopez", "lopez"},     {"Maier", "maier"},     {"Martin", "martin"},   {"Müller", "mueller"},
    {"Nguyen", "nguyen"},   {"Novak", "novak"},     {"Okafor", "okafor"},   {"Olsen", "olsen"},
    {"Patel", "patel"},     {"Pereira", "pereira"}, {"Petrov", "petrov"},   {"Rossi", "rossi"},
    {"Sato", "sato"},       {"Schmidt", "schmidt"}, {"Silva", "silva"},     {"Smith", "smith"},
    {"Tanaka", "tanaka"},   {"Vogel", "vogel"},     {"Weber", "weber"},     {"Wójcik", "wojcik"},
    {"Yilmaz", "yilmaz"},
};
static const char *const domains[] = {
    "example.com",      "example.net",        "example.org",     "mail.example.com",
    "post.example.net", "home.example.org",   "bigmail.example", "freemail.example",
    "inbox.example",    "office.example",     "school.example",  "shop.example",
    "city.test",        "letters.test",       "mailbox.test",    "north.test",
    "south.test",       "club.invalid",       "factory.invalid", "museum.invalid",
    "studio.invalid",   "university.invalid", "village.invalid",
};
static const char *const cities[] = {"Graz", "Lisbon", "Oslo",  "Lyon",  "Kraków", "Turin",
                                     "Cork", "Ghent",  "Malmö", "Porto", "Split"};

/* 48 x 41 x 23: the two odd factors and any step that shares no factor walk all of them. */
enum { COMBINATIONS = countof(firsts) * countof(lasts) * countof(domains) };

static uint64_t common_factor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

void lab_crowd_new(struct lab_crowd *c, uint64_t n, uint64_t seed)
{
    struct rand r;
    rand_seed(&r, seed);
    *c = (struct lab_crowd){.n = n, .offset = rand_below(&r, COMBINATIONS)};
    do
        c->step = 10000 + rand_below(&r, 20000);
    while (common_factor(c->step, COMBINATIONS) != 1);
}

void lab_crowd_person(const struct lab_crowd *c, uint64_t i, struct lab_person *out)
{
    uint64_t k = (i % COMBINATIONS * c->step + c->offset) % COMBINATIONS;
    uint64_t round = i / COMBINATIONS;
    const char *const *first = firsts[k % countof(firsts)];
    const char *const *last = lasts[k / countof(firsts) % countof(lasts)];
    const char *domain = domains[k / (countof(firsts) * countof(lasts))];
    char figure[24] = "";
    out->first = first[0];
    out->last = last[0];
    out->city = cities[(k + round) % countof(cities)];
    if (round)
        snprintf(figure, sizeof(figure), "%llu", (unsigned long long)round);
    snprintf(out->email, sizeof(out->email), "%s.%s%s@%s", first[1], last[1], figure, domain);
}

static void add_text(struct buf *b, const char *s)
{
    size_t n = strlen(s);
    (void)buf_addc(b, (char)(n >> 8));
    (void)buf_addc(b, (char)n);
    (void)buf_add(b, s, n);
}

/* The form of a row: engine/admin_people.c. */
static void add_row(struct buf *b, const struct lab_person *p)
{
    const char *const values[] = {p->first, p->last, p->city};
    add_text(b, p->email);
    add_text(b, "");
    (void)buf_addc(b, (char)countof(values));
    for (size_t i = 0; i < countof(values); i++) {
        (void)buf_addc(b, (char)i);
        add_text(b, values[i]);
    }
}

bool lab_crowd_import(const struct lab_crowd *c, struct lab_daemon *d, const char *list,
                      bool (*progress)(void *arg, uint64_t done), void *arg, struct err *e)
{
    struct buf rows;
    bool ok = true;
    buf_init(&rows, BITE * 1024);
    for (uint64_t i = 0; ok && i < c->n;) {
        uint64_t end = MIN(c->n, i + BITE), n = end - i;
        buf_clear(&rows);
        for (; i < end; i++) {
            struct lab_person p;
            lab_crowd_person(c, i, &p);
            add_row(&rows, &p);
        }
        ok = lab_daemon_call(d, "people.import_rows",
                             json_pack("{s:s, s:s, s:[s, s, s], s:I}", "list", list, "policy",
                                       "update", "fields", "first_name", "last_name", "city", "n",
                                       (json_int_t)n),
                             buf_str(&rows), NULL, e);
        if (ok && progress && !progress(arg, i))
            break;
    }
    buf_free(&rows);
    return ok;
}
