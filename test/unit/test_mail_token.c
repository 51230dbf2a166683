/* mail/token: what was made is read back; everything else is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/token.h"

static const uint8_t key[TOKEN_KEY_BYTES] = {1, 2, 3, 4, 5};

static void test_round_trip(void **state)
{
    (void)state;
    const struct token tokens[] = {
        {TOKEN_UNSUBSCRIBE, 0, 0, 0},
        {TOKEN_VIEW, UINT64_MAX, UINT64_MAX, UINT64_MAX},
        {TOKEN_PREFERENCES, 0x0123456789abcdef, 7, 42},
    };
    for (size_t i = 0; i < countof(tokens); i++) {
        char text[TOKEN_TEXT_MAX];
        struct token t;
        token_make(key, &tokens[i], text);
        assert_true(strlen(text) < TOKEN_TEXT_MAX);
        for (const char *p = text; *p; p++)
            assert_true(ascii_isalnum(*p) || *p == '-' || *p == '_');
        assert_true(token_read(key, str_of(text), &t));
        assert_int_equal(t.kind, tokens[i].kind);
        assert_true(t.message_id == tokens[i].message_id && t.list_id == tokens[i].list_id &&
                    t.contact_id == tokens[i].contact_id);
    }
}

static void test_changes(void **state)
{
    (void)state;
    const char *alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= \n%";
    const struct token made = {TOKEN_UNSUBSCRIBE, 99, 3, 12345};
    char text[TOKEN_TEXT_MAX];
    struct token t;
    token_make(key, &made, text);
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char kept = text[i];
        for (const char *c = alphabet; *c; c++) {
            text[i] = *c;
            assert_int_equal(token_read(key, str_from(text, n), &t), *c == kept);
        }
        text[i] = kept;
        assert_false(token_read(key, str_from(text, i), &t));
    }
    text[n] = 'A';
    assert_false(token_read(key, str_from(text, n + 1), &t));
    assert_false(token_read(key, STR_NONE, &t));
    uint8_t other[TOKEN_KEY_BYTES] = {1, 2, 3, 4, 6};
    assert_false(token_read(other, str_from(text, n), &t));
}

/* A token of a kind that this version does not know is refused even with a right MAC. */
static void test_unknown_kind(void **state)
{
    (void)state;
    const struct token made = {(enum token_kind)9, 1, 1, 1};
    char text[TOKEN_TEXT_MAX];
    struct token t;
    token_make(key, &made, text);
    assert_false(token_read(key, str_of(text), &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_unknown_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
