/* `campaign start --wait`: starts, then watches the report until the campaign is over. */
#ifndef MAIN_CAMPAIGN_WAIT_H
#define MAIN_CAMPAIGN_WAIT_H

#include <jansson.h>

#include "main/command.h"

/* 0: all sent; 4: some not; 130: Ctrl-C, the campaign goes on; else why it did not start or the
 * daemon was lost for a minute. Prints the last report. */
int campaign_start_and_wait(struct cmd *c, const char *name);
/* The report for people (cmd_campaign.c). */
void campaign_report_print(const json_t *report);

#endif
