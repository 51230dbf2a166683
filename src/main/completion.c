/* Completion scripts for bash, zsh and fish. Each is a list of words from the table; files are
 * completed by the shell where an option takes one. */
#include <stdio.h>

#include "base/str.h"
#include "main/command.h"

static bool takes_path(const struct option *o)
{
    return o->kind == ARG_FILE || o->kind == ARG_DIR;
}

static bool is_first_of_noun(size_t i)
{
    return i == 0 || strcmp(command_at(i)->noun, command_at(i - 1)->noun) != 0;
}

static void print_nouns(void)
{
    for (size_t i = 0; i < commands_n(); i++)
        if (is_first_of_noun(i))
            printf("%s%s", i ? " " : "", command_at(i)->noun);
}

static void print_verbs(size_t first)
{
    for (size_t k = first;
         k < commands_n() && !strcmp(command_at(k)->noun, command_at(first)->noun); k++)
        if (command_at(k)->verb)
            printf("%s%s", k > first ? " " : "", command_at(k)->verb);
}

static void print_choices(const char *choices)
{
    for (const char *p = choices; *p; p++)
        putchar(*p == '|' ? ' ' : *p);
}

static void print_options(const struct command *c)
{
    const struct option *o;
    bool first = true;
    for (size_t i = 0; (o = command_option(c, i)) != NULL; i++) {
        if (o->flags & OPT_HIDDEN)
            continue;
        printf("%s--%s", first ? "" : " ", o->name);
        first = false;
    }
}

static void bash_values(void)
{
    const struct option *o;
    for (size_t i = 0; i < commands_n(); i++)
        for (size_t k = 0; (o = command_option(command_at(i), k)) != NULL; k++) {
            if (o->flags & OPT_HIDDEN || !o->choices)
                continue;
            printf("    '%s/%s/--%s') values='", command_at(i)->noun,
                   command_at(i)->verb ? command_at(i)->verb : "", o->name);
            print_choices(o->choices);
            printf("' ;;\n");
        }
}

/* Whether an option of this name, taking a path, stands in an earlier command already. */
static bool seen_before(size_t command, const char *name)
{
    for (size_t i = 0; i < command; i++) {
        const struct option *o = command_find_option(command_at(i), name, strlen(name));
        if (o && takes_path(o))
            return true;
    }
    return false;
}

static void bash_paths(void)
{
    const struct option *o;
    const char *sep = "    ";
    for (size_t i = 0; i < commands_n(); i++)
        for (size_t k = 0; (o = command_option(command_at(i), k)) != NULL; k++)
            if (takes_path(o) && !(o->flags & OPT_HIDDEN) && !seen_before(i, o->name)) {
                printf("%s*'/--%s'", sep, o->name);
                sep = "|";
            }
    printf(") COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n");
}

/* bash and, by bashcompinit, zsh. */
static void bash_script(void)
{
    printf("_postfleet() {\n"
           "  local word=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
           "  local noun=\"\" verb=\"\" verbs=\"\" options=\"\" values=\"\" i\n"
           "  COMPREPLY=()\n"
           "  if [ \"$COMP_CWORD\" -le 1 ]; then\n"
           "    COMPREPLY=($(compgen -W '");
    print_nouns();
    printf("' -- \"$word\")); return\n  fi\n"
           "  noun=\"${COMP_WORDS[1]}\"\n"
           "  case \"$noun\" in\n");
    for (size_t i = 0; i < commands_n(); i++)
        if (is_first_of_noun(i) && command_at(i)->verb) {
            printf("    '%s') verbs='", command_at(i)->noun);
            print_verbs(i);
            printf("' ;;\n");
        }
    printf("  esac\n"
           "  if [ -n \"$verbs\" ]; then\n"
           "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
           "      case \" $verbs \" in *\" ${COMP_WORDS[i]} \"*) verb=\"${COMP_WORDS[i]}\"; break "
           ";; esac\n"
           "    done\n"
           "    if [ -z \"$verb\" ]; then COMPREPLY=($(compgen -W \"$verbs\" -- \"$word\")); "
           "return; fi\n"
           "  fi\n"
           "  case \"$noun/$verb/$before\" in\n");
    bash_values();
    bash_paths();
    printf("  esac\n"
           "  if [ -n \"$values\" ]; then COMPREPLY=($(compgen -W \"$values\" -- \"$word\")); "
           "return; fi\n"
           "  case \"$noun/$verb\" in\n");
    for (size_t i = 0; i < commands_n(); i++) {
        printf("    '%s/%s') options='", command_at(i)->noun,
               command_at(i)->verb ? command_at(i)->verb : "");
        print_options(command_at(i));
        printf("' ;;\n");
    }
    printf("  esac\n"
           "  case \"$word\" in\n"
           "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
           "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
           "  esac\n"
           "}\n"
           "complete -o filenames -F _postfleet postfleet\n");
}

/* Inside single quotes of fish. */
static void fish_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
}

static void fish_options(const struct command *c)
{
    const struct option *o;
    for (size_t i = 0; (o = command_option(c, i)) != NULL; i++) {
        if (o->flags & OPT_HIDDEN)
            continue;
        printf("complete -c postfleet -n '__fish_seen_subcommand_from %s", c->noun);
        if (c->verb)
            printf("; and __fish_seen_subcommand_from %s", c->verb);
        printf("' -l %s%s", o->name, o->kind == ARG_FLAG ? "" : takes_path(o) ? " -r -F" : " -x");
        if (o->choices) {
            printf(" -a '");
            print_choices(o->choices);
            printf("'");
        }
        printf(" -d '");
        fish_text(o->help);
        printf("'\n");
    }
}

static void fish_script(void)
{
    for (size_t i = 0; i < commands_n(); i++) {
        const struct command *c = command_at(i);
        if (is_first_of_noun(i))
            printf("complete -c postfleet -f -n __fish_use_subcommand -a %s\n", c->noun);
        if (c->verb) {
            printf("complete -c postfleet -f -n '__fish_seen_subcommand_from %s' -a %s -d '",
                   c->noun, c->verb);
            fish_text(c->help);
            printf("'\n");
        }
        fish_options(c);
    }
}

bool completion_print(const char *shell)
{
    if (!strcmp(shell, "bash")) {
        bash_script();
    } else if (!strcmp(shell, "zsh")) {
        printf("autoload -U +X bashcompinit && bashcompinit\n");
        bash_script();
    } else if (!strcmp(shell, "fish")) {
        fish_script();
    } else {
        return false;
    }
    return true;
}
