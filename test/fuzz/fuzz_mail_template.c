/* Templates: any source compiles or gives an error with a line; what compiles renders within its
 * limits, twice the same. The first byte: kind (bit 0) and which variables are set (the rest). */
#include <stdlib.h>

#include "base/check.h"
#include "mail/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void render(const struct template *t, const struct str *values, struct buf *out)
{
    const struct template_limits limits = {.output_max = 1 << 16, .iterations_max = 300};
    struct err e = {0};
    if (!template_render(t, values, &limits, out, &e))
        check(e.text[0] && !strchr(e.text, '\n'));
    check(out->n <= 1 << 16);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct str samples[] = {{"Ada", 3},
                                         {"20", 2},
                                         {"<a,b,,c> &amp; \"'\r\n", 18},
                                         {"2024-02-29T10:11:12+01:00", 25},
                                         {"", 0},
                                         {"  \xc3\xbc\xc3\x9f \xe6\x97\xa5 ", 11}};
    struct template *t;
    struct err e = {0};
    struct buf first, second;
    if (n == 0)
        return 0;
    if (!template_compile(str_from((const char *)data + 1, n - 1),
                          data[0] & 1 ? TEMPLATE_HTML : TEMPLATE_TEXT, &t, &e)) {
        check(strncmp(e.text, "line ", 5) == 0 && !strchr(e.text, '\n'));
        return 0;
    }
    size_t count = template_variables(t);
    struct str *values = calloc(count + 1, sizeof(*values));
    for (size_t i = 0; values && i < count; i++) {
        bool has_default;
        int line, column;
        struct str name = template_variable(t, i, &has_default, &line, &column);
        check(name.n > 0 && line > 0 && column > 0);
        size_t pick = (data[0] >> 1) + i;
        values[i] = pick % 7 < countof(samples) ? samples[pick % 7] : STR_NONE;
    }
    buf_init(&first, 1 << 17);
    buf_init(&second, 1 << 17);
    if (values) {
        render(t, values, &first);
        render(t, values, &second);
        check(str_eq(buf_str(&first), buf_str(&second)));
    }
    free(values);
    buf_free(&first);
    buf_free(&second);
    template_free(&t);
    return 0;
}
