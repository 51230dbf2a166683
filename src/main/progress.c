/* The bar: "importing  ██████░░░░  61%  61 000/100 000  52 000/s  0.8 s left". */
#include "main/output.h"

#include <langinfo.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

#define BAR_CELLS     20
#define SHOW_EVERY_MS 100

static bool is_wanted(void)
{
    return !output_is_quiet() && isatty(2);
}

bool output_is_utf8(void)
{
    const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < countof(names); i++) {
        const char *v = getenv(names[i]);
        if (v && v[0])
            return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
    }
    return false;
}

void progress_start(struct progress *p, const char *label, int64_t total, bool bytes)
{
    *p = (struct progress){.label = label, .total = total, .bytes = bytes};
    p->started_ms = clock_boot_ms();
    p->base = -1;
}

static void add_amount(struct buf *b, const struct progress *p, int64_t n)
{
    char text[32];
    if (p->bytes)
        output_bytes((uint64_t)n, text);
    else
        output_count(n, text);
    buf_adds(b, text);
}

static void add_bar(struct buf *b, double share)
{
    bool fine = output_is_utf8();
    for (int i = 0; i < BAR_CELLS; i++)
        buf_adds(b, i < (int)(share * BAR_CELLS + 0.5) ? (fine ? "█" : "#") : (fine ? "░" : "."));
    buf_addf(b, " %3d%%  ", (int)(share * 100));
}

static void add_rate(struct buf *b, const struct progress *p, int64_t done, int64_t elapsed_ms)
{
    char text[32];
    int64_t moved = done - p->base;
    if (elapsed_ms < 200 || moved <= 0)
        return;
    int64_t per_s = moved * 1000 / elapsed_ms;
    buf_adds(b, "  ");
    add_amount(b, p, per_s);
    buf_adds(b, "/s");
    if (p->total > done && (per_s > 0 || p->left_ms)) {
        output_duration(p->left_ms ? p->left_ms : (p->total - done) * 1000 / per_s, text);
        buf_addf(b, "  %s left", text);
    }
}

void progress_show(struct progress *p, int64_t done, const char *tail, bool now)
{
    int64_t t = clock_boot_ms();
    if (p->base < 0)
        p->base = done;
    if (!is_wanted() || (!now && t - p->shown_ms < SHOW_EVERY_MS))
        return;
    p->shown_ms = t;
    struct buf b;
    buf_init(&b, 4096);
    buf_addf(&b, "%s  ", p->label);
    if (p->total > 0)
        add_bar(&b, done >= p->total ? 1 : (double)done / (double)p->total);
    add_amount(&b, p, done);
    if (p->total > 0) {
        buf_addc(&b, '/');
        add_amount(&b, p, p->total);
    }
    add_rate(&b, p, done, t - p->started_ms);
    if (tail && tail[0])
        buf_addf(&b, "  %s", tail);
    struct winsize w = {0};
    size_t columns = ioctl(2, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
    while (b.n > 0 && output_width(buf_str(&b)) >= columns)
        do
            b.n--;
        while (b.n > 0 && ((unsigned char)b.p[b.n] & 0xc0) == 0x80);
    fprintf(stderr, "\r\033[K%s", buf_cstr(&b));
    fflush(stderr);
    buf_free(&b);
}

void progress_end(struct progress *p)
{
    if (is_wanted() && p->shown_ms)
        fprintf(stderr, "\r\033[K");
    p->shown_ms = 0;
}
