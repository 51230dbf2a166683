/* Presets of mail providers: what `provider` fills in when a server is added. Data:
 * rules/presets.json, built into the binary. Options that the user gives win over it; an unknown
 * provider is only a word. */
#include "base/check.h"
#include "engine/admin_parts.h"
#include "model/server.h"

#include <pthread.h>

extern const unsigned char presets_json[];
extern const size_t presets_json_size;

static json_t *presets;

static void load(void)
{
    presets =
        json_loadb((const char *)presets_json, presets_json_size, JSON_REJECT_DUPLICATES, NULL);
    check(presets && json_is_object(presets));
}

json_t *presets_all(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, load);
    return presets;
}

void presets_merge(json_t *args)
{
    const char *provider = json_string_value(json_object_get(args, "provider"));
    json_t *preset = provider ? json_object_get(presets_all(), provider) : NULL;
    static const char *const fields[] = {"host",   "port",       "tls",
                                         "user",   "profile",    "per_day",
                                         "counts", "per_minute", "max_connections"};
    for (size_t i = 0; i < countof(fields); i++) {
        json_t *v = json_object_get(preset, fields[i]);
        if (v && !json_is_null(v) && !json_object_get(args, fields[i]))
            json_object_set(args, fields[i], v);
    }
}
