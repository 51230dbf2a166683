/* The date filter: a subset of strftime over RFC 3339 texts and epoch seconds. A date with a zone
 * is shown in that zone, one without in UTC; what is no date comes back unchanged. English names.
 */
#include "mail/template_parts.h"

#include <stdio.h>

#include "mail/date.h"

#define PIECE_MAX 64

struct piece {
    char text[PIECE_MAX];
    int width;
    char pad;
};

static void number(struct piece *out, int64_t n, int width, char pad)
{
    (void)snprintf(out->text, sizeof(out->text), "%lld", (long long)n);
    out->width = width;
    out->pad = pad;
}

static void word(struct piece *out, const char *text, int letters)
{
    (void)snprintf(out->text, sizeof(out->text), "%.*s", letters, text);
}

static void zone(struct piece *out, int offset_min, bool colon)
{
    int away = offset_min < 0 ? -offset_min : offset_min;
    (void)snprintf(out->text, sizeof(out->text), "%c%02d%s%02d", offset_min < 0 ? '-' : '+',
                   away / 60, colon ? ":" : "", away % 60);
}

static const char *ordinal(int day)
{
    if (day >= 11 && day <= 13)
        return "th";
    return day % 10 == 1 ? "st" : day % 10 == 2 ? "nd" : day % 10 == 3 ? "rd" : "th";
}

static bool date_part(const struct date *d, char code, struct piece *out)
{
    switch (code) {
    case 'a': word(out, date_weekdays[d->weekday], 3); return true;
    case 'A': word(out, date_weekdays[d->weekday], 20); return true;
    case 'b':
    case 'h': word(out, date_months[d->month - 1], 3); return true;
    case 'B': word(out, date_months[d->month - 1], 20); return true;
    case 'C': number(out, d->year / 100, 2, '0'); return true;
    case 'd': number(out, d->day, 2, '0'); return true;
    case 'e': number(out, d->day, 2, ' '); return true;
    case 'j': number(out, d->yearday, 3, '0'); return true;
    case 'm': number(out, d->month, 2, '0'); return true;
    case 'q': word(out, ordinal(d->day), 2); return true;
    case 'u': number(out, d->weekday ? d->weekday : 7, 0, '0'); return true;
    case 'w': number(out, d->weekday, 0, '0'); return true;
    case 'y': number(out, d->year % 100, 2, '0'); return true;
    case 'Y': number(out, d->year, 4, '0'); return true;
    default: return false;
    }
}

static bool time_part(const struct date *d, char code, bool colon, struct piece *out)
{
    int hour12 = d->hour % 12 ? d->hour % 12 : 12;
    int64_t ms = date_to_ms(d);
    switch (code) {
    case 'H': number(out, d->hour, 2, '0'); return true;
    case 'I': number(out, hour12, 2, '0'); return true;
    case 'k': number(out, d->hour, 2, ' '); return true;
    case 'l': number(out, hour12, 2, ' '); return true;
    case 'L': number(out, d->millisecond, 3, '0'); return true;
    case 'M': number(out, d->minute, 2, '0'); return true;
    case 'p': word(out, d->hour < 12 ? "AM" : "PM", 2); return true;
    case 'P': word(out, d->hour < 12 ? "am" : "pm", 2); return true;
    case 'S': number(out, d->second, 2, '0'); return true;
    case 's': number(out, (ms - (ms % 1000 + 1000) % 1000) / 1000, 0, '0'); return true;
    case 'z':
    case 'Z': zone(out, d->offset_min, colon); return true;
    case 'n': word(out, "\n", 1); return true;
    case 't': word(out, "\t", 1); return true;
    case '%': word(out, "%", 1); return true;
    default: return false;
    }
}

/* Codes that stand for several. */
static const char *composite(char code)
{
    switch (code) {
    case 'F': return "%Y-%m-%d";
    case 'T': return "%H:%M:%S";
    case 'R': return "%H:%M";
    case 'D': return "%m/%d/%y";
    default: return NULL;
    }
}

struct target {
    char *p;
    size_t n, size;
    bool full;
};

static void put(struct target *t, const char *p, size_t n)
{
    t->full = t->full || n > t->size - t->n;
    if (t->full)
        return;
    memcpy(t->p + t->n, p, n);
    t->n += n;
}

static void put_piece(struct target *t, struct piece *piece, bool upper)
{
    size_t n = strlen(piece->text);
    for (size_t i = n; piece->width > 0 && i < (size_t)piece->width; i++)
        put(t, &piece->pad, 1);
    for (size_t i = 0; upper && i < n; i++)
        piece->text[i] -= piece->text[i] >= 'a' && piece->text[i] <= 'z' ? 32 : 0;
    put(t, piece->text, n);
}

/* One "%..." at format.p[0]; gives its length. */
static size_t put_code(struct target *t, const struct date *d, struct str format)
{
    bool upper = false, colon = false;
    char pad = 0;
    size_t i = 1;
    for (; i < format.n && strchr("-_0^:", format.p[i]) && format.p[i]; i++) {
        upper = upper || format.p[i] == '^';
        colon = colon || format.p[i] == ':';
        if (format.p[i] != '^' && format.p[i] != ':')
            pad = format.p[i];
    }
    if (i == format.n) {
        put(t, format.p, i);
        return i;
    }
    struct piece piece = {.width = 0, .pad = ' '};
    if (!date_part(d, format.p[i], &piece) && !time_part(d, format.p[i], colon, &piece)) {
        put(t, format.p, i + 1);
        return i + 1;
    }
    if (pad == '-')
        piece.width = 0;
    else if (pad)
        piece.pad = pad == '_' ? ' ' : '0';
    put_piece(t, &piece, upper);
    return i + 1;
}

static void format_date(struct target *t, const struct date *d, struct str format)
{
    for (size_t i = 0; i < format.n && !t->full;) {
        const char *many = NULL;
        if (format.p[i] == '%' && i + 1 < format.n)
            many = composite(format.p[i + 1]);
        if (many) {
            format_date(t, d, str_of(many));
            i += 2;
        } else if (format.p[i] == '%') {
            i += put_code(t, d, str_from_index(format, i));
        } else {
            put(t, format.p + i++, 1);
        }
    }
}

static bool read_date(const struct value *v, struct date *out)
{
    int64_t seconds = 0;
    if (v->kind == VALUE_NUMBER) {
        if (!(v->number > -6e10 && v->number < 2.6e11))
            return false;
        date_of_ms((int64_t)(v->number * 1000), 0, out);
        return true;
    }
    if (v->kind != VALUE_TEXT)
        return false;
    bool digits = v->text.n > 0;
    for (size_t i = 0; i < v->text.n; i++)
        digits = digits && ascii_isdigit(v->text.p[i]);
    if (!digits)
        return date_parse(v->text, out);
    if (!str_to_i64(v->text, &seconds) || seconds > 260000000000)
        return false;
    date_of_ms(seconds * 1000, 0, out);
    return true;
}

bool filter_date(const struct call *c, struct value *v)
{
    struct str format;
    struct date d;
    if (!value_to_text(&c->args[0], c->memory, &format))
        return false;
    if (!read_date(v, &d))
        return true;
    struct target t = {.size = format.n * 12 + 1};
    t.p = format.n > TEMPLATE_MEMORY_MAX / 16 ? NULL : memory_get(c->memory, t.size);
    if (!t.p)
        return false;
    format_date(&t, &d, format);
    *v = value_text(str_from(t.p, t.n));
    return true;
}
