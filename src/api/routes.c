/* The table of all paths: what doc/API.md describes, a test compares the two. */
#include "api/inner.h"
#include "api/resources.h"

#define JSON       HTTP_JSON_MAX
#define MAIL       HTTP_MAIL_MAX
#define FILE_BYTES HTTP_FILE_MAX

const struct http_route http_routes[] = {
    {HTTP_GET, "/v1/servers", on_servers_list, "servers:read", 0, false},
    {HTTP_POST, "/v1/servers", on_servers_add, "servers:write", JSON, false},
    {HTTP_POST, "/v1/servers:import", on_import_servers, "servers:write", FILE_BYTES, true},
    {HTTP_GET, "/v1/servers:export", on_servers_export, "servers:read", 0, true},
    {HTTP_GET, "/v1/servers/{}", on_servers_show, "servers:read", 0, false},
    {HTTP_PATCH, "/v1/servers/{}", on_servers_set, "servers:write", JSON, false},
    {HTTP_DELETE, "/v1/servers/{}", on_servers_remove, "servers:write", 0, false},
    {HTTP_POST, "/v1/servers/{}/pause", on_servers_pause, "servers:write", JSON, false},
    {HTTP_POST, "/v1/servers/{}/resume", on_servers_resume, "servers:write", JSON, false},
    {HTTP_POST, "/v1/servers/{}/drain", on_servers_drain, "servers:write", JSON, false},
    {HTTP_POST, "/v1/servers/{}/clone", on_servers_clone, "servers:write", JSON, false},
    {HTTP_POST, "/v1/servers/{}/test", on_servers_test, "servers:write", JSON, true},
    {HTTP_POST, "/v1/servers/{}/send-test", on_servers_send_test, "servers:write", JSON, true},

    {HTTP_GET, "/v1/groups", on_groups_list, "servers:read", 0, false},
    {HTTP_POST, "/v1/groups", on_groups_add, "servers:write", JSON, false},
    {HTTP_GET, "/v1/groups/{}", on_groups_show, "servers:read", 0, false},
    {HTTP_PATCH, "/v1/groups/{}", on_groups_set, "servers:write", JSON, false},
    {HTTP_DELETE, "/v1/groups/{}", on_groups_remove, "servers:write", 0, false},

    {HTTP_GET, "/v1/warmups", on_warmups_list, "servers:read", 0, false},
    {HTTP_GET, "/v1/warmups:plans", on_warmups_plans, "servers:read", 0, false},
    {HTTP_POST, "/v1/warmups", on_warmups_start, "servers:write", JSON, false},
    {HTTP_GET, "/v1/warmups/{}", on_warmups_show, "servers:read", 0, false},
    {HTTP_DELETE, "/v1/warmups/{}", on_warmups_stop, "servers:write", 0, false},
    {HTTP_POST, "/v1/warmups/{}/hold", on_warmups_hold, "servers:write", JSON, false},
    {HTTP_POST, "/v1/warmups/{}/release", on_warmups_release, "servers:write", JSON, false},
    {HTTP_POST, "/v1/warmups/{}/skip", on_warmups_skip, "servers:write", JSON, false},

    {HTTP_GET, "/v1/lists", on_lists_list, "contacts:read", 0, false},
    {HTTP_POST, "/v1/lists", on_lists_add, "contacts:write", JSON, false},
    {HTTP_GET, "/v1/lists/{}", on_lists_show, "contacts:read", 0, false},
    {HTTP_DELETE, "/v1/lists/{}", on_lists_remove, "contacts:write", 0, true},
    {HTTP_GET, "/v1/lists/{}/contacts", on_lists_contacts, "contacts:read", 0, false},

    {HTTP_POST, "/v1/contacts:import", on_import_contacts, "contacts:write", FILE_BYTES, true},
    {HTTP_GET, "/v1/contacts:export", on_contacts_export, "contacts:read", 0, true},
    {HTTP_GET, "/v1/contacts", on_contacts_list, "contacts:read", 0, false},
    {HTTP_POST, "/v1/contacts", on_contacts_add, "contacts:write", JSON, false},
    {HTTP_GET, "/v1/contacts/{}", on_contacts_show, "contacts:read", 0, false},
    {HTTP_DELETE, "/v1/contacts/{}", on_contacts_remove, "contacts:write", 0, false},

    {HTTP_POST, "/v1/suppressions:import", on_import_suppressions, "suppressions:write", FILE_BYTES,
     true},
    {HTTP_POST, "/v1/suppressions:revert", on_suppressions_revert, "suppressions:write", JSON,
     true},
    {HTTP_GET, "/v1/suppressions", on_suppressions_list, "suppressions:read", 0, false},
    {HTTP_POST, "/v1/suppressions", on_suppressions_add, "suppressions:write", JSON, false},
    {HTTP_GET, "/v1/suppressions/{}", on_suppressions_show, "suppressions:read", 0, false},
    {HTTP_DELETE, "/v1/suppressions/{}", on_suppressions_remove, "suppressions:write", 0, false},

    {HTTP_GET, "/v1/templates", on_templates_list, "templates:read", 0, false},
    {HTTP_POST, "/v1/templates", on_templates_add, "templates:write", 2 * JSON, false},
    {HTTP_POST, "/v1/templates:lint", on_templates_lint_given, "templates:read", 2 * JSON, false},
    {HTTP_GET, "/v1/templates/{}", on_templates_show, "templates:read", 0, false},
    {HTTP_PATCH, "/v1/templates/{}", on_templates_set, "templates:write", 2 * JSON, false},
    {HTTP_DELETE, "/v1/templates/{}", on_templates_remove, "templates:write", 0, false},
    {HTTP_POST, "/v1/templates/{}/render", on_templates_render, "templates:read", JSON, false},
    {HTTP_POST, "/v1/templates/{}/lint", on_templates_lint, "templates:read", 2 * JSON, false},

    {HTTP_GET, "/v1/campaigns", on_campaigns_list, "campaigns:read", 0, false},
    {HTTP_POST, "/v1/campaigns", on_campaigns_create, "campaigns:write", JSON, false},
    {HTTP_GET, "/v1/campaigns/{}", on_campaigns_show, "campaigns:read", 0, false},
    {HTTP_DELETE, "/v1/campaigns/{}", on_campaigns_remove, "campaigns:write", 0, false},
    {HTTP_POST, "/v1/campaigns/{}/start", on_campaigns_start, "campaigns:write", JSON, true},
    {HTTP_POST, "/v1/campaigns/{}/pause", on_campaigns_pause, "campaigns:write", JSON, false},
    {HTTP_POST, "/v1/campaigns/{}/resume", on_campaigns_resume, "campaigns:write", JSON, false},
    {HTTP_POST, "/v1/campaigns/{}/cancel", on_campaigns_cancel, "campaigns:write", JSON, false},
    {HTTP_POST, "/v1/campaigns/{}/check", on_campaigns_check, "campaigns:read", JSON, true},
    {HTTP_POST, "/v1/campaigns/{}/test", on_campaigns_test, "campaigns:write", JSON, false},
    {HTTP_POST, "/v1/campaigns/{}/retry-failed", on_campaigns_retry_failed, "campaigns:write", JSON,
     true},
    {HTTP_GET, "/v1/campaigns/{}/report", on_campaigns_report, "campaigns:read", 0, false},
    {HTTP_GET, "/v1/campaigns/{}/preview", on_campaigns_preview, "campaigns:read", 0, false},

    {HTTP_POST, "/v1/messages", on_messages_send, "messages:send", MAIL, false},
    {HTTP_GET, "/v1/messages", on_messages_search, "messages:read", 0, false},
    {HTTP_GET, "/v1/messages/{}", on_messages_show, "messages:read", 0, false},
    {HTTP_GET, "/v1/messages/{}/raw", on_messages_raw, "messages:read", 0, false},
    {HTTP_POST, "/v1/messages/{}/cancel", on_messages_cancel, "messages:send", JSON, false},
    {HTTP_POST, "/v1/messages/{}/retry", on_messages_retry, "messages:send", JSON, false},

    {HTTP_GET, "/v1/queue", on_system_queue, "reports:read", 0, false},
    {HTTP_POST, "/v1/pause", on_system_pause, "system:write", JSON, false},
    {HTTP_POST, "/v1/resume", on_system_resume, "system:write", JSON, false},
    {HTTP_GET, "/v1/status", on_system_status, "reports:read", 0, false},
    {HTTP_GET, "/v1/events", on_system_events, "reports:read", 0, false},
    {HTTP_GET, "/v1/keys", on_keys_list, "keys:write", 0, false},
    {HTTP_POST, "/v1/keys", on_keys_make, "keys:write", JSON, false},
    {HTTP_DELETE, "/v1/keys/{}", on_keys_remove, "keys:write", 0, false},

    {HTTP_GET, "/livez", on_health_live, "", 0, false},
    {HTTP_GET, "/readyz", on_health_ready, "", 0, false},
    {HTTP_GET, "/metrics", on_health_metrics, "reports:read", 0, false},
    {HTTP_GET, "/u/{}", on_public_unsubscribe_page, "", 0, false},
    {HTTP_POST, "/u/{}", on_public_unsubscribe, "", 65536, false},
    {HTTP_GET, "/view/{}", on_public_view, "", 0, false},
};
const size_t http_routes_n = countof(http_routes);
