/* GET /v1/openapi.json: the API in the words of OpenAPI 3.1, made from the table of routes and
 * rules/openapi when this program is built (tools/openapi.py). Public: it tells nothing of this
 * installation. */
#include "api/inner.h"
#include "api/resources.h"

extern const unsigned char openapi_json[];
extern const size_t openapi_json_size;

void on_openapi(struct http_request *r)
{
    http_answer_text(r, 200, "application/json",
                     str_from((const char *)openapi_json, openapi_json_size));
}
