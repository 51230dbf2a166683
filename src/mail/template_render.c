/* Runs the operations of a compiled template. Reads the template only, so any number of threads may
 * render one at a time each; a small mail allocates nothing beside its output. Bounded by output,
 * iterations and memory: over one of them the rendering fails with the reason. */
#include "mail/template_parts.h"

#include <stdlib.h>

#define OUTPUT_MAX     (1 << 20)
#define ITERATIONS_MAX 10000
#define STACK_BYTES    6144

struct loop {
    struct value list;
    size_t first, count, i; /* walks count elements from first on */
    bool reversed;
};

struct run {
    const struct template *t;
    const struct str *values;
    struct buf *out;
    struct err *e;
    size_t start, output_max;
    uint32_t iterations_left, iterations_max;
    struct memory memory;
    struct value *locals;
    struct loop *loops;
    size_t captures[TEMPLATE_DEPTH_MAX];
    uint32_t capture_slots[TEMPLATE_DEPTH_MAX];
    size_t n_captures;
};

static bool no_memory(struct run *r)
{
    return err_set(r->e, ERR_TOO_BIG, "rendering the template needs more than %d MB of memory",
                   TEMPLATE_MEMORY_MAX >> 20);
}

/* ---- terms ---- */

static bool eval(struct run *r, uint32_t index, struct value *out);

static struct value loop_value(const struct loop *loop, enum loop_field field)
{
    struct value v = {.kind = VALUE_FALSE};
    switch (field) {
    case LOOP_INDEX: return value_number((double)loop->i + 1);
    case LOOP_INDEX0: return value_number((double)loop->i);
    case LOOP_RINDEX: return value_number((double)(loop->count - loop->i));
    case LOOP_RINDEX0: return value_number((double)(loop->count - loop->i) - 1);
    case LOOP_LENGTH: return value_number((double)loop->count);
    case LOOP_FIRST: v.kind = loop->i == 0 ? VALUE_TRUE : VALUE_FALSE; break;
    case LOOP_LAST: v.kind = loop->i + 1 == loop->count ? VALUE_TRUE : VALUE_FALSE; break;
    }
    return v;
}

static int64_t to_integer(const struct value *v)
{
    double n = value_to_number(v);
    if (n > 1e9)
        return 1000000000;
    return n > -1e9 ? (int64_t)n : -1000000000;
}

static bool eval_property(struct run *r, const struct term *term, struct value *v)
{
    struct value item = {.kind = VALUE_NIL}, index;
    int64_t i = 0;
    bool is_list = v->kind == VALUE_LIST || v->kind == VALUE_RANGE;
    if (term->property == PROPERTY_SIZE) {
        struct call call = {.memory = &r->memory, .n_args = 0};
        return filter_size(&call, v);
    }
    if (term->property == PROPERTY_INDEX) {
        if (!eval(r, term->from, &index))
            return false;
        i = to_integer(&index);
    }
    size_t n = is_list ? value_count(v) : 0;
    if (term->property == PROPERTY_LAST)
        i = -1;
    if (i < 0)
        i += (int64_t)n;
    if (i < 0 || !is_list || !value_item(v, (size_t)i, &item))
        item.kind = VALUE_NIL;
    *v = item;
    return true;
}

static bool eval_range(struct run *r, const struct term *term, struct value *out)
{
    struct value from, to;
    if (!eval(r, term->from, &from) || !eval(r, term->to, &to))
        return false;
    *out = (struct value){.kind = VALUE_RANGE, .from = to_integer(&from), .to = to_integer(&to)};
    return true;
}

static bool eval(struct run *r, uint32_t index, struct value *out)
{
    const struct term *term = &r->t->terms[index];
    *out = (struct value){.kind = VALUE_NIL};
    switch ((enum term_kind)term->kind) {
    case TERM_NIL: break;
    case TERM_FALSE: out->kind = VALUE_FALSE; break;
    case TERM_TRUE: out->kind = VALUE_TRUE; break;
    case TERM_EMPTY: out->kind = VALUE_EMPTY; break;
    case TERM_BLANK: out->kind = VALUE_BLANK; break;
    case TERM_NUMBER: *out = value_number(term->number); break;
    case TERM_TEXT: *out = value_text(term->text); break;
    case TERM_VARIABLE:
        if (r->values[term->index].p)
            *out = value_text(r->values[term->index]);
        break;
    case TERM_LOOP: *out = loop_value(&r->loops[term->index], term->field); break;
    case TERM_RANGE: return eval_range(r, term, out);
    case TERM_LOCAL:
        *out = r->locals[term->index];
        if (term->property != PROPERTY_NONE)
            return eval_property(r, term, out);
        break;
    }
    return true;
}

static bool eval_chain(struct run *r, uint32_t index, struct value *out)
{
    const struct chain *chain = &r->t->chains[index];
    if (!eval(r, chain->term, out))
        return false;
    for (uint32_t i = 0; i < chain->n_filters; i++) {
        const struct filter_use *use = &r->t->filters[chain->filters + i];
        struct call call = {.memory = &r->memory,
                            .n_args = use->n_args,
                            .html = r->t->kind == TEMPLATE_HTML,
                            .allow_false = use->allow_false};
        uint8_t escaped = out->flags & VALUE_ESCAPED;
        for (int k = 0; k < use->n_args; k++) {
            if (!eval(r, use->args[k], &call.args[k]))
                return false;
        }
        if (!use->filter->apply(&call, out))
            return no_memory(r);
        out->flags |= escaped;
    }
    return true;
}

/* ---- conditions ---- */

static bool eval_row(struct run *r, const struct condition *row, bool *out)
{
    struct value a, b;
    int order = 0;
    if (!eval(r, row->left, &a))
        return false;
    if (row->comparison == COMPARE_TRUTH) {
        *out = value_is_truthy(&a);
        return true;
    }
    if (!eval(r, row->right, &b))
        return false;
    bool ordered = row->comparison >= COMPARE_GT && row->comparison <= COMPARE_LE &&
                   value_compare(&a, &b, &order);
    switch ((enum comparison)row->comparison) {
    case COMPARE_EQ: *out = value_equals(&a, &b); break;
    case COMPARE_NE: *out = !value_equals(&a, &b); break;
    case COMPARE_GT: *out = ordered && order > 0; break;
    case COMPARE_LT: *out = ordered && order < 0; break;
    case COMPARE_GE: *out = ordered && order >= 0; break;
    case COMPARE_LE: *out = ordered && order <= 0; break;
    case COMPARE_CONTAINS: *out = value_contains(&a, &b, &r->memory); break;
    case COMPARE_TRUTH: break;
    }
    return true;
}

/* and and or bind alike, from the right: a or (b and c). */
static bool eval_condition(struct run *r, const struct op *op, bool *out)
{
    bool right = false;
    for (uint32_t i = op->n; i > 0; i--) {
        const struct condition *row = &r->t->conditions[op->a + i - 1];
        bool here = false;
        if (!eval_row(r, row, &here))
            return false;
        if (row->and_next)
            right = here && right;
        else if (row->or_next)
            right = here || right;
        else
            right = here;
    }
    *out = right != op->negated;
    return true;
}

/* ---- output ---- */

static bool put(struct run *r, const char *p, size_t n)
{
    if (r->out->n - r->start + n > r->output_max)
        return err_set(r->e, ERR_TOO_BIG, "the template gives more than %zu bytes", r->output_max);
    if (n && !buf_add(r->out, p, n))
        return err_set(r->e, ERR_TOO_BIG, "the mail is larger than %zu bytes", r->out->max);
    return true;
}

static const char *entity_of(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&#34;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

static bool put_escaped(struct run *r, struct str s)
{
    size_t start = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *entity = entity_of(s.p[i]);
        if (!entity)
            continue;
        if (!put(r, s.p + start, i - start) || !put(r, entity, strlen(entity)))
            return false;
        start = i + 1;
    }
    return put(r, s.p + start, s.n - start);
}

static bool print(struct run *r, const struct op *op)
{
    struct value v;
    struct str text;
    if (!eval_chain(r, op->a, &v))
        return false;
    if (v.kind == VALUE_NIL)
        return true;
    if (!value_to_text(&v, &r->memory, &text))
        return no_memory(r);
    if (r->t->kind != TEMPLATE_HTML || (v.flags & VALUE_SAFE))
        return put(r, text.p, text.n);
    if (!(v.flags & VALUE_ESCAPED))
        return put_escaped(r, text);
    struct call call = {.memory = &r->memory, .n_args = 0};
    struct value once = value_text(text);
    if (!filter_escape_once(&call, &once))
        return no_memory(r);
    return put(r, once.text.p, once.text.n);
}

/* ---- capture ---- */

static void begin_capture(struct run *r, const struct op *op)
{
    r->captures[r->n_captures] = r->out->n;
    r->capture_slots[r->n_captures++] = op->b;
}

/* What was printed since the start becomes the value; in HTML it is safe, its parts were escaped.
 */
static bool end_capture(struct run *r)
{
    size_t from = r->captures[--r->n_captures];
    size_t n = r->out->n - from;
    char *copy = memory_get(&r->memory, n + 1);
    if (!copy)
        return no_memory(r);
    if (n)
        memcpy(copy, r->out->p + from, n);
    r->out->n = from;
    struct value *v = &r->locals[r->capture_slots[r->n_captures]];
    *v = value_text(str_from(copy, n));
    v->flags = r->t->kind == TEMPLATE_HTML ? VALUE_SAFE : 0;
    return true;
}

/* ---- loops ---- */

static bool step(struct run *r, const struct loop_plan *plan, struct loop *loop)
{
    struct value *v = &r->locals[plan->slot];
    size_t i = loop->first + (loop->reversed ? loop->count - 1 - loop->i : loop->i);
    if (r->iterations_left-- == 0) {
        r->iterations_left = 0;
        return err_set(r->e, ERR_TOO_BIG, "the loops of the template ran more than %u times",
                       r->iterations_max);
    }
    return value_item(&loop->list, i, v);
}

/* *some is false when there is nothing to walk. */
static bool begin_loop(struct run *r, const struct loop_plan *plan, bool *some)
{
    struct loop *loop = &r->loops[plan->depth];
    struct value limit, offset;
    *loop = (struct loop){.reversed = plan->reversed};
    if (!eval(r, plan->list, &loop->list))
        return false;
    loop->count = value_count(&loop->list);
    if (plan->offset != TEMPLATE_NONE) {
        if (!eval(r, plan->offset, &offset))
            return false;
        int64_t skip = MAX(to_integer(&offset), 0);
        loop->first = MIN((size_t)skip, loop->count);
        loop->count -= loop->first;
    }
    if (plan->limit != TEMPLATE_NONE) {
        if (!eval(r, plan->limit, &limit))
            return false;
        loop->count = MIN((size_t)MAX(to_integer(&limit), 0), loop->count);
    }
    *some = loop->count > 0;
    return !*some || step(r, plan, loop);
}

static bool next_round(struct run *r, const struct op *op, size_t *pc)
{
    const struct loop_plan *plan = &r->t->loops[op->a];
    struct loop *loop = &r->loops[plan->depth];
    if (++loop->i >= loop->count)
        return true;
    *pc = op->target;
    return step(r, plan, loop);
}

/* ---- the machine ---- */

static bool when(struct run *r, const struct op *op, size_t *pc)
{
    struct value v;
    if (!eval(r, op->a, &v))
        return false;
    if (value_equals(&r->locals[op->b], &v)) {
        r->locals[op->b].flags |= VALUE_HIT;
        *pc = op->target;
    }
    return true;
}

/* By way of a value of its own: the chain may read the local that it sets. */
static bool set_local(struct run *r, const struct op *op)
{
    struct value v;
    if (!eval_chain(r, op->a, &v))
        return false;
    r->locals[op->b] = v;
    return true;
}

static bool run_op(struct run *r, const struct op *op, size_t *pc)
{
    bool yes = false;
    switch ((enum op_kind)op->kind) {
    case OP_TEXT: return put(r, op->text.p, op->text.n);
    case OP_PRINT: return print(r, op);
    case OP_SET: return set_local(r, op);
    case OP_CAPTURE: begin_capture(r, op); return true;
    case OP_CAPTURE_END: return end_capture(r);
    case OP_JUMP: *pc = op->target; return true;
    case OP_IF:
        if (!eval_condition(r, op, &yes))
            return false;
        if (!yes)
            *pc = op->target;
        return true;
    case OP_WHEN: return when(r, op, pc);
    case OP_WHEN_HIT:
        if (r->locals[op->b].flags & VALUE_HIT)
            *pc = op->target;
        return true;
    case OP_FOR:
        if (!begin_loop(r, &r->t->loops[op->a], &yes))
            return false;
        if (!yes)
            *pc = op->target;
        return true;
    case OP_NEXT: return next_round(r, op, pc);
    }
    return true;
}

bool template_render(const struct template *t, const struct str *values,
                     const struct template_limits *limits, struct buf *out, struct err *e)
{
    _Alignas(16) char stack[STACK_BYTES];
    struct run r = {.t = t, .values = values, .out = out, .e = e, .start = out->n};
    size_t max = limits && limits->output_max ? limits->output_max : OUTPUT_MAX;
    uint32_t iterations =
        limits && limits->iterations_max ? limits->iterations_max : ITERATIONS_MAX;
    r.output_max = max;
    r.iterations_left = r.iterations_max = iterations;
    r.memory = (struct memory){stack, sizeof(stack), 0, NULL};
    size_t loops = 0;
    for (size_t i = 0; i < t->n_loops; i++)
        loops = MAX(loops, t->loops[i].depth + 1);
    size_t locals_n = t->n_slots * sizeof(struct value), loops_n = loops * sizeof(struct loop);
    r.locals = memory_get(&r.memory, locals_n + 1);
    r.loops = memory_get(&r.memory, loops_n + 1);
    bool ok = r.locals && r.loops;
    if (ok) {
        memset(r.locals, 0, locals_n);
        memset(r.loops, 0, loops_n);
    } else {
        ok = no_memory(&r);
    }
    for (size_t pc = 0; ok && pc < t->n_ops;) {
        const struct op *op = &t->ops[pc++];
        ok = run_op(&r, op, &pc);
    }
    arena_free(&r.memory.arena);
    return ok;
}
