/* Listening: addresses of both families, port 0, what a taken port or a bad address says; Unix
 * sockets with long paths, their mode, stale and living ones, two starts at once; whose the other
 * end is; running out of descriptors. */
#include "net_test.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "net/listen.h"

struct door {
    struct loop *l;
    struct listener *li;
    int fds[600];
    int n;
    int want;
};

static void on_accepted(void *arg, int fd)
{
    struct door *d = arg;
    d->fds[d->n++] = fd;
    int flags = fcntl(fd, F_GETFL);
    assert_true(flags & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    if (d->n == d->want)
        loop_stop(d->l);
}

static void door_empty(struct door *d)
{
    while (d->n > 0)
        close(d->fds[--d->n]);
}

static int connect_tcp(const char *address, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return connect(fd, (struct sockaddr *)&v4, sizeof v4) == 0 ? fd : (close(fd), -1);
    }
    inet_pton(AF_INET6, address, &v6.sin6_addr);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&v6, sizeof v6) == 0 ? fd : (close(fd), -1);
}

static void tcp_case(const char *address, const char *connect_to, const char *described)
{
    struct door d = {.l = loop_new(), .want = 1};
    struct err e;
    char text[64], want[64];
    d.li = listener_tcp(d.l, address, on_accepted, &d, &e);
    if (!d.li)
        fail_msg("%s: %s", address, e.text);
    assert_int_not_equal(listener_port(d.li), 0);
    listener_describe(d.li, text, sizeof text);
    snprintf(want, sizeof want, "%s:%u", described, (unsigned)listener_port(d.li));
    assert_string_equal(text, want);
    int fd = connect_tcp(connect_to, listener_port(d.li));
    assert_true(fd >= 0);
    run_guarded(d.l);
    assert_int_equal(d.n, 1);
    close(fd);
    door_empty(&d);
    listener_close(&d.li);
    assert_null(d.li);
    listener_close(&d.li);
    loop_free(&d.l);
}

static void both_families_listen(void **state)
{
    (void)state;
    tcp_case("127.0.0.1:0", "127.0.0.1", "127.0.0.1");
    tcp_case("localhost:0", "127.0.0.1", "127.0.0.1");
    tcp_case("[::1]:0", "::1", "[::1]");
    tcp_case("*:0", "127.0.0.1", "[::]");
    tcp_case("*:0", "::1", "[::]");
}

static void what_cannot_listen_says_why(void **state)
{
    (void)state;
    struct err e;
    struct door d = {.l = loop_new()};
    static const char *const bad[] = {"",           "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
                                      "1.2.3:80",   "name:80",   "[::1]",      "127.0.0.1:-1",
                                      "[::1:80:80", "[]x:1"};
    for (size_t i = 0; i < countof(bad); i++) {
        assert_null(listener_tcp(d.l, bad[i], on_accepted, &d, &e));
        assert_int_equal(e.code, ERR_INVALID);
        assert_non_null(strstr(e.text, bad[i]));
    }
    d.li = listener_tcp(d.l, "127.0.0.1:0", on_accepted, &d, &e);
    assert_non_null(d.li);
    char taken[64];
    listener_describe(d.li, taken, sizeof taken);
    assert_null(listener_tcp(d.l, taken, on_accepted, &d, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_non_null(strstr(e.text, taken));
    assert_non_null(strstr(e.text, "choose another port"));
    assert_null(listener_tcp(d.l, "192.0.2.1:0", on_accepted, &d, &e));
    assert_non_null(strstr(e.text, "does not have that address"));
    listener_close(&d.li);
    loop_free(&d.l);
}

/* ---- Unix ---- */

static char folder[4096];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_net_listen.XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    for (int i = 0; i < 3; i++) { /* far beyond 108 bytes */
        size_t n = strlen(folder);
        snprintf(folder + n, sizeof folder - n, "/%0100d", i);
        if (mkdir(folder, 0700) != 0)
            return -1;
    }
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        rmdir(folder);
        *strrchr(folder, '/') = '\0';
    }
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[8192];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void long_paths_are_served(void **state)
{
    (void)state;
    struct door d = {.l = loop_new(), .want = 1};
    struct err e;
    struct stat st;
    uint32_t uid = 12345;
    char text[8192];
    const char *path = path_of("link.sock");
    d.li = listener_unix(d.l, path, on_accepted, &d, &e);
    if (!d.li)
        fail_msg("%s", e.text);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(listener_port(d.li), 0);
    listener_describe(d.li, text, sizeof text);
    assert_string_equal(text, path);
    int fd = listen_unix_connect(path, &e);
    assert_true(fd >= 0);
    run_guarded(d.l);
    assert_true(listen_peer_uid(d.fds[0], &uid));
    assert_int_equal(uid, geteuid());
    close(fd);
    door_empty(&d);
    listener_close(&d.li);
    assert_int_not_equal(stat(path, &st), 0);
    assert_int_equal(listen_unix_connect(path, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    loop_free(&d.l);
}

static void only_a_stale_socket_is_replaced(void **state)
{
    (void)state;
    struct err e;
    const char *path = path_of("api.sock");
    int fd = listen_unix_socket(path, &e);
    assert_true(fd >= 0);
    assert_int_equal(listen_unix_socket(path, &e), -1);
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_non_null(strstr(e.text, "in use"));
    close(fd); /* as after a kill: the file stays */
    assert_int_equal(listen_unix_connect(path, &e), -1);
    assert_int_equal(e.code, ERR_UNREACHABLE);
    fd = listen_unix_socket(path, &e);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(listen_unix_socket(path, &e), -1);
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_non_null(strstr(e.text, "no socket"));
    close(file);
    unlink(path);
}

static void bad_unix_paths_say_why(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(listen_unix_socket("/nonexistent/x.sock", &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(listen_unix_socket(path_of(""), &e), -1);
    assert_int_equal(e.code, ERR_INVALID);
    char name[160];
    memset(name, 'x', sizeof name);
    name[159] = '\0';
    assert_int_equal(listen_unix_socket(path_of(name), &e), -1);
    assert_int_equal(e.code, ERR_INVALID);
}

/* A socket that another one has put in our place is not ours to remove. */
static void closing_leaves_a_strangers_file(void **state)
{
    (void)state;
    struct door d = {.l = loop_new()};
    struct err e;
    struct stat st;
    const char *path = path_of("x.sock");
    d.li = listener_unix(d.l, path, on_accepted, &d, &e);
    assert_non_null(d.li);
    assert_int_equal(unlink(path), 0);
    int fd = listen_unix_socket(path, &e);
    assert_true(fd >= 0);
    listener_close(&d.li);
    assert_int_equal(stat(path, &st), 0);
    close(fd);
    unlink(path);
    loop_free(&d.l);
}

#define STARTERS 8

/* A child that listens, says so by its exit status, and serves until `keep` closes. */
static pid_t start_child(const char *path, const int gate[2], const int keep[2])
{
    char b;
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    close(gate[1]);
    close(keep[1]);
    (void)!read(gate[0], &b, 1);
    int fd = listen_unix_socket(path, NULL);
    if (fd < 0)
        _exit(1);
    (void)!read(keep[0], &b, 1);
    _exit(0);
}

static void of_many_starts_at_once_one_wins(void **state)
{
    (void)state;
    struct err e;
    const char *path = path_of("race.sock");
    int gate[2], keep[2], won = 0, lost = 0, status;
    close(listen_unix_socket(path, &e)); /* a stale one to fight for */
    assert_int_equal(pipe(gate), 0);
    assert_int_equal(pipe(keep), 0);
    for (int i = 0; i < STARTERS; i++)
        assert_true(start_child(path, gate, keep) > 0);
    close(gate[1]);
    while (lost < STARTERS - 1 && wait(&status) > 0)
        lost += WIFEXITED(status) && WEXITSTATUS(status) == 1;
    int fd = listen_unix_connect(path, &e);
    assert_true(fd >= 0);
    close(fd);
    close(keep[1]);
    while (wait(&status) > 0)
        won += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    assert_int_equal(won, 1);
    assert_int_equal(lost, STARTERS - 1);
    close(gate[0]);
    close(keep[0]);
    unlink(path);
}

/* True once the process has opened the folder, beside the descriptor that it was born with: within
 * 10 s. The next thing it does is to ask for the lock. */
static bool has_opened_folder(pid_t pid)
{
    char fd[64], target[4096];
    for (int i = 0; i < 10000; i++, usleep(1000)) {
        int found = 0;
        for (int n = 3; n < 64; n++) {
            snprintf(fd, sizeof fd, "/proc/%d/fd/%d", (int)pid, n);
            ssize_t len = readlink(fd, target, sizeof target - 1);
            found += len > 0 && str_is(str_from(target, (size_t)len), folder);
        }
        if (found > 1)
            return true;
    }
    return false;
}

/* Looking whether a socket is stale and replacing it is one step for others. */
static void a_start_waits_for_another_at_work(void **state)
{
    (void)state;
    const char *path = path_of("wait.sock");
    int gate[2], keep[2], status;
    struct stat st;
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(dir, LOCK_EX), 0);
    assert_int_equal(pipe(gate), 0);
    assert_int_equal(pipe(keep), 0);
    pid_t pid = start_child(path, gate, keep);
    close(gate[1]);
    assert_true(has_opened_folder(pid));
    assert_int_not_equal(stat(path, &st), 0);
    flock(dir, LOCK_UN);
    for (int i = 0; i < 5000 && stat(path, &st) != 0; i++)
        usleep(1000);
    assert_int_equal(stat(path, &st), 0);
    close(keep[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(gate[0]);
    close(keep[0]);
    close(dir);
    unlink(path);
}

/* ---- no descriptor left ---- */

static void without_descriptors_it_waits(void **state)
{
    (void)state;
    struct door d = {.l = loop_new(), .want = 1};
    struct err e;
    struct rlimit old, low;
    d.li = listener_tcp(d.l, "127.0.0.1:0", on_accepted, &d, &e);
    assert_non_null(d.li);
    int fd = connect_tcp("127.0.0.1", listener_port(d.li));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)fd + 1; /* the next one would be over it */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    run_for(d.l, 250);
    assert_int_equal(d.n, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    run_guarded(d.l); /* by itself */
    assert_int_equal(d.n, 1);
    close(fd);
    door_empty(&d);
    listener_close(&d.li);
    loop_free(&d.l);
}

static void close_at_first(void *arg, int fd)
{
    struct door *d = arg;
    close(fd);
    d->n++;
    listener_close(&d->li);
    loop_stop(d->l);
}

static void a_listener_may_close_in_its_callback(void **state)
{
    (void)state;
    struct door d = {.l = loop_new()};
    struct err e;
    int fds[5];
    d.li = listener_tcp(d.l, "127.0.0.1:0", close_at_first, &d, &e);
    uint16_t port = listener_port(d.li);
    for (int i = 0; i < 5; i++)
        fds[i] = connect_tcp("127.0.0.1", port);
    run_guarded(d.l);
    assert_int_equal(d.n, 1);
    assert_null(d.li);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    loop_free(&d.l);
}

static void many_at_once_are_all_let_in(void **state)
{
    (void)state;
    struct door d = {.l = loop_new(), .want = 300};
    struct err e;
    int fds[300];
    d.li = listener_tcp(d.l, "127.0.0.1:0", on_accepted, &d, &e);
    for (int i = 0; i < 300; i++)
        fds[i] = connect_tcp("127.0.0.1", listener_port(d.li));
    run_guarded(d.l);
    assert_int_equal(d.n, 300);
    for (int i = 0; i < 300; i++)
        close(fds[i]);
    door_empty(&d);
    listener_close(&d.li);
    loop_free(&d.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_families_listen),
        cmocka_unit_test(what_cannot_listen_says_why),
        cmocka_unit_test(long_paths_are_served),
        cmocka_unit_test(only_a_stale_socket_is_replaced),
        cmocka_unit_test(bad_unix_paths_say_why),
        cmocka_unit_test(closing_leaves_a_strangers_file),
        cmocka_unit_test(of_many_starts_at_once_one_wins),
        cmocka_unit_test(a_start_waits_for_another_at_work),
        cmocka_unit_test(without_descriptors_it_waits),
        cmocka_unit_test(a_listener_may_close_in_its_callback),
        cmocka_unit_test(many_at_once_are_all_let_in),
    };
    return cmocka_run_group_tests_name("net_listen", tests, make_folder, drop_folder);
}
