#!/usr/bin/env python3
# timeout: 200
"""Forecasts of small campaigns held against what then happens; a deadline that cannot be met is
refused with figures."""
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def near(got, wanted, part):
    return abs(got - wanted) <= part * wanted


def test_paced():
    """20 and 5 a second, 400 contacts: 16 s, and what is assigned to the slow one when the other is done."""
    with Scene({"quick": {}, "slow": {}}) as scene:
        for name, pace in (("quick", 20), ("slow", 5)):
            scene.daemon.add_server(name, scene.witness.ports[name], "--per-second", pace)
        scene.daemon.cli("group", "set", "default", "--shares", "elastic")
        people = scene.daemon.campaign("run", 400, html=None, start=False)
        said = scene.daemon.json("campaign", "forecast", "run")
        tap.equal(said["recipients"], 400, "the forecast knows its recipients")
        tap.ok(said["ends"] and 16 <= said["seconds"] <= 23, "and its time", said)
        tap.ok("20 a second" in said["bottleneck"], "and what holds it up", said["bottleneck"])
        tap.equal(sum(s["sent"] for s in said["by_server"]), 400, "and who sends how many")
        tap.equal(sum(d["n"] for d in said["by_day"]), 400, "and when")
        scene.daemon.cli("campaign", "start", "run")
        began = time.time()
        wait_for(lambda: scene.daemon.report("run")["sent"] >= 150, 30, "150 sent")
        live = scene.daemon.json("campaign", "forecast", "run")
        report = scene.daemon.wait_finished("run", 60)
        took = moment(report["finished_at"]) - moment(report["started_at"])
        tap.ok(near(said["seconds"], took, 0.1), "said before the start: within a tenth",
               f"{said['seconds']} s said, {took} s it took")
        live_took = moment(live["finishes_at"]) - began
        tap.ok(near(live_took, took, 0.1), "said while it ran: within a tenth",
               f"{live_took} s said, {took} s it took")
        carried = {s["server"]: s["sent"] for s in report["by_server"]}
        for server in said["by_server"]:
            tap.ok(abs(server["sent"] - carried[server["server"]]) <= 20,
                   f"{server['server']}: its part", (server["sent"], carried))
        scene.judge("run", people, "a forecast", uncertain_max=0)


def test_days():
    """A day's quota: the bars of days, without waiting for them."""
    with Scene({"a": {}}) as scene:
        scene.daemon.add_server("a", scene.witness.ports["a"], "--per-day", 100, "--calendar", "UTC",
                                "--spread", "asap")
        scene.daemon.campaign("run", 250, html=None, start=False)
        said = scene.daemon.json("campaign", "forecast", "run")
        tap.equal([d["n"] for d in said["by_day"]], [100, 100, 50], "three days")
        tap.ok("100 a day" in said["bottleneck"], "its day is what binds", said["bottleneck"])
        text = scene.daemon.cli("campaign", "forecast", "run")
        tap.ok("held up by" in text and text.count("█") + text.count("#") > 60, "for people", text)


def test_deadline():
    with Scene({"a": {}}) as scene:
        scene.daemon.add_server("a", scene.witness.ports["a"], "--per-second", 10)
        scene.daemon.add_people("many", 600)
        scene.daemon.add_template("t", html=None)
        until = datetime.now(timezone.utc) + timedelta(seconds=25)
        scene.daemon.cli("campaign", "create", "run", "--list", "many", "--template", "t",
                         "--deadline", until.strftime("%Y-%m-%dT%H:%M:%SZ"))
        done = scene.daemon.run("campaign", "start", "run")
        tap.equal(done.returncode, 5, "a deadline that cannot be met is refused")
        tap.ok("of 600 recipients 2" in done.stderr and "10 a second" in done.stderr
               and "--late" in done.stderr, "with figures and remedy", done.stderr)
        tap.equal(scene.daemon.report("run")["state"], "draft", "and nothing has begun")
        scene.daemon.cli("campaign", "start", "run", "--late")
        report = scene.daemon.wait_finished("run", 60)
        tap.ok(report["expired"] > 0 and report["sent"] > 0, "--late sends what can be", report)


for test in (test_paced, test_days, test_deadline):
    tap.case(test)
tap.done()
