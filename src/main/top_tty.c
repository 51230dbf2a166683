/* The terminal of `top`: modes, the alternate screen, keys, signals. What is changed is put back on
 * every way out: q, SIGINT, SIGTERM, the end of input, and while stopped by SIGTSTP. */
#include "main/top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "main/client.h"

static struct {
    struct termios before;
    bool is_in;
} tty;
static volatile sig_atomic_t resized, stopped, continued;

static void write_all(const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(STDOUT_FILENO, p, n);
        if (k < 0 && errno != EINTR && errno != EAGAIN)
            return;
        p += MAX(k, (ssize_t)0);
        n -= (size_t)MAX(k, (ssize_t)0);
    }
}

static void say(const char *text)
{
    write_all(text, strlen(text));
}

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else if (number == SIGTSTP)
        stopped = 1;
    else
        continued = 1;
}

static void raw_on(void)
{
    struct termios t = tty.before;
    t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    t.c_cc[VMIN] = 0;
    t.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
    say("\033[?1049h\033[?25l\033[H\033[2J");
    tty.is_in = true;
}

bool tty_enter(void)
{
    const char *term = getenv("TERM");
    struct sigaction sa = {.sa_handler = on_signal};
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !term || !strcmp(term, "dumb") ||
        tcgetattr(STDIN_FILENO, &tty.before) != 0)
        return false;
    sigemptyset(&sa.sa_mask);
    sigaction(SIGWINCH, &sa, NULL);
    sigaction(SIGTSTP, &sa, NULL);
    sigaction(SIGCONT, &sa, NULL);
    interrupt_catch();
    raw_on();
    return true;
}

void tty_leave(void)
{
    if (!tty.is_in)
        return;
    tty.is_in = false;
    say("\033[0m\033[?25h\033[?1049l");
    tcsetattr(STDIN_FILENO, TCSADRAIN, &tty.before);
}

/* The shell gets its screen back while we are stopped. */
static void stop_here(void)
{
    stopped = 0;
    tty_leave();
    continued = 0;
    kill(getpid(), SIGSTOP);
    raw_on();
    resized = 1;
}

void tty_size(unsigned *columns_out, unsigned *rows_out)
{
    struct winsize w = {0};
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col && w.ws_row;
    *columns_out = known ? w.ws_col : 80;
    *rows_out = known ? w.ws_row : 24;
}

static enum key escape_of(const char *p, ssize_t n)
{
    static const struct {
        const char *code;
        enum key key;
    } codes[] = {{"[A", KEY_UP},   {"OA", KEY_UP},       {"[B", KEY_DOWN},
                 {"OB", KEY_DOWN}, {"[5~", KEY_PAGE_UP}, {"[6~", KEY_PAGE_DOWN},
                 {"[H", KEY_HOME}, {"OH", KEY_HOME},     {"[1~", KEY_HOME}};
    if (n == 0)
        return KEY_ESCAPE;
    for (size_t i = 0; i < countof(codes); i++)
        if ((size_t)n == strlen(codes[i].code) && memcmp(p, codes[i].code, (size_t)n) == 0)
            return codes[i].key;
    return KEY_NONE;
}

static enum key read_key(char *char_out)
{
    char c, rest[8];
    ssize_t n = read(STDIN_FILENO, &c, 1);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        return KEY_END_OF_INPUT;
    if (n < 0)
        return KEY_NONE;
    *char_out = c;
    if (c == '\r' || c == '\n')
        return KEY_ENTER;
    if (c == 127 || c == 8)
        return KEY_ERASE;
    if (c != 27)
        return KEY_CHAR;
    size_t k = 0;
    while (k < sizeof(rest) && read(STDIN_FILENO, &rest[k], 1) == 1) {
        char last = rest[k++];
        if (k > 1 && (ascii_isalpha(last) || last == '~'))
            break;
    }
    return escape_of(rest, (ssize_t)k);
}

enum key tty_key(int64_t ms, char *char_out)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = 0;
    *char_out = 0;
    if (!stopped && !resized && !continued)
        ready = poll(&p, 1, (int)MIN(ms, (int64_t)60000));
    if (stopped)
        stop_here();
    if (continued) { /* after a SIGSTOP from outside: nobody knows what is on the screen */
        continued = 0;
        raw_on();
        resized = 1;
    }
    if (resized) {
        resized = 0;
        say("\033[2J");
        return KEY_RESIZED;
    }
    return ready > 0 ? read_key(char_out) : KEY_NONE;
}

void tty_show(struct frame *f)
{
    struct buf whole;
    buf_init(&whole, f->out.max + 64);
    buf_adds(&whole, "\033[H");
    buf_addstr(&whole, buf_str(&f->out));
    buf_adds(&whole, "\033[J");
    write_all(whole.p, whole.n);
    buf_free(&whole);
}
