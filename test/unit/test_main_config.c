/* main: settings from file and environment, where each came from, errors with place and remedy;
 * the sample reads back; presets are whole; the data directory and its lock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "main/command.h"
#include "main/config.h"
#include "main/datadir.h"
#include "main/presets.h"

static bool read_text(struct config *c, const char *text, struct err *e)
{
    *e = (struct err){0};
    config_defaults(c);
    return config_read_text(c, str_of(text), "postfleet.yaml", e);
}

static void test_file(void **state)
{
    struct config c;
    struct err e;
    (void)state;
    assert_true(read_text(&c,
                          "# mine\npublic_url: https://mail.example.com\nhttp:\n"
                          "  listen: \"[::1]:80\"\ndesk: {threads: 010}\nlog:\n  level: debug\n",
                          &e));
    assert_string_equal(config_text(&c, SETTING_PUBLIC_URL), "https://mail.example.com");
    assert_string_equal(config_text(&c, SETTING_HTTP_LISTEN), "[::1]:80");
    assert_int_equal(c.values[SETTING_LOG_LEVEL].origin, ORIGIN_FILE);
    assert_string_equal(c.values[SETTING_LOG_LEVEL].where, "postfleet.yaml");
    assert_int_equal(c.values[SETTING_TLS_CA_FILE].origin, ORIGIN_DEFAULT);
    config_free(&c);
    const char *blanks[] = {"", "\n\n", "# only a remark\n", "  \n# x\n", "\xc2\x85"};
    for (size_t i = 0; i < countof(blanks); i++) {
        assert_true(read_text(&c, blanks[i], &e));
        assert_string_equal(config_text(&c, SETTING_HTTP_LISTEN), "127.0.0.1:8025");
        config_free(&c);
    }
}

static void test_file_errors(void **state)
{
    static const struct {
        const char *text, *word, *word2;
    } bad[] = {
        {"lisen: 1\n", "lisen", "listen"},
        {"http:\n  lisen: 1.2.3.4:5\n", "line 2", "did you mean listen"},
        {"htpp:\n  listen: 1.2.3.4:5\n", "htpp", "did you mean http"},
        {"http: 80\n", "line 1", "postfleet.yaml"},
        {"http:\n  listen: [a, b]\n", "line 2", "postfleet.yaml"},
        {"http:\n  listen: 80\n", "http.listen", "port"},
        {"log:\n  level: loud\n", "log.level", "debug"},
        {"desk:\n  threads: 65\n", "desk.threads", "between"},
        {"desk:\n  threads: ten\n", "desk.threads", "count"},
        {"public_url: mail.example.com\n", "public_url", "URL"},
        {"log:\n  level: info\n bad: 1\n", "line 3", "expected key"},
        {"- a\n- b\n", "postfleet.yaml", "section"},
        {"\xff\xfe", "UTF-8", "postfleet.yaml"},
        {"a: &x 1\nb: *x\n", "postfleet.yaml", "a"},
        {"\"", "postfleet.yaml", "line"},
    };
    (void)state;
    for (size_t i = 0; i < countof(bad); i++) {
        struct config c;
        struct err e;
        if (read_text(&c, bad[i].text, &e))
            fail_msg("case %zu was taken", i);
        if (!strstr(e.text, bad[i].word) || !strstr(e.text, bad[i].word2))
            fail_msg("case %zu: \"%s\" lacks \"%s\" or \"%s\"", i, e.text, bad[i].word,
                     bad[i].word2);
        assert_int_equal(e.code, ERR_INVALID);
        config_free(&c);
    }
}

static void test_environment(void **state)
{
    struct config c;
    struct err e = {0};
    char path[] = "/tmp/postfleet-test-XXXXXX", variable[80];
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "https://from.file\n", 18), 18);
    close(fd);
    snprintf(variable, sizeof(variable), "POSTFLEET_PUBLIC_URL_FILE=%s", path);
    char *good[] = {"HOME=/x", "POSTFLEET_DATA=/y", "POSTFLEET_HTTP__LISTEN=0.0.0.0:1", variable,
                    NULL};
    config_defaults(&c);
    assert_true(config_read_text(&c, STR("http: {listen: '1.1.1.1:1'}"), "f", &e));
    assert_true(config_read_environment(&c, good, &e));
    assert_string_equal(config_text(&c, SETTING_HTTP_LISTEN), "0.0.0.0:1");
    assert_string_equal(c.values[SETTING_HTTP_LISTEN].where, "POSTFLEET_HTTP__LISTEN");
    assert_string_equal(config_text(&c, SETTING_PUBLIC_URL), "https://from.file");
    char *unknown[] = {"POSTFLEET_HTTP__LISEN=x", NULL};
    assert_false(config_read_environment(&c, unknown, &e));
    assert_non_null(strstr(e.text, "http.listen"));
    char *wrong[] = {"POSTFLEET_LOG__LEVEL=loud", NULL};
    assert_false(config_read_environment(&c, wrong, &e));
    assert_non_null(strstr(e.text, "POSTFLEET_LOG__LEVEL"));
    unlink(path);
    assert_false(config_read_environment(&c, good, &e));
    assert_non_null(strstr(e.text, path));
    config_free(&c);
}

/* The sample is valid as it is, and with every setting uncommented. */
static void test_sample(void **state)
{
    struct config c;
    struct err e;
    char *text = config_sample();
    (void)state;
    assert_true(read_text(&c, text, &e));
    config_free(&c);
    for (char *line = text; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (line[0] == '#' && (line[1] != ' ' || line[2] == ' '))
            memmove(line, line + 1, strlen(line));
    if (!read_text(&c, text, &e))
        fail_msg("%s\n%s", e.text, text);
    for (size_t i = 0; i < CONFIG_SETTINGS; i++)
        assert_int_equal(c.values[i].origin, ORIGIN_FILE);
    json_t *all = config_describe(&c);
    assert_int_equal(json_array_size(all), CONFIG_SETTINGS);
    json_decref(all);
    config_free(&c);
    free(text);
}

/* Every preset is a line that `server add` would take. */
static void test_presets(void **state)
{
    struct presets *all = NULL;
    struct err e = {0};
    (void)state;
    assert_true(presets_load(presets_text(), &all, &e));
    assert_true(all->n >= 25);
    for (unsigned i = 0; i < all->n; i++) {
        char *argv[40] = {"postfleet", "server", "add", all->all[i].name};
        int argc = 4;
        struct cmd c;
        static const char *const names[] = {"host",
                                            "port",
                                            "tls",
                                            "profile",
                                            "provider",
                                            "region",
                                            "user",
                                            "per-second",
                                            "per-minute",
                                            "per-hour",
                                            "per-day",
                                            "max-connections",
                                            "max-messages-per-connection"};
        static char dashed[13][40];
        for (size_t k = 0; k < countof(names); k++) {
            const char *v = preset_value(&all->all[i], names[k]);
            snprintf(dashed[k], sizeof(dashed[k]), "--%s", names[k]);
            if (!v)
                continue;
            argv[argc++] = dashed[k];
            argv[argc++] = (char *)(uintptr_t)v;
        }
        if (!command_parse(argc, argv, &c, &e))
            fail_msg("%s: %s", all->all[i].name, e.text);
        assert_true(cmd_has(&c, "port") && cmd_has(&c, "tls") && cmd_has(&c, "profile"));
        assert_ptr_equal(presets_find(all, all->all[i].name), &all->all[i]);
        cmd_free(&c);
    }
    assert_string_equal(presets_suggest(all, "ses-eu-west1"), "ses-eu-west-1");
    presets_free(&all);
    assert_false(presets_load(STR("presets:\n  - {name: x}\n"), &all, &e));
}

static void test_datadir(void **state)
{
    char dir[] = "/tmp/postfleet-test-XXXXXX", inner[80];
    struct err e = {0};
    struct stat st;
    enum datadir_kind kind;
    bool made = false;
    int lock = -1, again = -1;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(inner, sizeof(inner), "%s/data", dir);
    assert_true(datadir_look(inner, &kind, &e));
    assert_int_equal(kind, DATADIR_MISSING);
    assert_true(datadir_look(dir, &kind, &e));
    assert_int_equal(kind, DATADIR_EMPTY);
    if (!datadir_prepare(inner, &made, &e))
        fail_msg("%s", e.text);
    assert_true(made);
    assert_true(datadir_prepare(inner, &made, &e));
    assert_false(made);
    assert_int_equal(stat(inner, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_true(datadir_look(dir, &kind, &e));
    assert_int_equal(kind, DATADIR_FOREIGN);
    assert_false(datadir_prepare(dir, &made, &e));
    assert_int_equal(e.code, ERR_REFUSED);
    assert_true(datadir_lock(inner, 0, &lock, &e));
    assert_false(datadir_lock(inner, 0, &again, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    close(lock);
    assert_true(datadir_lock(inner, 0, &again, &e));
    close(again);
    static const char *const files[] = {"postfleet.db", "postfleet.db-wal", "postfleet.db-shm",
                                        "secret.key", "lock"};
    for (size_t i = 0; i < countof(files); i++) {
        char *path = datadir_path(inner, files[i]);
        unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(inner), 0);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),        cmocka_unit_test(test_file_errors),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_sample),
        cmocka_unit_test(test_presets),     cmocka_unit_test(test_datadir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
