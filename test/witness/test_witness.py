#!/usr/bin/env python3
"""The witness keeps what it is given, byte for byte, and misbehaves as told. Spoken to by Python's
smtplib and by plain sockets, never by Postfleet."""
import smtplib
import socket
import ssl
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib")]
import certs  # noqa: E402
import tap  # noqa: E402
import witness  # noqa: E402

MAIL = b"From: a@example.com\r\nMessage-ID: <one@example.com>\r\nSubject: x\r\n\r\n.dot\r\n..\r\nend\r\n"


class Line:
    """A plain client: sends bytes, reads reply lines."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.socket.makefile("rb")

    def send(self, *lines):
        self.socket.sendall(b"".join(line + b"\r\n" for line in lines))

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return line.strip().decode()

    def close(self):
        self.file.close()
        self.socket.close()


def start(folder, **servers):
    return witness.Witness(folder, servers)


def send(port, to="b@example.org", mail=MAIL, **login):
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as s:
        s.ehlo()
        if login:
            s.login(login["user"], login["password"])
        return s.sendmail("a@example.com", [to], mail)


def test_keeps(folder):
    with start(folder, a={}) as w:
        send(w.ports["a"])
        dot, raw = w.bodies()[0]
        tap.equal(raw, MAIL, "the body is kept byte for byte, dots unstuffed")
        tap.equal((dot["id"], dot["mail_from"], dot["rcpt"], dot["code"], dot["bare"]),
                  ("<one@example.com>", "a@example.com", ["b@example.org"], 250, False),
                  "envelope and Message-ID are kept")


def test_pipelining(folder):
    with start(folder, a={}) as w:
        line = Line(w.ports["a"])
        line.reply()
        envelope = (b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.org>", b"DATA")
        line.send(b"EHLO x", *envelope, b"Subject: 1", b"", b".", *envelope, b"Subject: 2", b"",
                  b"bare\nline", b".", b"QUIT")
        got = [line.reply()[:3] for _ in range(10)]
        tap.equal(got, ["250", "250", "250", "354", "250"] + ["250", "250", "354", "250", "221"],
                  "two messages in one write are answered in order")
        tap.equal([d["bare"] for d in w.events("dot")], [False, True], "a bare LF is noticed")
        tap.equal(w.stats()["a"]["max_messages"], 2, "messages per connection are counted")
        line.close()


def test_smuggling(folder):
    with start(folder, a={}) as w:
        line = Line(w.ports["a"])
        line.reply()
        line.send(b"EHLO x", b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.org>", b"DATA",
                  b"x\n.\nMAIL FROM:<evil@example.com>\r.\r\n.\n", b".", b"QUIT")
        for _ in range(6):
            last = line.reply()
        tap.equal((last[:3], w.dots()), ("221", 1), "only CRLF.CRLF ends a message")
        line.close()


def test_bdat(folder):
    with start(folder, a={"extensions": ["CHUNKING", "PIPELINING"]}) as w:
        line = Line(w.ports["a"])
        line.reply()
        line.send(b"EHLO x", b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.org>", b"BDAT 4")
        line.socket.sendall(b".\r\n.BDAT 3 LAST\r\nx\r\n")
        got = [line.reply()[:3] for _ in range(5)]
        tap.equal(got, ["250"] * 5, "BDAT chunks are answered")
        tap.equal(w.bodies()[0][1], b".\r\n.x\r\n", "BDAT keeps dots as they are")
        line.close()


def test_login(folder):
    auth = {"user": "u", "password": "p w", "mechs": ["PLAIN", "LOGIN", "CRAM-MD5"]}
    for mech in auth["mechs"]:
        with start(folder, a={"auth": dict(auth, mechs=[mech])}) as w:
            send(w.ports["a"], user="u", password="p w")
            wrong = None
            try:
                send(w.ports["a"], user="u", password="no")
            except smtplib.SMTPAuthenticationError as e:
                wrong = e.smtp_code
            tap.equal((wrong, w.events("dot")[-1]["code"]), (535, 250), f"AUTH {mech} is checked")
        Path(folder, "witness.log").unlink()


def test_tls(folder):
    ca, cert, key = certs.make_certificate(folder)
    context = ssl.create_default_context(cafile=ca)
    with start(folder, a={"tls": "starttls", "cert": cert, "key": key},
               b={"tls": "tls", "cert": cert, "key": key}) as w:
        with smtplib.SMTP("localhost", w.ports["a"], timeout=10) as s:
            s.starttls(context=context)
            s.sendmail("a@example.com", ["b@example.org"], MAIL)
        with smtplib.SMTP_SSL("localhost", w.ports["b"], timeout=10, context=context) as s:
            s.sendmail("a@example.com", ["b@example.org"], MAIL)
        tap.equal([raw for _, raw in w.bodies()], [MAIL, MAIL], "mail over STARTTLS and TLS is kept")
        tap.equal(w.stats()["a"]["counts"]["tls"], 1, "handshakes are counted")


def first_code(port, *lines):
    """The last reply to a conversation, "closed" when the peer hung up, "silent" after 0.3 s."""
    line = Line(port)
    line.socket.settimeout(0.3)
    try:
        got = line.reply()
        for sent in lines:
            line.send(sent)
            got = line.reply()
        return got[:3] or "closed"
    except TimeoutError:
        return "silent"
    except ConnectionError:
        return "closed"
    finally:
        line.close()


def test_behaviours(folder):
    talk = [b"EHLO x", b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.org>", b"DATA"]
    cases = [("421 greeting", {"reply": {"greeting": "421 4.3.2 no"}}, 0, "421"),
             ("black hole", {"silent": True}, 0, "silent"),
             ("451 at MAIL", {"reply": {"mail": "451 4.3.0 no"}}, 2, "451"),
             ("drop at DATA", {"drop": ["data"]}, 4, "closed"),
             ("550 for one recipient", {"rcpt": [["^b@", "550 5.1.1 none"]]}, 3, "550"),
             ("hold at RCPT", {"hold": ["rcpt"]}, 3, "silent"),
             ("raw bytes at EHLO", {"raw": {"ehlo": "999 odd\r\n"}}, 1, "999"),
             ("a good one", {}, 4, "354")]
    servers = {f"s{i}": behave for i, (_, behave, _, _) in enumerate(cases)}
    with start(folder, **servers) as w:
        for i, (name, _, steps, want) in enumerate(cases):
            tap.equal(first_code(w.ports[f"s{i}"], *talk[:steps]), want, f"behaves: {name}")


def test_after_dot(folder):
    with start(folder, a={"drop": ["dot"]}, b={"reply": {"dot": "452 4.3.1 full"}}) as w:
        talk = [b"EHLO x", b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.org>", b"DATA",
                b"x\r\n."]
        tap.equal(first_code(w.ports["a"], *talk), "closed", "behaves: drop after the dot")
        tap.equal(first_code(w.ports["b"], *talk), "452", "behaves: refusal of the dot")
        tap.equal(sorted((d["server"], d["code"]) for d in w.events("dot")), [("a", 0), ("b", 452)],
                  "what was not answered is kept as such")
        w.unlisten("a")
        try:
            Line(w.ports["a"]).close()
            refused = False
        except ConnectionRefusedError:
            refused = True
        tap.ok(refused, "behaves: refuses connections while not listening")
        w.listen("a")
        w.behave("a")
        tap.equal(first_code(w.ports["a"], *talk), "250", "behaves well again when told")


def test_windows(folder):
    times = [0, 0.1, 0.9, 1.0, 5.0]
    tap.equal(witness.most_within(times, 1.0), 3, "counts within a sliding second")
    tap.equal(witness.longest_gap(times), 4.0, "finds the longest gap")


for test in (test_keeps, test_pipelining, test_smuggling, test_bdat, test_login, test_tls,
             test_behaviours, test_after_dot, test_windows):
    with tempfile.TemporaryDirectory() as place:
        tap.case(test, place)
tap.done()
