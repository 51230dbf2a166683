/* Compiles tags: if, unless, case, for, capture, assign and their branches. Jumps are patched when
 * their target is known; open jumps of one block hang together by their target fields. */
#include "mail/template_parts.h"

struct op *compile_op(struct compiler *c, enum op_kind kind)
{
    struct op *op = template_push(c->t, ops);
    op->kind = (uint8_t)kind;
    op->target = TEMPLATE_NONE;
    return op;
}

static uint32_t here(const struct compiler *c)
{
    return (uint32_t)c->t->n_ops;
}

/* Adds a jump to the chain *head. */
static void jump_later(struct compiler *c, uint32_t *head)
{
    struct op *op = compile_op(c, OP_JUMP);
    op->target = *head;
    *head = here(c) - 1;
}

static void patch(struct compiler *c, uint32_t head, uint32_t target)
{
    while (head != TEMPLATE_NONE) {
        uint32_t next = c->t->ops[head].target;
        c->t->ops[head].target = target;
        head = next;
    }
}

static const char *const kind_names[] = {"if", "unless", "case", "for", "capture"};

static struct block *top(struct blocks *b)
{
    return b->depth ? &b->open[b->depth - 1] : NULL;
}

static struct block *push(struct compiler *c, struct blocks *b, enum block_kind kind,
                          const char *at)
{
    if (b->depth == TEMPLATE_DEPTH_MAX) {
        (void)compile_fail(c, at, "blocks are nested more than %d deep", TEMPLATE_DEPTH_MAX);
        return NULL;
    }
    struct block *block = &b->open[b->depth++];
    *block = (struct block){.kind = kind,
                            .at = at,
                            .skip = TEMPLATE_NONE,
                            .ends = TEMPLATE_NONE,
                            .continues = TEMPLATE_NONE,
                            .begin = TEMPLATE_NONE,
                            .locals = c->n_locals};
    return block;
}

/* ---- if, unless ---- */

static bool compile_condition(struct compiler *c, struct block *block, struct lexer *l,
                              bool negated)
{
    uint32_t first, n;
    if (!expr_condition(l, &first, &n) || !lexer_expect_end(l, "the condition"))
        return false;
    struct op *op = compile_op(c, OP_IF);
    op->a = first;
    op->n = n;
    op->negated = negated;
    block->skip = here(c) - 1;
    return true;
}

static bool begin_if(struct compiler *c, struct blocks *b, struct lexer *l, const char *at,
                     bool negated)
{
    struct block *block = push(c, b, negated ? BLOCK_UNLESS : BLOCK_IF, at);
    return block && compile_condition(c, block, l, negated);
}

/* Ends the branch that stands open: jumps to the end, and lets a false condition come here. */
static void end_branch(struct compiler *c, struct block *block)
{
    jump_later(c, &block->ends);
    if (block->skip != TEMPLATE_NONE)
        c->t->ops[block->skip].target = here(c);
    block->skip = TEMPLATE_NONE;
}

static bool tag_elsif(struct compiler *c, struct blocks *b, struct lexer *l, const char *at)
{
    struct block *block = top(b);
    if (!block || (block->kind != BLOCK_IF && block->kind != BLOCK_UNLESS))
        return compile_fail(c, at, "{%% elsif %%} stands outside of an {%% if %%}");
    if (block->has_else)
        return compile_fail(c, at, "{%% elsif %%} stands after {%% else %%}");
    end_branch(c, block);
    return compile_condition(c, block, l, false);
}

/* ---- case ---- */

/* The hidden local holds the value and the mark that a branch was taken. As in Liquid, every branch
 * that matches is taken, and text before the first `when` is never shown. */
static bool begin_case(struct compiler *c, struct blocks *b, struct lexer *l, const char *at)
{
    uint32_t chain;
    struct block *block = push(c, b, BLOCK_CASE, at);
    if (!block || !expr_chain(l, &chain) || !lexer_expect_end(l, "the value of {% case %}"))
        return false;
    if (!compile_new_slot(c, at, &block->slot))
        return false;
    struct op *op = compile_op(c, OP_SET);
    op->a = chain;
    op->b = block->slot;
    jump_later(c, &block->skip);
    return true;
}

static bool tag_when(struct compiler *c, struct blocks *b, struct lexer *l, const char *at)
{
    struct block *block = top(b);
    uint32_t hits = TEMPLATE_NONE;
    if (!block || block->kind != BLOCK_CASE)
        return compile_fail(c, at, "{%% when %%} stands outside of a {%% case %%}");
    if (block->has_else)
        return compile_fail(c, at, "{%% when %%} stands after {%% else %%}");
    patch(c, block->skip, here(c));
    do {
        uint32_t term;
        if (!expr_term(l, true, &term))
            return false;
        struct op *op = compile_op(c, OP_WHEN);
        op->a = term;
        op->b = block->slot;
        op->target = hits;
        hits = here(c) - 1;
    } while (lexer_take(l, ",") || lexer_take_word(l, "or"));
    block->skip = TEMPLATE_NONE;
    jump_later(c, &block->skip);
    patch(c, hits, here(c));
    block->has_when = true;
    return lexer_expect_end(l, "the value of {% when %}");
}

/* ---- for ---- */

static bool loop_options(struct compiler *c, struct lexer *l, struct loop_plan *plan)
{
    while (!lexer_at_end(l)) {
        (void)lexer_take(l, ",");
        const char *at = (lexer_skip(l), l->p);
        bool limit = lexer_take_word(l, "limit"), offset = !limit && lexer_take_word(l, "offset");
        if (limit || offset) {
            if (!lexer_take(l, ":"))
                return compile_fail(c, at, "write %s: NUMBER", limit ? "limit" : "offset");
            if (!expr_term(l, false, limit ? &plan->limit : &plan->offset))
                return false;
        } else if (lexer_take_word(l, "reversed")) {
            plan->reversed = true;
        } else {
            return compile_fail(c, at,
                                "after the list only limit:, offset: and reversed may follow");
        }
    }
    return true;
}

static bool begin_for(struct compiler *c, struct blocks *b, struct lexer *l, const char *at)
{
    struct loop_plan plan = {.limit = TEMPLATE_NONE, .offset = TEMPLATE_NONE};
    struct block *block = push(c, b, BLOCK_FOR, at);
    if (!block)
        return false;
    struct str name = lexer_name(l);
    if (name.n == 0 || !lexer_take_word(l, "in"))
        return compile_fail(c, at, "a loop is written {%% for NAME in LIST %%}");
    if (!expr_term(l, false, &plan.list) || !loop_options(c, l, &plan))
        return false;
    if (!compile_add_local(c, at, name, true, &plan.slot))
        return false;
    plan.depth = c->loop_depth++;
    *template_push(c->t, loops) = plan;
    struct op *op = compile_op(c, OP_FOR);
    op->a = (uint32_t)(c->t->n_loops - 1);
    block->begin = here(c) - 1;
    return true;
}

/* The end of a loop's body: the step back to its start. */
static void end_loop_body(struct compiler *c, struct block *block)
{
    patch(c, block->continues, here(c));
    block->continues = TEMPLATE_NONE;
    struct op *op = compile_op(c, OP_NEXT);
    op->a = c->t->ops[block->begin].a;
    op->target = block->begin + 1;
    /* The loop's own name goes; names assigned inside stay, as in Liquid. */
    size_t kept = block->locals;
    for (size_t i = block->locals; i < c->n_locals; i++) {
        if (!c->locals[i].is_loop)
            c->locals[kept++] = c->locals[i];
    }
    c->n_locals = kept;
    c->loop_depth--;
}

static bool tag_leave_loop(struct compiler *c, struct blocks *b, struct lexer *l, const char *at,
                           bool is_break)
{
    for (int i = b->depth - 1; i >= 0; i--) {
        struct block *block = &b->open[i];
        if (block->kind == BLOCK_CAPTURE)
            return compile_fail(c, at, "a loop cannot be left from inside a {%% capture %%}");
        if (block->kind == BLOCK_FOR && !block->has_else) {
            jump_later(c, is_break ? &block->ends : &block->continues);
            return lexer_expect_end(l, "the name of the tag");
        }
    }
    return compile_fail(c, at, "{%% %s %%} stands outside of a loop",
                        is_break ? "break" : "continue");
}

/* ---- else and the ends ---- */

static bool tag_else(struct compiler *c, struct blocks *b, struct lexer *l, const char *at)
{
    struct block *block = top(b);
    if (!block || block->kind == BLOCK_CAPTURE)
        return compile_fail(c, at,
                            "{%% else %%} stands outside of an {%% if %%}, {%% case %%} or "
                            "{%% for %%}");
    if (block->has_else)
        return compile_fail(c, at, "{%% else %%} stands here twice");
    if (block->kind == BLOCK_FOR) {
        end_loop_body(c, block);
        jump_later(c, &block->ends);
        c->t->ops[block->begin].target = here(c);
    } else if (block->kind == BLOCK_CASE) {
        if (!block->has_when)
            return compile_fail(c, at, "{%% case %%} has no {%% when %%} before {%% else %%}");
        c->t->ops[block->skip].target = here(c);
        block->skip = TEMPLATE_NONE;
        struct op *op = compile_op(c, OP_WHEN_HIT);
        op->b = block->slot;
        op->target = block->ends;
        block->ends = here(c) - 1;
    } else {
        end_branch(c, block);
    }
    block->has_else = true;
    return lexer_expect_end(l, "{% else %}");
}

static bool end_block(struct compiler *c, struct blocks *b, struct str name, const char *at)
{
    struct block *block = top(b);
    struct str what = str_from_index(name, 3);
    if (!block)
        return compile_fail(c, at, "{%% " STR_F " %%} ends nothing", STR_A(name));
    if (!str_is(what, kind_names[block->kind])) {
        int line, column;
        compile_position(c, block->at, &line, &column);
        return compile_fail(c, at,
                            "{%% " STR_F " %%} stands where the {%% %s %%} of line %d needs "
                            "its {%% end%s %%}",
                            STR_A(name), kind_names[block->kind], line, kind_names[block->kind]);
    }
    if (block->kind == BLOCK_FOR && !block->has_else) {
        end_loop_body(c, block);
        c->t->ops[block->begin].target = here(c);
    }
    if (block->kind == BLOCK_CAPTURE)
        (void)compile_op(c, OP_CAPTURE_END);
    if (block->skip != TEMPLATE_NONE)
        c->t->ops[block->skip].target = here(c);
    patch(c, block->ends, here(c));
    b->depth--;
    return true;
}

bool block_all_closed(struct compiler *c, const struct blocks *b)
{
    if (b->depth == 0)
        return true;
    const struct block *block = &b->open[b->depth - 1];
    const char *name = kind_names[block->kind];
    return compile_fail(c, block->at, "{%% %s %%} is not closed: {%% end%s %%} is missing", name,
                        name);
}

/* ---- assign, capture ---- */

static bool tag_assign(struct compiler *c, struct lexer *l, const char *at)
{
    uint32_t chain, slot;
    struct str name = lexer_name(l);
    if (name.n == 0 || !lexer_take(l, "="))
        return compile_fail(c, at, "an assignment is written {%% assign NAME = VALUE %%}");
    if (str_is(name, "forloop"))
        return compile_fail(c, at, "the name forloop is taken");
    if (!expr_chain(l, &chain) || !lexer_expect_end(l, "the value"))
        return false;
    if (!compile_add_local(c, at, name, false, &slot))
        return false;
    struct op *op = compile_op(c, OP_SET);
    op->a = chain;
    op->b = slot;
    return true;
}

static bool begin_capture(struct compiler *c, struct blocks *b, struct lexer *l, const char *at)
{
    uint32_t slot;
    bool quoted = false;
    struct str name;
    if (!push(c, b, BLOCK_CAPTURE, at) || !lexer_quoted(l, &name, &quoted))
        return false;
    if (!quoted)
        name = lexer_name(l);
    if (name.n == 0 || str_is(name, "forloop"))
        return compile_fail(c, at, "a capture is written {%% capture NAME %%}");
    if (!lexer_expect_end(l, "the name") || !compile_add_local(c, at, name, false, &slot))
        return false;
    compile_op(c, OP_CAPTURE)->b = slot;
    return true;
}

bool block_tag(struct compiler *c, struct blocks *b, struct str name, struct lexer *l,
               const char *at)
{
    if (str_is(name, "if") || str_is(name, "unless"))
        return begin_if(c, b, l, at, str_is(name, "unless"));
    if (str_is(name, "elsif"))
        return tag_elsif(c, b, l, at);
    if (str_is(name, "else"))
        return tag_else(c, b, l, at);
    if (str_is(name, "case"))
        return begin_case(c, b, l, at);
    if (str_is(name, "when"))
        return tag_when(c, b, l, at);
    if (str_is(name, "for"))
        return begin_for(c, b, l, at);
    if (str_is(name, "break") || str_is(name, "continue"))
        return tag_leave_loop(c, b, l, at, str_is(name, "break"));
    if (str_is(name, "assign"))
        return tag_assign(c, l, at);
    if (str_is(name, "capture"))
        return begin_capture(c, b, l, at);
    for (size_t i = 0; i < countof(kind_names); i++) {
        if (str_starts(name, STR("end")) && str_is(str_from_index(name, 3), kind_names[i]))
            return end_block(c, b, name, at) && lexer_expect_end(l, "the name of the tag");
    }
    return compile_fail(c, at,
                        "unknown tag `" STR_F
                        "`; there are if, unless, case, for, assign, capture, "
                        "comment and raw",
                        STR_A(name));
}
