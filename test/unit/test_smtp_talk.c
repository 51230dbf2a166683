/* A kept conversation read back: pipelined, with a login, refused at each place, garbage. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "smtp/talk.h"

static struct talk_steps talk(const char *text)
{
    struct talk_steps t;
    talk_read(str_of(text), &t);
    return t;
}

static void whole(void **state)
{
    (void)state;
    struct talk_steps t =
        talk("S: 220-a\nS: 220 b\nC: EHLO me\nS: 250-x\nS: 250 HELP\nC: STARTTLS\nS: 220 go\n"
             "C: EHLO me\nS: 250 HELP\nC: AUTH LOGIN\nS: 334 a\nC: (user)\nS: 334 b\n"
             "C: (password)\nS: 235 2.7.0 in\nC: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\nC: DATA\n"
             "S: 250 2.1.0 ok\nS: 451 4.3.0 later\nS: 554 5.5.1 no valid recipients\n");
    static const int codes[TALK_STEPS] = {220, 250, 220, 235, 250, 451, 554, 0};
    for (int i = 0; i < TALK_STEPS; i++)
        assert_int_equal(t.step[i].code, codes[i]);
    assert_string_equal(t.step[TALK_RCPT].enhanced, "4.3.0");
    assert_string_equal(t.step[TALK_GREETING].enhanced, "");
    assert_int_equal(talk_refusal(&t, "rcpt")->code, 451);
}

static void refusals(void **state)
{
    (void)state;
    struct talk_steps t = talk("S: 554 5.3.2 go away\n");
    assert_int_equal(talk_refusal(&t, "ehlo")->code, 554);
    assert_string_equal(talk_refusal(&t, "ehlo")->enhanced, "5.3.2");
    t = talk("S: 220 a\nC: EHLO me\nS: 250 x\nC: MAIL FROM:<a@b>\nS: 250 ok\nC: RCPT TO:<c@d>\n"
             "S: 250 ok\nC: DATA\nS: 354 go\nC: <9 bytes>\nC: .\nS: 550 5.7.1 spam\nC: QUIT\n"
             "S: 221 bye\n");
    assert_int_equal(talk_refusal(&t, "message")->code, 550);
    assert_null(talk_refusal(&t, "tcp"));
    t = talk("\n\nS: \nS: 2\nC: \nS: abc d\nC: MAILX\n");
    assert_int_equal(t.step[TALK_MAIL].code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
