/* The closing proof: every contact of the campaign is looked up in the sinks' own log and in what
 * Postfleet reports about it, and the two are held against each other. Daemon and sinks are down
 * by then; nothing that was remembered while they ran is used but the moments of faults. */
#include "lab/demo_inner.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/map.h"
#include "store/reports.h"

#include <errno.h>
#include <stdlib.h>

struct fate { /* of a contact */
    uint32_t arrived;
    char state; /* first letter but for: 'n' none, 'i' in the queue, 'x' cancelled or expired */
};

struct book {
    struct map_str *index; /* address -> number of the contact + 1 */
    struct fate *fates;
    struct map_u64 *ids; /* hashes of Message-IDs seen */
};

static int64_t figure(const json_t *j, const char *name)
{
    return json_integer_value(json_object_get(j, name));
}

bool demo_totals_read(struct demo *d, struct err *e)
{
    json_t *r = NULL;
    if (!report_campaign_figures(d->db, DEMO_CAMPAIGN, NULL, NULL, clock_wall_ms(), &r, e))
        return false;
    const json_t *bounced = json_object_get(r, "bounced");
    const char *state = json_string_value(json_object_get(r, "state"));
    int64_t failovers = d->t.failovers;
    d->t = (struct demo_totals){.recipients = figure(r, "recipients"),
                                .sent = figure(r, "sent"),
                                .bounced = figure(bounced, "hard") + figure(bounced, "soft"),
                                .failed = figure(r, "failed"),
                                .suppressed = figure(r, "suppressed"),
                                .uncertain = figure(r, "uncertain"),
                                .pending = figure(r, "pending"),
                                .other = figure(r, "cancelled") + figure(r, "expired"),
                                .failovers = failovers,
                                .finished = state && !strcmp(state, "finished")};
    json_decref(r);
    return true;
}

static void book_open(struct book *b, const struct demo *d)
{
    b->index = map_str_new();
    b->ids = map_u64_new();
    b->fates = alloc_many(struct fate, d->o.contacts);
    for (uint64_t i = 0; i < d->o.contacts; i++) {
        struct lab_person p;
        lab_crowd_person(&d->crowd, i, &p);
        map_str_set(b->index, str_of(p.email), (void *)(uintptr_t)(i + 1));
        b->fates[i].state = 'n';
    }
}

static void book_close(struct book *b)
{
    map_str_free(&b->index);
    map_u64_free(&b->ids);
    free(b->fates);
}

static struct fate *book_find(struct book *b, struct str address)
{
    uintptr_t i = (uintptr_t)map_str_get(b->index, address);
    return i ? &b->fates[i - 1] : NULL;
}

/* ---- the log ---- */

static bool is_new_id(struct book *b, struct str id)
{
    uint64_t hash = hash_bytes(id.p, id.n, 1) | 1;
    bool is_new = !map_u64_get(b->ids, hash);
    map_u64_set(b->ids, hash, b);
    return is_new;
}

/* PORT TIME MESSAGE-ID MAIL-FROM RCPT */
static void take_line(const struct demo *d, struct demo_proof *p, struct book *b, struct str line)
{
    struct str word[5] = {{0}};
    uint64_t port = 0;
    for (size_t i = 0; i < countof(word); i++)
        if (!str_split(&line, ' ', &word[i]))
            break;
    p->lines++;
    if (!str_to_u64(word[0], 65535, &port) || !word[4].n) {
        p->phantom++;
        return;
    }
    for (size_t i = 0; i < DEMO_SERVERS; i++)
        p->at_sink[i] += d->server[i].port == port;
    struct fate *f = book_find(b, word[4]);
    bool is_new = is_new_id(b, word[2]);
    if (!f) {
        p->phantom++;
        return;
    }
    if (f->arrived++ == 0)
        p->arrived++;
    p->doubled += f->arrived > 1 || !is_new;
}

static bool read_log(const struct demo *d, struct demo_proof *p, struct book *b, struct err *e)
{
    FILE *in = fopen(d->sink_log, "r");
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    if (!in)
        return err_set(e, ERR_FAILED, "%s: %s", d->sink_log, strerror(errno));
    while ((n = getline(&line, &size, in)) > 0)
        take_line(d, p, b, str_trim(str_from(line, (size_t)n)));
    bool ok = !ferror(in) || err_set(e, ERR_FAILED, "%s: %s", d->sink_log, strerror(errno));
    free(line);
    fclose(in);
    return ok;
}

/* ---- what was reported ---- */

static char letter(const char *state)
{
    static const struct {
        const char *name;
        char letter;
    } letters[] = {{"sent", 's'},       {"uncertain", 'u'}, {"bounced", 'b'},  {"failed", 'f'},
                   {"suppressed", 'p'}, {"queued", 'i'},    {"deferred", 'i'}, {"held", 'i'},
                   {"cancelled", 'x'},  {"expired", 'x'}};
    for (size_t i = 0; state && i < countof(letters); i++)
        if (!strcmp(letters[i].name, state))
            return letters[i].letter;
    return 'n';
}

static void take_page(struct demo_proof *p, struct book *b, const json_t *data)
{
    const json_t *m;
    size_t i;
    json_array_foreach(data, i, m)
    {
        struct fate *f = book_find(b, str_of(json_string_value(json_object_get(m, "to"))));
        if (f)
            f->state = letter(json_string_value(json_object_get(m, "state")));
        else
            p->phantom++;
    }
}

static bool read_states(struct demo *d, struct demo_proof *p, struct book *b, struct err *e)
{
    struct report_search search = {.campaign = DEMO_CAMPAIGN};
    char after[128] = "";
    for (;;) {
        struct report_page page = {.after = after[0] ? after : NULL, .limit = REPORT_LIMIT_MAX};
        json_t *out = NULL;
        if (!report_messages(d->db, &search, &page, &out, e))
            return false;
        take_page(p, b, json_object_get(out, "data"));
        const char *next = json_string_value(json_object_get(out, "next"));
        bool more = next && str_copy(str_of(next), after, sizeof(after));
        json_decref(out);
        if (!more)
            return true;
    }
}

/* ---- the judgement ---- */

static void judge(const struct demo *d, struct demo_proof *p, const struct book *b)
{
    uint64_t waiting = 0;
    for (uint64_t i = 0; i < d->o.contacts; i++) {
        const struct fate *f = &b->fates[i];
        bool is_waiting = f->state == 'n' || f->state == 'i';
        waiting += is_waiting;
        p->lost += f->state == 's' && !f->arrived;
        p->uncertain_arrived += f->state == 'u' && f->arrived;
        p->contradicted += f->arrived && f->state != 's' && f->state != 'u';
    }
    if (waiting > (uint64_t)d->t.pending)
        p->lost += waiting - (uint64_t)d->t.pending;
}

bool demo_proof_count(struct demo *d, struct demo_proof *p, struct err *e)
{
    struct book b;
    *p = (struct demo_proof){0};
    if (!demo_totals_read(d, e))
        return false;
    book_open(&b, d);
    bool ok = read_log(d, p, &b, e) && read_states(d, p, &b, e);
    if (ok)
        judge(d, p, &b);
    book_close(&b);
    return ok;
}

bool demo_proof_holds(const struct demo *d, const struct demo_proof *p)
{
    return !p->lost && !p->doubled && !p->phantom && !p->contradicted &&
           d->t.recipients == (int64_t)d->o.contacts && d->t.sent * 10 >= d->t.recipients * 9;
}

/* ---- telling ---- */

static void print_servers(const struct demo *d, const struct demo_proof *p, FILE *to)
{
    char fault[160], handled[160], n[32];
    fprintf(to, "\n  %-11s %9s   %-32s %s\n", "server", "arrived", "its fault",
            "how it was handled");
    for (size_t i = 0; i < DEMO_SERVERS; i++) {
        demo_fleet_words(d, i, p, fault, handled, sizeof(fault));
        demo_count_text((int64_t)p->at_sink[i], n);
        fprintf(to, "  %-11s %9s   %-32s %s\n", d->server[i].name, n, fault, handled);
    }
}

static void print_uncertain(const struct demo *d, const struct demo_proof *p, FILE *to)
{
    if (d->t.uncertain)
        fprintf(to,
                "  %lld uncertain: cut off behind their final dot, before the answer. They are not "
                "sent again,\n  because they may have arrived (%llu had), and are named in the "
                "report.\n",
                (long long)d->t.uncertain, (unsigned long long)p->uncertain_arrived);
    if (d->t.pending)
        fprintf(to, "  %lld were still waiting when it ended.\n", (long long)d->t.pending);
    if (d->t.bounced || d->t.failed || d->t.suppressed || d->t.other)
        fprintf(to, "  %lld bounced, %lld failed, %lld suppressed, %lld cancelled or expired.\n",
                (long long)d->t.bounced, (long long)d->t.failed, (long long)d->t.suppressed,
                (long long)d->t.other);
}

static void print_faults(const struct demo_proof *p, FILE *to)
{
    if (p->phantom)
        fprintf(to, "  NOT GOOD: %llu arrived that nobody asked for.\n",
                (unsigned long long)p->phantom);
    if (p->contradicted)
        fprintf(to, "  NOT GOOD: %llu arrived although they are not reported as sent.\n",
                (unsigned long long)p->contradicted);
}

void demo_proof_print(const struct demo *d, const struct demo_proof *p, FILE *to)
{
    char all[32], sent[32], arrived[32], moved[32];
    demo_count_text(d->t.recipients, all);
    demo_count_text(d->t.sent, sent);
    demo_count_text((int64_t)p->arrived, arrived);
    demo_count_text(d->t.failovers, moved);
    fprintf(to, "\nProof, counted in the servers' own log, contact by contact:\n");
    print_servers(d, p, to);
    fprintf(to, "\n  %s contacts, %s reported as sent, %s arrived, in %.1f s (seed %llu).\n", all,
            sent, arrived, (double)d->elapsed_ms / 1000, (unsigned long long)d->o.seed);
    fprintf(to, "  Lost: %llu. Doubled: %llu. Moved from a server that failed to another: %s.\n",
            (unsigned long long)p->lost, (unsigned long long)p->doubled, moved);
    print_uncertain(d, p, to);
    print_faults(p, to);
    if (d->o.keep)
        fprintf(to, "  Kept: %s (log of the servers: sink.log; postfleet serve --data %s)\n",
                d->folder, d->data);
}

static json_t *server_json(const struct demo *d, size_t i, const struct demo_proof *p)
{
    const struct demo_server *s = &d->server[i];
    char fault[160], handled[160];
    demo_fleet_words(d, i, p, fault, handled, sizeof(fault));
    return json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:s, s:s}", "name", s->name, "port",
                     (int)s->port, "state", s->state, "reason", s->reason, "sent",
                     (json_int_t)s->sent, "at_sink", (json_int_t)p->at_sink[i], "fault", fault,
                     "handled", handled);
}

void demo_proof_json(const struct demo *d, const struct demo_proof *p)
{
    json_t *servers = json_array();
    for (size_t i = 0; i < DEMO_SERVERS; i++)
        json_array_append_new(servers, server_json(d, i, p));
    json_t *j = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:f, s:I, s:s?}",
        "recipients", (json_int_t)d->t.recipients, "at_sinks", (json_int_t)p->lines, "sent",
        (json_int_t)d->t.sent, "bounced", (json_int_t)d->t.bounced, "failed",
        (json_int_t)d->t.failed, "suppressed", (json_int_t)d->t.suppressed, "uncertain",
        (json_int_t)d->t.uncertain, "pending", (json_int_t)(d->t.pending + d->t.other), "lost",
        (json_int_t)p->lost, "doubled", (json_int_t)p->doubled, "phantom", (json_int_t)p->phantom,
        "contradicted", (json_int_t)p->contradicted, "failovers", (json_int_t)d->t.failovers,
        "servers", servers, "seconds", (double)d->elapsed_ms / 1000, "seed", (json_int_t)d->o.seed,
        "kept", d->o.keep ? d->folder : NULL);
    (void)json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    fputc('\n', stdout);
    json_decref(j);
}
