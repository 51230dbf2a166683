/* The data of rules/ that is part of the binary (tools/embed.py writes the bytes at build time). */
#ifndef FEEDBACK_BUILTIN_H
#define FEEDBACK_BUILTIN_H

#include "base/str.h"

extern const unsigned char rules_replies_yaml[], rules_providers_yaml[], rules_verdicts_yaml[];
extern const size_t rules_replies_yaml_size, rules_providers_yaml_size, rules_verdicts_yaml_size;

static inline struct str builtin_replies(void)
{
    return str_from((const char *)rules_replies_yaml, rules_replies_yaml_size);
}

static inline struct str builtin_providers(void)
{
    return str_from((const char *)rules_providers_yaml, rules_providers_yaml_size);
}

static inline struct str builtin_verdicts(void)
{
    return str_from((const char *)rules_verdicts_yaml, rules_verdicts_yaml_size);
}

#endif
