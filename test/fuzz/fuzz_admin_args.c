/* The arguments of operations: any JSON object through every reader. What passes is UTF-8, within
 * its bounds, and without a control character, so that nothing can begin a line of its own; what
 * does not says why. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "engine/admin_parts.h"
#include "mail/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(struct str s)
{
    check(str_is_utf8(s));
    for (size_t i = 0; i < s.n; i++)
        check((unsigned char)s.p[i] >= ' ' && s.p[i] != 0x7f);
}

static bool each(void *arg, const char *text, struct err *e)
{
    (void)e;
    check_line(str_of(text));
    ++*(size_t *)arg;
    return true;
}

static void read_texts(json_t *args)
{
    struct err e = {.text = ""};
    const char *text = NULL;
    struct str body;
    char *tags = NULL, key[ADDR_MAX + 1];
    if (args_text(args, "text", 20, &text, &e) && text)
        check_line(str_of(text));
    if (args_only(args, "text", &text, &e))
        check(json_object_size(args) == 1);
    if (args_name(args, "name", &text, &e))
        check_line(str_of(text));
    if (args_body(args, "body", 40, &body, &e))
        check(body.n <= 40 && str_is_utf8(body));
    if (args_tags(args, &tags, &e))
        check(!tags || tags[0]);
    free(tags);
    if (args_need(args, "mail", 600, &text, &e) && mailbox_check("mail", text, &e) &&
        address_key("mail", text, key, &e))
        check_line(str_of(key));
}

static void read_numbers(json_t *args)
{
    static const char *const known[] = {"text", "name", "body", "count", "time", NULL};
    struct err e = {.text = ""};
    bool flag = false;
    uint64_t count = 0;
    int64_t time = 0;
    size_t n = 0;
    if (args_count(args, "count", 7, 5, 1000000, &count, &e))
        check(count >= 5 && count <= 1000000);
    else
        check(e.text[0]);
    (void)args_bool(args, "flag", true, &flag, &e);
    (void)args_time(args, "time", &time, &e);
    (void)args_each(args, "list", 30, each, &n, &e);
    if (args_known(args, known, &e))
        check(json_object_size(args) <= countof(known));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *args = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(args)) {
        read_texts(args);
        read_numbers(args);
    }
    json_decref(args);
    return 0;
}
