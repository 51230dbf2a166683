/* postfleet.yaml and presets from any bytes: taken or refused with a text, never a crash or a leak;
 * what is taken passes its own checks, and the environment is read by the same values. */
#include "base/check.h"
#include "base/buf.h"
#include "main/config.h"
#include "main/presets.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_config(struct str text)
{
    struct config c;
    struct err e = {0};
    config_defaults(&c);
    if (config_read_text(&c, text, "postfleet.yaml", &e)) {
        for (size_t i = 0; i < CONFIG_SETTINGS; i++)
            check(c.values[i].text && str_is_utf8(str_of(c.values[i].text)));
        json_t *all = config_describe(&c);
        check(json_array_size(all) == CONFIG_SETTINGS);
        json_decref(all);
    } else {
        check(e.code != ERR_NONE && e.text[0]);
    }
    config_free(&c);
}

static void read_environment(struct str text)
{
    struct config c;
    struct err e = {0};
    struct buf b;
    buf_init(&b, 70000);
    buf_adds(&b, "POSTFLEET_");
    const char *file = memmem(text.p, text.n, "_FILE=", 6);
    if (file) /* would open any path */
        text = str_cut(text, 0, (size_t)(file - text.p) + 6);
    buf_addstr(&b, text);
    if (file)
        buf_adds(&b, "/dev/null");
    char *variables[] = {(char *)(uintptr_t)buf_cstr(&b), NULL};
    config_defaults(&c);
    (void)!config_read_environment(&c, variables, &e);
    config_free(&c);
    buf_free(&b);
}

/* What does not depend on the input is run once: no folder, and the sample, which must be valid. */
static void run_once(void)
{
    static bool done;
    struct config c;
    struct err e = {0};
    if (done)
        return;
    done = true;
    check(config_load("/nowhere", &c, &e));
    config_set_option(&c, SETTING_HTTP_LISTEN, "127.0.0.1:1", "--http");
    config_free(&c);
    char *sample = config_sample();
    read_config(str_of(sample));
    free(sample);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_once();
    if (size < 1 || size > 60000)
        return 0;
    struct str text = str_from((const char *)data + 1, size - 1);
    struct presets *all = NULL;
    struct err e = {0};
    switch (data[0] & 3) {
    case 0:
        if (presets_load(text, &all, &e))
            presets_free(&all);
        break;
    case 1: read_environment(text); break;
    default: read_config(text); break;
    }
    return 0;
}
