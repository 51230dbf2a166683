/* The three clocks. Barred from PURE rooms: there, time is an argument. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

int64_t clock_boot_ms(void); /* CLOCK_BOOTTIME: never jumps, counts suspend */
int64_t clock_boot_us(void);
int64_t clock_wall_ms(void); /* epoch milliseconds; may jump */
int64_t clock_cpu_us(void);  /* CPU time of this process */
/* Identifies this boot of the machine; a constant text of at most 63 bytes. */
const char *clock_boot_id(void);
/* RFC 3339 UTC with milliseconds, "2026-11-21T09:30:00.123Z"; out has at least 32 bytes. */
void clock_format(int64_t wall_ms, char *out);
bool clock_parse(const char *text, int64_t *wall_ms_out);

#endif
