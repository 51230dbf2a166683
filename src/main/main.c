/* The one binary: parses the line by the table and runs the command. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/str.h"
#include "main/command.h"
#include "main/output.h"

static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], word))
            return true;
    return false;
}

/* --help, with or without a whole command. */
static int help_for(const struct cmd *c, int argc, char **argv)
{
    if (c->command)
        help_command(c->command);
    else if (argc < 2 || argv[1][0] == '-' || !help_noun(argv[1]))
        help_overview();
    return output_end() ? 0 : 1;
}

/* Called as sendmail: "sendmail -t" is "postfleet sendmail -t". *argv: malloc'd then. */
static bool by_another_name(int *argc, char ***argv)
{
    struct str path = str_of((*argv)[0]);
    ptrdiff_t slash = str_rchr(path, '/');
    if (!str_is(str_from_index(path, (size_t)(slash + 1)), "sendmail"))
        return false;
    char **words = alloc_many(char *, (size_t)*argc + 2);
    words[0] = (*argv)[0];
    words[1] = (char *)"sendmail";
    memcpy(words + 2, *argv + 1, sizeof(*words) * (size_t)(*argc - 1));
    *argv = words;
    (*argc)++;
    return true;
}

int main(int argc, char **argv)
{
    bool renamed = argc > 0 && by_another_name(&argc, &argv);
    struct cmd c;
    struct err e = {0};
    int status;
    output_setup(has_word(argc, argv, "--json"), has_word(argc, argv, "--quiet"));
    if (argc == 2 && !strcmp(argv[1], "--version"))
        argv[1] = argv[1] + 2;
    bool parsed = command_parse(argc, argv, &c, &e);
    if (c.help && (parsed || !c.command)) {
        status = help_for(&c, argc, argv);
    } else if (argc < 2) { /* no complaint to somebody who looks what there is */
        help_overview();
        status = err_exit_status(ERR_INVALID);
    } else if (!parsed) {
        status = output_fail(&e);
    } else {
        status = c.command->run(&c);
        if (!output_end() && status == 0)
            status = 1;
    }
    cmd_free(&c);
    if (renamed)
        free(argv);
    return status;
}
