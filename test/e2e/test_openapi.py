#!/usr/bin/env python3
# timeout: 240
"""GET /v1/openapi.json against the code: it is valid OpenAPI 3.1 and has every route of the table,
and a real daemon does what it says. Requests are generated from it by a seed: with each field that is
described, and with wrong types, missing, unknown, out of range and huge ones. Every answer's status
and body must be described, none may be 500; what fits the document is taken, what does not is not."""
import copy
import http.client
import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from openapi import Document  # noqa: E402
from scene import Scene  # noqa: E402

ROOT = Path(os.environ.get("POSTFLEET_SOURCE_ROOT", Path(__file__).resolve().parent.parent.parent))
SEED = int(os.environ.get("POSTFLEET_SEED", "20261122"))

PASSWORD = "correct horse battery"
# What stands for a field whose words say more than its type. ("METHOD path", field) goes before.
GOOD = {
    "from": "News <news@example.com>", "reply_to": "answers@example.com", "return_path": "<>",
    "to": "somebody@example.org", "email": "ana@example.org", "address": "gone@example.org",
    "contact": "ana@example.org", "group": "default", "groups": ["default"], "fallback": ["spare"],
    "leave_group": "spare", "helo": "mta.example.com", "host": "127.0.0.1", "calendar": "Europe/Vienna",
    "region": "eu", "from_domain": ["example.com"], "header": ["X-Fleet: one"], "order": ["one"],
    "pause_between": "1s", "connect_timeout": "10s", "reply_timeout": 60, "dot_timeout": "5m",
    "port": 2525, "for": "10m", "server": "one", "credential": "all", "campaign": "spring",
    "list": "people", "template": "hello", "provider": "gmail", "curve": "50,100,200",
    "classes": "1:2 8:4", "unknown": 4, "hard_bounces": 2, "complaints": 0.1, "deferrals": "10",
    "when": "hard_bounce_rate > 5%", "action": "notify", "window": "1d", "cooldown": "6h", "weight": 0.5,
    "rotate_every": "1h", "deadline": "2040-01-01T00:00:00Z", "first_delay": "1m", "max_delay": "1h",
    "rules": ["552 -> next_server"], "before": "first", "stream": "bulk", "tag": "spring",
    "tags": ["spring"], "recipient_domain": "*.example.org", "country": "AT", "engagement": ">=5",
    "size": "5M", "from_day": 1, "rotate_active": 1, "rotate_messages": 1000, "size_max": "10M", "ip": ["192.0.2.0/24"],
    "ips": ["192.0.2.0/24"], "from_domains": ["example.com"],
    "days": 1, "fields": {"first_name": "Ana"}, "since": "2026-01-01T00:00:00Z", "until": "1s",
    "expires_at": "2040-01-01T00:00:00Z", "expires_after": "10m", "html": "<p>Hi</p>",
    "text": "Hi", "markdown": "*Hi*", "subject": "Hi", "headers": {"X-One": "1"}, "scope": "*",
    "scopes": ["reports:read"], "metadata": {"order": "7"}, "attachments": [
        {"filename": "a.txt", "content": "YQ=="}], "raw_base64": "RnJvbTogYUBiLmMKCmhpCg==",
    "raw": "From: a@example.com\nSubject: s\n\nhi\n", "track": False, "plan": "postfleet",
    "source": "list.example", "map": "email=email", "after": "", "verdict": "accepted",
    "url": "https://hook.invalid/", "events": ["message.*"], "servers": ["one"], "overlap": "1h",
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "password": PASSWORD, "expires": "7d", "cost_per_1000": 0.85, "forecast": "yes", "reason": "manual", "volume": "1k",
}
# Fields that only mean something with others, or instead of others.
WITH = {
    "password": {"user": "u"}, "rotate_active": {"rotate_every": "1h"},
    "rotate_every": {"rotate_active": 1}, "rotate_messages": {"rotate_active": 1},
    "variables": {"template": "hello", "text": None}, "template": {"text": None, "subject": None},
    "raw": {"text": None, "subject": None}, "raw_base64": {"text": None, "subject": None},
    "markdown": {"html": None},
}


class Api:
    """Requests with a key over one connection; every answer is held against the document."""

    def __init__(self, scene, document):
        self.port, self.document, self.key = scene.daemon.port, document, None
        self.link, self.findings, self.count, self.seen = None, [], 0, set()
        self.statuses, self.slow = {}, []

    def send(self, method, url, body, headers):
        for again in (True, False):
            try:
                if not self.link:
                    self.link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                self.link.request(method, url, body, headers)
                answer = self.link.getresponse()
                return answer, answer.read()
            except (OSError, http.client.HTTPException):
                self.link = None
                if not again:
                    raise
        return None

    def find(self, text):
        if len(self.findings) < 200 and text not in self.findings:
            self.findings.append(text)

    def call(self, method, path, params=(), query=None, body=None, kind="application/json", key="",
             headers=()):
        """Its status and what it says, decoded; differences to the document are findings."""
        op = self.document.all["paths"][path][method.lower()]
        url = path
        for name, value in dict(params).items():
            url = url.replace("{%s}" % name, urllib.parse.quote(value, safe=""))
        if query:
            url += "?" + urllib.parse.urlencode(query, doseq=True)
        head = dict(headers)
        if key is not None:
            head["Authorization"] = f"Bearer {key or self.key}"
        if body is not None:
            head["Content-Type"] = kind
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.count += 1
        self.seen.add((method, path))
        begin = time.monotonic()
        answer, data = self.send(method, url, body, head)
        if time.monotonic() - begin > 5:
            self.slow.append(f"{method} {url[:100]}: {time.monotonic() - begin:.1f} s")
        if answer.getheader("Connection", "") == "close":
            self.link = None
        what = f"{method} {url[:200]} {(body or b'')[:300]!r}"
        return answer.status, self.look(op, what, answer, data)

    def look(self, op, what, answer, data):
        status, kind = answer.status, answer.getheader("Content-Type", "").split(";")[0]
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == 500:
            self.find(f"500: {what}: {data[:300]!r}")
        if str(status) not in op["responses"]:
            self.find(f"{status} is not described: {what}: {data[:300]!r}")
            return None
        content = self.document.follow(op["responses"][str(status)]).get("content", {})
        if kind not in content:
            self.find(f"{status} as {kind} is not described: {what}")
            return data
        if "json" not in kind:
            return data
        value = json.loads(data)
        wrong = self.document.wrong(content[kind]["schema"], value, strict=True)
        if wrong:
            self.find(f"{op['operationId']} {status}: {wrong}")
        return value


# ---- the document by itself


def walk(node, visit, at="#"):
    if isinstance(node, dict):
        visit(node, at)
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, (dict, list)):
            walk(value, visit, f"{at}/{key}")


def routes():
    table = (ROOT / "src/api/routes.c").read_text()
    for line in re.findall(r'\{HTTP_(\w+),\s*"([^"]+)",\s*\w+,\s*("[^"]*"|NULL),\s*([^,]+),', table):
        yield line[0], line[1], None if line[2] == "NULL" else line[2].strip('"'), line[3].strip()


def test_structure(document):
    tap.ok(document.all["openapi"] == "3.1.0" and document.all["info"]["version"]
           and set(document.all) <= {"openapi", "info", "jsonSchemaDialect", "paths", "components"},
           "it says that it is OpenAPI 3.1")
    wrong, used = [], set()

    def visit(node, at):
        ref = node.get("$ref")
        if isinstance(ref, str):
            used.add(ref)
            try:
                document.follow(node)
            except KeyError:
                wrong.append(f"{at}: {ref} is not there")
        if isinstance(node.get("required"), list) and "properties" in node:
            wrong.extend(f"{at}: {n} is required, not described" for n in node["required"]
                         if n not in node["properties"])

    walk(document.all, visit)
    unused = [n for n in document.schemas if f"#/components/schemas/{n}" not in used]
    tap.ok(not wrong, "each $ref leads somewhere", "\n".join(wrong))
    tap.ok(not unused, "each schema is used", unused)
    ids = [op["operationId"] for _, _, op in document.operations()]
    tap.equal(len(set(ids)), len(ids), "each operationId stands once")
    for method, path, op in document.operations():
        named = {p["name"] for p in op["parameters"] if p["in"] == "path"}
        if named != set(re.findall(r"\{(\w+)\}", path)) or not op["responses"]:
            wrong.append(f"{method} {path}: {named}")
        if not any(s[0] == "2" for s in op["responses"]):
            wrong.append(f"{method} {path}: no success")
    tap.ok(not wrong, "parameters are those of the paths, and each operation can succeed", wrong)


def test_json_schema(document):
    try:
        import jsonschema
    except ImportError:
        tap.skip("each schema is one of JSON Schema 2020-12", "no python3-jsonschema")
        return
    wrong = []
    for name, schema in document.schemas.items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as e:
            wrong.append(f"{name}: {e.message}")
    tap.ok(not wrong, "each schema is one of JSON Schema 2020-12", "\n".join(wrong))


def test_routes(document):
    described = {(m, re.sub(r"\{\w+\}", "{}", p)): op for m, p, op in document.operations()}
    table = list(routes())
    missing = [f"{m} {p}" for m, p, _, _ in table if (m, p) not in described]
    tap.ok(len(table) > 100 and not missing, "every route is described in rules/openapi",
           "\n".join(missing))
    tap.equal(set(described) - {(m, p) for m, p, _, _ in table}, set(), "and nothing else is")
    files = sorted((ROOT / "rules/openapi").glob("*.toml"))
    named = set(re.findall(r'^\["(\w+ /\S+)"\]', "\n".join(f.read_text() for f in files), re.M))
    stale = [n for n in named if tuple(re.sub(r"\{\w+\}", "{}", n).split(" ")) not in described]
    tap.equal(stale, [], "no description is without a route")
    wrong = [f"{m} {p}" for m, p, scope, body in table if (m, p) in described and (
        described[m, p]["security"] != ([] if scope == "" else [{"bearer": [scope] if scope else []}])
        or ("requestBody" in described[m, p]) != (body != "0"))]
    tap.equal(wrong, [], "scopes and bodies are those of the table")


# ---- the state that the requests need


def make_state(api):
    """In order; each of these must succeed."""
    def must(method, path, params=(), body=None, **more):
        status, value = api.call(method, path, params, body=body, **more)
        if not 200 <= status < 300:
            api.find(f"{method} {path} {body}: {status} {value}")
        return value

    must("POST", "/v1/groups", body={"name": "spare"})
    must("POST", "/v1/keys", body={"name": "all", "scope": "*"})
    must("POST", "/v1/lists", body={"name": "people"})
    must("POST", "/v1/lists", body={"name": "nobody"})
    for i in range(3):
        must("POST", "/v1/contacts", body={"email": f"c{i}@example.org", "list": "people"})
    must("POST", "/v1/contacts", body={"email": "ana@example.org", "list": "people",
                                       "fields": {"first_name": "Ana"}})
    must("POST", "/v1/suppressions", body={"address": "gone@example.org"})
    must("POST", "/v1/templates", body={
        "name": "hello", "subject": "Hi {{ contact.first_name | default: 'you' }}",
        "text": "Hi {{ x | default: 'y' }}, leave: {{ unsubscribe_url }}"})
    must("POST", "/v1/campaigns", body={"name": "spring", "list": "people", "template": "hello",
                                        "from": "news@example.com"})
    must("POST", "/v1/routes", body={"name": "first", "group": "default", "tag": "vip"})
    must("POST", "/v1/warmups", body={"server": "two", "curve": "50,100,200"})
    must("POST", "/v1/domains", body={"name": "shop.example", "dkim": "ed25519", "selector": "s1"})
    must("POST", "/v1/webhooks", body={"name": "told", "url": "http://127.0.0.1:9/", "allow_private": True})
    for name, role in (("root", "owner"), ("ana", "viewer")):
        must("POST", "/v1/users", body={"name": name, "role": role, "password": PASSWORD})
    must("POST", "/v1/campaigns/{name}/start", {"name": "spring"}, body={})
    sent = must("POST", "/v1/messages", body={"to": "a@example.org", "from": "n@example.com",
                                              "text": "t", "subject": "s"})
    wait_for(lambda: must("GET", "/v1/messages/{id}", {"id": sent["id"]})["state"] == "sent", 20,
             "a message sent")
    later = must("POST", "/v1/messages", body={
        "to": "b@example.org", "from": "n@example.com", "text": "t", "send_at": later_time()})
    return {"name": {"servers": "one", "groups": "default", "lists": "people", "templates": "hello",
                     "campaigns": "spring", "routes": "first", "keys": "all",
                     "reputation": "own", "users": "ana", "webhooks": "told"},
            "domain": {"domains": "shop.example"}, "selector": {"domains": "s1"},
            "server": {"warmups": "two", "reputation": "one"},
            "address": {"contacts": "ana@example.org", "suppressions": "gone@example.org"},
            "id": {"messages": later["id"], "reputation": "rep_0000000000001"},
            "token": {"u": "AAAA", "view": "AAAA"}}


def later_time():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))


def params_of(path, state):
    room = path.removeprefix("/v1").split("/")[1].split(":")[0]
    return {n: state.get(n, {}).get(room, "nothing") for n in re.findall(r"\{(\w+)\}", path)}


# ---- generated bodies


def good(document, what, field, schema, rng):
    """A value for a field that its words allow too."""
    if what == "PATCH /v1/users/{name}" and field == "role":
        return "sender"
    if what == "POST /v1/domains" and field == "name":
        return f"d{next(NAMES)}.example"
    if "webhooks/" in what and field in ("url", "until"):
        return "http://127.0.0.1:9/" if field == "url" else "2040-01-01T00:00:00Z"
    own = {"selector": f"s{next(NAMES)}", "send_at": later_time(),
           "deadline": "5h" if "failover" in what else "2040-01-01T00:00:00Z",
           "group": "spare" if "messages:" in what else "default",
           "stream": "transactional" if "messages" in what else "bulk",
           "weight": 3 if "servers" in what else 0.5,
           "for": "10m", "text": "Hi {{ x | default: 'y' }}" if "templates" in what else "Hi",
           "reason": "it looks odd" if "quarantine" in what else "manual",
           "fallback": ["spare"], "provider": "gmail=40%" if "warmups" in what else "gmail"}
    if field in own and not document.wrong(schema, own[field]):
        return own[field]
    if field in GOOD and not document.wrong(schema, GOOD[field]):
        return copy.deepcopy(GOOD[field])
    return document.valid(schema, rng, field)


OWN_NAME = ("POST /v1/sessions", "POST /v1/domains")
NAMES = iter(range(1, 1 << 30))


def base_body(document, what, schema, rng):
    """Its required fields, and what has to be there although no schema can say so."""
    more = {"POST /v1/limits": {"group": "default", "per_hour": 50},
            "POST /v1/limits:remove": {"group": "default"},
            "POST /v1/warmups": {"server": "one", "curve": "50,100,200"},
            "POST /v1/keys": {"scope": "reports:read"},
            "POST /v1/templates": {"text": "Hi"},
            "POST /v1/users": {"password": PASSWORD},
            "PATCH /v1/users/{name}": {"password": PASSWORD},
            "POST /v1/servers": {"group": "spare"},
            "POST /v1/sessions": {"name": "ana", "password": PASSWORD},
            "POST /v1/domains/{domain}/keys": {"algorithm": "ed25519"},
            "POST /v1/webhooks/{name}/resend": {"since": "2026-01-01T00:00:00Z"},
            "POST /v1/messages": {"to": "m@example.org", "from": "n@example.com", "subject": "s",
                                  "text": "t", "send_at": later_time()},
            "POST /v1/messages:batch": {"messages": [{
                "to": "m@example.org", "from": "n@example.com", "text": "t",
                "send_at": later_time()}]}}
    body = {f: good(document, what, f, schema["properties"][f], rng)
            for f in schema.get("required", [])}
    body.update(copy.deepcopy(more.get(what, {})))
    if what == "POST /v1/servers:isolate":
        body["server"] = "one"
    for field in ("name", "new_name"):
        if field in body and what not in OWN_NAME:
            body[field] = f"n{next(NAMES)}"
    if what == "POST /v1/contacts":
        body["email"] = f"n{next(NAMES)}@example.org"
    if what == "POST /v1/suppressions":
        body["address"] = f"s{next(NAMES)}@example.org"
    return body


def with_field(document, what, schema, field, rng):
    body = base_body(document, what, schema, rng)
    value = f"n{next(NAMES)}" if field == "new_name" else good(
        document, what, field, schema["properties"][field], rng)
    for other, with_it in WITH.get(field, {}).items():
        if other in schema["properties"]:
            body[other] = with_it
    body[field] = value
    return {k: v for k, v in body.items() if v is not None or k == field}


# Fields that are described, but mean something only in a state that this test does not build.
NOT_ALONE = {
    ("POST /v1/limits", "campaign"), ("POST /v1/limits", "credential"), ("POST /v1/limits", "provider"),
    ("POST /v1/limits", "server"), ("POST /v1/limits:remove", "campaign"),
    ("POST /v1/limits:remove", "credential"), ("POST /v1/limits:remove", "provider"),
    ("POST /v1/limits:remove", "server"), ("POST /v1/limits:remove", "group"),
    ("POST /v1/warmups", "plan"), ("PATCH /v1/servers/{name}", "new_name"),
    ("PATCH /v1/groups/{name}", "new_name"), ("PATCH /v1/templates/{name}", "new_name"),
    ("PATCH /v1/routes/{name}", "new_name"), ("PATCH /v1/routes/{name}", "before"),
    ("POST /v1/routes", "last"), ("PATCH /v1/servers/{name}", "host"),
    ("PATCH /v1/servers/{name}", "port"), ("PATCH /v1/servers/{name}", "tls"),
    ("POST /v1/servers:isolate", "group"), ("POST /v1/messages", "tag"),
    ("POST /v1/domains/{domain}/keys", "private_key"), ("POST /v1/sessions", "name"),
    ("POST /v1/webhooks/{name}/resend", "event"),
}
# Changes whose success needs a state of their own, or ends what the others stand on: see test_ends.
LAST = re.compile(r"DELETE |/cancel$|/start$|/pause$|/resume$|/drain$|/retry$|/activate$|/retire$|domain}/check$|/credentials/{name}/test$")


def test_described_is_taken(api, document, state, rng):
    """Each field of each body, one at a time beside those that are needed."""
    refused, taken = [], 0
    for method, path, op in document.operations():
        schema, what = document.body(op), f"{method} {path}"
        if not schema or LAST.search(what) or path.startswith(
                    ("/v1/reputation/rules/{name}", "/v1/reputation/actions", "/v1/reputation/servers")):
            continue
        params = params_of(path, state)
        for field in [None, *schema.get("properties", {})]:
            if (what, field) in NOT_ALONE:
                continue
            body = with_field(document, what, schema, field, rng) if field else base_body(
                document, what, schema, rng)
            status, value = restore(api, what, lambda b=body: api.call(method, path, params, body=b))
            taken += 200 <= status < 300
            if not 200 <= status < 300:
                refused.append(f"{what} {json.dumps(body)[:200]}: {status} "
                               f"{value.get('detail') if isinstance(value, dict) else value}")
    sweep(api)
    tap.ok(taken > 200 and not refused, "every field that is described is taken",
           f"{taken} taken\n" + "\n".join(refused))


def sweep(api):
    """Takes away servers and owners that were made on the way: simulations walk through them all."""
    _, page = api.call("GET", "/v1/servers", query={"limit": 1000})
    for server in page["data"]:
        if server["name"] not in ("one", "two", "three"):
            api.call("DELETE", "/v1/servers/{name}", {"name": server["name"]})
    for user in api.call("GET", "/v1/users")[1]["data"]:
        if user["name"] not in ("root", "ana"):
            api.call("DELETE", "/v1/users/{name}", {"name": user["name"]})


def restore(api, what, call):
    """Some can be done once only: what they did is undone."""
    answer = call()
    if what == "POST /v1/warmups":
        api.call("DELETE", "/v1/warmups/{server}", {"server": "one"})
    if what == "POST /v1/limits:remove":
        api.call("POST", "/v1/limits", body={"group": "default", "per_hour": 100000})
    return answer


def says_no(said):
    """A linted template that is wrong and the items of a batch have their errors in the answer."""
    return said.get("ok") is False and said.get("errors") or said.get("accepted") == 0


def test_other_is_refused(api, document, state, rng):
    """Wrong types, bounds, missing and unknown fields, bodies that are none."""
    accepted = []
    for method, path, op in document.operations():
        schema, what = document.body(op), f"{method} {path}"
        if not schema:
            continue
        params, tries = params_of(path, state), []
        base = base_body(document, what, schema, rng)
        most = 1 if "password" in base else 4  # hashing them is slow on purpose
        for field, one in schema.get("properties", {}).items():
            bad = document.bad_values(one)
            tries += [dict(base, **{field: v}) for v in rng.sample(bad, min(most, len(bad)))]
        tries += [{k: v for k, v in base.items() if k != f} for f in schema.get("required", [])]
        tries += [dict(base, no_such_field=1), [], 7, "text", [base],
                  b"{", b'{"a":1,"a":2}', b"\xff\xfe", b'{"name":"\\ud800"}', b"[" * 3000]
        for body in tries:
            status, said = api.call(method, path, params, body=body)
            if 200 <= status < 300 and not says_no(said):
                accepted.append(f"{what} {str(body)[:160]}: {status}")
                restore(api, what, lambda: None)
    sweep(api)
    tap.ok(not accepted, "what is not described is refused", "\n".join(accepted))


def test_queries(api, document, state, rng):
    wrong = []
    for method, path, op in document.operations():
        queries = {p["name"]: p for p in op["parameters"] if p["in"] == "query"}
        if not queries or method != "GET":
            continue
        params = params_of(path, state)
        needed = {n: GOOD[n] for n, p in queries.items() if p["required"]}
        for name, p in queries.items():
            value = good(document, f"{method} {path}", name, p["schema"], rng)
            if name == "after" and path != "/v1/log":
                continue
            status, said = api.call(method, path, params, dict(needed, **{name: value}))
            if status != 200:
                wrong.append(f"{path}?{name}={value}: {status} {said}")
            schema = document.follow(p["schema"])
            bad = [v for v in ("-1", "x" * 5000, "1e9", "\u0001") if "enum" in schema
                   or schema.get("type") == "integer"]
            for v in bad:
                status, _ = api.call(method, path, params, dict(needed, **{name: v}))
                if status == 200 and not path.endswith(":export"):
                    wrong.append(f"{path}?{name}={v[:20]}: {status}")
        status, _ = api.call(method, path, params, dict(needed, no_such_field="1"))
        if status != 400:
            wrong.append(f"{path}?no_such_field=1: {status}")
    tap.ok(not wrong, "queries are taken as described and unknown ones refused", "\n".join(wrong))


def test_every_path(api, document, state):
    """Each operation once with what is there, once with what is not, and with odd names."""
    for method, path, op in document.operations():
        params = params_of(path, state)
        if method == "GET":
            queries = {p["name"]: GOOD[p["name"]] for p in op["parameters"]
                       if p["in"] == "query" and p["required"]}
            api.call(method, path, params, queries)
        for odd in ("nothing", "\u00fc" * 40, "a\x00b", "../x", "x" * 900, "%", "msg_zzzz", "rep_1"):
            if params:
                content = op.get("requestBody", {}).get("content", {})
                json_body = "application/json" in content
                api.call(method, path, {n: odd for n in params}, body={} if json_body else None)
    tap.ok(True, "each path with names that are there and that are not")


def test_files(api):
    for path, body in (("/v1/contacts:import", b"email,first_name\nx@example.org,X\nbad,Y\n"),
                       ("/v1/suppressions:import", b"email\nz@example.org\n"),
                       ("/v1/servers:import", b"name,host,port,tls\nthree,127.0.0.1,25,none\n,,,\n")):
        for dry in ("1", "0"):
            status, _ = api.call("POST", path, query={"dry_run": dry}, body=body, kind="text/csv")
            tap.equal(status, 200, f"{path}?dry_run={dry}")
        for odd in (b"", b"\x00\xff\n", b"no,columns\n1,2\n", b'"', b"email\n" + b"x" * 300000):
            api.call("POST", path, body=odd, kind="text/csv")
        api.call("POST", path, query={"no_such_field": "1"}, body=body, kind="text/csv")
    status, _ = api.call("POST", "/v1/messages", query={"to": "a@example.org", "send_at": later_time()},
                         body=GOOD["raw"].encode(), kind="message/rfc822")
    tap.equal(status, 202, "a mail as it is")
    api.call("POST", "/v1/messages", query={"to": "nobody"}, body=b"x", kind="message/rfc822")


def test_keys(api, document, state):
    """No key, a wrong one, one without the scope, and what is public without any."""
    _, other = api.call("POST", "/v1/keys", body={"name": "templates", "scope": "templates:read"})
    _, more = api.call("POST", "/v1/keys", body={"name": "reports", "scope": "reports:read"})
    wrong = []
    for method, path, op in document.operations():
        params = params_of(path, state)
        if not op["security"]:
            status, _ = api.call(method, path, params, key=None)
            if status in (401, 403):
                wrong.append(f"{method} {path} is public: {status}")
            continue
        scopes = op["security"][0]["bearer"]
        lacks = more if "templates:read" in scopes else other
        want = [(None, 401), ("pf_live_wrong", 401)] + [(lacks["key"], 403)] * bool(scopes)
        for key, status in want:
            got, _ = api.call(method, path, params, key=key)
            if got != status:
                wrong.append(f"{method} {path}: {got}, wanted {status}")
    tap.ok(not wrong, "401 without a key, 403 without the scope", "\n".join(wrong))


def test_heads(api, document, state):
    """Other methods, other kinds of body, bodies that are too large by what they say."""
    wrong = []
    for path, methods in document.all["paths"].items():
        url = path
        for name, value in params_of(path, state).items():
            url = url.replace("{%s}" % name, value)
        for method in {"GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"} - {
                m.upper() for m in methods}:
            answer, _ = api.send(method, url, None, {"Authorization": f"Bearer {api.key}"})
            api.link = None if answer.getheader("Connection") == "close" else api.link
            if answer.status != 405 or not answer.getheader("Allow"):
                wrong.append(f"{method} {url}: {answer.status}")
    for method, path, op in document.operations():
        params = params_of(path, state)
        if "application/json" in op.get("requestBody", {}).get("content", {}):
            status, _ = api.call(method, path, params, body=b"{}", kind="text/plain")
            if status != 415:
                wrong.append(f"{method} {path} as text/plain: {status}")
        status, _ = api.call(method, path, params, headers={"Content-Length": str(2 << 30)})
        if status != 413:
            wrong.append(f"{method} {path} with 2 GB: {status}")
    tap.ok(not wrong, "405 with Allow, 415 for other kinds of body, 413 for too large ones",
           "\n".join(wrong))


def test_huge(api, document, state, rng):
    """300 KB in a field, 20,000 entries in a list, a hundred objects deep."""
    deep = b'{"x":' * 100 + b"1" + b"}" * 100
    for method, path, op in document.operations():
        schema, what = document.body(op), f"{method} {path}"
        if not schema:
            continue
        fields = list(schema.get("properties", {}))
        for field in rng.sample(fields, min(1, len(fields))):
            base = base_body(document, what, schema, rng)
            for value in ("x" * 300000, ["x"] * 20000, 10 ** 18):
                api.call(method, path, params_of(path, state), body=dict(base, **{field: value}))
                restore(api, what, lambda: None)
        api.call(method, path, params_of(path, state), body=deep)
    tap.ok(True, "huge values are answered")


def test_ends(api, state):
    """What ends things, in the order in which they stand on each other."""
    wrong = []

    def want(status, method, path, params=(), body=None):
        got, value = api.call(method, path, params, body=body)
        if got != status:
            wrong.append(f"{method} {path} {params}: {got} {value}")

    one, message = {"name": "one"}, {"id": state["id"]["messages"]}
    for action in ("pause", "resume", "drain", "resume"):
        want(200, "POST", "/v1/servers/{name}/" + action, one, {})
    want(201, "POST", "/v1/campaigns", body={"name": "brief", "list": "people", "template": "hello"})
    want(409, "POST", "/v1/campaigns/{name}/pause", {"name": "brief"}, {})
    want(200, "POST", "/v1/campaigns/{name}/cancel", {"name": "brief"}, {})
    want(200, "POST", "/v1/pause", body={})
    want(200, "POST", "/v1/resume", body={})
    want(200, "POST", "/v1/messages/{id}/cancel", message, {})
    want(409, "POST", "/v1/messages/{id}/cancel", message, {})
    want(200, "POST", "/v1/messages/{id}/retry", message, {})
    want(200, "GET", "/v1/messages/{id}", message)
    want(200, "GET", "/v1/messages/{id}/raw", message)
    want(201, "POST", "/v1/reputation/rules", body={"name": "own", "when": "hard_bounce_rate > 5%",
                                                    "action": "notify"})
    want(200, "PATCH", "/v1/reputation/rules/{name}", {"name": "own"}, {"enabled": False})
    want(200, "DELETE", "/v1/reputation/rules/{name}", {"name": "own"})
    want(404, "DELETE", "/v1/reputation/rules/{name}", {"name": "own"})
    want(422, "DELETE", "/v1/groups/{name}", {"name": "default"})
    want(200, "DELETE", "/v1/routes/{name}", {"name": "first"})
    want(200, "DELETE", "/v1/warmups/{server}", {"server": "two"})
    want(200, "DELETE", "/v1/contacts/{address}", {"address": "ana@example.org"})
    want(200, "DELETE", "/v1/suppressions/{address}", {"address": "gone@example.org"})
    want(200, "DELETE", "/v1/lists/{name}", {"name": "nobody"})
    want(200, "DELETE", "/v1/servers/{name}", {"name": "three"})
    want(200, "DELETE", "/v1/keys/{name}", {"name": "reports"})
    shop, old, new = ({"domain": "shop.example", "selector": s} for s in ("", "s1", "s2"))
    want(201, "POST", "/v1/domains/{domain}/keys", shop, {"algorithm": "rsa", "selector": "s2"})
    want(200, "POST", "/v1/domains/{domain}/keys/{selector}/retire", old, {})
    want(200, "POST", "/v1/domains/{domain}/keys/{selector}/activate", new, {})
    want(200, "DELETE", "/v1/domains/{domain}/keys/{selector}", old)
    want(200, "DELETE", "/v1/domains/{domain}", shop)
    want(200, "DELETE", "/v1/webhooks/{name}", {"name": "told"})
    want(422, "DELETE", "/v1/users/{name}", {"name": "root"})
    want(200, "DELETE", "/v1/users/{name}", {"name": "ana"})
    want(409, "DELETE", "/v1/sessions")
    login = {"name": "root", "password": "wrong"}
    for _ in range(5):
        want(401, "POST", "/v1/sessions", body=login)
    want(429, "POST", "/v1/sessions", body=login)
    tap.ok(not wrong, "what ends things does", "\n".join(wrong))


def generate():
    """The document as the build makes it."""
    out = Path(os.environ.get("TMPDIR", "/tmp")) / f"openapi-{os.getpid()}.json"
    files = sorted(map(str, (ROOT / "rules/openapi").glob("*.toml")))
    subprocess.run([sys.executable, str(ROOT / "tools/openapi.py"), str(out), "0.1.0",
                    str(ROOT / "src/api/routes.c"), *files], check=True)
    text = out.read_text()
    out.unlink()
    return text


def main():
    rng = random.Random(SEED)
    tap.note(f"seed {SEED}")
    document = Document(generate())
    tap.case(test_structure, document)
    tap.case(test_json_schema, document)
    tap.case(test_routes, document)
    with Scene({"one": {}, "two": {}}) as scene:
        scene.add_servers()
        api = Api(scene, document)
        api.key = json.loads(scene.daemon.cli("key", "create", "test", "--scope", "*",
                                              "--json"))["key"]
        _, served = api.send("GET", "/v1/openapi.json", None, {})
        tap.equal(json.loads(served)["paths"], document.all["paths"], "it is served as it was made")
        state = make_state(api)
        for case, more in ((test_every_path, ()), (test_described_is_taken, (rng,)),
                           (test_queries, (rng,)), (test_other_is_refused, (rng,)),
                           (test_huge, (rng,)), (test_keys, ()), (test_heads, ())):
            begin = time.monotonic()
            tap.case(case, api, document, state, *more)
            tap.note(f"{case.__name__}: {time.monotonic() - begin:.1f} s, {api.count} requests")
        tap.case(test_files, api)
        tap.case(test_ends, api, state)
        tap.ok(not api.findings, f"{api.count} answers are as described, and none is 500",
               "\n".join(api.findings))
        missed = [f"{m} {p}" for m, p, _ in document.operations() if (m, p) not in api.seen]
        tap.equal(missed, [], "every operation was asked")
        tap.note("over 5 s: " + ", ".join(api.slow))
        tap.note(f"statuses: {dict(sorted(api.statuses.items()))}")
        tap.equal(scene.daemon.sanitizer_words(), [], "no sanitizer spoke")
    tap.done()


if __name__ == "__main__":
    main()
