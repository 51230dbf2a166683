#!/usr/bin/env python3
# timeout: 200
# alone: compares rates
"""Nine of ten servers die in the middle of a campaign, each in a way of its own, seven of them without
a word: that is no common cause, and the tenth carries on at the rate it has alone. Both rates are of
the same run and the same server, whose answers take their time."""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402
from sink import binary, rate  # noqa: E402

daemon.BINARY = binary()
CONNECTIONS, OF_THE_NINE, DOT_MS = 4, 2, 40  # fewer than 20 uncertain: over that it pauses
WELL = {"delay": {"dot": DOT_MS}}
SAYS = {p: "421 4.3.2 going down" for p in ("greeting", "mail", "rcpt", "data", "dot")}
PHASES = ["greeting", "ehlo", "mail", "rcpt", "data", "dot"]
DEATHS = {  # name: (behaviour, does it stop listening)
    "refuses": ({}, True),
    "refuses-too": ({}, True),
    "hole": ({"silent": True, "hold": PHASES}, False),
    "hole-too": ({"silent": True, "hold": PHASES}, False),
    "hangs-up": ({"drop": PHASES}, False),
    "hangs-up-late": ({"drop": ["mail", "rcpt", "data"]}, False),
    "mute-at-mail": ({"hold": ["mail"]}, False),
    "says-421": ({"reply": SAYS}, False),
    "says-554": ({"reply": {"greeting": "554 5.3.2 no service here"}}, False),
}


def kill(scene):
    for name, (behave, refuses) in DEATHS.items():
        if refuses:
            scene.witness.unlisten(name)
        scene.witness.behave(name, **behave)
        scene.witness.cut(name)


def times_of(scene, server):
    return [d["m"] for d in scene.witness.events("dot") if d["server"] == server]


def rate_alone(scene):
    """The tenth alone in a group of its own: dots a second, without the first and the last second."""
    scene.daemon.campaign("alone", 600, group="alone", html=None)
    scene.daemon.wait_finished("alone", 60)
    times = times_of(scene, "tenth")
    return rate(times, times[0] + 1, times[-1] - 1)


def test_nine_dead():
    with Scene({name: dict(WELL) for name in [*DEATHS, "tenth"]}) as scene:
        scene.daemon.cli("group", "add", "alone", "--strategy", "round-robin")
        scene.add_servers("--max-connections", OF_THE_NINE, "--connect-timeout", "2s",
                          "--reply-timeout", "2s", only=list(DEATHS))
        scene.daemon.add_server("tenth", scene.witness.ports["tenth"], "--max-connections",
                                CONNECTIONS, "--group", "alone", group="default")
        alone = rate_alone(scene)
        people = scene.daemon.campaign("run", 3000, html=None)
        seen = scene.witness.dots()
        wait_for(lambda: scene.witness.dots() >= seen + 500, 60, "500 dots")
        kill(scene)
        died = time.monotonic()
        wait_for(lambda: time.monotonic() > died + 15, 20, "15 s without the nine", every=0.2)
        states = {s["name"]: s["state"] for s in scene.daemon.lines("server", "list")}
        beside = rate(times_of(scene, "tenth"), died + 4, died + 14)
        tap.ok(beside >= 0.9 * alone, f"the tenth sends {beside:.1f} a second, {alone:.1f} alone "
               f"({beside / alone:.3f})")
        tap.ok(all(states[n] not in ("healthy", "ramp") for n in DEATHS)
               and states["tenth"] == "healthy", "nine are known as dead, one as healthy", states)
        tap.ok("fleet.cut_off" not in scene.daemon.log(), "no common cause was declared")
        report = scene.cancel_and_judge("run", people, "nine of ten died",
                                        len(DEATHS) * OF_THE_NINE)
        tap.equal((report["bounced"], report["failed"]), ({"hard": 0, "soft": 0}, 0),
                  "nobody was bounced or failed")


tap.case(test_nine_dead)
tap.done()
