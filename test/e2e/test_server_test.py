#!/usr/bin/env python3
# timeout: 200
"""`server test` against servers that fail at just that step, for each step; against a good one; the
conversation is shown and holds no secret. `server send-test` puts one mail there."""
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import certs  # noqa: E402
import tap  # noqa: E402
from scene import Scene  # noqa: E402

PASSWORD = "s3cret-Hz"
LOGIN = {"user": "u", "password": PASSWORD, "mechs": ["PLAIN", "LOGIN"]}
# name: behaviour, words of which one must be in the output, options
STEPS = {
    "name": ({}, ["not found", "no such", "DNS", "resolve", "name"], {"host": "no-such.invalid"}),
    "connect": ({"refuse": True}, ["refused"], {}),
    "greeting": ({"reply": {"greeting": "554 5.3.2 go away"}}, ["554"], {}),
    "silence": ({"silent": True}, ["time", "within"], {}),
    "ehlo": ({"reply": {"ehlo": "502 5.5.1 no"}}, ["502"], {}),
    "starttls": ({"reply": {"starttls": "454 4.7.0 no"}, "raw": {"ehlo": "250-x\r\n250 STARTTLS\r\n"}},
                 ["454"], {"tls": "starttls"}),
    "no-starttls": ({}, ["STARTTLS"], {"tls": "starttls"}),
    "auth": ({"auth": dict(LOGIN, password="another")}, ["535"], {"login": True}),
    "mail": ({"reply": {"mail": "550 5.7.1 not you"}}, ["550"], {}),
    "rcpt": ({"reply": {"rcpt": "554 5.7.1 relay denied"}}, ["554"], {}),
}


def run_test(scene, name, *options):
    done = scene.daemon.run("server", "test", name, *options, timeout=60)
    return done.returncode, done.stdout + done.stderr


def add(scene, name, options, **more):
    given = ["--connect-timeout", "2s", "--reply-timeout", "2s"]
    if options.get("login"):
        path = Path(scene.folder, "pw")
        path.write_text(PASSWORD + "\n")
        given += ["--user", "u", "--password-file", str(path)]
    scene.daemon.add_server(name, scene.witness.ports[name], *given, *more.get("extra", []),
                            host=options.get("host", "127.0.0.1"), tls=options.get("tls", "none"))


def test_steps():
    with Scene({name: behave for name, (behave, _, _) in STEPS.items()}) as scene:
        for name, (_, words, options) in STEPS.items():
            add(scene, name, options)
            status, text = run_test(scene, name)
            tap.ok(status == 1 and any(w.lower() in text.lower() for w in words),
                   f"a failure at {name} is shown and ends with 1", f"status {status}\n{text}")
            tap.ok(PASSWORD not in text, f"{name}: no secret is shown", text)
        tap.equal(scene.daemon.run("server", "test", "nobody").returncode, 3,
                  "an unknown server ends with 3")


def test_good():
    with tempfile.TemporaryDirectory() as folder:
        _, cert, key = certs.make_certificate(folder)
        behave = {"tls": "starttls", "cert": cert, "key": key, "auth": LOGIN}
        with Scene({"good": behave, "strict": dict(behave)}) as scene:
            add(scene, "good", {"login": True, "tls": "starttls"}, extra=["--tls-verify", "none"])
            status, text = run_test(scene, "good")
            tap.ok(status == 0, "a good server passes", text)
            for word in ("EHLO", "AUTH", "MAIL", "RCPT"):
                tap.ok(word in text, f"the conversation shows {word}", text)
            tap.ok(PASSWORD not in text, "and no password", text)
            add(scene, "strict", {"login": True, "tls": "starttls"})
            status, text = run_test(scene, "strict")
            tap.ok(status == 1 and "certificate" in text.lower(),
                   "an untrusted certificate fails by default", text)
            scene.daemon.cli("server", "send-test", "good", "--to", "me@example.org")
            got = [d["rcpt"] for d in scene.witness.events("dot")]
            tap.equal(got, [["me@example.org"]], "send-test puts one mail there")


def signed_for(scene, to):
    """The d= of each signature of the mails for this address."""
    return [re.findall(rb"\bd=([^;\s]+)", raw.split(b"\r\n\r\n")[0]) for dot, raw in
            scene.witness.bodies() if dot["rcpt"] == [to]]


def test_signed():
    """Tests show what recipients get: signed as any mail through that server."""
    with Scene({"a": {}, "plain": {}}) as scene:
        d = scene.daemon
        d.cli("domain", "add", "shop.example", "--dkim", "both")
        for name, options in (("a", []), ("plain", ["--dkim", "off"])):
            d.add_server(name, scene.witness.ports[name], "--from", "Shop <news@mail.shop.example>", *options)
            d.cli("server", "send-test", name, "--to", f"{name}@example.org")
        tap.equal(signed_for(scene, "a@example.org"), [[b"shop.example"] * 2],
                  "send-test signs with the keys of its From")
        tap.equal(signed_for(scene, "plain@example.org"), [[]], "but not through a server that wants none")
        d.cli("server", "isolate", "--server", "a", "--to", "probe@example.org")
        tap.equal(signed_for(scene, "probe@example.org"), [[b"shop.example"] * 2], "a probe is signed too")


tap.case(test_steps)
tap.case(test_good)
tap.case(test_signed)
tap.done()
