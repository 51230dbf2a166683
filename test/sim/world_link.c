/* link/link.h without a socket: a thread of the world calls an operation as web would, and waits
 * for the answer of the reactor. */
#include "world.h"

#include "base/alloc.h"
#include "link/link.h"

#include <stdio.h>
#include <stdlib.h>

static link_handler *handler;
static void *handler_arg;

struct call {
    struct due due;
    struct link_request *request;
    json_t *answer;
    bool is_answered;
};

static struct call *waiting; /* one user, one call at a time */

bool link_server_new(struct loop *l, struct net *n, const char *path, link_handler *h, void *arg,
                     struct link_server **out, struct err *e)
{
    (void)l, (void)n, (void)path, (void)e;
    handler = h;
    handler_arg = arg;
    *out = NULL;
    threads_spawn(script_run, NULL);
    return true;
}

void link_server_close(struct link_server *s)
{
    (void)s;
}

void link_answer(struct link_request *r, json_t *answer)
{
    waiting->answer = answer;
    waiting->is_answered = true;
    json_decref(r->call);
    free(r);
    threads_wake(waiting);
}

static void begin(struct due *d)
{
    struct call *k = container_of(d, struct call, due);
    handler(handler_arg, k->request);
}

static void show_call(const char *op, const json_t *args)
{
    char *text = json_dumps(args, JSON_COMPACT);
    printf("%12.6f user %s %.300s\n", (double)W->boot_us / 1e6, op, text ? text : "");
    free(text);
}

bool user_call(const char *op, void *args_json, struct str tail, void **data_out, char *why_out,
               size_t why_size)
{
    struct call k = {.request = alloc_one(struct link_request)};
    json_t *args = args_json ? args_json : json_object(), *data = NULL;
    struct err e = {0};
    char actor[40];
    snprintf(actor, sizeof actor, "key:%s", sim_key);
    *k.request = (struct link_request){.op = op,
                                       .args = args,
                                       .tail = tail,
                                       .actor = W->as_key ? actor : "simulation",
                                       .call = args};
    if (W->verbose)
        show_call(op, args);
    due_init(&k.due, begin);
    waiting = &k;
    due_post(&k.due);
    while (!k.is_answered)
        threads_wait(&k);
    bool ok = link_answer_read(k.answer, &data, &e);
    json_decref(k.answer);
    if (!ok)
        snprintf(why_out, why_size, "%s", e.text);
    world_trace("user %s: %s", op, ok ? "ok" : e.text);
    if (data_out)
        *data_out = data;
    else
        json_decref(data);
    return ok;
}
