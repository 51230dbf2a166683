/* The inside of a compiled template, shared by its compiler (template_lexer, _expr, _block,
 * _compile) and its renderer (template_value, _filter, _text, _render). Nobody else includes this.
 *
 *   source --compile--> ops[] (flat) --> chains[] (a term and its filters), conditions[], terms[]
 *
 * Everything refers to everything else by index, so a compiled template is a handful of arrays. */
#ifndef MAIL_TEMPLATE_PARTS_H
#define MAIL_TEMPLATE_PARTS_H

#include "base/arena.h"
#include "mail/template.h"

#define TEMPLATE_SOURCE_MAX    (1 << 20)
#define TEMPLATE_DEPTH_MAX     32
#define TEMPLATE_VARIABLES_MAX 1000
#define TEMPLATE_LOCALS_MAX    200
#define TEMPLATE_SLOTS_MAX     1000
#define TEMPLATE_MEMORY_MAX    (8 << 20) /* of one rendering, beside its output */
#define TEMPLATE_ARGS_MAX      3
#define TEMPLATE_TAG_MAX       10000 /* bytes */
#define TEMPLATE_NONE          UINT32_MAX

/* ---- values ---- */

enum value_kind {
    VALUE_NIL,
    VALUE_FALSE,
    VALUE_TRUE,
    VALUE_NUMBER,
    VALUE_TEXT,
    VALUE_LIST,
    VALUE_RANGE,
    VALUE_EMPTY,
    VALUE_BLANK
};

/* SAFE: may go into HTML as it is. ESCAPED: was escaped once; what is an entity already stays.
 * HIT: the value of a {% case %} of which a branch was taken. */
enum { VALUE_SAFE = 1, VALUE_ESCAPED = 2, VALUE_HIT = 4 };

struct value {
    uint8_t kind, flags;
    double number;           /* NUMBER */
    struct str text;         /* TEXT */
    const struct str *items; /* LIST */
    size_t n_items;
    int64_t from, to; /* RANGE, both ends in */
};

/* Memory of one rendering: a piece of stack first, an arena when that is used up. */
struct memory {
    char *stack;
    size_t stack_n, stack_used;
    struct arena *arena;
};

void *memory_get(struct memory *m, size_t n); /* NULL over TEMPLATE_MEMORY_MAX */

struct value value_text(struct str s);
struct value value_number(double n);
bool value_is_truthy(const struct value *v);
/* Liquid's ==, and numbers equal to texts that are that number. */
bool value_equals(const struct value *a, const struct value *b);
/* -1, 0, 1; false when the two have no order. */
bool value_compare(const struct value *a, const struct value *b, int *order_out);
bool value_contains(const struct value *whole, const struct value *part, struct memory *m);
/* The text that printing gives; false when memory is used up. */
bool value_to_text(const struct value *v, struct memory *m, struct str *out);
/* As Liquid counts: texts are read, everything else is 0. */
double value_to_number(const struct value *v);
size_t value_count(const struct value *v);
/* Element i of a list or range (a text is a list of itself). */
bool value_item(const struct value *v, size_t i, struct value *out);
#define NUMBER_SIZE 32
size_t number_format(double n, char out[NUMBER_SIZE]);
bool number_parse(struct str s, double *out);

/* ---- expressions ---- */

enum term_kind {
    TERM_NIL,
    TERM_FALSE,
    TERM_TRUE,
    TERM_EMPTY,
    TERM_BLANK,
    TERM_NUMBER,
    TERM_TEXT,
    TERM_VARIABLE,
    TERM_LOCAL,
    TERM_LOOP,
    TERM_RANGE
};
enum term_property { PROPERTY_NONE, PROPERTY_SIZE, PROPERTY_FIRST, PROPERTY_LAST, PROPERTY_INDEX };
enum loop_field {
    LOOP_INDEX,
    LOOP_INDEX0,
    LOOP_RINDEX,
    LOOP_RINDEX0,
    LOOP_FIRST,
    LOOP_LAST,
    LOOP_LENGTH
};

struct term {
    uint8_t kind, property, field;
    uint32_t index;    /* VARIABLE: which; LOCAL: slot; LOOP: depth */
    uint32_t from, to; /* RANGE and PROPERTY_INDEX (from): terms */
    double number;
    struct str text;
};

struct call; /* of a filter */
/* Applies the filter to *v. False when memory is used up. */
typedef bool filter_fn(const struct call *c, struct value *v);

struct filter {
    const char *name;
    filter_fn *apply;
    uint8_t min_args, max_args;
};

struct call {
    struct memory *memory;
    struct value args[TEMPLATE_ARGS_MAX];
    uint8_t n_args;
    bool html, allow_false;
};

const struct filter *filter_find(struct str name);
extern const struct filter template_text_filters[]; /* ends with a NULL name */
filter_fn filter_size, filter_escape_once, filter_date;

struct filter_use {
    const struct filter *filter;
    uint32_t args[TEMPLATE_ARGS_MAX]; /* terms */
    uint8_t n_args;
    bool allow_false;
};

struct chain {
    uint32_t term, filters, n_filters;
};

enum comparison {
    COMPARE_TRUTH,
    COMPARE_EQ,
    COMPARE_NE,
    COMPARE_GT,
    COMPARE_LT,
    COMPARE_GE,
    COMPARE_LE,
    COMPARE_CONTAINS
};

/* A row of comparisons, joined from right to left as Liquid does. */
struct condition {
    uint8_t comparison;
    bool and_next, or_next;
    uint32_t left, right; /* terms */
};

/* ---- operations ---- */

enum op_kind {
    OP_TEXT,    /* text */
    OP_PRINT,   /* a: chain */
    OP_SET,     /* a: chain, b: slot */
    OP_CAPTURE, /* b: slot */
    OP_CAPTURE_END,
    OP_JUMP,     /* target */
    OP_IF,       /* a: condition; target when it is false (negated: true) */
    OP_WHEN,     /* b: slot, a: term; when equal the slot is marked and target is next */
    OP_WHEN_HIT, /* b: slot; target when the slot is marked */
    OP_FOR,      /* see struct loop_plan, a: which; target when there is nothing to walk */
    OP_NEXT,     /* a: the same; target: the body */
};

struct op {
    uint8_t kind;
    bool negated;
    uint32_t a, b, n, target; /* n: rows of a condition */
    struct str text;
};

struct loop_plan {
    uint32_t list, limit, offset; /* terms; TEMPLATE_NONE when not given */
    uint32_t slot, depth;
    bool reversed;
};

struct variable {
    struct str name;
    bool has_default;
    int line, column;
};

struct template
{
    enum template_kind kind;
    char *source;          /* own copy; texts point into it or into strings */
    struct arena *strings; /* literals with escapes, names of variables */
    struct op *ops;
    struct chain *chains;
    struct condition *conditions;
    struct term *terms;
    struct filter_use *filters;
    struct loop_plan *loops;
    struct variable *variables;
    size_t n_ops, n_chains, n_conditions, n_terms, n_filters, n_loops, n_variables;
    size_t cap_ops, cap_chains, cap_conditions, cap_terms, cap_filters, cap_loops, cap_variables;
    uint32_t n_slots;
};

/* Appends one zeroed element and gives it. */
#define template_push(t, what)                                                                     \
    ((t)->what = template_grow((t)->what, (t)->n_##what, &(t)->cap_##what, sizeof(*(t)->what)),    \
     &(t)->what[(t)->n_##what++])
void *template_grow(void *p, size_t n, size_t *cap, size_t size);

/* ---- compiling ---- */

struct local {
    struct str name;
    uint32_t slot;
    bool is_loop; /* leaves with its loop */
};

struct compiler {
    struct template *t;
    struct err *e;
    struct str source;
    struct local locals[TEMPLATE_LOCALS_MAX];
    size_t n_locals;
    uint32_t loop_depth;
    const char *seen; /* compile_position goes on from here */
    int line, column;
};

/* The inside of one tag or output, read from the left. */
struct lexer {
    struct compiler *c;
    const char *p, *end;
    int nesting; /* of ranges and indexes */
};

/* "line L, column C: ..." for the place at p; returns false. */
bool compile_fail(struct compiler *c, const char *p, const char *fmt, ...) PRINTF_LIKE(3, 4);
void compile_position(struct compiler *c, const char *p, int *line_out, int *column_out);

void lexer_skip(struct lexer *l);
bool lexer_at_end(struct lexer *l);
/* Takes the punctuation when it stands next. */
bool lexer_take(struct lexer *l, const char *punctuation);
/* Takes the word when it stands next as a whole. */
bool lexer_take_word(struct lexer *l, const char *word);
/* Letters, digits, "_" and "-", not starting with a digit; n is 0 when there is none. */
struct str lexer_name(struct lexer *l);
bool lexer_number(struct lexer *l, double *out);
/* A quoted text; *found is false when none stands here. */
bool lexer_quoted(struct lexer *l, struct str *out, bool *found);
bool lexer_expect_end(struct lexer *l, const char *after);

/* Use of a variable in a term: counted as read without default unless said otherwise. */
bool expr_term(struct lexer *l, bool in_condition, uint32_t *out);
bool expr_chain(struct lexer *l, uint32_t *out);
bool expr_condition(struct lexer *l, uint32_t *out, uint32_t *n_out);
/* Whether the variables from first_use on had a default is settled by expr_chain. */
struct local *compile_local(struct compiler *c, struct str name);
bool compile_new_slot(struct compiler *c, const char *at, uint32_t *slot_out);
bool compile_add_local(struct compiler *c, const char *at, struct str name, bool is_loop,
                       uint32_t *slot_out);

enum block_kind { BLOCK_IF, BLOCK_UNLESS, BLOCK_CASE, BLOCK_FOR, BLOCK_CAPTURE };

struct block {
    enum block_kind kind;
    const char *at;     /* where it began */
    uint32_t skip;      /* op whose target is the next branch; TEMPLATE_NONE when settled */
    uint32_t ends;      /* chain of jumps to the end, linked by target */
    uint32_t continues; /* FOR: chain of jumps to its OP_NEXT */
    uint32_t begin;     /* FOR: its OP_FOR */
    uint32_t slot;      /* CASE: the hidden local */
    bool has_else, has_when;
    size_t locals; /* FOR: how many there were before */
};

struct blocks {
    struct block open[TEMPLATE_DEPTH_MAX];
    int depth;
};

struct op *compile_op(struct compiler *c, enum op_kind kind);
/* Handles one tag whose name was read; `at` is its "{%". */
bool block_tag(struct compiler *c, struct blocks *b, struct str name, struct lexer *l,
               const char *at);
bool block_all_closed(struct compiler *c, const struct blocks *b);

#endif
