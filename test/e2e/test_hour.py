#!/usr/bin/env python3
# timeout: 240
"""1,000 an hour across two crashes and clock jumps of an hour both ways, one of them while the daemon
is down: never 1,001 at the server, and the quota is used."""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import faketime  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

LIMIT, CONNECTIONS = 1000, 4


def is_quiet(scene):
    server = scene.daemon.server("a")
    return server["state"] == "exhausted" and server["in_flight"] == 0


def dots(scene, n):
    wait_for(lambda: scene.witness.dots() >= n, 60, f"{n} dots", every=0.01)


def crash(scene, clock, jump=0):
    scene.daemon.kill()
    if jump:
        clock.jump(jump)
    scene.daemon.start(env=clock.env)


def test_hour(clock):
    with Scene({"a": {"delay": {"dot": 15}}}, start=False) as scene:
        scene.daemon.start(env=clock.env)
        scene.add_servers("--per-hour", LIMIT, "--max-connections", CONNECTIONS)
        people = scene.daemon.campaign("run", LIMIT + 300, html=None)
        dots(scene, 150)
        clock.jump(3600)
        dots(scene, 300)
        crash(scene, clock)
        dots(scene, 450)
        clock.jump(-3600)
        dots(scene, 600)
        crash(scene, clock, jump=-3600)
        dots(scene, 750)
        clock.jump(3600)
        wait_for(lambda: is_quiet(scene), 90, "the hour's quota to be used up", every=0.2)
        before = scene.witness.dots()
        clock.jump(3600)
        clock.jump(-7200)
        scene.daemon.cli("pause")
        scene.daemon.cli("resume")
        wait_for(lambda: is_quiet(scene), 30, "still used up", every=0.2)
        report = scene.daemon.report("run")
        tap.ok(before <= LIMIT and scene.witness.dots() <= LIMIT,
               f"{scene.witness.dots()} arrived, never over {LIMIT}")
        tap.ok(scene.witness.dots() + report["uncertain"] >= LIMIT - 2 * 2 * CONNECTIONS,
               "and the quota is used but for what the crashes left open", report)
        quota = next(q for q in scene.daemon.server("a")["quota"] if q["limit"] == LIMIT)
        tap.ok(quota["used"] <= LIMIT and quota["free_at"], "the use is shown", quota)
        scene.judge("run", people, "1,000 an hour", uncertain_max=2 * 2 * CONNECTIONS)


reason = faketime.why_not()
if reason:
    tap.skip("1,000 an hour across crashes and clock jumps", reason)
else:
    daemon.BINARY = os.environ["POSTFLEET_PLAIN_BINARY"]
    with faketime.Clock() as the_clock:
        tap.case(test_hour, the_clock)
tap.done()
