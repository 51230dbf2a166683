/* Log lines: one write(2) each, so that lines of threads and processes never mix. */
#include "base/log.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

static const char *const level_names[] = {"debug", "info", "notice", "warning", "error"};
static const char *log_process = "postfleet";
static enum log_level log_least = LOG_INFO;
static int log_fd = 2;
static bool log_json;

void log_setup(const char *process, enum log_level least, int fd)
{
    log_process = process;
    log_least = least;
    log_fd = fd;
    log_json = !isatty(fd);
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < countof(level_names); i++)
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    if (level < log_least)
        return;
    char text[LINE_MAX_BYTES / 2], when[32];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    clock_format(clock_wall_ms(), when);
    struct buf b;
    buf_init(&b, LINE_MAX_BYTES * 2);
    if (log_json) {
        buf_addf(&b,
                 "{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\",\"event\":\"%s\",\"text\":",
                 when, level_names[level], log_process, event);
        codec_json_string_add(&b, str_of(text));
        buf_adds(&b, "}\n");
    } else {
        for (char *p = text; *p; p++)
            if ((unsigned char)*p < 32 || *p == 127)
                *p = '?';
        buf_addf(&b, "%s %-7s %s %s %s\n", when, level_names[level], log_process, event, text);
    }
    if (b.n && write(log_fd, b.p, b.n) < 0) {
        /* nowhere left to say it */
    }
    buf_free(&b);
}
