/* rules/presets.yaml by libcyaml: a list of mappings of texts. */
#include "main/presets.h"

#include <cyaml/cyaml.h>
#include <stdio.h>

#include "main/command.h"

extern const unsigned char presets_yaml[];
extern const size_t presets_yaml_size;

#define PRESETS_MAX 500
#define TEXT(member)                                                                               \
    CYAML_FIELD_STRING_PTR(#member, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct preset,       \
                           member, 0, 400)

static const cyaml_schema_field_t preset_fields[] = {
    CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct preset, name, 1, 64),
    TEXT(title),
    TEXT(provider),
    CYAML_FIELD_STRING_PTR("host", CYAML_FLAG_POINTER, struct preset, host, 1, 255),
    TEXT(port),
    TEXT(tls),
    TEXT(profile),
    TEXT(region),
    TEXT(user),
    TEXT(per_second),
    TEXT(per_minute),
    TEXT(per_hour),
    TEXT(per_day),
    TEXT(max_connections),
    TEXT(max_messages_per_connection),
    TEXT(note),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t preset_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct preset, preset_fields)};

static const cyaml_schema_field_t top_fields[] = {
    CYAML_FIELD_SEQUENCE_COUNT("presets", CYAML_FLAG_POINTER, struct presets, all, n,
                               &preset_schema, 0, PRESETS_MAX),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t top_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct presets, top_fields)};

static const cyaml_config_t how = {
    .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR, .flags = CYAML_CFG_NO_ALIAS};

static const struct {
    const char *option;
    size_t offset;
} values[] = {
    {"provider", offsetof(struct preset, provider)},
    {"host", offsetof(struct preset, host)},
    {"port", offsetof(struct preset, port)},
    {"tls", offsetof(struct preset, tls)},
    {"profile", offsetof(struct preset, profile)},
    {"region", offsetof(struct preset, region)},
    {"user", offsetof(struct preset, user)},
    {"per-second", offsetof(struct preset, per_second)},
    {"per-minute", offsetof(struct preset, per_minute)},
    {"per-hour", offsetof(struct preset, per_hour)},
    {"per-day", offsetof(struct preset, per_day)},
    {"max-connections", offsetof(struct preset, max_connections)},
    {"max-messages-per-connection", offsetof(struct preset, max_messages_per_connection)},
};

struct str presets_text(void)
{
    return str_from((const char *)presets_yaml, presets_yaml_size);
}

bool presets_load(struct str yaml, struct presets **out, struct err *e)
{
    *out = NULL;
    cyaml_err_t rc = cyaml_load_data((const uint8_t *)yaml.p, yaml.n, &how, &top_schema,
                                     (cyaml_data_t **)out, NULL);
    return rc == CYAML_OK || err_set(e, ERR_CORRUPT, "presets: %s", cyaml_strerror(rc));
}

const struct preset *presets_find(const struct presets *p, const char *name)
{
    for (unsigned i = 0; i < p->n; i++)
        if (!strcmp(p->all[i].name, name))
            return &p->all[i];
    return NULL;
}

static const char *name_at(const void *ctx, size_t i)
{
    const struct presets *p = ctx;
    return i < p->n ? p->all[i].name : NULL;
}

const char *presets_suggest(const struct presets *p, const char *typed)
{
    return suggest(typed, name_at, p);
}

const char *preset_value(const struct preset *p, const char *option)
{
    for (size_t i = 0; i < countof(values); i++)
        if (!strcmp(values[i].option, option))
            return *(char *const *)(const void *)((const char *)p + values[i].offset);
    return NULL;
}

void presets_free(struct presets **p)
{
    cyaml_free(&how, &top_schema, *p, 0);
    *p = NULL;
}
