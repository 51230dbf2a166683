/* server import and export: CSV whose columns are the option names of server add. */
#include "main/call.h"
#include "main/commands.h"

int cmd_server_import(struct cmd *c)
{
    json_t *answer = NULL, *one;
    size_t i;
    char *path = daemon_query(daemon_path("/v1/servers:import"), "dry_run",
                              cmd_has(c, "dry-run") ? "1" : NULL);
    int status = call_upload(c, path, cmd_arg(c, 0), "text/csv", "importing", &answer);
    bool partly = json_number(answer, "invalid") > 0 ||
                  json_array_size(json_object_get(answer, "errors")) > 0;
    if (status == 0 && output_is_json()) {
        output_json(answer);
    } else if (status == 0) {
        output_record(answer);
        json_array_foreach(json_object_get(answer, "warnings"), i, one)
        {
            output_warn("%s", json_string_value(one));
        }
    }
    json_decref(answer);
    return status == 0 && partly ? EXIT_PARTLY : status;
}

int cmd_server_export(struct cmd *c)
{
    return call_download(c, daemon_path("/v1/servers:export"));
}
