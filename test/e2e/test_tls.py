#!/usr/bin/env python3
# timeout: 300
"""TLS and extensions as a peer counts them: at least 90 % of the handshakes are resumed, verification
is full by default, BDAT is used where CHUNKING is offered, each AUTH mechanism once, plaintext behind
STARTTLS is an attack."""
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import certs  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def test_resumption():
    with tempfile.TemporaryDirectory() as folder:
        _, cert, key = certs.make_certificate(folder)
        pair = {"cert": cert, "key": key}
        with Scene({"begin": {"tls": "starttls", **pair}, "whole": {"tls": "tls", **pair}}) as scene:
            for name, mode in (("begin", "starttls"), ("whole", "tls")):
                scene.daemon.add_server(name, scene.witness.ports[name], "--tls-verify", "none",
                                        "--max-messages-per-connection", 4, "--max-connections", 2,
                                        tls=mode)
            people = scene.daemon.campaign("run", 400, html=None)
            scene.daemon.wait_finished("run", 90)
            for name, stats in scene.witness.stats().items():
                made, resumed = stats["counts"]["tls"], stats["counts"]["tls_resumed"]
                tap.ok(made >= 20 and resumed >= 0.9 * made,
                       f"{name}: {resumed} of {made} handshakes resumed, at least 90 %")
            scene.judge("run", people, "over TLS", uncertain_max=0)


def test_verification():
    """The authority is trusted through SSL_CERT_FILE; name and issuer are both checked."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        ca, cert, key = certs.make_certificate(folder)
        _, odd_cert, odd_key = certs.make_certificate(other)
        servers = {"good": {"tls": "starttls", "cert": cert, "key": key},
                   "odd": {"tls": "starttls", "cert": odd_cert, "key": odd_key}}
        with Scene(servers, env={"SSL_CERT_FILE": ca}) as scene:
            for n in servers:
                scene.daemon.add_server(n, scene.witness.ports[n], tls="starttls", host="localhost")
            people = scene.daemon.campaign("run", 60, html=None)
            scene.daemon.wait_finished("run", 60)
            tap.equal({d["server"] for d in scene.witness.events("dot")}, {"good"},
                      "only the trusted one gets mail")
            tap.equal(scene.daemon.server("odd")["state"], "misconfigured",
                      "an untrusted certificate is misconfigured")
            scene.judge("run", people, "full verification", uncertain_max=0)


def test_chunking():
    extensions = ["PIPELINING", "CHUNKING", "8BITMIME", "SIZE 1000000"]
    with Scene({"chunks": {"extensions": extensions}, "plain": {}}) as scene:
        scene.add_servers()
        people = scene.daemon.campaign("run", 60)
        scene.daemon.wait_finished("run", 60)
        stats = scene.witness.stats()
        tap.ok(stats["chunks"]["counts"].get("command_BDAT", 0) >= stats["chunks"]["dots"] > 0
               and not stats["chunks"]["counts"].get("command_DATA"), "BDAT where it is offered", stats)
        tap.ok(stats["plain"]["counts"].get("command_DATA", 0) > 0, "DATA elsewhere", stats)
        scene.judge("run", people, "BDAT and DATA", uncertain_max=0)


def test_mechanisms():
    mechs = ("PLAIN", "LOGIN", "CRAM-MD5")
    servers = {m.lower(): {"auth": {"user": "u", "password": "p w", "mechs": [m]}} for m in mechs}
    with Scene(servers) as scene:
        pw = Path(scene.folder, "pw")
        pw.write_text("p w\n")
        scene.add_servers("--user", "u", "--password-file", str(pw))
        people = scene.daemon.campaign("run", 60, html=None)
        scene.daemon.wait_finished("run", 60)
        used = {(e["server"], e["mech"], e["good"]) for e in scene.witness.events("auth")}
        tap.equal(used, {(m.lower(), m, True) for m in mechs}, "each mechanism is used where offered")
        tap.equal({d["server"] for d in scene.witness.events("dot")}, set(servers), "all took mail")
        scene.judge("run", people, "AUTH", uncertain_max=0)


def test_injection():
    """Plaintext sent behind the 220 of STARTTLS is discarded or ends the session: never believed."""
    with tempfile.TemporaryDirectory() as folder:
        _, cert, key = certs.make_certificate(folder)
        evil = {"tls": "starttls", "cert": cert, "key": key,
                "raw": {"starttls": "220 go\r\n250-x\r\n250 AUTH PLAIN\r\n"}}
        with Scene({"evil": evil, "good": {}}) as scene:
            scene.daemon.add_server("evil", scene.witness.ports["evil"], "--tls-verify", "none",
                                    tls="starttls")
            scene.add_servers(only=["good"])
            people = scene.daemon.campaign("run", 40, html=None)
            scene.daemon.wait_finished("run", 60)
            tap.equal({d["server"] for d in scene.witness.events("dot")}, {"good"},
                      "no mail over a session with injected plaintext")
            wait_for(lambda: scene.daemon.server("evil")["state"] != "healthy", 5, "it is known as sick")
            scene.judge("run", people, "injection", uncertain_max=0)


for test in (test_resumption, test_verification, test_chunking, test_mechanisms, test_injection):
    tap.case(test)
tap.done()
