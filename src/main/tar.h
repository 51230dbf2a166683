/* Writes a handful of small files as a tar archive (POSIX ustar) or into a folder. */
#ifndef MAIN_TAR_H
#define MAIN_TAR_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

struct tar;

/* path: the archive, which must not exist, or with is_tar false the folder, made when missing;
 * folder: what stands before names within the archive. Readable by the owner only. */
struct tar *tar_open(const char *path, const char *folder, bool is_tar, int64_t at_s,
                     struct err *e) MUST_USE;
/* A failure is told by tar_close. */
void tar_add(struct tar *t, const char *name, struct str bytes);
bool tar_close(struct tar **t, struct err *e) MUST_USE;

#endif
