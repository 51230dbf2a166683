#!/usr/bin/env python3
# timeout: 400
"""Limits hold to the message: 100 an hour with a kill in the middle, 2 sessions, 5 messages a
connection, 20 a second also right after a start, and with the clock set an hour back and forth."""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import faketime  # noqa: E402
import tap  # noqa: E402
import witness as w  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def quiet(scene, server):
    """True when nothing is on the wire and the server says that its quota is used up."""
    s = scene.daemon.server(server)
    return s["state"] == "exhausted" and s["in_flight"] == 0


def check_hundred(scene, what):
    wait_for(lambda: quiet(scene, "a"), 60, "the hour's quota to be used up", every=0.2)
    dots = scene.witness.dots()
    report = scene.daemon.report("run")
    tap.ok(dots <= 100, f"{what}: {dots} arrived, never over 100")
    tap.ok(dots + report["uncertain"] >= 95, f"{what}: arrived and uncertain at least 95", report)
    quota = scene.daemon.server("a")["quota"]
    tap.ok(any(q["limit"] == 100 and q["used"] <= 100 and q["free_at"] for q in quota),
           f"{what}: the quota is shown", quota)


def test_hour_and_kill():
    with Scene({"a": {"delay": {"dot": 60}}}) as scene:
        scene.add_servers("--per-hour", 100, "--max-connections", 2)
        scene.daemon.campaign("run", 150, html=None)
        wait_for(lambda: scene.witness.dots() >= 45, 30, "45 dots", every=0.01)
        scene.daemon.kill()
        seen = scene.witness.dots()
        tap.ok(40 <= seen <= 80, f"killed after {seen}, between 40 and 80")
        scene.daemon.start()
        check_hundred(scene, "100 an hour, killed")
        people = [f"run{i}@example.org" for i in range(150)]
        scene.judge("run", people, "100 an hour, killed", uncertain_max=4)


def test_sessions():
    with Scene({"a": {"delay": {"dot": 10}}, "b": {"delay": {"greeting": 20}}}) as scene:
        scene.add_servers("--max-connections", 2, "--max-messages-per-connection", 5)
        people = scene.daemon.campaign("run", 400, html=None)
        scene.daemon.wait_finished("run", 90)
        for name, stats in scene.witness.stats().items():
            tap.ok(stats["max_sessions"] <= 2, f"{name}: at most 2 sessions at once", stats)
            tap.ok(stats["max_messages"] <= 5, f"{name}: at most 5 messages a connection", stats)
        scene.judge("run", people, "2 sessions, 5 a connection", uncertain_max=0)


def test_second():
    with Scene({"a": {}}) as scene:
        scene.add_servers("--per-second", 20)
        people = scene.daemon.campaign("run", 240, html=None)
        wait_for(lambda: scene.witness.dots() >= 80, 60, "80 dots", every=0.02)
        scene.daemon.kill()
        scene.daemon.start()
        scene.daemon.wait_finished("run", 60)
        times = [d["m"] for d in scene.witness.events("dot")]
        most = w.most_within(times, 1.0)
        tap.ok(most <= 22, f"20 a second: at most {most} in any second at the server, 22 allowed")
        scene.judge("run", people, "20 a second, killed", uncertain_max=20)


def test_clock():
    reason = faketime.why_not()
    if reason:
        tap.skip("clock jumps", reason)
        return
    kept, daemon.BINARY = daemon.BINARY, os.environ["POSTFLEET_PLAIN_BINARY"]
    for name, jump in (("forth", 3600), ("back", -3600)):
        with faketime.Clock() as clock:
            tap.case(run_clock, clock, name, jump)
    daemon.BINARY = kept


def run_clock(clock, name, jump):
    with Scene({"a": {"delay": {"dot": 40}}}, start=False) as scene:
        scene.daemon.start(env=clock.env)
        scene.add_servers("--per-hour", 100, "--max-connections", 2)
        scene.daemon.campaign("run", 150, html=None)
        wait_for(lambda: scene.witness.dots() >= 40, 30, "40 dots", every=0.02)
        clock.jump(jump)
        check_hundred(scene, f"clock an hour {name}")


for test in (test_hour_and_kill, test_sessions, test_second):
    tap.case(test)
test_clock()
tap.done()
