/* Plays the transcripts of server/ (see README.md beside this file) with smtp/server and no socket:
 * as written, byte by byte, and cut once at every place. Prints TAP, one line a file. */
#include <stdio.h>

#include "serve.h"
#include "talk.h"

int main(int argc, char **argv)
{
    int bad = 0;

    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        const char *slash = strrchr(argv[i], '/');
        struct buf text;
        buf_init(&text, 1 << 20);
        bool ok = talk_read_file(argv[i], &text) && serve_every_way(argv[i], buf_str(&text));
        buf_free(&text);
        printf("%s %d - %s\n", ok ? "ok" : "not ok", i, slash ? slash + 1 : argv[i]);
        bad += !ok;
    }
    return bad > 0;
}
