/* Compiles terms, filter chains and conditions. Knows which names are locals (assign, capture, for)
 * and books every other name as a variable, with or without a default. */
#include "mail/template_parts.h"

#include "mail/utf8.h"

struct local *compile_local(struct compiler *c, struct str name)
{
    for (size_t i = c->n_locals; i > 0; i--) {
        if (str_eq(c->locals[i - 1].name, name))
            return &c->locals[i - 1];
    }
    return NULL;
}

bool compile_new_slot(struct compiler *c, const char *at, uint32_t *slot_out)
{
    if (c->t->n_slots == TEMPLATE_SLOTS_MAX)
        return compile_fail(c, at, "more than %d loops, cases and assigned names",
                            TEMPLATE_SLOTS_MAX);
    *slot_out = c->t->n_slots++;
    return true;
}

bool compile_add_local(struct compiler *c, const char *at, struct str name, bool is_loop,
                       uint32_t *slot_out)
{
    struct local *known = is_loop ? NULL : compile_local(c, name);
    if (known && !known->is_loop) {
        *slot_out = known->slot;
        return true;
    }
    if (c->n_locals == TEMPLATE_LOCALS_MAX)
        return compile_fail(c, at, "more than %d names are assigned", TEMPLATE_LOCALS_MAX);
    if (!compile_new_slot(c, at, slot_out))
        return false;
    c->locals[c->n_locals++] = (struct local){name, *slot_out, is_loop};
    return true;
}

/* ---- variables ---- */

/* Books one use. The place that is kept is the first one without a default, if there is any. */
static bool use_variable(struct lexer *l, const char *at, struct str name, bool covered,
                         uint32_t *out)
{
    struct template *t = l->c->t;
    struct variable *v = NULL;
    for (size_t i = 0; i < t->n_variables && !v; i++) {
        if (str_eq(t->variables[i].name, name))
            v = &t->variables[i];
    }
    if (!v) {
        if (t->n_variables == TEMPLATE_VARIABLES_MAX)
            return compile_fail(l->c, at, "more than %d variables", TEMPLATE_VARIABLES_MAX);
        struct str copy = arena_str(t->strings, name);
        if (!copy.p)
            return compile_fail(l->c, at, "the template holds too many texts");
        v = template_push(t, variables);
        *v = (struct variable){copy, true, 0, 0};
    }
    if (v->line == 0 || (v->has_default && !covered))
        compile_position(l->c, at, &v->line, &v->column);
    v->has_default = v->has_default && covered;
    *out = (uint32_t)(v - t->variables);
    return true;
}

static bool property_of(struct lexer *l, const char *at, struct str name, struct term *term)
{
    if (str_is(name, "size"))
        term->property = PROPERTY_SIZE;
    else if (str_is(name, "first"))
        term->property = PROPERTY_FIRST;
    else if (str_is(name, "last"))
        term->property = PROPERTY_LAST;
    else
        return compile_fail(l->c, at, "a local name has size, first and last, but no `" STR_F "`",
                            STR_A(name));
    return true;
}

static bool loop_term(struct lexer *l, const char *at, struct term *term)
{
    static const char *const fields[] = {"index", "index0", "rindex", "rindex0",
                                         "first", "last",   "length"};
    if (l->c->loop_depth == 0)
        return compile_fail(l->c, at, "forloop stands outside of a {%% for %%}");
    if (!lexer_take(l, "."))
        return compile_fail(l->c, at, "forloop needs a field: forloop.index, .first, .last ...");
    struct str name = lexer_name(l);
    for (size_t i = 0; i < countof(fields); i++) {
        if (str_is(name, fields[i])) {
            term->kind = TERM_LOOP;
            term->field = (uint8_t)i;
            term->index = l->c->loop_depth - 1;
            return true;
        }
    }
    return compile_fail(l->c, at, "forloop has no field `" STR_F "`", STR_A(name));
}

static bool local_term(struct lexer *l, const char *at, const struct local *local,
                       struct term *term)
{
    term->kind = TERM_LOCAL;
    term->index = local->slot;
    if (l->p < l->end && *l->p == '.' && !(l->p + 1 < l->end && l->p[1] == '.')) {
        l->p++;
        return property_of(l, at, lexer_name(l), term);
    }
    if (l->p < l->end && *l->p == '[') {
        l->p++;
        term->property = PROPERTY_INDEX;
        uint32_t index;
        if (!expr_term(l, false, &index))
            return false;
        term->from = index;
        if (!lexer_take(l, "]"))
            return compile_fail(l->c, l->p, "\"]\" is missing");
    }
    return true;
}

/* The rest of a path: ".name" or ["any text"]. Collected into name with dots between. */
static bool read_path(struct lexer *l, const char *at, struct buf *name)
{
    while (l->p < l->end) {
        struct str part = STR_NONE;
        if (*l->p == '.' && !(l->p + 1 < l->end && l->p[1] == '.')) {
            l->p++;
            part = lexer_name(l);
        } else if (*l->p == '[') {
            bool found;
            l->p++;
            if (!lexer_quoted(l, &part, &found))
                return false;
            if (!found)
                return compile_fail(l->c, l->p, "a field in brackets is written [\"name\"]");
            if (!lexer_take(l, "]"))
                return compile_fail(l->c, l->p, "\"]\" is missing");
        } else {
            break;
        }
        if (part.n == 0)
            return compile_fail(l->c, l->p, "the name of a field is missing");
        if (!buf_addc(name, '.') || !buf_addstr(name, part))
            return compile_fail(l->c, at, "the name of a variable is longer than 200 bytes");
    }
    return true;
}

static bool name_term(struct lexer *l, const char *at, struct str root, bool covered,
                      struct term *term)
{
    if (str_is(root, "forloop"))
        return loop_term(l, at, term);
    const struct local *local = compile_local(l->c, root);
    if (local)
        return local_term(l, at, local, term);
    struct buf name;
    buf_init(&name, 200);
    bool ok = buf_addstr(&name, root) ||
              compile_fail(l->c, at, "the name of a variable is longer than 200 bytes");
    ok = ok && read_path(l, at, &name);
    term->kind = TERM_VARIABLE;
    ok = ok && use_variable(l, at, buf_str(&name), covered, &term->index);
    buf_free(&name);
    return ok;
}

static bool range_term(struct lexer *l, const char *at, bool covered, struct term *term)
{
    uint32_t from, to;
    if (!expr_term(l, covered, &from))
        return false;
    if (!lexer_take(l, ".."))
        return compile_fail(l->c, at, "a range is written (1..5)");
    if (!expr_term(l, covered, &to))
        return false;
    if (!lexer_take(l, ")"))
        return compile_fail(l->c, at, "the range is not closed: write (1..5)");
    term->kind = TERM_RANGE;
    term->from = from;
    term->to = to;
    return true;
}

static bool keyword(struct str name, struct term *term)
{
    static const struct {
        const char *name;
        enum term_kind kind;
    } words[] = {{"nil", TERM_NIL},     {"null", TERM_NIL},    {"true", TERM_TRUE},
                 {"false", TERM_FALSE}, {"empty", TERM_EMPTY}, {"blank", TERM_BLANK}};
    for (size_t i = 0; i < countof(words); i++) {
        if (str_is(name, words[i].name)) {
            term->kind = words[i].kind;
            return true;
        }
    }
    return false;
}

/* A term that is no quoted text and no number. */
static bool open_term(struct lexer *l, const char *at, bool covered, struct term *term)
{
    if (lexer_take(l, "("))
        return range_term(l, at, covered, term);
    struct str name = lexer_name(l);
    if (name.n == 0 && l->p == l->end)
        return compile_fail(l->c, at, "a value is missing");
    if (name.n == 0)
        return compile_fail(l->c, at, "unexpected character `%.*s`",
                            (int)utf8_length(at, (size_t)(l->end - at)), at);
    return keyword(name, term) || name_term(l, at, name, covered, term);
}

bool expr_term(struct lexer *l, bool in_condition, uint32_t *out)
{
    struct term term = {.kind = TERM_NIL};
    bool found = false;
    lexer_skip(l);
    const char *at = l->p;
    if (!lexer_quoted(l, &term.text, &found))
        return false;
    if (found) {
        term.kind = TERM_TEXT;
    } else if (lexer_number(l, &term.number)) {
        term.kind = TERM_NUMBER;
    } else {
        if (++l->nesting > 4)
            return compile_fail(l->c, at, "ranges and indexes are nested too deeply");
        if (!open_term(l, at, in_condition, &term))
            return false;
        l->nesting--;
    }
    *template_push(l->c->t, terms) = term;
    *out = (uint32_t)(l->c->t->n_terms - 1);
    return true;
}

/* ---- filters ---- */

/* Looks ahead, without errors, whether a `default` follows in this chain. Quotes are respected. */
static bool default_follows(const struct lexer *l)
{
    struct lexer look = *l;
    char quote = 0;
    for (; look.p < look.end; look.p++) {
        char c = *look.p;
        if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? 0 : c;
        } else if (quote && c == '\\') {
            look.p += look.p + 1 < look.end;
        } else if (!quote && c == '|') {
            struct lexer word = look;
            word.p++;
            if (lexer_take_word(&word, "default"))
                return true;
        }
    }
    return false;
}

static bool filter_argument(struct lexer *l, struct filter_use *use)
{
    struct lexer before = *l;
    if (lexer_take_word(l, "allow_false") && lexer_take(l, ":")) {
        if (lexer_take_word(l, "true"))
            use->allow_false = true;
        else if (!lexer_take_word(l, "false"))
            return compile_fail(l->c, l->p, "allow_false is true or false");
        return true;
    }
    *l = before;
    lexer_skip(l);
    if (use->n_args == TEMPLATE_ARGS_MAX)
        return compile_fail(l->c, l->p, "too many arguments for the filter `%s`",
                            use->filter->name);
    return expr_term(l, default_follows(l), &use->args[use->n_args++]);
}

/* `now` would make one campaign's mails differ; a pure room has no clock anyway. */
static bool check_date(struct lexer *l, const char *at, const struct chain *chain,
                       const struct filter_use *use)
{
    const struct term *term = &l->c->t->terms[chain->term];
    if (chain->n_filters > 0 || term->kind != TERM_TEXT ||
        !str_is(str_of(use->filter->name), "date"))
        return true;
    if (!str_is(term->text, "now") && !str_is(term->text, "today"))
        return true;
    return compile_fail(l->c, at, "\"" STR_F "\" is not known here; use the variable `date`",
                        STR_A(term->text));
}

static bool read_filter(struct lexer *l, struct chain *chain)
{
    struct filter_use use = {.n_args = 0};
    lexer_skip(l);
    const char *at = l->p;
    struct str name = lexer_name(l);
    if (name.n == 0)
        return compile_fail(l->c, at, "the name of a filter is missing after \"|\"");
    use.filter = filter_find(name);
    if (!use.filter)
        return compile_fail(l->c, at, "unknown filter `" STR_F "`", STR_A(name));
    if (lexer_take(l, ":")) {
        do {
            if (!filter_argument(l, &use))
                return false;
        } while (lexer_take(l, ","));
    }
    if (use.n_args < use.filter->min_args || use.n_args > use.filter->max_args)
        return compile_fail(l->c, at, "the filter `%s` takes %d to %d arguments, not %d",
                            use.filter->name, use.filter->min_args, use.filter->max_args,
                            use.n_args);
    if (!check_date(l, at, chain, &use))
        return false;
    *template_push(l->c->t, filters) = use;
    chain->n_filters++;
    return true;
}

bool expr_chain(struct lexer *l, uint32_t *out)
{
    struct chain chain = {0, 0, 0};
    if (!expr_term(l, default_follows(l), &chain.term))
        return false;
    chain.filters = (uint32_t)l->c->t->n_filters;
    while (lexer_take(l, "|")) {
        if (!read_filter(l, &chain))
            return false;
    }
    *template_push(l->c->t, chains) = chain;
    *out = (uint32_t)(l->c->t->n_chains - 1);
    return true;
}

/* ---- conditions ---- */

static enum comparison read_operator(struct lexer *l)
{
    static const struct {
        const char *text;
        enum comparison comparison;
    } operators[] = {{"==", COMPARE_EQ}, {"!=", COMPARE_NE}, {"<>", COMPARE_NE}, {">=", COMPARE_GE},
                     {"<=", COMPARE_LE}, {">", COMPARE_GT},  {"<", COMPARE_LT}};
    for (size_t i = 0; i < countof(operators); i++) {
        if (lexer_take(l, operators[i].text))
            return operators[i].comparison;
    }
    return lexer_take_word(l, "contains") ? COMPARE_CONTAINS : COMPARE_TRUTH;
}

bool expr_condition(struct lexer *l, uint32_t *out, uint32_t *n_out)
{
    bool more = true;
    *out = (uint32_t)l->c->t->n_conditions;
    while (more) {
        struct condition row = {.comparison = COMPARE_TRUTH};
        if (!expr_term(l, true, &row.left))
            return false;
        row.comparison = (uint8_t)read_operator(l);
        if (row.comparison != COMPARE_TRUTH && !expr_term(l, true, &row.right))
            return false;
        row.and_next = lexer_take_word(l, "and");
        row.or_next = !row.and_next && lexer_take_word(l, "or");
        more = row.and_next || row.or_next;
        *template_push(l->c->t, conditions) = row;
    }
    *n_out = (uint32_t)l->c->t->n_conditions - *out;
    return true;
}
