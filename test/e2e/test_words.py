#!/usr/bin/env python3
# timeout: 400
"""What the user says about mail that is on its way: a cancel between two servers or while its lease
is not in memory, a retry of a campaign that just ended, a deadline, and a single message beside
parked campaigns that fill the memory of bulk mail."""
import http.client
import json
import os
import socket
import sqlite3
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import crash  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def send(scene, to, *options):
    mail = Path(scene.folder, "one.eml")
    mail.write_text(f"From: a@example.com\nTo: {to}\nSubject: one\n\nbegin\nend\n")
    return scene.daemon.json("send", mail, "--to", to, "--from", "a@example.com", *options)["id"]


def state_of(scene, message):
    return scene.daemon.json("message", "show", message)["state"]


class Local(http.client.HTTPConnection):
    """HTTP on the daemon's Unix socket: quicker than a command."""

    def __init__(self, scene):
        super().__init__("localhost", timeout=60)
        self.path = os.path.join(scene.daemon.data, "api.sock")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def post(scene, path, body):
    link = Local(scene)
    link.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = link.getresponse()
    text = answer.read()
    link.close()
    if answer.status >= 300:
        raise OSError(f"{path}: {answer.status} {text[:300]}")


def recipients(scene):
    return [r for d in scene.witness.events("dot") for r in d["rcpt"]]


def test_cancel_between_servers():
    with Scene({"busy": {"reply": {"mail": "451 4.3.0 not now"}}, "slow": {"delay": {"mail": 3000}}}) \
            as scene:
        scene.daemon.cli("group", "add", "g", "--strategy", "priority")
        for priority, name in enumerate(("busy", "slow"), 1):
            scene.daemon.add_server(name, scene.witness.ports[name], "--priority", priority, group="g")
        message = send(scene, "one@example.org", "--group", "g")
        wait_for(lambda: scene.daemon.json("message", "show", message)["attempts"], 20, "its 1st try")
        scene.daemon.cli("message", "cancel", message)
        end = time.monotonic() + 6  # the slow server has answered by then
        wait_for(lambda: time.monotonic() > end and state_of(scene, message) == "cancelled", 20,
                 "its state cancelled")
        wait_for(lambda: scene.daemon.json("status")["core"]["cancels_kept"] == 0, 60,
                 "the word to be forgotten")
        tap.equal(recipients(scene), [], "cancelled on its second server: it does not arrive")
        tap.ok("ledger.failed" not in scene.daemon.log(), "core does not end of it")
        tap.equal(scene.daemon.stop(), 0, "cancelled between servers: SIGTERM ends with status 0")


def test_cancel_in_a_parked_lease():
    """After a kill the lease of a paused campaign is open and not in memory."""
    with Scene({"a": {"delay": {"dot": 300}}}) as scene:
        scene.add_servers("--max-connections", 2)
        scene.daemon.campaign("run", 60, html=None)
        wait_for(lambda: scene.witness.dots() >= 4, 30, "4 dots", every=0.02)
        scene.daemon.cli("campaign", "pause", "run")
        scene.daemon.kill()
        scene.daemon.start()
        waiting = [m for m in scene.daemon.messages("run") if m["state"] == "queued"][-5:]
        for m in waiting:
            scene.daemon.cli("message", "cancel", m["id"])
        scene.daemon.cli("campaign", "resume", "run")
        report = scene.daemon.wait_finished("run", 60)
        tap.equal((len(waiting), report["cancelled"]), (5, 5), "5 of a parked lease are cancelled")
        tap.ok(not {m["to"] for m in waiting} & set(recipients(scene)), "and do not arrive")


def stream_of_others(scene, over):
    while not over.is_set():
        post(scene, "/v1/messages", {"from": "a@example.com", "to": "other@example.org",
                                     "subject": "other", "text": "other", "stream": "bulk"})


def test_retry_of_a_finished_campaign():
    """A claim that meets the rows before core knows that the campaign runs again: on a slow disk,
    beside a stream of other mail, that is usual."""
    with Scene({"a": {"reply": {"dot": "554 5.6.0 not this content"}}}, start=False) as scene:
        shim = crash.build_shim("slow_sync", scene.folder)
        scene.daemon.start(env=crash.preload(shim, SLOW_SYNC_MS="100") if shim else None)
        scene.add_servers("--max-connections", 5)
        scene.daemon.campaign("run", 20, html=None)
        report = scene.daemon.wait_finished("run", 60)
        tap.equal((report["sent"], report["failed"]), (0, 20), "all were refused")
        failed = [m["id"] for m in scene.daemon.messages("run")]
        over = threading.Event()
        others = threading.Thread(target=stream_of_others, args=(scene, over))
        others.start()  # a claim of theirs is under way whenever a retry is committed
        for message in failed[:5]:
            post(scene, f"/v1/messages/{message}/retry", {})
            scene.daemon.wait_finished("run", 60)
        over.set()
        others.join()
        report = scene.daemon.wait_finished("run", 60)
        tap.equal((report["cancelled"], report["failed"]), (0, 20), "queued again: none is cancelled")
        tap.equal(scene.daemon.stop(), 0, "retried: SIGTERM ends with status 0")
        scene.check_ledger("retried")


def test_deadline():
    with Scene({"a": {"delay": {"dot": 250}}}) as scene:
        scene.add_servers("--max-connections", 2)
        people = scene.daemon.add_people("run", 300)
        scene.daemon.add_template("run", html=None)
        until = datetime.now(timezone.utc) + timedelta(seconds=6)
        scene.daemon.cli("campaign", "create", "run", "--list", "run", "--template", "run",
                         "--deadline", until.strftime("%Y-%m-%dT%H:%M:%SZ"))
        scene.daemon.cli("campaign", "start", "run")
        report = scene.daemon.wait_finished("run", 40)
        late = [d for d in scene.witness.events("dot") if d.get("t", 0) > until.timestamp() + 1]
        tap.ok(0 < report["sent"] < 300 and report["sent"] + report["expired"] == 300,
               f"{report['sent']} before the deadline, {report['expired']} expired", report)
        tap.equal(late, [], "none after the deadline")
        scene.judge("run", people, "a deadline", uncertain_max=0)


def test_single_beside_parked_campaigns():
    """More bulk mail than memory is for it waits for a server; a single message needs none of it."""
    with Scene({"bulk": {}, "fast": {}}) as scene:
        for name in ("bulk", "fast"):
            scene.daemon.cli("group", "add", name, "--strategy", "round-robin")
            scene.daemon.add_server(name, scene.witness.ports[name],
                                    *(["--per-hour", 1] if name == "bulk" else []), group=name)
        scene.daemon.add_people("run", 2000)
        scene.daemon.add_template("run", html=None)
        for k in range(28):
            scene.daemon.cli("campaign", "create", f"c{k}", "--list", "run", "--template", "run",
                             "--group", "bulk")
            scene.daemon.cli("campaign", "start", f"c{k}")
        before = 0

        def is_full():
            nonlocal before
            now = scene.daemon.json("queue", "summary")["in_memory"]
            settled, before = now == before and now > 30000, now
            return settled
        wait_for(is_full, 60, "the memory of bulk mail to be full", every=1.0)
        begin = time.monotonic()
        message = send(scene, "single@example.org", "--group", "fast")
        wait_for(lambda: "single@example.org" in recipients(scene), 20, "the single message to arrive")
        tap.ok(True, f"beside {before} in memory it arrives in {time.monotonic() - begin:.1f} s")
        wait_for(lambda: state_of(scene, message) == "sent", 20, "its state sent")
        tap.equal(scene.daemon.stop(), 0, "full of bulk: SIGTERM ends with status 0")


def clone_message(database, text_id, times):
    """So many more messages like this one, by the database: an hour of accepting in a second."""
    db = sqlite3.connect(database)
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    number = 0
    for letter in text_id.removeprefix("msg_"):
        number = number * 32 + alphabet.index(letter)
    for table in ("message", "queue"):
        names = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != "id"]
        db.execute(f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {times}) "
                   f"INSERT INTO {table} (id, {', '.join(names)}) SELECT {number} - i, {', '.join(names)} "
                   f"FROM {table}, n WHERE id = {number}")
    changed = db.execute("SELECT count(*) FROM queue").fetchone()[0]
    db.commit()
    db.close()
    return changed


def test_what_cannot_go_makes_room():
    """More single messages than memory holds wait for a group whose server is paused; one for another
    group stands behind them."""
    with Scene({"shut": {}, "open": {}}) as scene:
        for name in ("shut", "open"):
            scene.daemon.cli("group", "add", f"g-{name}", "--strategy", "weighted")
            scene.daemon.add_server(name, scene.witness.ports[name], group=f"g-{name}")
        scene.daemon.cli("server", "pause", "shut")
        scene.daemon.cli("pause")
        first = send(scene, "many@example.org", "--group", "g-shut", "--stream", "bulk")
        send(scene, "one@example.org", "--group", "g-open", "--stream", "bulk")
        scene.daemon.stop()
        tap.equal(clone_message(Path(scene.daemon.data, "postfleet.db"), first, 33000), 33002,
                  "33,001 wait in front of one")
        scene.daemon.start()
        scene.daemon.cli("resume")
        wait_for(lambda: recipients(scene) == ["one@example.org"], 240, "the one behind them to arrive")
        tap.equal(scene.daemon.stop(), 0, "room: SIGTERM ends with status 0")
        scene.check_ledger("room")


for case in (test_cancel_between_servers, test_what_cannot_go_makes_room, test_cancel_in_a_parked_lease,
             test_retry_of_a_finished_campaign, test_deadline, test_single_beside_parked_campaigns):
    tap.case(case)
tap.done()
