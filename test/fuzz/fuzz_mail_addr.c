/* Addresses and mailboxes: whatever is accepted has one form that is accepted again, fits its
 * limits and cannot break out of a line of SMTP or of a header. */
#include "base/check.h"
#include "mail/addr.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_address(const struct addr *a)
{
    struct addr again;
    struct err e;
    char key[ADDR_MAX + 1];
    check(a->n <= ADDR_MAX && a->at <= 64 && a->text[a->at] == '@' && a->text[a->n] == 0);
    check(str_is_utf8(str_from(a->text, a->n)));
    check(str_is_ascii(addr_domain(a)));
    for (size_t i = 0; i < a->n; i++)
        check((unsigned char)a->text[i] >= 0x20 && a->text[i] != 0x7f);
    check(a->text[0] == '"' || (!strchr(a->text, ' ') && !strchr(a->text, '>')));
    check(addr_parse(str_from(a->text, a->n), &again, &e));
    check(again.n == a->n && memcmp(again.text, a->text, a->n) == 0 && again.at == a->at);
    addr_key(a, key);
    check(strlen(key) == a->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str s = str_from((const char *)data, n);
    struct addr a;
    struct err e;
    char name[256], again[256];
    struct buf b;
    if (addr_parse(s, &a, &e))
        check_address(&a);
    if (addr_parse_mailbox(s, &a, name, sizeof(name), &e)) {
        check_address(&a);
        check(str_is_utf8(str_of(name)) && !strpbrk(name, "\r\n"));
        buf_init(&b, 1 << 16);
        check(header_mailbox_text(&b, str_of(name), &a));
        check(addr_parse_mailbox(buf_str(&b), &a, again, sizeof(again), &e));
        check_address(&a);
        buf_clear(&b);
        check(header_add_mailbox(&b, STR("From"), str_of(name), &a));
        ptrdiff_t end = str_find(buf_str(&b), STR("\r\n"));
        while (end >= 0 && (size_t)end + 2 < b.n) {
            check(b.p[end + 2] == ' ');
            ptrdiff_t next = str_find(str_from_index(buf_str(&b), (size_t)end + 2), STR("\r\n"));
            end = next < 0 ? -1 : end + 2 + next;
        }
        buf_free(&b);
    }
    return 0;
}
