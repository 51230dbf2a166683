#!/usr/bin/env python3
# timeout: 200
"""A server x mailbox provider that is blocked is closed by itself: the other server carries that
provider, the first one goes on with the rest; the user sees why and until when, and a crash does
not forget it. A server that is throttled gets a pace, not a fault; the rest leaves elsewhere."""
import sqlite3
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

BLOCK = "550 5.7.1 Service unavailable; client host [192.0.2.1] blocked using zen.example.org"
THROTTLE = "454 Throttling failure: Maximum sending rate exceeded."


def start(scene, name, addresses):
    path = Path(scene.folder, f"{name}.csv")
    path.write_text("email,first_name\n" + "".join(f"{a},X\n" for a in addresses))
    scene.daemon.cli("list", "add", name)
    scene.daemon.cli("contact", "import", "--list", name, str(path))
    scene.daemon.add_template(name, html=None)
    scene.daemon.cli("campaign", "create", name, "--list", name, "--template", name)
    scene.daemon.cli("campaign", "start", name)
    return addresses


def events(scene, kind):
    path = Path(scene.folder, "data", "postfleet.db")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return db.execute("SELECT subject, reason FROM event WHERE kind = ?", (kind,)).fetchall()


def refused(scene):
    return [e for e in scene.witness.events("refused") if e["server"] == "a"]


def check_shown(scene, what):
    tap.equal(scene.daemon.server("a")["reason"], "not for gmail", f"{what}: listed with it")
    a = scene.daemon.json("server", "show", "a")
    cells = a["cells"]
    tap.ok(a["state"] == "healthy" and len(cells) == 1, f"{what}: the server is healthy, one cell",
           a)
    cell = cells[0] if cells else {}
    tap.equal((cell.get("provider"), cell.get("state")), ("gmail", "open"), f"{what}: gmail, open")
    tap.ok("blocked using" in cell.get("reason", "") and cell.get("until"),
           f"{what}: with its reason and until when", cell)
    why = scene.daemon.json("route", "explain", "--to", "ana@gmail.com")
    tap.equal(why["server"], "b", f"{what}: route explain chooses the other one")
    bound = [r for r in why["rejected"] if r["server"] == "a"]
    tap.ok(bound and bound[0]["bound"] == "provider" and "blocked using" in bound[0]["why"],
           f"{what}: and says why not this one", why)


def check_released(scene):
    """By hand: one tries at once, then a ramp; also after a crash it is not closed any more."""
    tap.equal(scene.daemon.run("server", "release", "a", "--provider", "nobody").returncode, 3,
              "no such provider")
    idle = scene.daemon.run("server", "release", "b", "--provider", "gmail")
    tap.ok("nothing to do" in idle.stderr + idle.stdout, "nothing is closed there", idle)
    scene.witness.behave("a")
    scene.daemon.cli("server", "release", "a", "--provider", "gmail")
    scene.daemon.kill()
    scene.daemon.start()
    tap.equal(scene.daemon.json("server", "show", "a")["cells"], [], "released, kept over a crash")
    start(scene, "again", [f"h{i}@gmail.com" for i in range(200)])
    scene.daemon.wait_finished("again", 60)
    took = [d for d in scene.witness.events("dot")
            if d["server"] == "a" and d["rcpt"][0].endswith("gmail.com")]
    tap.ok(took, f"{len(took)} for gmail by it again")


def test_blocked():
    with Scene({"a": {"rcpt": [["^g", BLOCK]]}, "b": {}}) as scene:
        scene.add_servers()
        to = start(scene, "run", [f"g{i}@gmail.com" if i % 2 else f"p{i}@example.org"
                                  for i in range(1200)])
        scene.daemon.wait_finished("run", 90)
        _, report = scene.judge("run", to, "blocked at one", uncertain_max=0)
        tap.equal((report["sent"], report["bounced"]), (1200, {"hard": 0, "soft": 0}),
                  "all were served, nobody bounced")
        took = [d for d in scene.witness.events("dot") if d["server"] == "a"]
        tap.ok(len(refused(scene)) <= 30 and len(took) > 200,
               f"{len(refused(scene))} were refused at it, {len(took)} of others taken")
        check_shown(scene, "then")
        tap.equal([s for s, _ in events(scene, "cell.opened")], ["a"], "one event")
        tap.ok("gmail: rcpt: 550" in events(scene, "cell.opened")[0][1], "that says why")
        before = len(refused(scene))
        scene.daemon.kill()
        scene.daemon.start()
        check_shown(scene, "after a crash")
        start(scene, "more", [f"g0{i}@gmail.com" for i in range(100)])
        scene.daemon.wait_finished("more", 60)
        tap.equal(len(refused(scene)), before, "none is sent there again")
        check_released(scene)
        scene.daemon.stop()
        scene.check_ledger("blocked at one")


def test_throttled():
    with Scene({"a": {"delay": {"dot": 5}}, "b": {"delay": {"dot": 5}}}) as scene:
        scene.add_servers()
        to = start(scene, "run", [f"p{i}@example.org" for i in range(3000)])
        wait_for(lambda: scene.witness.dots() >= 600, 30, "600 dots")
        scene.witness.behave("a", reply={"mail": THROTTLE})
        wait_for(lambda: scene.daemon.json("server", "show", "a")["pace"], 20, "a pace")
        a = scene.daemon.json("server", "show", "a")
        tap.ok(a["state"] == "degraded" and "slow down" in a["reason"], "degraded, with the reason",
               a)
        tap.ok(a["pace"]["per_second"] < a["pace"]["accepted_per_second"] and a["pace"]["until"]
               and "Maximum sending rate" in a["pace"]["reason"], "a pace below what was accepted",
               a["pace"])
        scene.witness.behave("a", delay={"dot": 5})
        scene.daemon.wait_finished("run", 90)
        _, report = scene.judge("run", to, "throttled", uncertain_max=0)
        tap.equal(report["sent"], 3000, "all left meanwhile")
        tap.equal(events(scene, "server.opened"), [], "no breaker moved")


for test in (test_blocked, test_throttled):
    tap.case(test)
tap.done()
