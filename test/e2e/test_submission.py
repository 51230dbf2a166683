#!/usr/bin/env python3
# timeout: 300
"""Mail by SMTP submission: Python's smtplib over STARTTLS and TLS, all three mechanisms, rights of
the login, recipients and suppression, control headers, DSN, UTF-8, loops, kill -9 behind the 250; what
arrives is byte for byte what was sent apart from the documented header fields."""
import base64
import json
import os
import re
import smtplib
import socket
import ssl
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from certs import make_certificate  # noqa: E402
from daemon import free_port, wait_for  # noqa: E402
from scene import Scene  # noqa: E402

HEADER = (b"From: Shop <shop@shop.example>\r\nTo: Ann <ann@to.test>\r\nSubject: An order\r\n"
          b"Date: Sat, 21 Nov 2026 09:30:00 +0000\r\nMessage-ID: <%s@shop.example>\r\n"
          b"X-Own: kept,\r\n\tfolded as it was\r\n")


# RFC 5321, 4.4, with a date-time of RFC 5322, 3.3.
RECEIVED = re.compile(rb"Received: from \S+ \(\[[0-9A-Za-z:.]+\]\)\r\n\tby \S+ with ESMTPSA;\r\n\t"
                      rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct"
                      rb"|Nov|Dec) \d{4} \d\d:\d\d:\d\d \+0000\r\n")


def mail(name, body=b"Hello\r\n.dot\r\n..two\r\n\r\nend\r\n", more=b""):
    return HEADER % name.encode() + more + b"\r\n" + body


class Place:
    """A daemon with both listeners, a witness behind it, and a login."""

    def __init__(self, scene, plain, tls, login):
        self.scene, self.plain, self.tls, self.login = scene, plain, tls, login
        self.seen = {}

    def context(self):
        return ssl.create_default_context(cafile=os.path.join(self.scene.folder, "ca.pem"))

    def client(self, login=None, starttls=True):
        c = smtplib.SMTP("localhost", self.plain, timeout=30)
        if starttls:
            c.starttls(context=self.context())
        if login is not False:
            c.login(*(login or self.login))
        return c

    def arrived(self, to):
        """Bodies of all mails that came for this recipient."""
        log = self.scene.witness.log
        with open(log, encoding="utf-8") as f:
            events = [json.loads(x) for x in f.read().splitlines() if x.endswith("}")]
        found = [e for e in events if e["kind"] == "dot" and e["code"] == 250 and to in e["rcpt"]]
        with open(log + ".bodies", "rb") as f:
            out = []
            for e in found:
                f.seek(e["at"])
                out.append(f.read(e["size"]))
        return out

    def one(self, to):
        return wait_for(lambda: self.arrived(to), 30, f"mail for {to}")[0]


def without_received(data):
    """The mail behind our Received field."""
    head, rest = data.split(b"\r\n", 1)
    assert head.startswith(b"Received: from "), head
    while rest[:1] in b" \t":
        rest = rest.split(b"\r\n", 1)[1]
    return rest


def refusal(call):
    try:
        return call() and (250, b"")
    except smtplib.SMTPResponseException as e:
        return e.smtp_code, e.smtp_error
    except smtplib.SMTPRecipientsRefused as e:
        return next(iter(e.recipients.values()))


def test_login(place):
    for mech in ("SCRAM-SHA-256", "PLAIN", "LOGIN"):
        with place.client(login=False) as c:
            c.ehlo()
            offered = c.esmtp_features["auth"].split()
            if mech == "PLAIN":
                c.user, c.password = place.login
                code = c.auth("PLAIN", c.auth_plain)[0]
            elif mech == "LOGIN":
                c.user, c.password = place.login
                code = c.auth("LOGIN", c.auth_login)[0]
            else:
                code = scram(c, *place.login)
        tap.ok(code == 235 and mech in offered, f"AUTH {mech}", (code, offered))
    with place.client(login=False) as c:
        got = refusal(lambda: c.login(place.login[0], "wrong"))
        tap.ok(got[0] == 535, "a wrong password", got)
    again = []
    for password in (place.login[1], "wrong", place.login[1] + "x", place.login[1]):
        with place.client(login=False) as c:
            c.ehlo()
            c.user, c.password = place.login[0], password
            again.append(refusal(lambda c=c: c.auth("PLAIN", c.auth_plain))[0])
    tap.ok(again == [250, 535, 535, 250], "a proven password opens, no other does", again)
    with place.client(login=False) as c:
        got = refusal(lambda: c.login("nobody", "wrong"))
        tap.ok(got[0] == 535, "an unknown user, the same words", got)
        tap.ok(c.mail("a@shop.example")[0] == 530, "no mail without a login")


def scram(c, user, password):
    import hashlib
    import hmac
    b64 = lambda s: base64.b64encode(s).decode()  # noqa: E731
    bare = f"n={user},r=fyko+d2lbbFgONRv9qkxdawL"
    code, server = c.docmd("AUTH", "SCRAM-SHA-256 " + b64(b"n,," + bare.encode()))
    first = base64.b64decode(server).decode()
    part = dict(x.split("=", 1) for x in first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(part["s"]),
                                 int(part["i"]))
    final = "c=biws,r=" + part["r"]
    auth = f"{bare},{first},{final}".encode()
    key = hmac.digest(salted, b"Client Key", "sha256")
    proof = bytes(a ^ b for a, b in zip(
        key, hmac.digest(hashlib.sha256(key).digest(), auth, "sha256")))
    code, server = c.docmd(b64(f"{final},p={b64(proof)}".encode()))
    proven = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth, "sha256")
    if code != 334 or base64.b64decode(server) != b"v=" + base64.b64encode(proven):
        return code
    return c.docmd("")[0]


def test_bytes(place):
    sent = mail("bytes")
    with place.client() as c:
        c.ehlo()
        code, text = c.mail("bounce@shop.example"), c.rcpt("ann@to.test")
        code, text = c.data(sent)
        got = place.one("ann@to.test")
        tap.ok(code == 250 and text.startswith(b"2.0.0 queued as msg_"), "250 2.0.0 queued as msg_",
               text)
        tap.equal(without_received(got), sent, "byte for byte behind Received")
        tap.ok(RECEIVED.match(got), "Received is as RFC 5321 and 5322 want it, with ESMTPSA", got[:300])
        big = mail("big", b"".join(b"%076d\r\n" % i for i in range(25 * 1024 * 1024 // 78)))
        tap.ok(c.sendmail("a@shop.example", ["big@to.test"], big) == {}, "25 MB are taken")
        tap.ok(without_received(place.one("big@to.test")) == big, "25 MB arrive byte for byte")
        eight = mail("eight", "Grüße, 8 Bit\r\n".encode())
        c.sendmail("a@shop.example", ["eight@to.test"], eight, ["BODY=8BITMIME"])
        tap.equal(without_received(place.one("eight@to.test")), eight, "8-bit as it was")


def test_added(place):
    with place.client() as c:
        c.sendmail("a@shop.example", ["bare@to.test"],
                   b"From: a@shop.example\r\nSubject: x\r\nBcc: secret@to.test\r\n\r\nx\r\n")
        got = place.one("bare@to.test")
        tap.ok(b"\r\nDate: " in got and b"\r\nMessage-ID: <msg_" in got and b"secret" not in got,
               "Date and Message-ID are added, Bcc is gone", got)


def test_recipients(place):
    many = [f"m{i}@many.test" for i in range(100)]
    place.scene.daemon.cli("suppression", "add", "gone@many.test")
    with place.client() as c:
        refused = c.sendmail("a@shop.example", many[:99] + ["gone@many.test"], mail("many"))
        code, text = refused.get("gone@many.test", (0, b""))
        tap.ok(len(refused) == 1 and code == 550 and b"5.7.1" in text and b"suppressed" in text,
               "a suppressed recipient is refused by itself", refused)
        wait_for(lambda: all(place.arrived(a) for a in many[:99]), 60, "99 mails")
        tap.ok(not place.arrived("gone@many.test"), "99 of 100 get it, each once")
        c.mail("a@shop.example")
        codes = [c.rcpt(f"r{i}@to.test")[0] for i in range(101)]
        tap.ok(codes[:100] == [250] * 100 and codes[100] == 452, "at most 100 at once", codes[-2:])
        c.rset()
        tap.ok(c.rcpt("x")[0] == 503, "RCPT without MAIL")
        c.mail("a@shop.example")
        tap.ok(c.rcpt("not an address")[0] in (501, 553), "no address")


def test_rights(place):
    d = place.scene.daemon
    made = d.json("credential", "create", "narrow", "--group", "g", "--stream", "bulk",
                  "--from-domain", "shop.example", "--ip", "127.0.0.0/8", "--max-size", "10k")
    with place.client((made["user"], made["password"])) as c:
        tap.ok(c.mail("a@other.example")[:1] == (550,), "another envelope domain is refused")
        c.mail("a@shop.example")
        c.rcpt("r@to.test")
        got = c.data(mail("alias").replace(b"shop@shop.example", b"boss@other.example"))
        tap.ok(got[0] == 550 and b"5.7.1" in got[1], "another From domain is refused", got)
        got = refusal(lambda: c.sendmail("a@shop.example", ["r@to.test"], mail("x", b"y" * 76 * 300)))
        tap.ok(got[0] in (552, 554), "too big for this login", got)
        got = refusal(lambda: c.sendmail("a@shop.example", ["r@to.test"],
                                         mail("x", more=b"X-Postfleet-Stream: transactional\r\n")))
        tap.ok(got[0] == 550, "a faster stream than its own is refused", got)
        got = refusal(lambda: c.sendmail("a@shop.example", ["r@to.test"],
                                         mail("x", more=b"X-Postfleet-Group: default\r\n")))
        tap.ok(got[0] == 550 and b"5.7.1" in got[1], "a forbidden group is 550 5.7.1", got)
        d.cli("credential", "revoke", "narrow", "--yes")
        tap.ok(c.mail("a@shop.example")[0] == 535, "a revoked login ends with the next mail")
    with place.client(login=False) as c:
        tap.ok(refusal(lambda: c.login(made["user"], made["password"]))[0] == 535,
               "a revoked login is refused")
    away = d.json("credential", "create", "away", "--group", "g", "--stream", "bulk", "--ip",
                  "192.0.2.0/24")
    with place.client(login=False) as c:
        tap.ok(refusal(lambda: c.login(away["user"], away["password"]))[0] == 535,
               "from another network")
    rows = [r["name"] for r in d.lines("credential", "list")]
    tap.ok("app" in rows and "away" in rows, "credential list", rows)
    tap.ok(d.run("credential", "create", "x", "--group", "nosuch", "--stream", "bulk").returncode
           == 3, "an unknown group: exit 3")


def test_headers(place):
    d = place.scene.daemon
    more = (b"X-Postfleet-Tag: news, spring\r\nX-Postfleet-Metadata: {\"order\": 7}\r\n"
            b"X-Mailgun-Tag: mg\r\nX-PM-Metadata-Color: red\r\nX-SES-MESSAGE-TAGS: k=v\r\n"
            b"X-SMTPAPI: {\"category\": [\"sg\"],\r\n \"unique_args\": {\"u\": \"1\"}}\r\n"
            b"X-MSYS-API: {\"campaign_id\": \"sp\"}\r\nX-Postal-Tag: po\r\n")
    with place.client() as c:
        c.mail("a@shop.example")
        c.rcpt("words@to.test")
        text = c.data(mail("words", more=more))[1].decode()
        got = place.one("words@to.test")
        tap.equal(without_received(got), mail("words"), "control headers are gone, no other field")
        shown = d.json("message", "show", text.split()[-1])
        tap.ok(sorted(shown.get("tags", [])) == sorted(["news", "spring", "mg", "sg", "sp", "po"])
               and shown.get("metadata") == {"order": 7, "Color": "red", "k": "v", "u": "1"}
               and shown["stream"] == "transactional" and shown["group"] == "g",
               "tags and metadata of six products are kept", shown)
        for field, code in ((b"X-Postfleet-Send-At: soon", 554), (b"X-Postfleet-Nosuch: 1", 554),
                            (b"X-Postfleet-Metadata: [", 554), (b"X-Postfleet-Track: yes", 554)):
            c.mail("a@shop.example")
            c.rcpt("r@to.test")
            got = c.data(mail("x", more=field + b"\r\n"))
            tap.ok(got[0] == code, f"refused: {field.decode()}", got)
        ids = set()
        for _ in range(3):
            c.mail("a@shop.example")
            c.rcpt("once@to.test")
            ids.add(c.data(mail("once", more=b"X-Postfleet-Idempotency-Key: k1\r\n"))[1])
        tap.ok(len(ids) == 1, "the same key: one message", ids)
        c.mail("a@shop.example")
        c.rcpt("never@to.test")
        tap.ok(c.data(mail("t", more=b"X-Postfleet-Test: yes\r\n"))[0] == 250, "a test is checked")
        c.mail("a@shop.example")
        c.rcpt("r@to.test")
        got = c.data(b"".join(b"Received: from h%d\r\n" % i for i in range(60)) + mail("loop"))
        tap.ok(got[0] == 554 and b"loop" in got[1], "a loop is seen by its Received fields", got)
        tap.ok(len(place.arrived("once@to.test")) <= 1 and not place.arrived("never@to.test"),
               "neither twice nor a test")


def envelopes(place, to):
    """The MAIL and RCPT lines of mails for this recipient, once one has come."""
    place.one(to)
    return [e["words"] for e in place.scene.witness.events("dot") if to in e["rcpt"]]


def test_utf8(place):
    name, to = "grüße@shop.example", "用户@to.test"
    sent = mail("utf8").replace(b"ann@to.test", to.encode())
    with place.client() as c:
        c.ehlo()
        tap.ok("smtputf8" in c.esmtp_features and "8bitmime" in c.esmtp_features,
               "SMTPUTF8 and 8BITMIME are offered", c.esmtp_features)
        c.command_encoding = "utf-8"
        tap.ok(c.docmd(f"MAIL FROM:<{name}>")[0] == 553, "an address beyond ASCII needs SMTPUTF8")
        c.mail("a@shop.example")
        tap.ok(c.docmd(f"RCPT TO:<{to}>")[0] == 553, "so does a recipient")
        c.rset()
        c.command_encoding = "utf-8"
        codes = [c.docmd(f"MAIL FROM:<{name}> SMTPUTF8 BODY=8BITMIME")[0], c.docmd(f"RCPT TO:<{to}>")[0],
                 c.data(sent)[0]]
        got = place.one(to)
        tap.ok(codes == [250] * 3 and without_received(got) == sent,
               "a mail to a UTF-8 address, byte for byte", (codes, got))
        tap.ok(b"with UTF8SMTPSA" in got.split(b"\r\nFrom:")[0], "Received says UTF8SMTPSA", got[:200])
        words = envelopes(place, to)[0]
        tap.ok(words[0].startswith(f"MAIL FROM:<{name}> ") and " SMTPUTF8" in words[0]
               and words[1] == f"RCPT TO:<{to}>", "it goes on with SMTPUTF8", words)


def test_dsn(place):
    """What a client asks of delivery reports goes on to a server that offers DSN (RFC 3461), over a
    crash too; each recipient has its own."""
    for server in ("a", "b"):
        place.scene.witness.behave(server, extensions=["PIPELINING", "8BITMIME", "DSN"])
        place.scene.daemon.cli("server", "set", server, "--max-messages-per-connection", "1")
    with place.client() as c:
        c.ehlo()
        tap.ok("dsn" in c.esmtp_features, "DSN is offered")
        c.docmd("MAIL FROM:<a@shop.example> RET=HDRS ENVID=order+2B7+20x")
        codes = [c.docmd("RCPT TO:<d1@to.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Ann+2Bx@to.test")[0],
                 c.docmd("RCPT TO:<d2@to.test> NOTIFY=NEVER")[0], c.docmd("RCPT TO:<d3@to.test>")[0]]
        code = c.data(mail("dsn"))[0]
    tap.equal(codes + [code], [250] * 4, "DSN parameters are taken")
    found = {to: envelopes(place, to)[0] for to in ("d1@to.test", "d2@to.test", "d3@to.test")}
    tap.ok(all(" RET=HDRS ENVID=order+2B7+20x" in w[0] for w in found.values()),
           "RET and ENVID go on with each", found)
    tap.equal([w[1] for w in found.values()],
              ["RCPT TO:<d1@to.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Ann+2Bx@to.test",
               "RCPT TO:<d2@to.test> NOTIFY=NEVER", "RCPT TO:<d3@to.test>"], "NOTIFY and ORCPT with its own")
    place.scene.daemon.cli("pause")
    with place.client() as c:
        c.docmd("EHLO x")
        c.docmd("MAIL FROM:<a@shop.example> RET=FULL")
        c.docmd("RCPT TO:<d4@to.test> ORCPT=rfc822;d4@to.test")
        c.data(mail("dsn4"))
    place.scene.daemon.kill()
    place.scene.daemon.start(*place.scene.start_options)
    place.scene.daemon.cli("resume")
    words = envelopes(place, "d4@to.test")[0]
    tap.ok(words[0].endswith(" RET=FULL") and words[1].endswith(" ORCPT=rfc822;d4@to.test"),
           "they survive kill -9", words)
    for server in ("a", "b"):
        place.scene.witness.behave(server)
    with place.client() as c:
        c.docmd("EHLO x")
        c.docmd("MAIL FROM:<a@shop.example> RET=FULL ENVID=x")
        c.docmd("RCPT TO:<d5@to.test> NOTIFY=NEVER")
        c.data(mail("dsn5"))
    words = envelopes(place, "d5@to.test")[0]
    tap.ok("RET" not in words[0] and "NOTIFY" not in words[1],
           "to a server without DSN it goes without them", words)


def raw(place, *parts):
    """Says these bytes after a login; before each part what was asked is answered. All that came
    back."""
    with socket.create_connection(("127.0.0.1", place.plain), timeout=20) as s:
        context = place.context()
        f = s.makefile("rb")
        f.readline()
        s.sendall(b"STARTTLS\r\n")
        f.readline()
        t = context.wrap_socket(s, server_hostname="localhost")
        plain = base64.b64encode(b"\0%s\0%s" % tuple(x.encode() for x in place.login))
        t.sendall(b"EHLO x\r\nAUTH PLAIN " + plain + b"\r\n")
        said, wanted = b"", b"235 "
        t.settimeout(15)
        for part in parts:
            while wanted not in said:
                said += t.recv(4096)
            t.sendall(part)
            said, wanted = b"", b"354 "
        try:
            while piece := t.recv(65536):
                said += piece
        except (TimeoutError, ssl.SSLError, ConnectionError):
            pass
        return said


def test_attacks(place):
    begin = b"MAIL FROM:<a@shop.example>\r\nRCPT TO:<r@to.test>\r\nDATA\r\n"
    smuggled = b"MAIL FROM:<a@shop.example>\r\nRCPT TO:<victim@to.test>\r\nDATA\r\nevil\r\n.\r\n"
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r"):
        said = raw(place, begin, mail("s") + end + smuggled + b"QUIT\r\n")
        tap.ok(b"554 5.6.0" in said and b"queued" not in said, f"smuggling by {end!r} is refused",
               said)
    said = raw(place, begin, mail("s").replace(b"\r\n", b"\n") + b"\r\n.\r\nQUIT\r\n")
    tap.ok(b"554 5.6.0" in said and b"CRLF" in said, "bare LF is refused, and why", said)
    with socket.create_connection(("127.0.0.1", place.plain), timeout=20) as s:
        s.sendall(b"STARTTLS\r\nMAIL FROM:<a@shop.example>\r\n")
        got = b""
        try:
            while piece := s.recv(4096):
                got += piece
        except ConnectionError:
            pass
        tap.ok(b"2.1.0" not in got and b"530" not in got, "bytes behind STARTTLS are not answered", got)
    tap.ok(not place.arrived("victim@to.test"), "no smuggled mail arrived")


def test_kill(place):
    """What was said 250 to is there after kill -9."""
    with place.client() as c:
        for i in range(20):
            body = [] if i % 4 else [b"%076d\r\n" % i * 1500]  # every fourth lies in the spool
            c.sendmail("a@shop.example", [f"k{i}@kill.test"], mail(f"k{i}", *body))
    place.scene.daemon.kill()
    place.scene.daemon.start(*place.scene.start_options)
    wait_for(lambda: all(place.arrived(f"k{i}@kill.test") for i in range(20)), 90, "20 mails")
    tap.ok(True, "20 mails said 250 to survive kill -9")


def test_stop(place):
    c = place.client()
    c.ehlo()
    status = place.scene.daemon.stop()
    tap.ok(status == 0, "an open session does not hold up a stop", status)
    c.close()


def main():
    plain, tls = free_port(), free_port()
    options = ("--submission", f"127.0.0.1:{plain}", "--submission-tls", f"127.0.0.1:{tls}")
    with Scene({"a": {}, "b": {}}, start=False, options=options) as scene:
        _, cert, key = make_certificate(scene.folder)
        os.makedirs(scene.daemon.data, mode=0o700)
        Path(scene.daemon.data, "postfleet.yaml").write_text(
            f"tls:\n  cert_file: {cert}\n  key_file: {key}\n", encoding="utf-8")
        scene.daemon.start(*options)
        d = scene.daemon
        d.cli("group", "add", "g", "--strategy", "round-robin")
        scene.add_servers(group="g")
        made = d.json("credential", "create", "app", "--group", "g", "--stream", "transactional")
        place = Place(scene, plain, tls, (made["user"], made["password"]))
        with smtplib.SMTP_SSL("localhost", tls, timeout=30, context=place.context()) as c:
            c.login(*place.login)
            tap.ok(c.sendmail("a@shop.example", ["tls@to.test"], mail("tls")) == {}, "465: TLS first")
        for test in (test_login, test_bytes, test_added, test_recipients, test_rights, test_headers, test_utf8, test_dsn,
                     test_attacks, test_kill, test_stop):
            tap.case(test, place)
        scene.check_ledger("submission")
    tap.done()


if __name__ == "__main__":
    main()
