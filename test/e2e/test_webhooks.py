#!/usr/bin/env python3
"""Webhooks out, judged by a real receiver: signatures, filters, retries, rotation, resend, what is
refused; that a crash loses no event and a dead receiver holds up nobody."""
import contextlib
import os
import sqlite3
import sys
import tempfile
import threading
import time
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap
from certs import make_certificate
from daemon import Daemon, wait_for
from dns import Dns
from receiver import Receiver
from sink import Sink

MAIL = "From: shop@example.com\r\nTo: {to}\r\nSubject: order\r\n\r\nhello\r\n"


def add(d, name, url, *options, private=True):
    more = ["--allow-private", "yes"] if private else []
    return d.json("webhook", "add", name, url, *more, *options)["secret"]


def send(d, to, *options):
    return d.json("send", "-", "--to", to, *options, feed=MAIL.format(to=to))["id"]


def log_of(d, name, *options):
    return d.lines("webhook", "log", name, *options)


def when(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def refused(d, r):
    """Addresses that stand for this machine or its network, in every spelling."""
    for i, host in enumerate(["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0", "10.0.0.1",
                              "169.254.169.254", "192.168.1.1", "[::1]", "[::ffff:127.0.0.1]",
                              "[64:ff9b::7f00:1]", "[fd00::1]", "[fe80::1]"]):
        done = d.run("webhook", "add", f"bad{i}", f"http://{host}:{r.port}/x")
        tap.ok(done.returncode == 5, f"{host} is refused", done.stderr)
    for url in ("file:///etc/passwd", "unix:/run/x", "ftp://example.com/", "http://u:p@example.com/"):
        done = d.run("webhook", "add", "bad", url)
        tap.ok(done.returncode == 2, f"{url} is refused", done.stderr)
    add(d, "byname", f"http://localhost:{r.port}/byname", private=False)
    done = d.run("webhook", "test", "byname", "--json")
    tap.ok(done.returncode == 1 and "loopback" in done.stdout,
           "a name that leads to this machine is refused when it is resolved", done.stdout)
    d.cli("webhook", "remove", "byname", "--yes")
    done = d.run("webhook", "add", "x", "https://example.com/", "--event", "message.delivered")
    tap.ok(done.returncode == 2, "an event that nobody tells is refused", done.stderr)
    tap.equal(r.requests, [], "nothing was asked of the receiver")


def resolved(d, r, dns):
    """Every address of a name counts, each time anew; what was looked at is what is connected to."""
    said = []
    for name, addresses in (("mixed", ["93.184.216.34", "127.0.0.1"]), ("six", ["::1"]),
                            ("mapped", ["::ffff:127.0.0.1"]), ("cloud", ["169.254.169.254"]), ("nobody", [])):
        dns.table[f"{name}.example.net"] = addresses
        add(d, name, r.url("/dns", f"{name}.example.net"), private=False)
        said.append(d.run("webhook", "test", name, "--json"))
    words = ("loopback", "loopback", "loopback", "link-local", "no such host")
    tap.ok(all(x.returncode == 1 and w in x.stdout for x, w in zip(said, words)),
           "a name is refused when one of its addresses is not public", [x.stdout for x in said])
    dns.table["own.example.net"] = ["127.0.0.1"]
    add(d, "own", r.url("/own", "own.example.net"))
    done = d.run("webhook", "test", "own", "--json")
    tap.ok(done.returncode == 0 and r.at("/own")[0].headers["Host"] == f"own.example.net:{r.port}",
           "allowed, it is asked by its name", done.stdout)
    tap.equal(r.at("/dns"), [], "the others were never reached")
    for name in ("mixed", "six", "mapped", "cloud", "nobody", "own"):
        d.cli("webhook", "remove", name, "--yes")


def encrypted(d, folder, dns):
    """TLS is verified: the right authority and the right name, or nothing is sent."""
    _, cert, key = make_certificate(folder, names=("hook.example.net",), addresses=("127.0.0.2",))
    dns.table["hook.example.net"] = dns.table["other.example.net"] = ["127.0.0.1"]
    with Receiver(cert, key) as r:
        add(d, "tls", r.url("/tls", "hook.example.net"))
        add(d, "wrong", r.url("/wrong", "other.example.net"))
        good, bad = (d.run("webhook", "test", n, "--json") for n in ("tls", "wrong"))
        tap.ok(good.returncode == 0 and len(r.at("/tls")) == 1, "delivered over TLS", good.stdout)
        tap.ok(bad.returncode == 1 and "other.example.net" in bad.stdout and not r.at("/wrong"),
               "a certificate of another name ends it", bad.stdout)
    for name in ("tls", "wrong"):
        d.cli("webhook", "remove", name, "--yes")


def signed(d, r, secrets):
    """Every event once, signed, with facts; filters by event, server, group and tag."""
    secrets["all"] = add(d, "all", r.url("/all"))
    secrets["some"] = add(d, "some", r.url("/some"), "--event", "message.bounced", "--event", "suppression.*")
    add(d, "server", r.url("/server"), "--server", "bad")
    add(d, "group", r.url("/group"), "--group", "default", "--event", "message.*")
    add(d, "tag", r.url("/tag"), "--tag", "vip")
    add(d, "elsewhere", r.url("/elsewhere"), "--group", "refusing", "--tag", "nobody")
    sent = [send(d, f"ok{i}@example.org", "--stream", "transactional") for i in range(5)]
    sent += [send(d, "vip@example.org", "--tag", "vip")]
    bounced = [send(d, f"no{i}@example.net", "--group", "refusing") for i in range(3)]
    wait_for(lambda: len(r.ids("/all", "message.sent")) >= 6
             and len(r.ids("/all", "message.bounced")) >= 3
             and len(r.ids("/all", "suppression.created")) >= 3, 20, "events at the receiver")
    tap.equal({x.data["message_id"] for x in r.at("/all", "message.sent")}, set(sent),
              "message.sent of each that the next hop took, and of no other")
    tap.equal({x.data["message_id"] for x in r.at("/all", "message.queued")}, set(sent + bounced),
              "message.queued of each that was accepted")
    tap.ok(not r.at("/all", "message.delivered"), "nothing that was sent is called delivered")
    every = [x for p in ("/all", "/some") for x in r.at(p)]
    tap.ok(all(x.signed_by(secrets[x.path[1:]]) for x in every), f"{len(every)} signatures hold")
    tap.ok(not any(x.signed_by(secrets["some"]) for x in r.at("/all")), "each has a secret of its own")
    x = r.at("/all", "message.bounced")[0]
    tap.ok(x.data["bounce"] == {"kind": "hard"} and x.data["server"] == "bad" and x.data["code"] == 550
           and x.data["enhanced"] == "5.1.1" and x.data["group"] == "refusing"
           and x.data["stream"] == "transactional" and x.data["attempt"] == 1
           and x.event["id"] == x.id, "a bounce says what happened", x.event)
    tap.ok(when(x.event["timestamp"]) > time.time() - 60, "and when", x.event["timestamp"])
    wait_for(lambda: len(r.ids("/some")) >= 6 and len(r.ids("/server")) >= 3
             and len(r.ids("/tag")) >= 2, 10, "filtered events")
    tap.equal({x.type for x in r.at("/some")}, {"message.bounced", "suppression.created"}, "by event")
    tap.equal({x.data["server"] for x in r.at("/server")}, {"bad"}, "by server")
    tap.equal({x.data["group"] for x in r.at("/group")}, {"default"}, "by group")
    tap.equal({x.data["message_id"] for x in r.at("/tag")}, {sent[-1]}, "by tag")
    tap.equal(r.at("/elsewhere"), [], "what no filter names is not told")
    tap.equal(len(r.at("/all")), len(r.ids("/all")), "each event came once")
    shown = wait_for(lambda: (lambda s: s if s["delivered"] == len(r.at("/all")) else None)
                     (d.json("webhook", "show", "all")), 10, "the count of deliveries")
    key = d.json("key", "create", "eyes", "--scope", "reports:read")["key"]
    link = HTTPConnection("127.0.0.1", d.port)
    link.request("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
    text = link.getresponse().read().decode()
    tap.ok('postfleet_webhook_deliveries_total{webhook="all",result="delivered"}' in text,
           "metrics count deliveries", text[-400:])
    tap.ok("secret" not in shown and shown["waiting"] == 0, "shown without its secret", shown)
    for name in ("some", "server", "group", "tag", "elsewhere"):
        d.cli("webhook", "remove", name, "--yes")


def states(d, r):
    """Campaign, suppression and server events."""
    d.campaign("spring", 40)
    d.wait_finished("spring", 30)
    d.cli("suppression", "add", "gone@example.org")
    d.cli("suppression", "remove", "gone@example.org")
    d.cli("pause")
    late = send(d, "late@example.org")
    d.cli("message", "cancel", late)
    d.cli("resume")
    d.cli("contact", "add", "new@example.org", "--list", "spring")
    wait_for(lambda: r.at("/all", "campaign.finished") and r.at("/all", "contact.subscribed"), 10, "events")
    tap.equal([(x.data["contact"], x.data["list"]) for x in r.at("/all", "contact.subscribed")],
              [("new@example.org", "spring")], "contact.subscribed")
    wait_for(lambda: r.at("/all", "message.cancelled"), 10, "message.cancelled")
    tap.equal([x.data["message_id"] for x in r.at("/all", "message.cancelled")], [late],
              "message.cancelled")
    tap.equal([x.data["address"] for x in r.at("/all", "suppression.deleted")], ["gone@example.org"],
              "suppression.deleted")
    tap.equal([x.data["campaign"] for x in r.at("/all", "campaign.started")], ["spring"], "campaign.started")
    tap.ok(any(x.data["address"] == "gone@example.org" for x in r.at("/all", "suppression.created")),
           "suppression.created by hand")
    mine = {x.data["message_id"] for x in r.at("/all", "message.sent") if x.data["campaign"] == "spring"}
    wait_for(lambda: len({x.data["message_id"] for x in r.at("/all", "message.sent")
                          if x.data["campaign"] == "spring"}) == 40, 10, "40 messages of the campaign")
    tap.ok(len(mine) <= 40, "every message of the campaign is told", len(mine))


def retried(d, r):
    """A 500 is tried again 5 s later under the same id; a redirect is an answer, not a way."""
    fails = [2]

    def flaky(_):
        fails[0] -= 1
        return 500 if fails[0] >= 0 else 204
    r.says["/flaky"] = flaky
    r.says["/redirect"] = 302
    r.location = r.url("/target")
    add(d, "flaky", r.url("/flaky"), "--event", "message.queued")
    add(d, "redirect", r.url("/redirect"), "--event", "message.queued")
    send(d, "again@example.org")
    first = wait_for(lambda: log_of(d, "flaky"), 10, "a line of the log")[0]
    tap.ok(first["status"] == 500 and not first["ok"] and "answer of the receiver" in first["reply"]
           and first["attempt"] == 1 and first["ms"] >= 0, "the log has status, time and reply", first)
    wait = when(first["next_at"]) - when(first["at"])
    tap.ok(4.4 <= wait <= 5.6, "the first retry comes after 5 s, within a tenth", wait)
    line = wait_for(lambda: log_of(d, "redirect"), 10, "the redirect")[0]
    tap.ok(line["status"] == 302 and "redirects" in line["detail"], "a redirect is a failure", line)
    wait_for(lambda: len(r.at("/flaky")) >= 2, 15, "the retry")
    tap.equal(len(r.ids("/flaky")), 1, "the retry has the same id")
    second = wait_for(lambda: [x for x in log_of(d, "flaky") if x["attempt"] == 2], 10, "its line")[0]
    wait = when(second["next_at"]) - when(second["at"])
    tap.ok(265 <= wait <= 335, "the second comes after 5 minutes", wait)
    send(d, "well@example.org")
    wait_for(lambda: len(r.at("/flaky")) == 4, 10, "what waited, once another went through")
    wait_for(lambda: d.json("webhook", "show", "flaky")["waiting"] == 0, 10, "nothing waits")
    tap.equal(r.at("/flaky")[3].id, first["event"],
              "when one goes through, what waits is tried at once")
    queued = d.json("webhook", "resend", "flaky", "--since", "1h", "--failed")["queued"]
    tap.equal(queued, 0, "of what was delivered after all, nothing is sent again as failed")
    d.cli("webhook", "resend", "flaky", "--since", "1h")
    wait_for(lambda: len(r.at("/flaky")) == 6, 10, "a span resent")
    d.cli("webhook", "resend", "flaky", second["event"])
    wait_for(lambda: len(r.at("/flaky")) == 7, 10, "one resent")
    tap.equal(len(r.ids("/flaky")), 2, "resent under their own ids")
    done = d.run("webhook", "resend", "flaky", "evt_nothing")
    tap.equal(done.returncode, 2, "what is no event cannot be resent")
    tap.equal(r.at("/target"), [], "the redirect was not followed")
    d.cli("webhook", "remove", "redirect", "--yes")
    d.cli("webhook", "remove", "flaky", "--yes")


def rotated(d, r):
    old = add(d, "turn", r.url("/turn"), "--event", "webhook.*")
    tap.equal(d.run("webhook", "test", "turn").returncode, 0, "webhook test")
    new = d.json("webhook", "rotate", "turn", "--overlap", "1h")["secret"]
    d.cli("webhook", "test", "turn")
    d.cli("webhook", "rotate", "turn", "--overlap", "0s")
    d.cli("webhook", "test", "turn")
    a, b, c = r.at("/turn", "webhook.test")
    tap.ok(a.signed_by(old) and len(a.signatures()) == 1, "one signature at first")
    tap.ok(b.signed_by(old) and b.signed_by(new) and len(b.signatures()) == 2,
           "two while the old secret still counts")
    tap.ok(not c.signed_by(old) and not c.signed_by(new) and len(c.signatures()) == 1, "then one again")


def gone(d, r):
    """410 disables; the event of it reaches the others; active again it goes on where it stood."""
    r.says["/gone"] = 410
    add(d, "gone", r.url("/gone"), "--event", "message.sent")
    wanted = [send(d, f"gone{i}@example.org") for i in range(3)]
    shown = wait_for(lambda: (lambda s: s if s["state"] == "disabled" else None)
                     (d.json("webhook", "show", "gone")), 10, "disabled")
    tap.ok("410" in shown["reason"], "a receiver that is gone is disabled, and why", shown)
    wait_for(lambda: r.at("/turn", "webhook.disabled"), 10, "webhook.disabled")
    tap.equal(r.at("/turn", "webhook.disabled")[0].data["webhook"], "gone", "which others are told")
    before = len(r.at("/gone"))
    r.says["/gone"] = 204
    d.cli("webhook", "set", "gone", "--state", "active")
    wait_for(lambda: {x.data["message_id"] for x in r.at("/gone")[before:]} == set(wanted), 15, "the rest")
    tap.ok(True, "active again, it is told all that it missed")
    d.cli("webhook", "remove", "gone", "--yes")
    d.cli("webhook", "remove", "turn", "--yes")


def killed(d, r):
    """kill -9 in the middle of deliveries: every event comes, some twice, under the same id."""
    slow = threading.Event()

    def hang(_):
        slow.wait(0.05)
        return 204
    r.says["/killed"] = hang
    add(d, "killed", r.url("/killed"), "--event", "message.sent")
    d.campaign("summer", 300)
    wait_for(lambda: len(r.at("/killed")) >= 40, 20, "some deliveries")
    d.kill()
    slow.set()
    d.start()
    d.wait_finished("summer", 30)
    report = d.report("summer")
    want = {m["id"] for m in d.messages("summer") if m["state"] == "sent"}
    wait_for(lambda: {x.data["message_id"] for x in r.at("/killed")} >= want, 20, "all events")
    ids = r.ids("/killed")
    tap.equal(len(ids), report["sent"], "every event came, each under one id")
    tap.note(f"{len(r.at('/killed')) - len(ids)} of {len(ids)} came twice after the kill")
    d.cli("webhook", "remove", "killed", "--yes")


def given_up(d, r):
    """The tenth attempt is the last. When all failed for three days, the webhook is disabled; when
    others went through, one event is given up and no more. Three days are put into the tables."""
    r.says["/up"] = r.says["/poison"] = 500
    for name in ("up", "poison"):
        add(d, name, r.url("/" + name), "--event", "message.queued")
    send(d, "nobody@example.org")
    for name in ("up", "poison"):
        wait_for(lambda n=name: log_of(d, n), 10, "a failure")
    wait_for(lambda: d.json("webhook", "show", "poison")["waiting"] == 1, 10, "it waits")
    d.stop()
    with contextlib.closing(sqlite3.connect(os.path.join(d.data, "postfleet.db"))) as db:
        db.execute("UPDATE webhook_wait SET attempts = 9, due = 0")
        db.execute("UPDATE webhook_place SET failing_since = failing_since - 76 * 3600000 WHERE webhook_id ="
                   " (SELECT id FROM webhook WHERE name = 'up')")
        db.commit()
    add_to = len(r.at("/all", "webhook.disabled"))
    d.start()
    up = wait_for(lambda: (lambda s: s if s["state"] == "disabled" else None)
                  (d.json("webhook", "show", "up")), 15, "disabled")
    tap.ok("76 hours" in up["reason"] and up["skipped"] == 1 and up["waiting"] == 0,
           "after three days without a success it is disabled", up)
    poison = wait_for(lambda: (lambda s: s if s["skipped"] else None)
                      (d.json("webhook", "show", "poison")), 15, "given up")
    last = log_of(d, "poison")[0]
    tap.ok(poison["state"] == "active" and poison["waiting"] == 0 and last["attempt"] == 10
           and last["next_at"] is None, "one event that nobody takes is given up after ten attempts", last)
    wait_for(lambda: len(r.at("/all", "webhook.disabled")) > add_to, 10, "the others are told")
    for name in ("up", "poison"):
        d.cli("webhook", "remove", name, "--yes")


def dead(d, r):
    """One that never answers holds up neither another webhook nor sending."""
    hold = threading.Event()
    r.says["/dead"] = lambda _: hold.wait(60) and 500 or 500
    add(d, "dead", r.url("/dead"), "--event", "message.sent")
    add(d, "alive", r.url("/alive"), "--event", "message.sent")
    d.campaign("autumn", 300)
    d.wait_finished("autumn", 30)
    want = {m["id"] for m in d.messages("autumn") if m["state"] == "sent"}
    wait_for(lambda: {x.data["message_id"] for x in r.at("/alive")} >= want, 20, "the other's events")
    tap.ok(0 < len(r.at("/dead")) <= 16, "the dead one is asked a few times only", len(r.at("/dead")))
    hold.set()


def main():
    with tempfile.TemporaryDirectory() as folder, Receiver() as r, Dns({}) as dns, \
            Sink(folder, {"good": [], "bad": ["reject:rcpt:550"]}) as sink, \
            Daemon(folder) as d:
        d.env.update(POSTFLEET_DNS__SERVERS=dns.address,
                     POSTFLEET_TLS__CA_FILE=os.path.join(folder, "ca.pem"))
        make_certificate(folder)
        d.start()
        secrets = {}
        d.add_server("good", sink.ports["good"])
        d.cli("group", "add", "refusing", "--strategy", "round-robin")
        d.add_server("bad", sink.ports["bad"], group="refusing")
        for case in (lambda: refused(d, r), lambda: resolved(d, r, dns),
                     lambda: encrypted(d, folder, dns), lambda: signed(d, r, secrets), lambda: states(d, r),
                     lambda: retried(d, r), lambda: rotated(d, r), lambda: gone(d, r),
                     lambda: killed(d, r), lambda: given_up(d, r), lambda: dead(d, r)):
            began = time.monotonic()
            tap.case(case)
            tap.note(f"{time.monotonic() - began:.1f} s")
        tap.equal(d.stop(), 0, "the daemon stops clean")
        tap.equal(d.sanitizer_words(), [], "nothing to say for the sanitizers")
    tap.done()


if __name__ == "__main__":
    main()
