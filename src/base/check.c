/* The end of a bug: one line, then abort (a core dump tells the rest). */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "postfleet: bug: check(%s) failed at %s:%d\n", what, file, line);
    abort();
}
