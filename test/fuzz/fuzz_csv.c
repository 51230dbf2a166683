/* CSV reader: the same rows for one cut and another, within the limits, always UTF-8; what is
 * written from them comes back. The first byte says where to cut. */
#include "base/buf.h"
#include "base/check.h"
#include "base/csv.h"
#include "base/map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
    uint64_t hash, rows;
    struct buf *copy; /* rows written again; NULL: not wanted */
};

static bool note_row(void *arg, const struct csv_row *row, struct err *e)
{
    struct seen *s = arg;
    (void)e;
    check(row->number == ++s->rows && row->n >= 1 && row->n <= CSV_COLUMNS_MAX);
    for (size_t i = 0; i < row->n; i++) {
        struct str f = row->fields[i];
        check(str_is_utf8(f));
        s->hash = hash_bytes(f.p, f.n, s->hash + row->line);
        if (s->copy)
            check(csv_add_cell(s->copy, f, i == 0));
    }
    if (s->copy)
        check(csv_end_row(s->copy));
    return true;
}

static bool read_in_pieces(const uint8_t *p, size_t n, size_t piece, struct seen *s, struct err *e)
{
    struct csv *c = csv_new(note_row, s);
    bool ok = true;
    for (size_t at = 0; ok && at < n; at += piece)
        ok = csv_feed(c, p + at, MIN(piece, n - at), e);
    ok = ok && csv_finish(c, e);
    csv_free(&c);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err a = {0}, b = {0};
    struct buf copy;
    if (n < 1)
        return 0;
    size_t piece = (size_t)data[0] % 16 + 1;
    buf_init(&copy, 64u << 20);
    struct seen whole = {.copy = &copy}, cut = {.rows = 0};
    bool ok = read_in_pieces(data + 1, n - 1, n, &whole, &a);
    check(read_in_pieces(data + 1, n - 1, piece, &cut, &b) == ok);
    check(whole.hash == cut.hash && whole.rows == cut.rows && !strcmp(a.text, b.text));
    buf_free(&copy);
    return 0;
}
