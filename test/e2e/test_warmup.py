#!/usr/bin/env python3
# timeout: 300
"""A server that warms up beside a mature one: never over its cap of the day, through kill -9 too,
the rest by the other; caps of a mailbox provider; stop, skip and the words around them."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def dots_of(scene, server):
    return len([d for d in scene.witness.events("dot") if d["server"] == server])


def by_server(report):
    return {s["server"]: s["sent"] for s in report["by_server"]}


def test_beside_mature():
    with Scene({"new": {"delay": {"dot": 20}}, "old": {"delay": {"dot": 5}}}) as scene:
        scene.add_servers("--max-connections", 2)
        scene.daemon.cli("warmup", "start", "new", "--table", "50,100,200")
        status = scene.daemon.json("warmup", "status", "new")
        tap.ok(status["day"] == 1 and status["cap"] == 50 and status["next_cap"] == 100,
               "warmup status names day, cap and the next one", status)
        tap.ok(scene.daemon.server("new")["lifecycle"] == "warming"
               and scene.daemon.server("old")["lifecycle"] == "active",
               "server list shows who is warming")
        people = scene.daemon.campaign("run", 400, html=None)
        wait_for(lambda: dots_of(scene, "new") >= 15, 30, "15 dots at the new one", every=0.01)
        scene.daemon.kill()
        before = dots_of(scene, "new")
        tap.ok(before < 50, f"killed after {before} of 50")
        scene.daemon.start()
        scene.daemon.wait_finished("run", 90)
        n, report = dots_of(scene, "new"), scene.daemon.report("run")
        tap.ok(n <= 50, f"the cap is 50: {n} arrived at the new server")
        tap.ok(n >= 46, f"the cap is used: {n} arrived, at most 4 may be uncertain", by_server(report))
        tap.ok(dots_of(scene, "old") + n >= 392, "the rest went by the mature one")
        scene.judge("run", people, "warming beside mature, killed", uncertain_max=8)
        scene.daemon.campaign("again", 60, html=None)
        scene.daemon.wait_finished("again", 60)
        tap.ok(dots_of(scene, "new") <= 50, "a second campaign of the day does not pass the cap")
        used = scene.daemon.json("warmup", "status", "new")
        tap.ok(used["used"] <= 50 and used["today"]["sent"] <= 50, "status counts what was used",
               used)
        scene.daemon.cli("warmup", "skip", "new")
        tap.ok(scene.daemon.json("warmup", "status", "new")["cap"] == 100, "skip: the next cap")
        scene.daemon.campaign("third", 300, html=None)
        scene.daemon.wait_finished("third", 60)
        n = dots_of(scene, "new")
        tap.ok(96 <= n <= 100, f"after skip: {n} of 100 today")


def test_alone_waits():
    with Scene({"new": {}}) as scene:
        scene.add_servers()
        scene.daemon.cli("warmup", "start", "new", "--table", "20,40")
        scene.daemon.campaign("run", 50, html=None)
        wait_for(lambda: dots_of(scene, "new") >= 20, 30, "20 dots")
        wait_for(lambda: scene.daemon.report("run")["pending"] == 30, 30, "30 pending")
        classes = scene.daemon.json("queue", "summary")["classes"]
        tap.ok(any(c["limited_by"] == "quota" for c in classes), "the queue says: at a quota",
               classes)
        tap.ok(dots_of(scene, "new") == 20, "alone: 20 leave, 30 wait for tomorrow")
        scene.daemon.cli("warmup", "stop", "new", "--yes")
        scene.daemon.wait_finished("run", 30)
        tap.ok(dots_of(scene, "new") == 50, "stopped: the rest leaves at once")
        tap.ok(scene.daemon.server("new")["lifecycle"] == "active", "and it is active")


def test_began_in_the_day():
    """A cap that is set at noon knows of the morning, before and behind a start of the daemon; what
    left in the minute of the start may count twice, never not at all."""
    with Scene({"new": {}, "old": {}}) as scene:
        scene.add_servers()
        scene.daemon.campaign("a", 60, html=None)
        scene.daemon.wait_finished("a", 60)
        scene.daemon.stop()
        scene.daemon.start()
        scene.daemon.campaign("b", 20, html=None)
        scene.daemon.wait_finished("b", 60)
        early = dots_of(scene, "new")
        scene.daemon.cli("warmup", "start", "new", "--table", "50,60", "--provider", "gmail=5,6")
        scene.daemon.campaign("c", 100, html=None)
        scene.daemon.wait_finished("c", 60)
        n = dots_of(scene, "new")
        tap.ok(n <= max(50, early), f"{early} before it began, {n} in all, at most 50")


def test_provider():
    with Scene({"new": {}, "old": {}}) as scene:
        scene.add_servers()
        scene.daemon.cli("warmup", "start", "new", "--table", "100,200", "--provider",
                         "gmail=10,20")
        scene.daemon.add_people("run", 120, domain="gmail.com")
        scene.daemon.add_template("run", html=None)
        scene.daemon.cli("campaign", "create", "run", "--list", "run", "--template", "run")
        scene.daemon.cli("campaign", "start", "run")
        scene.daemon.wait_finished("run", 60)
        tap.ok(dots_of(scene, "new") == 10, f"gmail: {dots_of(scene, 'new')} of 10")
        scene.daemon.campaign("rest", 60, html=None)
        scene.daemon.wait_finished("rest", 60)
        n = dots_of(scene, "new")
        tap.ok(30 <= n <= 70, f"others are not bound by it: {n}")
        providers = scene.daemon.json("warmup", "status", "new")["providers"]
        tap.ok(providers[0]["used"] == 10 and providers[0]["cap"] == 10, "status by provider",
               providers)
        scene.daemon.stop()
        scene.check_ledger("warm-up")


for test in (test_beside_mature, test_alone_waits, test_began_in_the_day, test_provider):
    tap.case(test)
tap.done()
