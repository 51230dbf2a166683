/* Fuzz target: rule data and replies. The first byte chooses: compile the rest as rules and
 * classify with them, or read the rest as a reply (or a quoted one) with the built-in rules. */
#include <stdint.h>
#include <stdlib.h>
#include "feedback/classify.h"
#include "feedback/provider.h"
#include "feedback/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void classify_text(const struct rules *r, struct str text, enum phase phase)
{
    struct answer a;
    struct classification c;
    char scratch[1024];
    answer_parse_line(text, &a, scratch, sizeof(scratch));
    if (a.phase == PHASE_NONE)
        a.phase = phase;
    classify_answer(r, &a, &c);
    if (c.verdict == VERDICT_NONE || c.wait_ms < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct rules *r = NULL;
    struct providers *p = NULL;
    if (size == 0)
        return 0;
    struct str rest = str_from((const char *)data + 1, size - 1);
    if (data[0] == 'R') {
        if (rules_compile(rest, &r, &e))
            classify_text(r, STR("550 5.1.1 user unknown, try again in 5 minutes"), PHASE_RCPT);
        rules_free(&r);
    } else if (data[0] == 'P') {
        if (providers_compile(rest, &p, &e))
            (void)provider_of_domain(p, STR("mail.example.com"));
        providers_free(&p);
    } else {
        struct str text = str_from((const char *)data, size);
        classify_text(rules_builtin(), text, (enum phase)(size % PHASE_COUNT));
    }
    return 0;
}
