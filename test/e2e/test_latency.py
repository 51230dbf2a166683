#!/usr/bin/env python3
# timeout: 120
"""How long mail takes from its acceptance to the 250 of the server, by credential: what `credential
list` says is what this test measured at a sink that waits 200 ms and at one that does not, by SMTP
and by an API key; it outlives a restart, and costs no row a message."""
import contextlib
import http.client
import json
import smtplib
import sqlite3
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import free_port, wait_for  # noqa: E402
from scene import Scene  # noqa: E402
from sink import Sink  # noqa: E402

MAILS, WAIT_MS = 30, 200
MAIL = b"From: a@shop.example\r\nTo: %s\r\nSubject: x\r\n\r\nhello\r\n"


def submit(port, made, prefix):
    """Milliseconds since the epoch when each was accepted."""
    accepted = {}
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as c:
        c.login(made["user"], made["password"])
        for i in range(MAILS):
            to = f"{prefix}{i}@to.test"
            c.sendmail("a@shop.example", [to], MAIL % to.encode())
            accepted[to] = time.time() * 1000
    return accepted


def post(d, key, prefix):
    link, accepted = http.client.HTTPConnection("127.0.0.1", d.port, timeout=30), {}
    for i in range(MAILS):
        to = f"{prefix}{i}@to.test"
        link.request("POST", "/v1/messages", json.dumps(
            {"from": "a@shop.example", "to": to, "subject": "x", "text": "y", "group": "slow"}),
            {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
        answer = link.getresponse()
        body = answer.read()
        assert answer.status == 202, body
        accepted[to] = time.time() * 1000
    return accepted


def named(d, noun, name):
    return next(r for r in d.lines(noun, "list") if r["name"] == name)


def check(d, sink, what, latency, accepted, wait_ms):
    """What was told against what the sink saw; a bucket is an eighth wide."""
    hour, day = latency["hour"], latency["day"]
    arrived = {to: 1000 * at for _, at, _, to in sink.arrivals() if to in accepted}
    took = [arrived[to] + wait_ms - at for to, at in accepted.items()]
    p50 = statistics.median(took)
    close = 0.15 * p50 + 60
    tap.ok(hour["messages"] == day["messages"] == MAILS, f"{what}: every message once", latency)
    tap.ok(abs(hour["p50_ms"] - p50) <= close, f"{what}: p50 is what the sink saw ({p50:.0f} ms)",
           latency)
    tap.ok(hour["p50_ms"] <= hour["p95_ms"] <= hour["p99_ms"] <= 1.15 * max(took) + 60 and
           hour["p50_ms"] >= 0.85 * wait_ms, f"{what}: in their order, none too small", latency)


def main():
    port = free_port()
    with Scene(None, start=False) as scene, Sink(scene.folder, {
            "slow": [f"delay:dot:{WAIT_MS}"], "fast": []}) as sink:
        d = scene.daemon
        d.start("--submission", f"127.0.0.1:{port}")
        logins = {}
        for name in ("slow", "fast"):
            d.cli("group", "add", name, "--strategy", "weighted")
            d.add_server(name, sink.ports[name], "--max-connections", "30", group=name)
            logins[name] = d.json("credential", "create", name, "--group", name, "--stream",
                                  "transactional")
        key = d.json("key", "create", "site", "--scope", "messages:send", "--scope", "reports:read")
        tap.ok(named(d, "credential", "slow")["latency"] is None, "nothing was sent: null")
        accepted = {name: submit(port, logins[name], name) for name in ("slow", "fast")}
        accepted["site"] = post(d, key["key"], "site")

        def figures(noun, name):
            row = named(d, noun, name)["latency"]
            return row if row and row["day"]["messages"] >= MAILS else None
        got = {}
        for noun, name in (("credential", "slow"), ("credential", "fast"), ("key", "site")):
            got[name] = wait_for(lambda n=noun, m=name: figures(n, m), 40, f"figures of {name}")
            check(d, sink, f"{noun} {name}", got[name], accepted[name],
                  0 if name == "fast" else WAIT_MS)
        shown = d.json("credential", "show", "slow")
        tap.ok(shown["latency"] == got["slow"] and
               list(shown["latency"]["streams"]) == ["transactional"], "credential show, by stream",
               shown)
        link = http.client.HTTPConnection("127.0.0.1", d.port, timeout=30)
        link.request("GET", "/metrics", headers={"Authorization": f"Bearer {key['key']}"})
        text = link.getresponse().read().decode()
        tap.ok('accept_to_sent_seconds{lane="transactional",quantile="0.5"}' in text, "metrics", text)
        table = d.run("credential", "list").stdout
        tap.ok("P95" in table and "ms" in table, "the table shows them", table)
        d.stop()
        with contextlib.closing(sqlite3.connect(Path(d.data, "postfleet.db"))) as db:
            cells, = db.execute("SELECT count(*) FROM latency").fetchone()
        tap.ok(cells < 3 * MAILS, f"{cells} counters for {3 * MAILS} messages")
        d.start("--submission", f"127.0.0.1:{port}")
        tap.equal(named(d, "credential", "slow")["latency"], got["slow"], "a restart forgets nothing")
    tap.done()


if __name__ == "__main__":
    main()
