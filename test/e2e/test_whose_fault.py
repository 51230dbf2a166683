#!/usr/bin/env python3
# timeout: 500
"""A relay that refuses everybody with 5.1.1, or defers everybody with 451, beside two good ones: it
is suspect within 200 recipients, what it suppressed is taken back, the others serve everybody, once.
One alone is held. A bad list accuses nobody. kill -9 while all that is taken back."""
import sqlite3
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

BOUNCES = {"rcpt": [["^", "550 5.1.1 no such user here"]]}
DEFERS = {"rcpt": [["^", "451 please try again later"]]}
DEAD = {"rcpt": [["^dead", "550 5.1.1 no such user here"]]}


def start(scene, addresses):
    """A campaign to exactly these, in this order."""
    path = Path(scene.folder, "run.csv")
    path.write_text("email,first_name\n" + "".join(f"{a},X\n" for a in addresses))
    scene.daemon.cli("list", "add", "run")
    scene.daemon.cli("contact", "import", "--list", "run", str(path))
    scene.daemon.add_template("run", html=None)
    scene.daemon.cli("campaign", "create", "run", "--list", "run", "--template", "run")
    scene.daemon.cli("campaign", "start", "run")
    return addresses


def people(count, prefix="p", domains=40):
    return [f"{prefix}{i}@d{(i * 7) % domains}.example.org" for i in range(count)]


def events(scene, kind):
    path = Path(scene.folder, "data", "postfleet.db")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return [{"subject": s, "reason": r} for s, r in
                db.execute("SELECT subject, reason FROM event WHERE kind = ? ORDER BY id", (kind,))]


def is_suspect(scene, name):
    return scene.daemon.server(name)["state"] == "suspect"


def asked(scene, name):
    return len({e["rcpt"] for e in scene.witness.events("refused") if e["server"] == name})


def beside_two_good(bad, what, count=3000):
    with Scene({"bad": bad, "good1": {}, "good2": {}}) as scene:
        scene.add_servers()
        to = start(scene, people(count))
        begun = time.monotonic()
        scene.daemon.wait_finished("run", 120)
        _, report = scene.judge("run", to, what, uncertain_max=0)
        tap.ok(time.monotonic() - begun < 100, f"{what}: no one waited for a retry of minutes")
        tap.equal((report["sent"], report["bounced"], report["failed"]),
                  (count, {"hard": 0, "soft": 0}, 0), f"{what}: the others served everybody")
        server = scene.daemon.server("bad")
        tap.ok(server["state"] == "suspect" and "of" in server["reason"]
               and "rest of the group" in server["reason"], f"{what}: suspect, with figures", server)
        tap.ok(40 <= asked(scene, "bad") <= 200,
               f"{what}: {asked(scene, 'bad')} recipients asked there, at most 200")
        tap.equal(scene.daemon.lines("suppression", "list"), [], f"{what}: nobody is suppressed")
        tap.equal([e["subject"] for e in events(scene, "server.suspect")], ["bad"],
                  f"{what}: an event, and for it alone")
        tap.ok(events(scene, "suppression.reverted"), f"{what}: an event for what was taken back")
        sums = [sum(p[key] for p in report["by_provider"])
                for key in ("sent", "bounced_hard", "bounced_soft")]
        tap.equal(sums, [count, 0, 0], f"{what}: counted right by provider as well")
        scene.daemon.stop()
        scene.check_ledger(what)


def test_bounces_everybody():
    beside_two_good(BOUNCES, "5.1.1 to everybody")


def test_defers_everybody():
    beside_two_good(DEFERS, "451 to everybody")


def test_alone():
    with Scene({"only": DEAD}) as scene:
        scene.add_servers()
        to = people(1000)
        to = [a if i % 5 < 3 else f"dead{i}@{a.split('@')[1]}" for i, a in enumerate(to)]
        start(scene, to)
        wait_for(lambda: is_suspect(scene, "only"), 30, "it to be held")
        wait_for(lambda: scene.daemon.report("run")["state"] == "stalled", 30, "a stalled campaign")
        wait_for(lambda: events(scene, "suppression.reverted"), 20, "its suppressions taken back")
        seen = len(scene.witness.events("refused"))
        tap.ok(seen <= 130, f"{seen} dead addresses asked until it was held")
        tap.equal(scene.daemon.report("run")["bounced"]["hard"], 0, "nobody is bounced by it")
        scene.daemon.cli("server", "release", "only")
        scene.daemon.wait_finished("run", 120)
        _, report = scene.judge("run", to, "released: the list is like that", uncertain_max=0)
        tap.equal((report["sent"], report["bounced"]["hard"]), (600, 400), "sent and bounced")
        scene.daemon.stop()
        scene.check_ledger("alone")


def test_bad_list():
    with Scene({"a": DEAD, "b": DEAD, "c": DEAD}) as scene:
        scene.add_servers()
        to = people(1200) + people(600, prefix="dead") + people(600, prefix="q")
        start(scene, to)
        scene.daemon.wait_finished("run", 120)
        _, report = scene.judge("run", to, "600 dead in a row", uncertain_max=0)
        tap.equal((report["sent"], report["bounced"]["hard"]), (1800, 600), "bounced are the dead")
        tap.equal(events(scene, "server.suspect"), [], "nobody is suspect")
        refused = [e["rcpt"] for e in scene.witness.events("refused")]
        tap.equal(len(refused), len(set(refused)), "no second server was asked")


def test_killed_in_the_middle():
    """Killed at once when it turns suspect, and again and again while it takes back."""
    with Scene({"bad": BOUNCES, "good1": {}, "good2": {}}) as scene:
        scene.add_servers()
        to = start(scene, people(3000))
        for i in range(6):
            wait_for(lambda: is_suspect(scene, "bad"), 60, "the suspicion")
            moved = scene.witness.dots() + 15 * i
            wait_for(lambda m=moved: scene.witness.dots() >= m or scene.daemon.report("run")["pending"] == 0,
                     60, "some more mail", every=0.005)
            scene.daemon.kill()
            scene.daemon.start()
        scene.daemon.wait_finished("run", 120)
        found, report = scene.judge("run", to, "kill -9 while taking back")
        tap.equal((report["sent"] + report["uncertain"], report["bounced"]["hard"]), (3000, 0),
                  "the others served everybody")
        tap.ok(is_suspect(scene, "bad"), "it is suspect after each start")
        tap.equal(scene.daemon.lines("suppression", "list"), [], "nobody is suppressed")
        scene.daemon.stop()
        scene.check_ledger("kill -9")


for test in (test_bounces_everybody, test_defers_everybody, test_alone, test_bad_list,
             test_killed_in_the_middle):
    tap.case(test)
tap.done()
