#!/usr/bin/env python3
# timeout: 200
"""Reputation in the daemon: a confirmed listing lowers a server's weight, a rule of the user takes one
out, over a restart too, the user's word brings it back, and what is too much waits for that word."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def dots_of(scene, server):
    return len([d for d in scene.witness.events("dot") if d["server"] == server])


def standing(scene, server):
    rows = scene.daemon.json("reputation", "status")["servers"]
    return next((r for r in rows if r["server"] == server), {"stage": "good"})["stage"]


def listed(scene, server, times=2):
    for _ in range(times):
        scene.daemon.cli("reputation", "signal", server, "--kind", "dnsbl", "--source",
                         "list.example.org")


def test_lowered():
    with Scene({"a": {}, "b": {}}) as scene:
        scene.daemon.cli("group", "set", "default", "--strategy", "weighted")
        scene.add_servers("--weight", 10)
        listed(scene, "a", 1)
        tap.ok(standing(scene, "a") == "good", "a listing that is not confirmed does nothing")
        listed(scene, "a", 1)
        tap.ok(standing(scene, "a") == "lowered", "confirmed twice: lowered")
        weight = scene.daemon.server("a")["effective_weight"]
        tap.ok(weight < scene.daemon.server("b")["effective_weight"] * 0.5,
               "the effective weight says so", weight)
        scene.daemon.campaign("run", 500, html=None)
        scene.daemon.wait_finished("run", 60)
        a, b = dots_of(scene, "a"), dots_of(scene, "b")
        tap.ok(a + b == 500 and 0 < a < 200, f"a fifth of the mail at 25 % of the weight: {a} {b}")


def test_quarantined():
    with Scene({"a": {}, "b": {}, "c": {}}) as scene:
        scene.add_servers()
        scene.daemon.cli("reputation", "add", "gone", "--when", "dnsbl_listed > 0", "--action",
                         "quarantine", "--for", "0s", "--cooldown", "0s")
        scene.daemon.cli("reputation", "set", "dnsbl", "--enabled", "no")
        listed(scene, "a")
        tap.ok(scene.daemon.server("a")["state"] == "quarantined", "a rule takes a server out",
               scene.daemon.server("a"))
        scene.daemon.kill()
        scene.daemon.start()
        tap.ok(scene.daemon.server("a")["state"] == "quarantined", "over kill -9 and start too")
        people = scene.daemon.campaign("run", 60, html=None)
        scene.daemon.wait_finished("run", 60)
        tap.ok(dots_of(scene, "a") == 0, "nothing leaves by it")
        scene.judge("run", people, "one quarantined", uncertain_max=0)
        listed(scene, "b")
        tap.ok(scene.daemon.server("b")["state"] == "healthy",
               "a second of three would be over half of the group")
        wants = [x for x in scene.daemon.json("reputation", "status")["actions"]
                 if x["state"] == "pending"]
        tap.ok(len(wants) >= 1 and wants[0]["server"] == "b", "it waits for approval", wants)
        scene.daemon.cli("reputation", "approve", wants[0]["id"])
        tap.ok(scene.daemon.server("b")["state"] == "quarantined", "approved: out")
        scene.daemon.cli("reputation", "signal", "a", "--kind", "dnsbl", "--source",
                         "list.example.org", "--value", "0")
        scene.daemon.cli("reputation", "release", "a")
        wait_for(lambda: scene.daemon.server("a")["state"] in ("ramp", "healthy"), 10, "a is back")
        scene.daemon.campaign("two", 60, html=None)
        scene.daemon.wait_finished("two", 60)
        tap.ok(dots_of(scene, "a") > 0, f"released: {dots_of(scene, 'a')} by it")
        kinds = {x["rule"] for x in scene.daemon.json("reputation", "status")["actions"]}
        tap.ok(kinds == {"gone"}, "a rule that is off does nothing", kinds)


for test in (test_lowered, test_quarantined):
    tap.case(test)
tap.done()
