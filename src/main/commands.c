/* The table of commands: everything that can be typed, in the order help shows it. Parsing, help,
 * the manual, completion and suggestions are made from here; what is not here does not exist. The
 * rows stand in table_*.c, by noun. */
#include "main/table.h"

static const struct {
    const struct command *at;
    const size_t *n;
} tables[] = {
    {commands_start, &n_commands_start},     {commands_servers, &n_commands_servers},
    {commands_fleet, &n_commands_fleet},     {commands_domains, &n_commands_domains},
    {commands_people, &n_commands_people},   {commands_mail, &n_commands_mail},
    {commands_watch, &n_commands_watch},     {commands_webhooks, &n_commands_webhooks},
    {commands_offline, &n_commands_offline},
};

const struct command *command_at(size_t i)
{
    for (size_t k = 0; k < countof(tables); k++) {
        if (i < *tables[k].n)
            return &tables[k].at[i];
        i -= *tables[k].n;
    }
    return NULL;
}

size_t commands_n(void)
{
    size_t n = 0;
    for (size_t k = 0; k < countof(tables); k++)
        n += *tables[k].n;
    return n;
}
