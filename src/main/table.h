/* The words of which the tables of commands are made (table_*.c), and the tables themselves. */
#ifndef MAIN_TABLE_H
#define MAIN_TABLE_H

#include "main/commands.h"

#define FLAG(n, f, h)                                                                              \
    {                                                                                              \
        .name = n, .kind = ARG_FLAG, .field = f, .help = h                                         \
    }
/* The last of OPT is the help text; bounds, choices and flags may stand behind it. */
#define OPT(k, n, a, f, ...)                                                                       \
    {                                                                                              \
        .name = n, .arg = a, .kind = k, .field = f, .help = __VA_ARGS__                            \
    }
#define END                                                                                        \
    {                                                                                              \
        0                                                                                          \
    }
#define RANGE(lo, hi) .min = lo, .max = hi
#define MINUTE_MS     60000
#define HOUR_MS       3600000

#define CLIENT CMD_CLIENT
#define ASKS   (CMD_CLIENT | CMD_ASKS)
#define COMMAND(n, v, a, fn, o, fl, h, m)                                                          \
    {                                                                                              \
        n, v, a, h, o, fl, fn, m                                                                   \
    }

extern const struct command commands_start[];
extern const size_t n_commands_start;
extern const struct command commands_servers[];
extern const size_t n_commands_servers;
extern const struct command commands_fleet[];
extern const size_t n_commands_fleet;
extern const struct command commands_domains[];
extern const size_t n_commands_domains;
extern const struct command commands_people[];
extern const size_t n_commands_people;
extern const struct command commands_mail[];
extern const size_t n_commands_mail;
extern const struct command commands_watch[];
extern const size_t n_commands_watch;
extern const struct command commands_webhooks[];
extern const size_t n_commands_webhooks;
extern const struct command commands_offline[];
extern const size_t n_commands_offline;

#endif
