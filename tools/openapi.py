#!/usr/bin/env python3
"""Makes the OpenAPI 3.1 document: openapi.py OUT.json VERSION ROUTES.c FILE.toml...

The table of routes (src/api/routes.c) says which paths, methods and scopes there are and which take
a body; rules/openapi/*.toml says in words and types what they take and give. A route that nobody
describes is left out, and test/e2e/test_openapi.py says so; so is a description without a route.

A description, under ["METHOD /v1/path/{name}"]:
  does    one line; `more`: a paragraph
  take    schema of the JSON body, or a media type; several in a list
  give    "201 Schema", "200 text/csv"; several in a list
  page    schema of a line: 200 is a page of them, with the queries limit and after
  query   { field = "TYPE -- words" }
  says    errors beside those that every route has (see ALWAYS)
  html    errors that are a page for people
  idempotent  takes an Idempotency-Key

Schemas: [take.NAME] is a body: nothing but its fields is taken, a field marked ! is needed, any other
may also be null unless it says `not null`. [give.NAME] is an answer: all its fields are there but
those marked ~. "+of" in either adds the fields of another schema, "+words" describes it.

TYPE: text int number bool time duration count address any object texts, NAME of a schema,
one of A B C, [TYPE] a list, {TYPE} an object of such values; "text <=100" bytes, "int 1..9",
"[text] <=50" entries; a ? behind it: or null; `A or B`. What stands behind -- are words."""
import json
import re
import sys
import tomllib

ALWAYS = [400, 413, 500, 503]
KEYED = [401, 403]
CHANGES = [507]
TYPED = [415]
LINE = re.compile(r'\{HTTP_(\w+),\s*"([^"]+)",\s*(\w+),\s*("[^"]*"|NULL),\s*([^,]+),')
PROBLEMS = {
    400: "Malformed, or a field that is not known or out of its bounds",
    401: "No valid key",
    403: "The key lacks the scope or the group, or may not do this",
    404: "There is no such thing",
    409: "It is there already, or its state does not allow it",
    413: "The body is larger than what is taken here",
    415: "The body is of a type that is not taken here",
    422: "Policy says no",
    429: "Too many tries; wait as long as Retry-After says",
    500: "A fault of Postfleet",
    503: "Core is not reached or is busy; nothing was changed",
    507: "The disk is full; nothing was accepted",
}
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
ATOMS = {
    "text": {"type": "string"},
    "int": {"type": "integer"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "object": {"type": "object"},
    "any": {},
    "null": {"type": "null"},
}


class Wrong(Exception):
    """A description that cannot be read."""


def nullable(schema):
    if schema == {} or schema.get("type") == "null":
        return schema
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return dict(schema, type=[schema["type"], "null"])
    if "enum" in schema:
        return dict(schema, type=["string", "null"], enum=schema["enum"] + [None])
    return {"anyOf": [schema, {"type": "null"}]}


def bounded(base, rest):
    """ "1..9" and "<=100" behind a type."""
    schema = dict(base)
    for word in rest:
        size, span = re.fullmatch(r"<=(\d+)", word), re.fullmatch(r"([\d.]+?)\.\.([\d.]+)?", word)
        if size and schema.get("type") == "array":
            schema["maxItems"] = int(size[1])
        elif size:
            schema["maxLength"] = int(size[1])
        elif span:
            number = float if "." in span[1] or "." in (span[2] or "") else int
            schema["minimum"] = number(span[1])
            if span[2]:
                schema["maximum"] = number(span[2])
        else:
            raise Wrong(f"{word}: no bound")
    return schema


def count_of(rest):
    """A number, or its text ("50k"); the bounds hold for both."""
    return {"anyOf": [bounded({"type": "integer", "minimum": 0}, rest),
                      {"type": "string", "pattern": "^[0-9]+[kKmMgG]?$"}]}


def one_type(text):
    text = text.strip()
    if text.endswith("?"):
        return nullable(one_type(text[:-1]))
    if text.startswith("one of "):
        return {"type": "string", "enum": text[7:].split()}
    if text.startswith("["):
        inner, _, rest = text[1:].rpartition("]")
        return bounded({"type": "array", "items": type_of(inner)}, rest.split())
    if text.startswith("{") and text.endswith("}"):
        return {"type": "object", "additionalProperties": type_of(text[1:-1])}
    word, *rest = text.split()
    if word == "count":
        return count_of(rest)
    if word == "texts":
        item = bounded(ATOMS["text"], rest)
        return {"anyOf": [item, {"type": "array", "items": item}]}
    if word in ATOMS:
        return bounded(ATOMS[word], rest)
    if not re.fullmatch(r"[A-Z]\w+", word) or rest:
        raise Wrong(f"{text}: no type")
    return {"$ref": f"#/components/schemas/{word}"}


def type_of(text):
    """Splits at the `or`s that stand outside of brackets."""
    parts, depth = [""], 0
    for word in re.split(r"(\s+or\s+)", text):
        if word.strip() == "or" and not depth:
            parts.append("")
            continue
        depth += sum(word.count(c) for c in "[{") - sum(word.count(c) for c in "]}")
        parts[-1] += word
    types = [one_type(p) for p in parts]
    return types[0] if len(types) == 1 else {"anyOf": types}


def field_of(text):
    """The schema of a field, and its marks."""
    text, _, words = text.partition("--")
    text, marks = text.strip(), ""
    while text and text[-1] in "!~":
        marks, text = marks + text[-1], text[:-1].strip()
    if text.endswith(" not null"):
        marks, text = marks + "n", text[:-9]
    schema = type_of(text)
    if words.strip():
        schema = dict(schema, description=words.strip())
    return schema, marks


def fields_of(tables, name):
    table = dict(tables[name])
    base = table.pop("+of", None)
    table.pop("+words", None)
    return {**(fields_of(tables, base) if base else {}), **table}


def object_of(tables, name, is_body):
    properties, needed = {}, []
    for field, text in fields_of(tables, name).items():
        try:
            schema, marks = field_of(text)
        except (Wrong, ValueError, IndexError) as e:
            raise Wrong(f"{name}.{field}: {e}") from None
        if is_body and not set("!n") & set(marks):
            schema = nullable(schema)
        properties[field] = schema
        if ("!" in marks) if is_body else ("~" not in marks):
            needed.append(field)
    schema = {"type": "object", "properties": properties}
    if "+words" in tables[name]:
        schema["description"] = tables[name]["+words"]
    if needed:
        schema["required"] = needed
    if is_body:
        schema["additionalProperties"] = False
    return schema


def page_of(line):
    return {"type": "object", "required": ["data", "next", "has_more"], "properties": {
        "data": {"type": "array", "items": type_of(line)},
        "next": {"type": ["string", "null"], "description": "goes into `after` of the next page"},
        "has_more": {"type": "boolean"}}}


def content_of(what):
    if "/" not in what:
        return {"application/json": {"schema": type_of(what)}}
    is_text = what.startswith("text/")
    return {what: {"schema": {"type": "string"} if is_text else {}}}


def answers_of(about, keyed, changes, typed):
    answers = {}
    gives = about.get("give", [])
    for give in [gives] if isinstance(gives, str) else gives:
        status, _, what = give.partition(" ")
        answers[status] = {"description": "Done" if status[0] == "2" else what,
                           "content": content_of(what)}
    if "page" in about:
        answers["200"] = {"description": "A page", "content": {
            "application/json": {"schema": page_of(about["page"])}}}
    if about.get("idempotent"):
        answers["202"]["headers"] = {"Idempotent-Replayed": {
            "description": "The answer of an earlier request with the same Idempotency-Key",
            "schema": {"const": "true"}}}
    errors = ALWAYS + KEYED * keyed + CHANGES * changes + TYPED * typed + about.get("says", [])
    for status in sorted(set(errors)):
        answers[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    for status in about.get("html", []):
        answers[str(status)] = {"description": "A page for people, or a problem",
                                "content": {**content_of("text/html"), **PROBLEM}}
    return answers


def parameters_of(path, about, names):
    out = []
    for name in re.findall(r"\{(\w+)\}", path):
        out.append({"name": name, "in": "path", "required": True, "schema": {"type": "string"},
                    "description": names.get(name, name)})
    queries = dict(about.get("query", {}))
    if "page" in about and not about.get("whole"):
        queries.setdefault("limit", "int 1.. -- lines of a page; 100, at most 1000 are given")
        queries.setdefault("after", "text -- `next` of the page before")
    for name, text in queries.items():
        schema, marks = field_of(text)
        one = {"name": name, "in": "query", "schema": schema, "required": "!" in marks}
        if "description" in schema:
            one["description"] = schema.pop("description")
        out.append(one)
    if about.get("idempotent"):
        out.append({"name": "Idempotency-Key", "in": "header", "required": False,
                    "description": "the same request again sends nothing twice; kept 24 hours",
                    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"}})
    return out


def body_of(about, schemas):
    takes = about.get("take", "Nothing")
    content, needed = {}, False
    for take in [takes] if isinstance(takes, str) else takes:
        content.update(content_of(take))
        needed = needed or "/" in take or bool(schemas.get(take, {}).get("required"))
    return {"required": needed, "content": content}


def operation(method, path, scope, body_max, about, schemas, names):
    keyed = scope != ""
    room = path.removeprefix("/v1").split("/")[1].split(":")[0]
    typed = body_max not in ("0", "FILE_BYTES") and path.startswith("/v1/")
    op = {"operationId": re.sub(r"\W+", "_", f"{method.lower()} {path}").strip("_"),
          "summary": about["does"], "tags": [room],
          "parameters": parameters_of(path, about, names),
          "responses": answers_of(about, keyed, method != "GET", typed)}
    if "more" in about:
        op["description"] = about["more"]
    if body_max != "0":
        op["requestBody"] = body_of(about, schemas)
    op["security"] = [{"bearer": [scope] if scope else []}] if keyed else []
    return op


def problem_responses():
    out = {}
    for status, words in PROBLEMS.items():
        one = {"description": words, "content": PROBLEM}
        if status == 401:
            one["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
        if status in (429, 503):
            one["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
        out[f"Problem{status}"] = one
    return out


def routes_of(table):
    """(method, pattern, scope or None, body) of each line."""
    for method, pattern, _, scope, body in LINE.findall(table):
        yield method, pattern, None if scope == "NULL" else scope.strip('"'), body.strip()


def described(data):
    """METHOD and pattern with {} to the path with names and its description."""
    out = {}
    for key, about in data.items():
        if re.match(r"[A-Z]+ /", key):
            method, path = key.split(" ")
            out[method, re.sub(r"\{\w+\}", "{}", path)] = (path, about)
    return out


def make(version, table, data):
    takes, gives = data.get("take", {}), data.get("give", {})
    schemas = {n: object_of(takes, n, True) for n in takes}
    schemas.update({n: object_of(gives, n, False) for n in gives})
    for name, text in data.get("type", {}).items():
        schemas[name] = field_of(text)[0]
    paths, descriptions = {}, described(data)
    for method, pattern, scope, body in routes_of(table):
        if (method, pattern) not in descriptions:
            continue
        path, about = descriptions[method, pattern]
        try:
            op = operation(method, path, scope, body, about, schemas, data["names"])
        except (Wrong, KeyError) as e:
            raise Wrong(f"{method} {path}: {e}") from None
        paths.setdefault(path, {})[method.lower()] = op
    text = json.dumps([paths, schemas])
    bases = {t["+of"] for t in [*takes.values(), *gives.values()] if "+of" in t}
    for name in bases:
        if f'schemas/{name}"' not in text:
            del schemas[name]
    return {"openapi": "3.1.0",
            "info": dict(data["info"], version=version),
            "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
            "paths": paths,
            "components": {"schemas": schemas, "responses": problem_responses(),
                           "securitySchemes": {"bearer": data["bearer"]}}}


def read(paths):
    """All files as one; a table that stands in several is put together."""
    data = {}
    for path in paths:
        with open(path, "rb") as f:
            part = tomllib.load(f)
        for key, value in part.items():
            if key in ("take", "give", "type", "names"):
                data.setdefault(key, {}).update(value)
            elif key in data:
                raise Wrong(f"{path}: {key} is described twice")
            else:
                data[key] = value
    return data


def main(argv):
    if len(argv) < 5:
        print("usage: openapi.py OUT.json VERSION ROUTES.c FILE.toml...", file=sys.stderr)
        return 2
    try:
        with open(argv[3], encoding="utf-8") as f:
            document = make(argv[2], f.read(), read(argv[4:]))
    except (Wrong, tomllib.TOMLDecodeError) as e:
        print(f"openapi.py: {e}", file=sys.stderr)
        return 1
    with open(argv[1], "w", encoding="utf-8") as f:
        json.dump(document, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
