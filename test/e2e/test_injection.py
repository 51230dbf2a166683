#!/usr/bin/env python3
# timeout: 300
"""corpora/attacks/injection.tsv and smuggling-sequences.tsv by every entrance: HTTP (one message, a
batch, a mail as it is), campaigns (their fields, contacts, templates), sendmail, SMTP (envelope,
parameters, header, control headers), settings of servers. What is refused leaves nothing; what is
taken is looked at on the wire: its MAIL and RCPT lines, its header fields and its end are exactly
those of a harmless mail by the same entrance."""
import base64
import collections
import json
import os
import re
import socket
import subprocess
import sys
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import tap  # noqa: E402
from daemon import BINARY, ROOT, free_port, wait_for  # noqa: E402
from scene import Scene  # noqa: E402
from test_api import Api  # noqa: E402
from witness import ledger  # noqa: E402

CORPORA = Path(os.environ.get("POSTFLEET_SHARED", ROOT.parent / "shared"), "corpora/attacks")
SENDER = "Shop <shop@shop.example>"
END = "the very end"
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|r|n|t|\\)")
PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}
# An address that may be taken literally is one; its RCPT line is then this.
TWO = b"a@example.org,b@example.org"  # in a To field of `sendmail -t` two recipients, elsewhere none
GOOD_ADDRESSES = {"a" * 33 + "@example.org", "root+${run{/bin/true}}@example.org", "用户@例子.公司",
                  "a@例子.公司"}


def table(name, column):
    rows = (CORPORA / name).read_bytes().split(b"\n")[1:]
    cells = [row.split(b"\t")[column] for row in rows if row.strip()]
    return [ESCAPE.sub(lambda m: PLAIN.get(m[1]) or bytes([int(m[1][1:], 16)]), c) for c in cells]


class Wire:
    """What was submitted, by a token in its body, and what came of it."""

    def __init__(self, scene):
        self.scene, self.cases, self.refused = scene, {}, collections.Counter()

    def token(self):
        return f"t{len(self.cases) + sum(self.refused.values())}x"

    def note(self, entrance, field, payload, token, taken, like=None, to=None, fields=None):
        """like: the case whose header fields it must have; or the names of the fields themselves."""
        if not taken:
            self.refused[entrance] += 1
            return
        self.cases[token] = {"entrance": entrance, "field": field, "payload": payload, "like": like,
                             "to": to, "fields": fields}

    def dots(self):
        """Dots of accepted messages by the token in their body."""
        found = collections.defaultdict(list)
        for dot in self.scene.witness.events("dot"):
            body = ledger.read_body(self.scene.witness.log, dot)
            hit = re.search(rb"\bt[0-9]+x\b", body_of(body))
            found[hit[0].decode() if hit else "none"].append((dot, body))
        return found


def body_of(raw):
    """The decoded text of a mail with one text part, or of the first."""
    import email
    import email.policy
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    part = mail.get_body(("plain", "html")) if mail.is_multipart() else mail
    return part.get_payload(decode=True) or b""


def names_of(raw):
    """The names of the header fields in their order, without our Received."""
    head = raw.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    return [line.split(b":")[0].decode("latin-1") for line in head if line[:1] not in (b" ", b"\t")]


def text_with(token):
    return f"{token}\n.a dot\n{END}"


# ---- HTTP


def fields_of(payload):
    """JSON parts of a message with the payload in each place, named."""
    yield "subject", {"subject": payload}
    yield "from_name", {"from": f"{payload} <a@shop.example>"}
    yield "from", {"from": payload}
    yield "reply_to", {"reply_to": payload}
    yield "reply_to_name", {"reply_to": f"{payload} <a@shop.example>"}
    yield "recipient", {"to": payload}
    yield "recipient_name", {"to": f"{payload} <ann@in.test>"}
    yield "custom_header_name", {"headers": {payload: "v"}}
    yield "custom_header_value", {"headers": {"X-Own": payload}}
    yield "list_unsubscribe", {"headers": {"List-Unsubscribe": payload}}
    yield "message_id", {"headers": {"Message-ID": payload}}
    yield "bcc", {"headers": {"Bcc": payload}}
    yield "filename", {"attachments": [{"filename": payload, "content": "aGk="}]}
    yield "type", {"attachments": [{"filename": "a", "content": "aGk=", "type": payload}]}
    yield "content_id", {"html": "<p>x", "attachments": [
        {"filename": "a", "content": "aGk=", "content_id": payload}]}
    yield "merge_field_in_header", {"template": "merge", "variables": {"x": payload}}
    yield "tag", {"tags": [payload]}
    yield "metadata", {"metadata": {payload: payload}}
    yield "group", {"group": payload}
    yield "html", {"html": f"<p>{payload}</p>"}


HARMLESS = {"list_unsubscribe": "https://shop.example/u", "recipient": "ann@in.test", "from": SENDER,
            "reply_to": "r@shop.example", "custom_header_name": "X-Own", "type": "text/plain",
            "group": "default", "content_id": "a@b"}


def message(wire, parts):
    """A whole message around the parts, with its token."""
    token = wire.token()
    whole = {"to": "ann@in.test", "from": SENDER, "subject": "s", "text": text_with(token), **parts}
    if "template" in parts:
        del whole["subject"], whole["text"]
        whole["variables"] = dict(parts["variables"], body=text_with(token))
    return token, whole


def address_in(field, payload):
    return payload if field == "recipient" else None


def http_single(wire, api, payloads):
    likes = {}
    for field, _ in fields_of("x"):
        parts = dict(fields_of(HARMLESS.get(field, "harmless")))[field]
        token, whole = message(wire, parts)
        answer, said = api.call("POST", "/v1/messages", whole)
        if field not in ("message_id", "bcc"):
            tap.ok(answer.status == 202, f"a harmless {field} is taken", said)
        likes[field] = token
        wire.note("HTTP", field, "harmless", token, answer.status == 202, like=token)
    wrong = []
    for payload in payloads:
        for field, parts in fields_of(payload):
            token, whole = message(wire, parts)
            answer, said = api.call("POST", "/v1/messages", whole)
            if answer.status not in (202, 400, 404, 422):
                wrong.append((field, payload, answer.status, said))
            wire.note("HTTP", field, payload, token, answer.status == 202, likes[field],
                      address_in(field, payload))
    tap.ok(not wrong, "HTTP: taken or refused, nothing else", wrong[:5])
    return likes


def http_batch(wire, api, payloads, likes):
    tokens, items = [], []
    answer, said = api.call("POST", "/v1/messages:batch", {"messages": [{"subject": "a\0b"}]})
    tap.ok(answer.status == 400 and "u0000" in said["detail"], "a NUL refuses a whole batch", said)
    payloads = [p for p in payloads if "\0" not in p]
    for payload in payloads:
        for field, parts in fields_of(payload):
            token, whole = message(wire, parts)
            wire.note("batch", field, payload, token, True, likes[field], address_in(field, payload))
            tokens.append(token)
            items.append(whole)
    answer, said = api.call("POST", "/v1/messages:batch", {"messages": items})
    if "data" not in said:
        raise AssertionError(f"the batch: {said}")
    for token, item in zip(tokens, said["data"]):
        if "id" not in item:
            del wire.cases[token]
            wire.refused["batch"] += 1
    tap.ok(answer.status == 202 and said["accepted"] + said["rejected"] == len(items),
           f"a batch of them all: {said['accepted']} taken, {said['rejected']} refused")


def http_bytes(wire, api, payloads):
    """Bytes that are no UTF-8, and NUL, in JSON as they are: refused as a whole."""
    for payload in payloads:
        whole = b'{"to":"ann@in.test","from":"a@shop.example","text":"x","subject":"' + payload + b'"}'
        answer, said = api.call("POST", "/v1/messages", whole)
        tap.ok(answer.status == 400, f"raw bytes in JSON: 400 {payload!r}", said)
    for key in (b"a\r\nX: y", b"a b"):
        got, _ = api.raw(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nIdempotency-Key: " + key
                         + b"\r\nContent-Length: 2\r\n\r\n{}")
        tap.ok(b"HTTP/1.1 40" in got and b"X: y" not in got, f"a key {key!r} is answered with 40x", got)


def raw_mail(token, field=None, payload=b""):
    """A mail as it is, and the names of the fields that its reader sees."""
    lines = [b"From: a@shop.example", b"To: ann@in.test", b"Subject: s",
             b"Date: Sat, 21 Nov 2026 09:30:00 +0000", b"Message-ID: <%s@shop.example>" % token.encode()]
    if field:
        at = next((i for i, l in enumerate(lines) if l.startswith(field + b":")), len(lines))
        lines[at:at + 1] = [field + b": " + payload]
    return b"\r\n".join(lines) + b"\r\n\r\n" + text_with(token).encode().replace(b"\n", b"\r\n") + b"\r\n"


def fields_sent(raw):
    """A line that begins no field, or an empty one, ends the header; Bcc is taken out, Date and
    Message-ID are added."""
    names = []
    for line in re.split(rb"\r\n|\n|\r", raw):
        hit = re.match(rb"([!-9;-~]+)[ \t]*:", line)
        if not hit and line[:1] not in (b" ", b"\t"):
            break
        if hit:
            names.append(hit[1].decode())
    names = [n for n in names if n.lower() != "bcc"]
    return names + [n for n in ("Date", "Message-ID") if n not in names]


RAW_FIELDS = (b"Subject", b"From", b"To", b"Reply-To", b"X-Own", b"List-Unsubscribe")


def post_mail(api, query, raw):
    """Head and body in one write: a request may be refused by its head. Its status."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(api.path)
        s.sendall(f"POST /v1/messages?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: "
                  f"message/rfc822\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)
        return int(s.makefile("rb").read().split()[1])


def http_raw(wire, api, payloads):
    for payload in payloads:
        for field in RAW_FIELDS:
            token = wire.token()
            raw = raw_mail(token, field, payload)
            answer, _ = api.call("POST", "/v1/messages?to=ann@in.test&from=a@shop.example", raw,
                                 kind="message/rfc822")
            wire.note("raw", field.decode(), payload, token, answer.status == 202,
                      fields=fields_sent(raw))
        text = payload.decode("latin-1")
        for name in ("to", "from", "group", "tag", "stream", "send_at"):
            token = wire.token()
            query = urllib.parse.urlencode(dict({"to": "ann@in.test"}, **{name: text}),
                                           encoding="latin-1")
            raw = raw_mail(token)
            wire.note("raw", "?" + name, payload, token, post_mail(api, query, raw) == 202,
                      fields=fields_sent(raw),
                      to=payload.decode(errors="replace") if name == "to" else None)


# ---- campaigns


def run_campaigns(wire, api, payloads):
    daemon = wire.scene.daemon
    path = Path(wire.scene.folder, "people.csv")
    rows, first = [], None
    for payload in ["harmless", *payloads]:
        token = wire.token()
        first = first or token
        value = payload.replace('"', '""')
        rows.append(f'{token}@in.test,"{value}",{token}'.encode("utf-8", "surrogateescape"))
        wire.note("campaign", "contact field", payload, token, True, like=first)
    path.write_bytes(b"email,first_name,mark\n" + b"\n".join(rows) + b"\n")
    daemon.cli("list", "add", "people")
    done = daemon.run("contact", "import", "--list", "people", str(path), "--json")
    got = json.loads(done.stdout)
    tap.ok(got["imported"] + got["invalid"] == got["rows"] == len(rows),
           f"contacts: {got['imported']} of {len(rows)} are taken", done.stdout)
    text = "{{ contact.mark }}\n.a dot {{ contact.first_name }}\n" + END + "\n{{ unsubscribe_url }}\n"
    daemon.add_template("t", subject="Hi {{ contact.first_name }}", text=text, html=None)
    daemon.cli("campaign", "create", "c", "--list", "people", "--template", "t")
    daemon.cli("campaign", "start", "c")
    daemon.wait_finished("c", 60)


def start_campaign(wire, api, n, field, payload):
    """A template, a list and a campaign of which one thing is the payload. Its token; the status of
    what was refused, or 200."""
    name, token = f"set{n}", wire.token()
    names = {f: payload if field == f else name for f in ("template", "list", "name")}
    email = f"{token}@in.test"
    settings = {"name": names["name"], "list": names["list"], "template": names["template"]}
    if field in ("from", "reply_to"):
        settings[field] = payload
    elif field == "from_name":
        settings["from"] = f"{payload} <a@shop.example>"
    calls = [("/v1/templates", {"name": names["template"], "subject": payload if field == "subject" else
                                "s", "text": text_with(token) + "\n{{ unsubscribe_url }}"}),
             ("/v1/lists", {"name": names["list"]}),
             ("/v1/contacts", {"email": email, "list": names["list"]}),
             ("/v1/campaigns", settings),
             (f"/v1/campaigns/{urllib.parse.quote(names['name'], safe='')}/start", {})]
    for path, body in calls:
        answer, said = api.call("POST", path, body)
        if answer.status >= 300:
            return token, answer.status, said
    return token, 200, {}


def campaign_settings(wire, api, payloads):
    """What a campaign may be told: refused, or one mail like any other."""
    wrong, n, likes = [], 0, {}
    for payload in ["harmless", *payloads]:
        for field in ("name", "template", "list", "from", "from_name", "reply_to", "subject"):
            n += 1
            value = HARMLESS.get(field, payload) if payload == "harmless" else payload
            token, status, said = start_campaign(wire, api, n, field, value)
            likes.setdefault(field, token)
            if status >= 500 or (payload == "harmless" and status != 200):
                wrong.append((field, payload, status, said))
            wire.note("campaign", field, payload, token, status == 200, like=likes[field])
    tap.ok(not wrong, "campaigns: taken or refused, nothing else", wrong[:5])


# ---- sendmail


def sendmail(wire, payloads):
    env = dict(os.environ, POSTFLEET_DATA=wire.scene.daemon.data)
    wrong = []
    for payload in payloads:
        text = payload.decode("utf-8", "surrogateescape")
        token = wire.token()
        cases = [("recipient", [text], None), ("-t To", ["-t"], b"To"), ("-t Cc", ["-t"], b"Cc"),
                 ("header", ["ann@in.test"], b"X-Own")]
        if b"\0" not in payload:
            cases += [("-f", ["-f", text, "ann@in.test"], None), ("-F", ["-F", text, "ann@in.test"], None)]
        for what, options, field in cases:
            token = wire.token()
            if b"\0" in payload and field is None:
                continue
            raw = raw_mail(token, field, payload).replace(b"\r\n", b"\n")
            if what in ("-t Cc",):
                raw = raw.replace(b"To: ann@in.test\n", b"")
            done = subprocess.run([BINARY, "sendmail", "-i", *options], input=raw, env=env,
                                  capture_output=True, timeout=60)
            if done.returncode not in (0, 64, 65, 69, 77):
                wrong.append((what, payload, done.returncode, done.stderr))
            wire.note("sendmail", what, payload, token, done.returncode == 0, fields=fields_sent(raw),
                      to="*" if what not in ("-f", "-F") else None)
            if what.startswith("-t") and payload == TWO and done.returncode == 0:
                wire.cases[token]["times"] = 2
    tap.ok(not wrong, "sendmail: 0 or an exit status that says why", wrong[:5])


# ---- SMTP


class Client:
    """Says lines as they are, on a connection that is made again when it ends."""

    def __init__(self, port, login):
        self.port, self.login, self.sock = port, login, None

    def open(self, hello=b"x"):
        self.close()
        self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.file = self.sock.makefile("rb")
        self.reply()
        code = self.say(b"EHLO " + hello)
        plain = base64.b64encode(b"\0%s\0%s" % tuple(x.encode() for x in self.login))
        return code, self.say(b"AUTH PLAIN " + plain)

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def reply(self):
        while True:
            line = self.file.readline()
            if not line:
                self.close()
                return 0
            if line[3:4] != b"-":
                return int(line[:3])

    def say(self, line):
        if not self.sock:
            return 0
        try:
            self.sock.sendall(line + b"\r\n")
            return self.reply()
        except OSError:
            self.close()
            return 0

    def submit(self, sender, to, raw):
        """Everything that follows on these lines is read: what a line break smuggles in too."""
        if not self.sock:
            self.open()
        codes = [self.say(b"MAIL FROM:" + sender)]
        codes += [self.say(b"RCPT TO:" + to)] if codes[-1] == 250 else []
        codes += [self.say(b"DATA")] if codes[-1] == 250 else []
        taken = codes[-1] == 354 and self.say(raw + b".") == 250
        self.close()
        return taken


SMTP_LINES = {
    "MAIL": lambda p: (b"<" + p + b">", b"<ann@in.test>"),
    "MAIL parameter": lambda p: (b"<a@shop.example> " + p, b"<ann@in.test>"),
    "SIZE": lambda p: (b"<a@shop.example> SIZE=" + p, b"<ann@in.test>"),
    "ENVID": lambda p: (b"<a@shop.example> ENVID=" + p, b"<ann@in.test>"),
    "AUTH": lambda p: (b"<a@shop.example> AUTH=" + p, b"<ann@in.test>"),
    "MAIL utf8": lambda p: (b"<" + p + b"> SMTPUTF8", b"<ann@in.test>"),
    "RCPT": lambda p: (b"<a@shop.example>", b"<" + p + b">"),
    "RCPT utf8": lambda p: (b"<a@shop.example> SMTPUTF8", b"<" + p + b">"),
    "RCPT parameter": lambda p: (b"<a@shop.example>", b"<ann@in.test> " + p),
    "NOTIFY": lambda p: (b"<a@shop.example>", b"<ann@in.test> NOTIFY=" + p),
    "ORCPT": lambda p: (b"<a@shop.example>", b"<ann@in.test> ORCPT=rfc822;" + p),
}
CONTROL = (b"X-Postfleet-Tag", b"X-Postfleet-Campaign", b"X-Postfleet-Metadata", b"X-Postfleet-Group",
           b"X-Postfleet-Stream", b"X-Postfleet-Send-At", b"X-Postfleet-Expires", b"X-Mailgun-Tag",
           b"X-Postfleet-Idempotency-Key", b"X-Postfleet-Test", b"X-SMTPAPI", b"X-PM-Metadata-A",
           b"X-SES-MESSAGE-TAGS", b"X-MSYS-API")


def smtp(wire, client, payloads):
    for payload in payloads:
        for what, lines in SMTP_LINES.items():
            token = wire.token()
            sender, to = lines(payload)
            raw = raw_mail(token)
            wire.note("SMTP", what, payload, token, client.submit(sender, to, raw),
                      fields=["Received"] + fields_sent(raw),
                      to=payload.decode(errors="replace") if what.startswith("RCPT") and
                      "parameter" not in what else None)
        for field in RAW_FIELDS + CONTROL:
            token = wire.token()
            raw = raw_mail(token, field, payload)
            fields = [n for n in fields_sent(raw) if n.encode() not in CONTROL]
            wire.note("SMTP", field.decode(), payload, token,
                      client.submit(b"<a@shop.example> SMTPUTF8", b"<ann@in.test>", raw),
                      fields=["Received"] + fields)
        token = wire.token()
        client.open(payload.replace(b"\r\n", b" ").replace(b"\n", b" "))
        raw = raw_mail(token)
        wire.note("SMTP", "EHLO", payload, token,
                  client.submit(b"<a@shop.example>", b"<ann@in.test>", raw),
                  fields=["Received"] + fields_sent(raw))


# ---- settings of servers


def servers(wire, api, payloads):
    """Taken settings are used: a mail through that server says one EHLO and has one header."""
    port, n, wrong = wire.scene.witness.ports["other"], 0, []
    for payload in payloads:
        for field in ("helo", "user", "from", "return_path", "reply_to", "header"):
            n += 1
            token, name = wire.token(), f"srv{n}"
            api.call("POST", "/v1/groups", {"name": name, "strategy": "round-robin"})
            settings = {"name": name, "host": "127.0.0.1", "port": port, "tls": "none",
                        "from": "a@shop.example", "group": name}
            settings[field] = f"X-Own: {payload}" if field == "header" else payload
            if field == "user":
                settings["password"] = "p"
            answer, said = api.call("POST", "/v1/servers", settings)
            if answer.status not in (201, 400):
                wrong.append((field, payload, answer.status, said))
            if answer.status != 201 or field == "user":
                wire.refused["server"] += 1
                continue
            raw = raw_mail(token)
            answer, _ = api.call("POST", f"/v1/messages?to=ann@in.test&group={name}&from=a@shop.example",
                                 raw, kind="message/rfc822")
            wire.note("server", field, payload, token, answer.status == 202, fields=fields_sent(raw))
    tap.ok(not wrong, "servers: taken or refused, nothing else", wrong[:5])


# ---- smuggling


def smuggling(wire, api, client):
    """Sequences that might end a mail early, by every entrance that takes text."""
    env = dict(os.environ, POSTFLEET_DATA=wire.scene.daemon.data)
    evil = b"MAIL FROM:<a@shop.example>\r\nRCPT TO:<victim@in.test>\r\nDATA\r\nevil\r\n.\r\n"
    for sequence in table("smuggling-sequences.tsv", 1):
        for entrance in ("text", "html", "raw", "sendmail", "SMTP", "template"):
            token = wire.token()
            inside = f"{token}\r\n".encode() + b"x" + sequence + evil + END.encode() + b"\r\n"
            raw = raw_mail(token).split(b"\r\n\r\n")[0] + b"\r\n\r\n" + inside
            if entrance in ("text", "html", "template"):
                parts = {"template": "merge", "variables": {"x": "s", "body": inside.decode()}} if \
                    entrance == "template" else {"subject": "s", entrance: inside.decode()}
                answer, _ = api.call("POST", "/v1/messages",
                                     dict({"to": "ann@in.test", "from": SENDER}, **parts))
                taken, like = answer.status == 202, None
            elif entrance == "raw":
                answer, _ = api.call("POST", "/v1/messages?to=ann@in.test", raw, kind="message/rfc822")
                taken = answer.status == 202
            elif entrance == "sendmail":
                done = subprocess.run([BINARY, "sendmail", "-i", "ann@in.test"], input=raw, env=env,
                                      capture_output=True, timeout=60)
                taken = done.returncode == 0
            else:
                taken = client.submit(b"<a@shop.example>", b"<ann@in.test>", raw)
                tap.ok(not taken, f"{sequence!r} by SMTP is refused")
            wire.note("smuggling " + entrance, "body", sequence, token, taken)


# ---- the judgement


def judge(wire, likes):
    wait_for(lambda: over(wire), 90, "an end of all that was taken", every=0.5)
    found, wrong = wire.dots(), []
    for token, case in wire.cases.items():
        wrong += [f"{case['entrance']} {case['field']} {case['payload']!r}: {x}"
                  for x in differences(case, found.get(token, []), found)]
    victims = [d["words"] for t, ds in found.items() for d, _ in ds
               if any("victim" in w or "b@example" in w for w in d["words"])
               and "times" not in wire.cases.get(t, {})]
    extra = [t for t in found if t not in wire.cases]
    by_entrance = collections.Counter(c["entrance"] for c in wire.cases.values())
    for entrance in by_entrance | wire.refused:
        faults = [w for w in wrong if w.startswith(entrance + " ")]
        tap.ok(not faults, f"{entrance}: {by_entrance[entrance]} taken, {wire.refused[entrance]} refused; "
               "exact lines, fields and ends on the wire", "\n".join(faults[:12]))
    tap.ok(not victims, "nobody got what was not theirs", victims[:5])
    tap.ok(not extra, "no mail came that nobody sent", [found[t][0][0]["words"] for t in extra][:5])
    everything = wire.scene.witness.events("dot")
    tap.ok(not any(d["bare"] for d in everything), "no bare CR or LF on the wire")
    hellos = {d["hello"] for d in everything}
    tap.ok(all(re.fullmatch(r"EHLO [!-~]+", h) for h in hellos), "EHLO lines hold one name", hellos)


def over(wire):
    daemon = wire.scene.daemon
    return not any(daemon.lines("message", "search", "--state", s, "--limit", "1")
                   for s in ("queued", "deferred"))


def differences(case, arrived, found):
    if len(arrived) > case.get("times", 1):
        yield f"arrived {len(arrived)} times"
    for dot, raw in arrived:
        words = dot["words"]
        if len(words) != 2 or len(dot["rcpt"]) != 1:
            yield f"its lines are {words}"
        to = case["to"] or "ann@in.test"
        if to != "*" and case["entrance"] != "campaign" and dot["rcpt"] != [to] and \
                not (to in GOOD_ADDRESSES and dot["rcpt"][0].split("@")[0] == to.split("@")[0]):
            yield f"went to {dot['rcpt']}"
        if any(not re.fullmatch(r"(MAIL FROM|RCPT TO):<[^\x00-\x20<>]*>( [A-Z0-9]+(=[!-<>-~]+)?)*", w)
               for w in words):
            yield f"its lines are {words}"
        names = names_of(raw)
        like = found.get(case["like"])
        wanted = names_of(like[0][1]) if like else case["fields"]
        if wanted is not None and case["field"] != "custom_header_name" and names != wanted:
            yield f"fields {names}, wanted {wanted}"
        if {n.lower() for n in names} & {"bcc", "x"}:
            yield f"fields {names}"
        if END.encode() not in body_of(raw):
            yield "its end is missing"


def main():
    if not (CORPORA / "injection.tsv").exists():
        tap.skip("injection", f"no {CORPORA}")
        tap.done()
    payloads = table("injection.tsv", 0)
    texts = [p.decode("utf-8", "replace") for p in payloads]
    port = free_port()
    with Scene({"a": {}, "other": {}}, options=("--submission", f"127.0.0.1:{port}")) as scene:
        scene.add_servers(only=["a"])
        made = scene.daemon.json("credential", "create", "app", "--group", "default", "--stream",
                                 "transactional")
        api, client = Api(scene), Client(port, (made["user"], made["password"]))
        wire = Wire(scene)
        api.call("POST", "/v1/templates", {"name": "merge", "subject": "Hi {{ x }}", "text": "{{ body }}"})
        likes = http_single(wire, api, texts)
        http_batch(wire, api, texts, likes)
        http_bytes(wire, api, [p for p in payloads if b"\0" in p or b"\xff" in p])
        tap.case(http_raw, wire, api, payloads)
        tap.case(run_campaigns, wire, api, texts)
        tap.case(campaign_settings, wire, api, texts)
        tap.case(sendmail, wire, payloads)
        tap.case(smtp, wire, client, payloads)
        tap.case(servers, wire, api, texts)
        tap.case(smuggling, wire, api, client)
        tap.case(judge, wire, likes)
    tap.done()


if __name__ == "__main__":
    main()
