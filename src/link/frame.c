/* The bytes of the link: frames, payloads, and the two forms of an answer.
 * Knows no socket. Guarantees that no length from outside is believed before it is checked, and
 * that reading gives the same result for every way of cutting the bytes. */
#include "link/link.h"

static uint32_t read_u32(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static uint64_t read_u64(const char *p)
{
    return (uint64_t)read_u32(p) << 32 | read_u32(p + 4);
}

static void write_u32(char *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8)
        p[i] = (char)(v & 0xff);
}

enum link_parsed link_frame_read(struct str bytes, struct link_frame *out, size_t *used_out,
                                 struct err *e)
{
    if (bytes.n < 4)
        return LINK_MORE;
    uint32_t length = read_u32(bytes.p);
    if (length < LINK_HEADER_BYTES - 4 || length > LINK_FRAME_MAX) {
        err_set(e, ERR_INVALID, "link: a frame of %u bytes is outside 12 to %u", length,
                LINK_FRAME_MAX);
        return LINK_BROKEN;
    }
    if (bytes.n < LINK_HEADER_BYTES)
        return LINK_MORE;
    unsigned version = (unsigned char)bytes.p[4], type = (unsigned char)bytes.p[5];
    if (version != LINK_VERSION) {
        err_set(e, ERR_INVALID,
                "link: the other side speaks version %u, this one %u: stop Postfleet and start it "
                "again, so that all its processes are of one version",
                version, LINK_VERSION);
        return LINK_BROKEN;
    }
    if (type < LINK_HELLO || type > LINK_ANSWER || bytes.p[6] || bytes.p[7]) {
        err_set(e, ERR_INVALID, "link: unknown frame type %u", type);
        return LINK_BROKEN;
    }
    if (bytes.n < 4 + (size_t)length)
        return LINK_MORE;
    out->type = (enum link_type)type;
    out->id = read_u64(bytes.p + 8);
    out->payload = str_from(bytes.p + LINK_HEADER_BYTES, length - (LINK_HEADER_BYTES - 4));
    *used_out = 4 + (size_t)length;
    return LINK_FRAME;
}

bool link_frame_add(struct buf *b, enum link_type type, uint64_t id, struct str json,
                    struct str tail)
{
    size_t n = LINK_HEADER_BYTES + 4 + json.n + tail.n;
    if (json.n > LINK_FRAME_MAX || tail.n > LINK_FRAME_MAX || n - 4 > LINK_FRAME_MAX)
        return false;
    char *p = buf_reserve(b, n);
    if (!p)
        return false;
    write_u32(p, (uint32_t)(n - 4));
    p[4] = LINK_VERSION;
    p[5] = (char)type;
    p[6] = p[7] = 0;
    write_u32(p + 8, (uint32_t)(id >> 32));
    write_u32(p + 12, (uint32_t)id);
    write_u32(p + LINK_HEADER_BYTES, (uint32_t)json.n);
    p += LINK_HEADER_BYTES + 4;
    if (json.n)
        memcpy(p, json.p, json.n);
    if (tail.n)
        memcpy(p + json.n, tail.p, tail.n);
    buf_commit(b, n);
    return true;
}

bool link_payload_read(struct str payload, json_t **json_out, struct str *tail_out, struct err *e)
{
    if (payload.n < 4)
        return err_set(e, ERR_INVALID, "link: a payload without its length");
    uint32_t n = read_u32(payload.p);
    if (n > payload.n - 4)
        return err_set(e, ERR_INVALID, "link: the JSON text is longer than its frame");
    json_error_t je;
    *json_out = json_loadb(payload.p + 4, n, JSON_REJECT_DUPLICATES, &je);
    if (!*json_out)
        return err_set(e, ERR_INVALID, "link: bad JSON at byte %d", je.position);
    if (!json_is_object(*json_out)) {
        json_decref(*json_out);
        *json_out = NULL;
        return err_set(e, ERR_INVALID, "link: the payload is no JSON object");
    }
    *tail_out = str_from(payload.p + 4 + n, payload.n - 4 - n);
    return true;
}

json_t *link_answer_ok(json_t *data)
{
    return json_pack("{s:b, s:o}", "ok", 1, "data", data ? data : json_null());
}

json_t *link_answer_error(const struct err *e)
{
    json_t *text = json_string(e->text);
    if (!text)
        text = json_string("an error whose text is not UTF-8");
    return json_pack("{s:b, s:{s:s, s:o}}", "ok", 0, "error", "code", err_code_name(e->code),
                     "text", text);
}

static enum err_code code_of(const char *name)
{
    for (int c = ERR_FAILED; c <= ERR_TOO_BIG; c++)
        if (name && !strcmp(err_code_name((enum err_code)c), name))
            return (enum err_code)c;
    return ERR_FAILED;
}

bool link_answer_read(json_t *answer, json_t **data_out, struct err *e)
{
    if (json_is_true(json_object_get(answer, "ok"))) {
        if (data_out)
            *data_out = json_incref(json_object_get(answer, "data"));
        return true;
    }
    json_t *error = json_object_get(answer, "error");
    const char *text = json_string_value(json_object_get(error, "text"));
    return err_set(e, code_of(json_string_value(json_object_get(error, "code"))), "%s",
                   text ? text : "core gave an answer without a text");
}
