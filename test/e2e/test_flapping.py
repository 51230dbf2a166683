#!/usr/bin/env python3
# timeout: 300
"""Three of ten servers die in three ways (refuse, black hole, 421) in the middle of a campaign, with
open sessions reset, and come back: everything is sent or uncertain, at most one a connection, nobody
is bounced, and the three carry mail again afterwards."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

CONNECTIONS = 4
WELL = {"delay": {"dot": 60}}
NAMES = [f"s{i}" for i in range(10)]


def die(scene):
    scene.witness.unlisten("s0")
    scene.witness.behave("s1", silent=True, hold=["mail", "rcpt", "data", "dot", "greeting"])
    scene.witness.behave("s2", reply={p: "421 4.3.2 going down" for p in ("greeting", "mail", "rcpt")})
    for name in ("s0", "s2"):
        scene.witness.cut(name)


def come_back(scene):
    scene.witness.cut("s1")
    for name in ("s1", "s2"):
        scene.witness.behave(name, **WELL)
    scene.witness.listen("s0")


def dots_of(scene, names):
    stats = scene.witness.stats()
    return sum(stats[n]["dots"] for n in names)


def test_flapping():
    with Scene({name: dict(WELL) for name in NAMES}) as scene:
        scene.add_servers("--max-connections", CONNECTIONS, "--connect-timeout", "2s",
                          "--reply-timeout", "2s", "--notes", "one of ten")
        people = scene.daemon.campaign("run", 12000, html=None)
        wait_for(lambda: scene.witness.dots() >= 2000, 60, "2,000 dots")
        die(scene)
        sick = NAMES[:3]
        wait_for(lambda: all(scene.daemon.server(n)["state"] not in ("healthy", "ramp")
                             for n in sick), 30, "the three known as sick")
        before = dots_of(scene, NAMES[3:])
        wait_for(lambda: dots_of(scene, NAMES[3:]) > before + 500, 15, "the seven going on")
        tap.ok(True, "the other seven go on")
        come_back(scene)
        dead = dots_of(scene, sick)
        report = scene.daemon.wait_finished("run", 150)
        found, _ = scene.judge("run", people, "3 of 10 died",
                               uncertain_max=len(sick) * CONNECTIONS)
        tap.equal(report["sent"] + len(found.uncertain), 12000, "all sent or uncertain")
        tap.equal((report["bounced"], report["failed"]), ({"hard": 0, "soft": 0}, 0),
                  "nobody was bounced or failed")
        tap.ok(dots_of(scene, sick) > dead, "those that came back carry mail again",
               [scene.daemon.server(n) for n in sick])


tap.case(test_flapping)
tap.done()
