/* link: frames at every cut, hostile frames, and calls over a real socket: many threads, answers
 * out of order, a peer that leaves, timeouts, a server that goes and comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "link/link.h"
#include "net/conn.h"
#include "net/listen.h"
#include "net/loop.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_frame_round_trip_at_every_cut(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_true(link_frame_add(&b, LINK_CALL, 0x0102030405060708, STR("{\"op\":\"x\"}"),
                               STR("tail\0more")));
    for (size_t cut = 0; cut < b.n; cut++) {
        struct link_frame f;
        size_t used = 0;
        struct err e;
        assert_int_equal(link_frame_read(str_from(b.p, cut), &f, &used, &e), LINK_MORE);
    }
    struct link_frame f;
    size_t used = 0;
    struct err e;
    assert_int_equal(link_frame_read(buf_str(&b), &f, &used, &e), LINK_FRAME);
    assert_int_equal(used, b.n);
    assert_int_equal(f.type, LINK_CALL);
    assert_true(f.id == 0x0102030405060708);
    json_t *j = NULL;
    struct str tail;
    assert_true(link_payload_read(f.payload, &j, &tail, &e));
    assert_string_equal(json_string_value(json_object_get(j, "op")), "x");
    assert_true(str_eq(tail, STR("tail\0more")));
    json_decref(j);
    buf_free(&b);
}

static void test_frame_refuses_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"\x00\x00\x00\x00", 4},                              /* too short */
        {"\xff\xff\xff\xff", 4},                              /* too long */
        {"\x00\x00\x00\x10\x02\x01\0\0\0\0\0\0\0\0\0\0", 16}, /* version 2 */
        {"\x00\x00\x00\x10\x01\x00\0\0\0\0\0\0\0\0\0\0", 16}, /* type 0 */
        {"\x00\x00\x00\x10\x01\x09\0\0\0\0\0\0\0\0\0\0", 16}, /* type 9 */
        {"\x00\x00\x00\x10\x01\x01\0\1\0\0\0\0\0\0\0\0", 16}, /* not zero */
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct link_frame f;
        size_t used = 0;
        struct err e = {0};
        assert_int_equal(link_frame_read(str_from(cases[i].bytes, cases[i].n), &f, &used, &e),
                         LINK_BROKEN);
        assert_true(e.text[0] != '\0');
    }
    static const struct str payloads[] = {{"\0\0\0", 3},       {"\0\0\0\x05{}", 6},
                                          {"\0\0\0\x02[]", 6}, {"\0\0\0\x01{", 5},
                                          {"\0\0\0\0", 4},     {"\0\0\0\x0d{\"a\":1,\"a\":2}", 17}};
    for (size_t i = 0; i < countof(payloads); i++) {
        json_t *j = NULL;
        struct str tail;
        struct err e;
        assert_false(link_payload_read(payloads[i], &j, &tail, &e));
    }
}

static void test_frame_over_the_maximum_is_not_added(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 2u << 20);
    char *big = alloc_bytes(LINK_FRAME_MAX);
    assert_false(link_frame_add(&b, LINK_CALL, 1, STR("{}"), str_from(big, LINK_FRAME_MAX)));
    assert_int_equal(b.n, 0);
    free(big);
    buf_free(&b);
}

static void test_answers_carry_data_or_error(void **state)
{
    (void)state;
    struct err e;
    json_t *data = NULL, *a = link_answer_ok(json_integer(7));
    assert_true(link_answer_read(a, &data, &e));
    assert_int_equal(json_integer_value(data), 7);
    json_decref(data);
    json_decref(a);
    err_set(&e, ERR_CONFLICT, "name: \"a\" is taken");
    a = link_answer_error(&e);
    struct err back;
    assert_false(link_answer_read(a, &data, &back));
    assert_int_equal(back.code, ERR_CONFLICT);
    assert_string_equal(back.text, e.text);
    json_decref(a);
    a = json_pack("{}");
    assert_false(link_answer_read(a, &data, &back));
    assert_int_equal(back.code, ERR_FAILED);
    json_decref(a);
}

/* ---- a core of our own ---- */

struct core {
    char folder[64], path[96];
    pthread_t thread;
    struct loop *loop;
    struct net *net;
    struct link_server *server;
    struct wake *stop;
    struct timer *later;
    struct link_request *held[256];
    size_t n_held;
    pthread_barrier_t ready;
};

static void answer_later(void *arg)
{
    struct core *c = arg;
    while (c->n_held) { /* the last first: out of order */
        struct link_request *r = c->held[--c->n_held];
        json_t *n = json_incref(json_object_get(r->args, "n"));
        link_answer(r, link_answer_ok(n));
    }
}

static void on_call(void *arg, struct link_request *r)
{
    struct core *c = arg;
    if (!strcmp(r->op, "echo")) {
        json_t *data = json_pack("{s:O, s:i, s:s}", "args", r->args, "tail", (int)r->tail.n,
                                 "actor", r->actor);
        link_answer(r, link_answer_ok(data));
    } else if (!strcmp(r->op, "refuse")) {
        struct err e;
        err_set(&e, ERR_REFUSED, "policy says no");
        link_answer(r, link_answer_error(&e));
    } else if (!strcmp(r->op, "later")) {
        c->held[c->n_held++] = r;
        timer_at(c->later, loop_now_ms(c->loop) + 20);
    } else if (!strcmp(r->op, "never")) {
        c->held[c->n_held++] = r;
    } else {
        link_server_close(c->server);
        link_answer(r, link_answer_ok(NULL));
    }
}

static void on_stop(void *arg)
{
    loop_stop(((struct core *)arg)->loop);
}

static void *core_main(void *arg)
{
    struct core *c = arg;
    c->loop = loop_new();
    c->net = net_new(c->loop, &(struct net_config){0});
    c->stop = wake_new(c->loop, on_stop, c);
    c->later = timer_new(c->loop, answer_later, c);
    struct err e;
    if (!link_server_new(c->loop, c->net, c->path, on_call, c, &c->server, &e))
        print_error("%s\n", e.text);
    pthread_barrier_wait(&c->ready);
    loop_run(c->loop);
    link_server_free(&c->server);
    timer_free(&c->later);
    wake_free(&c->stop);
    net_free(&c->net);
    loop_free(&c->loop);
    return NULL;
}

static void core_start(struct core *c)
{
    c->n_held = 0;
    pthread_barrier_init(&c->ready, NULL, 2);
    assert_int_equal(pthread_create(&c->thread, NULL, core_main, c), 0);
    pthread_barrier_wait(&c->ready);
    pthread_barrier_destroy(&c->ready);
    assert_non_null(c->server);
}

static void core_stop(struct core *c)
{
    wake_signal(c->stop);
    pthread_join(c->thread, NULL);
}

static int set_up(void **state)
{
    struct core *c = alloc_one(struct core);
    str_copy(STR("/tmp/pf-link-XXXXXX"), c->folder, sizeof(c->folder));
    if (!mkdtemp(c->folder))
        return -1;
    snprintf(c->path, sizeof(c->path), "%s/link.sock", c->folder);
    core_start(c);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct core *c = *state;
    core_stop(c);
    unlink(c->path);
    rmdir(c->folder);
    free(c);
    return 0;
}

static void test_call_and_answer(void **state)
{
    struct core *c = *state;
    struct link_client *client = link_client_new(c->path, 2);
    struct err e = {0};
    json_t *args = json_pack("{s:s}", "name", "a"), *data = NULL;
    assert_true(link_call(client, "echo", args, STR("12345"), "socket", 5000, &data, &e));
    assert_int_equal(json_integer_value(json_object_get(data, "tail")), 5);
    assert_string_equal(json_string_value(json_object_get(data, "actor")), "socket");
    assert_true(json_equal(json_object_get(data, "args"), args));
    json_decref(data);
    json_decref(args);
    assert_false(link_call(client, "refuse", NULL, STR_NONE, NULL, 5000, &data, &e));
    assert_int_equal(e.code, ERR_REFUSED);
    assert_string_equal(e.text, "policy says no");
    link_client_free(&client);
}

static void test_big_tail_goes_through(void **state)
{
    struct core *c = *state;
    struct link_client *client = link_client_new(c->path, 1);
    size_t n = 40u << 20;
    char *big = alloc_bytes(n);
    json_t *data = NULL;
    struct err e = {0};
    bool ok = link_call(client, "echo", NULL, str_from(big, n), NULL, 20000, &data, &e);
    assert_true(ok);
    assert_int_equal(json_integer_value(json_object_get(data, "tail")), n);
    json_decref(data);
    free(big);
    link_client_free(&client);
}

struct caller {
    struct link_client *client;
    int first;
    int wrong;
};

static void *call_many(void *arg)
{
    struct caller *t = arg;
    for (int i = 0; i < 20; i++) {
        json_t *args = json_pack("{s:i}", "n", t->first + i), *data = NULL;
        struct err e;
        if (!link_call(t->client, "later", args, STR_NONE, NULL, 10000, &data, &e) ||
            json_integer_value(data) != t->first + i)
            t->wrong++;
        json_decref(args);
        json_decref(data);
    }
    return NULL;
}

static void test_threads_get_their_own_answers(void **state)
{
    struct core *c = *state;
    struct link_client *client = link_client_new(c->path, 4);
    pthread_t threads[8];
    struct caller callers[8];
    for (int i = 0; i < 8; i++) {
        callers[i] = (struct caller){.client = client, .first = i * 1000};
        pthread_create(&threads[i], NULL, call_many, &callers[i]);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
    link_client_free(&client);
}

static void test_timeout_says_so_and_the_next_call_works(void **state)
{
    struct core *c = *state;
    struct link_client *client = link_client_new(c->path, 1);
    struct err e = {0};
    json_t *data = NULL;
    assert_false(link_call(client, "never", NULL, STR_NONE, NULL, 50, &data, &e));
    assert_int_equal(e.code, ERR_LATER);
    assert_true(link_call(client, "echo", NULL, STR_NONE, NULL, 5000, &data, &e));
    json_decref(data);
    link_client_free(&client);
}

struct hanging {
    struct link_client *client;
    struct err e;
    bool ok;
};

static void *call_that_hangs(void *arg)
{
    struct hanging *h = arg;
    h->ok = link_call(h->client, "never", NULL, STR_NONE, NULL, 60000, NULL, &h->e);
    return NULL;
}

/* Two wait for answers, one for a place: the end of the process waits for none of them. */
static void test_a_stop_ends_waiting_calls(void **state)
{
    struct core *c = *state;
    struct link_client *client = link_client_new(c->path, 2);
    pthread_t threads[3];
    struct hanging calls[3];
    int64_t begin = clock_boot_ms();
    for (int i = 0; i < 3; i++) {
        calls[i] = (struct hanging){.client = client};
        pthread_create(&threads[i], NULL, call_that_hangs, &calls[i]);
    }
    link_client_stop(client);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_false(calls[i].ok);
        assert_int_equal(calls[i].e.code, ERR_LATER);
        assert_non_null(strstr(calls[i].e.text, "stopping"));
    }
    assert_true(clock_boot_ms() - begin < 30000);
    link_client_free(&client);
}

static void test_core_that_breaks_off_and_comes_back(void **state)
{
    struct core *c = *state;
    struct link_client *client = link_client_new(c->path, 2);
    struct err e = {0};
    json_t *data = NULL;
    assert_true(link_call(client, "echo", NULL, STR_NONE, NULL, 5000, &data, &e));
    json_decref(data);
    assert_false(link_call(client, "close", NULL, STR_NONE, NULL, 5000, &data, &e));
    assert_int_equal(e.code, ERR_UNREACHABLE);
    core_stop(c);
    assert_false(link_call(client, "echo", NULL, STR_NONE, NULL, 100, &data, &e));
    assert_int_equal(e.code, ERR_UNREACHABLE);
    core_start(c);
    assert_true(link_call(client, "echo", NULL, STR_NONE, NULL, 5000, &data, &e));
    json_decref(data);
    link_client_free(&client);
}

/* Bytes that break the rules end that connection; others go on. */
static void test_hostile_peer_is_closed(void **state)
{
    struct core *c = *state;
    static const struct str sayings[] = {
        {"GET / HTTP/1.1\r\n\r\n", 18},
        {"\xff\xff\xff\xff", 4},
        {"\0\0\0\x12\x01\x02\0\0\0\0\0\0\0\0\0\1\0\0\0\2{}", 22}, /* a call before the hello */
    };
    for (size_t i = 0; i < countof(sayings); i++) {
        struct err e;
        int fd = listen_unix_connect(c->path, &e);
        assert_true(fd >= 0);
        assert_int_equal(send(fd, sayings[i].p, sayings[i].n, MSG_NOSIGNAL), (int)sayings[i].n);
        char skip[256];
        ssize_t n;
        while ((n = recv(fd, skip, sizeof(skip), 0)) > 0) {
        }
        close(fd);
    }
    struct link_client *client = link_client_new(c->path, 1);
    json_t *data = NULL;
    struct err e = {0};
    assert_true(link_call(client, "echo", NULL, STR_NONE, NULL, 5000, &data, &e));
    json_decref(data);
    link_client_free(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_round_trip_at_every_cut),
        cmocka_unit_test(test_frame_refuses_what_is_wrong),
        cmocka_unit_test(test_frame_over_the_maximum_is_not_added),
        cmocka_unit_test(test_answers_carry_data_or_error),
        cmocka_unit_test_setup_teardown(test_call_and_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_big_tail_goes_through, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads_get_their_own_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stop_ends_waiting_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timeout_says_so_and_the_next_call_works, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_core_that_breaks_off_and_comes_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_hostile_peer_is_closed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
