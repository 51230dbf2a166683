/* Frames and payloads of the link from any bytes: read whole and byte by byte, the same frames must
 * come out, and what is read and written again must be the same bytes. */
#include "base/check.h"
#include "link/link.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const struct link_frame *f)
{
    json_t *j = NULL, *answer = NULL;
    struct str tail;
    struct err e;
    if (!link_payload_read(f->payload, &j, &tail, &e))
        return;
    check(tail.n <= f->payload.n);
    char *text = json_dumps(j, JSON_COMPACT);
    struct buf b;
    buf_init(&b, 4u << 20);
    if (text && link_frame_add(&b, f->type, f->id, str_of(text), tail)) {
        struct link_frame again;
        size_t used = 0;
        check(link_frame_read(buf_str(&b), &again, &used, &e) == LINK_FRAME);
        check(used == b.n && again.id == f->id && again.type == f->type);
    }
    if (link_answer_read(j, &answer, &e))
        json_decref(answer);
    buf_free(&b);
    free(text);
    json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_from((const char *)data, size);
    struct err e;
    for (;;) {
        struct link_frame whole, cut;
        size_t used = 0, used_cut = 0;
        enum link_parsed p = link_frame_read(rest, &whole, &used, &e);
        size_t n = 0;
        enum link_parsed q = LINK_MORE;
        while (q == LINK_MORE && n <= rest.n)
            q = link_frame_read(str_from(rest.p, n++), &cut, &used_cut, &e);
        check(p == q && (p != LINK_FRAME || used == used_cut));
        if (p != LINK_FRAME)
            return 0;
        look_at(&whole);
        rest = str_from_index(rest, used);
    }
}
