/* Compiled reply rules: what rules.c makes of rule data and classify.c evaluates. Only these two
 * and tests look inside. The order of the stages is the order of evaluation; within a stage the
 * order in the data; the first rule whose every condition holds wins. Format: doc/RULES.md. */
#ifndef FEEDBACK_RULES_H
#define FEEDBACK_RULES_H

#include "base/arena.h"
#include "base/base.h"
#include "base/str.h"
#include "feedback/classify.h"
#include "feedback/phrases.h"
#include "model/verdict.h"

enum rule_stage {
    STAGE_PHASE = 0, /* session phases: greeting, EHLO, STARTTLS, AUTH */
    STAGE_USER,
    STAGE_PROFILE,
    STAGE_TEXT,
    STAGE_ENHANCED,
    STAGE_CODE,
    STAGE_COUNT
};

enum {
    RULES_MAX = 2048,
    RULES_WORDS = RULES_MAX / 64,
    RULE_RANGES_MAX = 16,
    RULE_PROFILES_MAX = 8,
    RULE_REGEXES_MAX = 4,
    RULE_TESTS_MAX = 64,
    RULE_CODE_ANY_OF_CLASS =
        99, /* a reply with an enhanced code only counts as 2xx: 299 and so on */
};

struct code_range {
    uint16_t lo, hi;
};

struct enhanced_range {
    uint8_t class_, subject; /* RULE_ANY: any */
    uint16_t lo, hi;
};

enum { RULE_ANY = 255 };

enum phrase_role { ROLE_ANY = 0, ROLE_ALL, ROLE_NOT, ROLE_COUNT };

struct phrase_span { /* ids first .. first + n - 1 of one role */
    uint16_t first, n;
};

struct pcre2_real_code_8;

struct rule {
    struct str id;
    int line;
    enum rule_stage stage;
    uint32_t phases; /* bits by enum phase; 0: any */
    struct code_range codes[RULE_RANGES_MAX];
    struct enhanced_range enhanced[RULE_RANGES_MAX];
    struct str profiles[RULE_PROFILES_MAX];
    struct pcre2_real_code_8 *regexes[RULE_REGEXES_MAX];
    unsigned code_count, enhanced_count, profile_count, regex_count;
    struct phrase_span phrases[ROLE_COUNT];
    enum verdict verdict;
    enum fault fault;
    bool has_verdict, has_fault, has_permanent, permanent;
};

struct rule_test { /* an example of the data file */
    struct str rule;
    struct str text; /* "PHASE| reply" or "PROFILE/PHASE| reply" */
    bool is_against; /* this reply must not hit the rule */
    int line;
};

struct rules {
    struct arena *arena; /* ids, profiles, tests */
    struct rule *rule;   /* sorted by stage */
    size_t count, cap;
    struct phrases *phrases;
    uint16_t *phrase_rule; /* by phrase id */
    size_t phrase_cap;
    uint64_t untexted[RULES_WORDS]; /* rules that need no phrase to be candidates */
    struct rule_test *test;
    size_t tests, test_cap;
};

/* The built-in rules with the user's (section `user:`) looked at first. */
bool rules_compile_with(struct str user, struct rules **out, struct err *e) MUST_USE;
/* Reads one example: "PROFILE/PHASE| reply". Slices borrow from `text`. */
bool rule_test_read(struct str text, struct str *profile_out, enum phase *phase_out,
                    struct str *reply_out);

#endif
