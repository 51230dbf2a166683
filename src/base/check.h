/* A bug, and only a bug, ends here: check() aborts with file and line, in release builds too.
 * Bad input, a full disk or a refused message is never a check(): see base/err.h. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

_Noreturn void check_failed(const char *what, const char *file, int line);

#define check(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

#endif
