/* Simulation by seed: `sim [--seeds N] [--from S] [--jobs J]` runs N seeds and prints a TAP line
 * each; `sim --seed S` runs one and prints all that happened; `--scene NAME` takes that scene for
 * every seed; `--twice 1` runs each seed twice and holds the traces against each other; `--keep 1`
 * leaves the engine's folder (database, journal) behind and names it. A seed is a
 * process that forks the engine again after each crash; the world lies in memory that they share.
 */
#include "world.h"

#include "base/log.h"
#include "engine/core.h"
#include "store/secrets.h"
#include "store/vfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS_MAX 200
#define REAL_TIME_S                                                                                \
    240 /* for a run of the engine: it hangs otherwise; ten times for a long one                   \
         */
#define TEXT_MAX 8000
#define LOG_TAIL 3000

static bool verbose, twice, keep;
static const char *scene; /* NULL: the seed chooses */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static bool make_folder(void)
{
    struct err e;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(W->folder, sizeof W->folder, "%s/pf-sim-XXXXXX", base);
    if (!mkdtemp(W->folder))
        return false;
    if (secrets_create(W->folder, &e))
        return true;
    snprintf(W->problem, sizeof W->problem, "%s", e.text);
    return false;
}

static void log_path(char *out, size_t size)
{
    snprintf(out, size, "%s/log", W->folder);
}

/* ---- the engine, in a process of its own */

static int on_write(void *arg, const char *path, int64_t offset, const void *p, size_t n)
{
    (void)arg, (void)path, (void)offset, (void)p, (void)n;
    world_step();
    return 0;
}

static int on_sync(void *arg, const char *path)
{
    (void)arg, (void)path;
    world_step();
    return 0;
}

static _Noreturn void run_engine(void)
{
    static const struct vfs_watch watch = {.on_write = on_write, .on_sync = on_sync};
    char path[300];
    log_path(path, sizeof path);
    int fd = verbose ? 1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0 && !verbose)
        dup2(fd, 2);
    log_setup("core", verbose ? LOG_INFO : LOG_NOTICE, fd);
    alarm(W->n_people > 50000 ? 10 * REAL_TIME_S : REAL_TIME_S);
    setvbuf(stdout, NULL, _IOLBF, 0);
    vfs_watch_set(&watch);
    threads_begin();
    const struct engine_core_config cfg = {.data_dir = W->folder,
                                           .poison_fd = -1,
                                           .http_url = "http://127.0.0.1:8025",
                                           .desk_threads = 2};
    int status = engine_core_main(&cfg);
    (void)fflush(stdout);
    _exit(status);
}

/* ---- a seed */

static void after_end(int status)
{
    W->crash_in = 0;
    W->boot_us += MAX(W->down_us, INT64_C(1000));
    W->down_us = 0;
    if (status != CRASH_STATUS || !W->reboots)
        return;
    W->reboots = false;
    W->boots++;
    W->boot_base_us = W->boot_us - 20 * SECOND_US;
}

static bool run_to_the_end(void)
{
    int status = 0;
    for (W->runs = 1; W->runs <= RUNS_MAX; W->runs++) {
        (void)fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            run_engine();
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            return false;
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (code == 0 && W->is_over)
            return true;
        if (code != CRASH_STATUS && code != 0) {
            if (!W->problem[0])
                snprintf(W->problem, sizeof W->problem,
                         "the engine ended with status %d, signal %d", code,
                         WIFSIGNALED(status) ? WTERMSIG(status) : 0);
            return false;
        }
        after_end(code);
    }
    snprintf(W->problem, sizeof W->problem, "over %d starts of the engine", RUNS_MAX);
    return false;
}

static void show_log(FILE *out)
{
    char path[300], text[LOG_TAIL + 1];
    log_path(path, sizeof path);
    FILE *f = fopen(path, "r");
    if (!f)
        return;
    (void)fseek(f, 0, SEEK_END);
    long n = ftell(f);
    (void)fseek(f, MAX(n - LOG_TAIL, 0L), SEEK_SET);
    size_t got = fread(text, 1, LOG_TAIL, f);
    text[got] = 0;
    for (char *line = text, *end; *line; line = end + (*end != 0)) {
        end = strchrnul(line, '\n');
        fprintf(out, "#   | %.*s\n", (int)(end - line), line);
    }
    fclose(f);
}

static bool run_seed(uint64_t seed, char *text, size_t size)
{
    W->verbose = verbose;
    bool ok = scenario_make(seed, scene) && make_folder() && run_to_the_end();
    if (ok)
        return judge(text, size);
    snprintf(text, size, "  %s\n", W->problem);
    return false;
}

static bool new_world(void)
{
    if (W)
        munmap(W, sizeof *W);
    W = mmap(NULL, sizeof *W, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return W != MAP_FAILED;
}

static bool again_the_same(uint64_t seed, char *text, size_t size)
{
    uint64_t first = W->trace_hash;
    nftw(W->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    bool ok = new_world() && run_seed(seed, text, size);
    if (ok && W->trace_hash != first) {
        snprintf(text, size, "  the second run differs from the first: trace %016llx\n",
                 (unsigned long long)first);
        ok = false;
    }
    return ok;
}

static void explain(FILE *out, uint64_t seed, const char *text)
{
    for (const char *line = text, *end; *line; line = end + (*end != 0)) {
        end = strchrnul(line, '\n');
        fprintf(out, "# %.*s\n", (int)(end - line), line);
    }
    show_log(out);
    fprintf(out, "# again, with all that happens: sim --seed %llu", (unsigned long long)seed);
    fprintf(out, scene ? " --scene '%s'\n" : "\n", scene);
}

static bool one_seed(uint64_t seed, FILE *out)
{
    static char text[TEXT_MAX];
    if (!new_world())
        return false;
    bool ok = run_seed(seed, text, sizeof text);
    if (ok && twice)
        ok = again_the_same(seed, text, sizeof text);
    fprintf(out, "%s seed %llu: %s, %u mails, %u starts, %.0f s, trace %016llx\n",
            ok ? "ok" : "not ok", (unsigned long long)seed, W->scenario, W->n_mails, W->runs,
            (double)(W->boot_us - W->ready_us) / 1e6, (unsigned long long)W->trace_hash);
    if (W->foreseen_us)
        fprintf(out, "# said to end at %.3f h, ended at %.3f h\n", (double)W->foreseen_us / HOUR_US,
                (double)W->took_us / HOUR_US);
    if (!ok)
        explain(out, seed, text);
    (void)fflush(out);
    if (keep)
        fprintf(out, "# its folder: %s\n", W->folder);
    else
        nftw(W->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return ok;
}

/* ---- many */

struct slot {
    pid_t pid;
    FILE *out;
};

static void print_slot(struct slot *s, unsigned *n)
{
    char line[4000];
    rewind(s->out);
    while (fgets(line, sizeof line, s->out)) {
        bool good = strncmp(line, "ok ", 3) == 0, bad = strncmp(line, "not ok ", 7) == 0;
        if (good || bad)
            printf("%s %u - %s", good ? "ok" : "not ok", ++*n, line + (good ? 3 : 7));
        else
            printf("%s", line);
    }
    (void)fflush(stdout);
    fclose(s->out);
    s->pid = 0;
}

static void wait_one(struct slot *slots, unsigned jobs, unsigned *n, unsigned *failed)
{
    int status = 0;
    pid_t pid = wait(&status);
    for (unsigned i = 0; i < jobs; i++)
        if (slots[i].pid == pid) {
            *failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
            print_slot(&slots[i], n);
        }
}

static unsigned run_many(uint64_t first, unsigned seeds, unsigned jobs)
{
    struct slot slots[64] = {{0}};
    unsigned n = 0, failed = 0, running = 0;
    printf("1..%u\n", seeds);
    (void)fflush(stdout);
    for (unsigned i = 0; i < seeds; i++) {
        while (running >= jobs) {
            wait_one(slots, jobs, &n, &failed);
            running--;
        }
        unsigned k = 0;
        while (slots[k].pid)
            k++;
        slots[k].out = tmpfile();
        slots[k].pid = fork();
        if (slots[k].pid == 0)
            _exit(one_seed(first + i, slots[k].out) ? 0 : 1);
        running++;
    }
    for (; running; running--)
        wait_one(slots, jobs, &n, &failed);
    return failed;
}

static uint64_t number(const char *text, const char *what)
{
    uint64_t n = 0;
    if (text && str_to_u64(str_of(text), UINT64_MAX, &n))
        return n;
    fprintf(stderr, "sim: %s wants a number\n", what);
    exit(2);
}

int main(int argc, char **argv)
{
    const char *from_env = getenv("POSTFLEET_SIM_SEEDS");
    const char *first_env = getenv("POSTFLEET_SIM_FROM");
    uint64_t first = first_env ? number(first_env, "POSTFLEET_SIM_FROM") : 1;
    uint64_t seed = 0, seeds = from_env ? number(from_env, "POSTFLEET_SIM_SEEDS") : 200;
    uint64_t jobs = 2, again = 0, keeps = 0;
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--scene") && next) {
            scene = argv[++i];
            continue;
        }
        uint64_t *to = !strcmp(argv[i], "--seed")    ? &seed
                       : !strcmp(argv[i], "--seeds") ? &seeds
                       : !strcmp(argv[i], "--from")  ? &first
                       : !strcmp(argv[i], "--jobs")  ? &jobs
                       : !strcmp(argv[i], "--twice") ? &again
                       : !strcmp(argv[i], "--keep")  ? &keeps
                                                     : NULL;
        if (!to) {
            fprintf(stderr,
                    "usage: sim [--seeds N] [--from S] [--jobs J] [--twice 1] [--scene NAME] | "
                    "--seed S [--scene NAME] [--keep 1]\n");
            return 2;
        }
        *to = number(next, argv[i++]);
    }
    twice = again != 0;
    keep = keeps != 0;
    if (seed) {
        verbose = true;
        return one_seed(seed, stdout) ? 0 : 1;
    }
    return run_many(first, (unsigned)seeds, (unsigned)MAX(MIN(jobs, UINT64_C(64)), UINT64_C(1)))
               ? 1
               : 0;
}
