/* The table of rules/regions.yaml, compiled into the binary. */
#ifndef ENGINE_REGIONS_H
#define ENGINE_REGIONS_H

#include "fleet/region.h"

/* Lives as long as the process. */
const struct regions *regions_builtin(void);

#endif
