/* The one binary: parses the line by the table and runs the command. */
#include <stdlib.h>

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

int main(int argc, char **argv)
{
    struct cmd c;
    struct err e = {0};
    int status;
    output_setup(has_word(argc, argv, "--json"), has_word(argc, argv, "--quiet"));
    if (argc == 2 && !strcmp(argv[1], "--version"))
        argv[1] = argv[1] + 2;
    bool parsed = command_parse(argc, argv, &c, &e);
    if (c.help && (parsed || !c.command)) {
        status = help_for(&c, argc, argv);
    } else if (!parsed) {
        if (argc < 2)
            help_overview();
        status = output_fail(&e);
    } else {
        status = c.command->run(&c);
        if (!output_end() && status == 0)
            status = 1;
    }
    cmd_free(&c);
    return status;
}
