/* The functions behind the table of commands, one file a noun (cmd_*.c). Each gets a parsed and
 * checked line, prints data on standard output and gives the exit status of INTERFACES.md. */
#ifndef MAIN_COMMANDS_H
#define MAIN_COMMANDS_H

#include "main/command.h"

int cmd_server_add(struct cmd *c);
int cmd_server_list(struct cmd *c);
int cmd_server_show(struct cmd *c);
int cmd_server_set(struct cmd *c);
int cmd_server_remove(struct cmd *c);
int cmd_server_clone(struct cmd *c);
int cmd_server_test(struct cmd *c);
int cmd_server_send_test(struct cmd *c);
int cmd_server_pause(struct cmd *c);
int cmd_server_resume(struct cmd *c);
int cmd_server_drain(struct cmd *c);
int cmd_server_import(struct cmd *c);
int cmd_server_export(struct cmd *c);
int cmd_server_presets(struct cmd *c);
int cmd_group_add(struct cmd *c);
int cmd_group_list(struct cmd *c);
int cmd_group_show(struct cmd *c);
int cmd_group_set(struct cmd *c);
int cmd_group_remove(struct cmd *c);
int cmd_list_add(struct cmd *c);
int cmd_list_list(struct cmd *c);
int cmd_list_show(struct cmd *c);
int cmd_list_remove(struct cmd *c);
int cmd_contact_add(struct cmd *c);
int cmd_contact_import(struct cmd *c);
int cmd_contact_list(struct cmd *c);
int cmd_contact_show(struct cmd *c);
int cmd_contact_export(struct cmd *c);
int cmd_contact_remove(struct cmd *c);
int cmd_suppression_add(struct cmd *c);
int cmd_suppression_import(struct cmd *c);
int cmd_suppression_list(struct cmd *c);
int cmd_suppression_remove(struct cmd *c);
int cmd_suppression_revert(struct cmd *c);
int cmd_suppression_check(struct cmd *c);
int cmd_template_add(struct cmd *c);
int cmd_template_list(struct cmd *c);
int cmd_template_show(struct cmd *c);
int cmd_template_set(struct cmd *c);
int cmd_template_remove(struct cmd *c);
int cmd_template_render(struct cmd *c);
int cmd_template_lint(struct cmd *c);
int cmd_campaign_create(struct cmd *c);
int cmd_campaign_list(struct cmd *c);
int cmd_campaign_show(struct cmd *c);
int cmd_campaign_check(struct cmd *c);
int cmd_campaign_test(struct cmd *c);
int cmd_campaign_preview(struct cmd *c);
int cmd_campaign_start(struct cmd *c);
int cmd_campaign_pause(struct cmd *c);
int cmd_campaign_resume(struct cmd *c);
int cmd_campaign_cancel(struct cmd *c);
int cmd_campaign_retry_failed(struct cmd *c);
int cmd_campaign_report(struct cmd *c);
int cmd_message_search(struct cmd *c);
int cmd_message_show(struct cmd *c);
int cmd_message_cancel(struct cmd *c);
int cmd_message_retry(struct cmd *c);
int cmd_message_raw(struct cmd *c);
int cmd_send(struct cmd *c);
int cmd_queue_summary(struct cmd *c);
int cmd_pause(struct cmd *c);
int cmd_resume(struct cmd *c);
int cmd_key_create(struct cmd *c);
int cmd_key_list(struct cmd *c);
int cmd_key_revoke(struct cmd *c);
int cmd_events_follow(struct cmd *c);
int cmd_status(struct cmd *c);
int cmd_bounce_classify(struct cmd *c);
int cmd_config_check(struct cmd *c);
int cmd_config_show(struct cmd *c);
int cmd_config_sample(struct cmd *c);
int cmd_doctor(struct cmd *c);
int cmd_init(struct cmd *c);
int cmd_db_check(struct cmd *c);
int cmd_db_backup(struct cmd *c);
int cmd_db_migrate(struct cmd *c);
int cmd_db_recover(struct cmd *c);
int cmd_version(struct cmd *c);
int cmd_completion(struct cmd *c);
int cmd_help(struct cmd *c);
int cmd_serve(struct cmd *c);
int cmd_demo(struct cmd *c);
int cmd_bench(struct cmd *c);
int cmd_sink(struct cmd *c);

#endif
