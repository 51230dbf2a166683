/* Reads a failure matrix from YAML by libyaml's documents, because every node knows its line there:
 * scalars are texts, read by our own parsers; aliases and nesting beyond the form are refused. */
#include "main/failover_file.h"

#include <stdio.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/codec.h"
#include "fleet/policy.h"
#include "main/command.h"

struct reading {
    yaml_document_t *doc;
    const char *file;
    json_t *body;
    struct err *e;
};

static const struct {
    const char *name;
    bool is_duration;
} settings[] = {{"tries_per_round", false}, {"tries", false},      {"rounds", false},
                {"deadline", true},         {"first_delay", true}, {"max_delay", true}};

static bool fail(struct reading *r, const yaml_node_t *node, const char *what)
{
    return err_set(r->e, ERR_INVALID, "%.200s, line %zu: %s", r->file,
                   node ? node->start_mark.line + 1 : 1, what);
}

/* Puts file and line before an error that a parser left. */
static bool fail_at(struct reading *r, const yaml_node_t *node)
{
    return err_prefix(r->e, "%.200s, line %zu", r->file, node->start_mark.line + 1);
}

static struct str text_of(const yaml_node_t *n)
{
    return str_from((const char *)n->data.scalar.value, n->data.scalar.length);
}

static bool is_scalar(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE && str_is_utf8(text_of(n)) &&
           (!n->data.scalar.length || !memchr(n->data.scalar.value, 0, n->data.scalar.length));
}

/* ---- rules */

static bool set_condition(struct reading *r, struct policy_rule *rule, const yaml_node_t *key,
                          const yaml_node_t *value)
{
    if (is_scalar(value))
        return policy_rule_set(rule, text_of(key), text_of(value), r->e) || fail_at(r, value);
    if (!value || value->type != YAML_SEQUENCE_NODE)
        return fail(r, value, "a condition is a text or a list of texts");
    for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top;
         i++) {
        yaml_node_t *item = yaml_document_get_node(r->doc, *i);
        if (!is_scalar(item))
            return fail(r, item, "a condition is a text or a list of texts");
        if (!policy_rule_set(rule, text_of(key), text_of(item), r->e))
            return fail_at(r, item);
    }
    return true;
}

static bool read_rule(struct reading *r, const yaml_node_t *node, struct policy_rule *rule)
{
    *rule = (struct policy_rule){0};
    if (is_scalar(node))
        return policy_rule_parse(text_of(node), rule, r->e) || fail_at(r, node);
    if (!node || node->type != YAML_MAPPING_NODE)
        return fail(r, node, "a rule is a text like \"552 -> next_server\" or a mapping");
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
         p++) {
        yaml_node_t *key = yaml_document_get_node(r->doc, p->key);
        if (!is_scalar(key))
            return fail(r, key, "a condition's name is a text");
        if (!set_condition(r, rule, key, yaml_document_get_node(r->doc, p->value)))
            return false;
    }
    return policy_rule_check(rule, r->e) || fail_at(r, node);
}

static bool read_rules(struct reading *r, const yaml_node_t *node)
{
    json_t *rules = json_array();
    json_object_set_new(r->body, "rules", rules);
    if (!node || node->type != YAML_SEQUENCE_NODE)
        return fail(r, node, "rules must be a list");
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top;
         i++) {
        struct policy_rule rule;
        char text[FAILOVER_RULE_MAX];
        if (!read_rule(r, yaml_document_get_node(r->doc, *i), &rule))
            return false;
        policy_rule_format(&rule, text);
        json_array_append_new(rules, json_string(text));
        if (json_array_size(rules) > FAILOVER_RULES_MAX)
            return fail(r, node, "rules: at most 64");
    }
    return true;
}

/* ---- the rest */

static bool read_order(struct reading *r, const yaml_node_t *node)
{
    json_t *order = json_array();
    json_object_set_new(r->body, "order", order);
    if (!node || node->type != YAML_SEQUENCE_NODE)
        return fail(r, node, "order must be a list of servers");
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top;
         i++) {
        yaml_node_t *item = yaml_document_get_node(r->doc, *i);
        if (!is_scalar(item))
            return fail(r, item, "order must be a list of servers");
        json_array_append_new(order, json_stringn(text_of(item).p, text_of(item).n));
    }
    return true;
}

static bool read_setting(struct reading *r, size_t which, const yaml_node_t *node)
{
    char what[200];
    int64_t ms = 0;
    uint64_t n = 0;
    if (is_scalar(node) && (settings[which].is_duration ? codec_duration_parse(text_of(node), &ms)
                                                        : codec_count_parse(text_of(node), &n))) {
        json_object_set_new(r->body, settings[which].name,
                            json_stringn(text_of(node).p, text_of(node).n));
        return true;
    }
    snprintf(what, sizeof what, "%s must be a %s", settings[which].name,
             settings[which].is_duration ? "duration like 90s, 5m or 12h" : "number");
    return fail(r, node, what);
}

static const char *name_at(const void *ctx, size_t i)
{
    (void)ctx;
    if (i < countof(settings))
        return settings[i].name;
    return i == countof(settings) ? "rules" : i == countof(settings) + 1 ? "order" : NULL;
}

static bool read_pair(struct reading *r, const yaml_node_t *key, const yaml_node_t *value)
{
    char name[80], what[300];
    if (!is_scalar(key) || !str_copy(text_of(key), name, sizeof name))
        return fail(r, key, "a key is a short text");
    if (json_object_get(r->body, name))
        return fail(r, key, "this key stands here for the second time");
    if (!strcmp(name, "rules"))
        return read_rules(r, value);
    if (!strcmp(name, "order"))
        return read_order(r, value);
    for (size_t i = 0; i < countof(settings); i++)
        if (!strcmp(name, settings[i].name))
            return read_setting(r, i, value);
    const char *near = suggest(name, name_at, NULL);
    snprintf(what, sizeof what, "unknown key %s%s%s", name, near ? ", did you mean " : "",
             near ? near : "");
    return fail(r, key, what);
}

static bool read_document(struct reading *r)
{
    yaml_node_t *top = yaml_document_get_root_node(r->doc);
    if (!top)
        return true; /* blank or comments: every default */
    if (top->type != YAML_MAPPING_NODE)
        return fail(r, top, "must begin with `rules:` or a setting such as `tries:`");
    for (yaml_node_pair_t *p = top->data.mapping.pairs.start; p < top->data.mapping.pairs.top; p++)
        if (!read_pair(r, yaml_document_get_node(r->doc, p->key),
                       yaml_document_get_node(r->doc, p->value)))
            return false;
    return true;
}

bool failover_file_read(struct str text, const char *file, json_t **out, struct err *e)
{
    yaml_parser_t parser;
    yaml_document_t doc;
    if (!str_is_utf8(text) || (text.n && memchr(text.p, 0, text.n)))
        return err_set(e, ERR_INVALID, "%.200s: is not UTF-8 text", file);
    if (!yaml_parser_initialize(&parser))
        return err_set(e, ERR_FAILED, "%.200s: no memory to read it", file);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    bool ok = yaml_parser_load(&parser, &doc) != 0;
    if (ok) {
        struct reading r = {&doc, file, json_object(), e};
        ok = read_document(&r);
        *out = ok ? r.body : NULL;
        if (!ok)
            json_decref(r.body);
        yaml_document_delete(&doc);
    } else {
        (void)err_set(e, ERR_INVALID, "%.200s, line %zu: %s", file, parser.problem_mark.line + 1,
                      parser.problem ? parser.problem : "is no YAML");
    }
    yaml_parser_delete(&parser);
    return ok;
}
