/* The plots of doc/DISPATCH.md, made by the fleet itself. No engine, no files of a daemon, no
 * clock but our own.
 *
 *     plot --text NAME      one scene as text        plot --svg FOLDER    all of them as SVG
 *     plot --check FILE     are the plots in this page what the fleet does today? (TAP) */
#include "plot.h"
#include "base/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A scene as text, malloc'd. */
static char *text_of(const struct plot_scene *s)
{
    struct plot p = {0};
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        abort();
    s->fill(&p);
    plot_text(&p, out);
    fclose(out);
    return text;
}

static int write_text(const char *name)
{
    for (const struct plot_scene *s = plot_scenes; s->name; s++)
        if (!strcmp(s->name, name)) {
            char *text = text_of(s);
            fputs(text, stdout);
            free(text);
            return 0;
        }
    fprintf(stderr, "plot: no scene %s; there are:", name);
    for (const struct plot_scene *s = plot_scenes; s->name; s++)
        fprintf(stderr, " %s", s->name);
    fputc('\n', stderr);
    return 2;
}

static int write_svgs(const char *folder)
{
    if (mkdir(folder, 0777) && errno != EEXIST) {
        fprintf(stderr, "plot: %s: %s\n", folder, strerror(errno));
        return 1;
    }
    for (const struct plot_scene *s = plot_scenes; s->name; s++) {
        struct plot p = {0};
        char path[4200];
        snprintf(path, sizeof path, "%s/%s.svg", folder, s->name);
        FILE *out = fopen(path, "w");
        if (!out) {
            fprintf(stderr, "plot: %s: %s\n", path, strerror(errno));
            return 1;
        }
        s->fill(&p);
        plot_svg(&p, out);
        if (fclose(out)) {
            fprintf(stderr, "plot: %s: %s\n", path, strerror(errno));
            return 1;
        }
        puts(path);
    }
    return 0;
}

/* ---- is the page true? */

static char *read_page(const char *path)
{
    FILE *in = fopen(path, "r");
    char *page = NULL;
    size_t n = 0;
    if (!in || getdelim(&page, &n, 0, in) < 0) {
        fprintf(stderr, "plot: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    fclose(in);
    return page;
}

/* Does the page hold this scene between ```plot NAME and ```? */
static bool holds(const char *page, const char *name, const char *text)
{
    char fence[64];
    int n = snprintf(fence, sizeof fence, "\n```plot %s\n", name);
    const char *at = strstr(page, fence);
    size_t size = strlen(text);
    return at && !strncmp(at + n, text, size) && !strncmp(at + n + size, "```\n", 4);
}

static int check_page(const char *path)
{
    char *page = read_page(path);
    int n = 0, failed = 0;
    for (const struct plot_scene *s = plot_scenes; s->name; s++) {
        char *text = text_of(s), *again = text_of(s);
        bool same = !strcmp(text, again), ok = same && holds(page, s->name, text);
        again[strlen(again) / 2] ^= 1;
        ok = ok && !holds(page, s->name, again); /* a planted fault is noticed */
        failed += !ok;
        printf("%sok %d - the page shows %s as the fleet does it\n", ok ? "" : "not ", ++n,
               s->name);
        if (!ok)
            printf("# put the output of `plot --text %s` between ```plot %s and ```\n", s->name,
                   s->name);
        free(text);
        free(again);
    }
    printf("1..%d\n", n);
    free(page);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--text"))
        return write_text(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "--svg"))
        return write_svgs(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "--check"))
        return check_page(argv[2]);
    fputs("plot --text NAME | --svg FOLDER | --check FILE\n", stderr);
    return 2;
}
