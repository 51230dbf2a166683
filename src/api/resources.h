/* The handlers of all resources, for the table in routes.c. */
#ifndef API_RESOURCES_H
#define API_RESOURCES_H

#include "api/http.h"

/* openapi.c */
void on_openapi(struct http_request *r);

/* servers.c */
void on_servers_list(struct http_request *r);
void on_servers_add(struct http_request *r);
void on_servers_show(struct http_request *r);
void on_servers_set(struct http_request *r);
void on_servers_remove(struct http_request *r);
void on_servers_pause(struct http_request *r);
void on_servers_resume(struct http_request *r);
void on_servers_drain(struct http_request *r);
void on_servers_release(struct http_request *r);
void on_servers_clone(struct http_request *r);
void on_servers_test(struct http_request *r);
void on_servers_send_test(struct http_request *r);
void on_servers_export(struct http_request *r);
/* groups.c */
void on_groups_list(struct http_request *r);
void on_groups_add(struct http_request *r);
void on_groups_show(struct http_request *r);
void on_groups_simulate(struct http_request *r);
void on_groups_set(struct http_request *r);
void on_groups_remove(struct http_request *r);
/* domains.c */
void on_domains_list(struct http_request *r);
void on_domains_add(struct http_request *r);
void on_domains_show(struct http_request *r);
void on_domains_set(struct http_request *r);
void on_domains_remove(struct http_request *r);
void on_domains_check(struct http_request *r);
void on_domains_keygen(struct http_request *r);
void on_domains_key_activate(struct http_request *r);
void on_domains_key_retire(struct http_request *r);
void on_domains_key_remove(struct http_request *r);
/* limits.c */
void on_limits_list(struct http_request *r);
void on_limits_set(struct http_request *r);
void on_limits_remove(struct http_request *r);
/* reputation.c */
void on_reputation_rules(struct http_request *r);
void on_reputation_add(struct http_request *r);
void on_reputation_set(struct http_request *r);
void on_reputation_remove(struct http_request *r);
void on_reputation_status(struct http_request *r);
void on_reputation_check(struct http_request *r);
void on_reputation_approve(struct http_request *r);
void on_reputation_release(struct http_request *r);
void on_reputation_signal(struct http_request *r);
/* warmups.c */
void on_warmups_list(struct http_request *r);
void on_warmups_show(struct http_request *r);
void on_warmups_plans(struct http_request *r);
void on_warmups_start(struct http_request *r);
void on_warmups_stop(struct http_request *r);
void on_warmups_hold(struct http_request *r);
void on_warmups_release(struct http_request *r);
void on_warmups_skip(struct http_request *r);
/* route_rules.c */
void on_routes_list(struct http_request *r);
void on_routes_add(struct http_request *r);
void on_routes_show(struct http_request *r);
void on_routes_set(struct http_request *r);
void on_routes_remove(struct http_request *r);
void on_routes_explain(struct http_request *r);
/* failover.c */
void on_failover_show(struct http_request *r);
void on_failover_set(struct http_request *r);
void on_failover_dry_run(struct http_request *r);
/* people.c */
void on_lists_list(struct http_request *r);
void on_lists_add(struct http_request *r);
void on_lists_show(struct http_request *r);
void on_lists_set(struct http_request *r);
void on_lists_remove(struct http_request *r);
void on_lists_contacts(struct http_request *r);
void on_contacts_list(struct http_request *r);
void on_contacts_add(struct http_request *r);
void on_contacts_show(struct http_request *r);
void on_contacts_remove(struct http_request *r);
void on_contacts_export(struct http_request *r);
/* suppressions.c */
void on_suppressions_list(struct http_request *r);
void on_suppressions_add(struct http_request *r);
void on_suppressions_show(struct http_request *r);
void on_suppressions_remove(struct http_request *r);
void on_suppressions_revert(struct http_request *r);
/* templates.c */
void on_templates_list(struct http_request *r);
void on_templates_add(struct http_request *r);
void on_templates_show(struct http_request *r);
void on_templates_set(struct http_request *r);
void on_templates_remove(struct http_request *r);
void on_templates_render(struct http_request *r);
void on_templates_lint(struct http_request *r);
void on_templates_lint_given(struct http_request *r);
/* campaigns.c */
void on_campaigns_list(struct http_request *r);
void on_campaigns_create(struct http_request *r);
void on_campaigns_show(struct http_request *r);
void on_campaigns_remove(struct http_request *r);
void on_campaigns_start(struct http_request *r);
void on_campaigns_pause(struct http_request *r);
void on_campaigns_resume(struct http_request *r);
void on_campaigns_cancel(struct http_request *r);
void on_campaigns_check(struct http_request *r);
void on_campaigns_test(struct http_request *r);
void on_campaigns_retry_failed(struct http_request *r);
void on_campaigns_forecast(struct http_request *r);
void on_campaigns_report(struct http_request *r);
void on_campaigns_preview(struct http_request *r);
/* messages.c */
void on_messages_send(struct http_request *r);
void on_messages_batch(struct http_request *r);
void on_messages_move(struct http_request *r);
void on_messages_search(struct http_request *r);
void on_messages_show(struct http_request *r);
void on_messages_raw(struct http_request *r);
void on_messages_cancel(struct http_request *r);
void on_messages_retry(struct http_request *r);
/* system.c */
void on_system_queue(struct http_request *r);
void on_system_pause(struct http_request *r);
void on_system_resume(struct http_request *r);
void on_system_status(struct http_request *r);
void on_system_events(struct http_request *r);
void on_keys_list(struct http_request *r);
void on_keys_make(struct http_request *r);
void on_keys_remove(struct http_request *r);
void on_credentials_list(struct http_request *r);
void on_credentials_show(struct http_request *r);
void on_credentials_make(struct http_request *r);
void on_credentials_test(struct http_request *r);
void on_credentials_remove(struct http_request *r);
/* webhooks.c */
void on_webhooks_list(struct http_request *r);
void on_webhooks_add(struct http_request *r);
void on_webhooks_show(struct http_request *r);
void on_webhooks_set(struct http_request *r);
void on_webhooks_remove(struct http_request *r);
void on_webhooks_rotate(struct http_request *r);
void on_webhooks_test(struct http_request *r);
void on_webhooks_log(struct http_request *r);
void on_webhooks_resend(struct http_request *r);
/* look.c */
void on_servers_quarantine(struct http_request *r);
void on_top(struct http_request *r);
void on_log_patterns(struct http_request *r);
/* log.c */
void on_log(struct http_request *r);
void on_servers_evidence(struct http_request *r);
void on_servers_isolate(struct http_request *r);
/* health.c */
void on_health_live(struct http_request *r);
void on_health_ready(struct http_request *r);
void on_health_metrics(struct http_request *r);
/* public.c */
void on_public_unsubscribe_page(struct http_request *r);
void on_public_unsubscribe(struct http_request *r);
void on_public_view(struct http_request *r);

/* users.c */
void on_users_list(struct http_request *r);
void on_users_create(struct http_request *r);
void on_users_set(struct http_request *r);
void on_users_revoke(struct http_request *r);
void on_sessions_create(struct http_request *r);
void on_sessions_remove(struct http_request *r);
void on_audit_list(struct http_request *r);
void on_audit_verify(struct http_request *r);

#endif
