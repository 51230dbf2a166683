/* serve, demo, bench, sink: commands whose rooms take over. */
#include "main/commands.h"
#include "main/output.h"
#include "main/serve.h"

int lab_demo_main(int argc, char **argv);
int lab_bench_main(int argc, char **argv);
int lab_sink_main(int argc, char **argv);

int cmd_serve(struct cmd *c)
{
    return main_serve(c);
}

/* The room sees its own name as argv[0] and the words behind it. */
static int hand_over(struct cmd *c, int (*room)(int argc, char **argv))
{
    struct err e = {0};
    for (int i = 1; room && i < c->argc; i++)
        if (!strcmp(c->argv[i], c->command->noun))
            return room(c->argc - i, c->argv + i);
    err_set(&e, ERR_FAILED, "this build has no %s", c->command->noun);
    return output_fail(&e);
}

int cmd_demo(struct cmd *c)
{
#ifdef HAVE_DEMO
    return hand_over(c, lab_demo_main);
#else
    return hand_over(c, NULL);
#endif
}

int cmd_bench(struct cmd *c)
{
#ifdef HAVE_BENCH
    return hand_over(c, lab_bench_main);
#else
    return hand_over(c, NULL);
#endif
}

int cmd_sink(struct cmd *c)
{
#ifdef HAVE_SINK
    return hand_over(c, lab_sink_main);
#else
    return hand_over(c, NULL);
#endif
}
