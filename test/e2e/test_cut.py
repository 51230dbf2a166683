#!/usr/bin/env python3
# timeout: 400
"""The network is gone for a minute for all servers at once: no server is blamed, nobody is bounced,
and sending is back within 5 s of the network. Runs in a network namespace of its own."""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import netns  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

CUT_S = 60
NAMES = ("one", "two", "three")


def test_cut():
    with Scene({name: {"delay": {"dot": 100}} for name in NAMES}) as scene:
        scene.add_servers("--connect-timeout", "2s", "--reply-timeout", "2s")
        people = scene.daemon.campaign("run", 6000, html=None)
        wait_for(lambda: scene.witness.dots() >= 600, 60, "600 dots")
        netns.cut(scene.witness.ports.values())
        gone = time.monotonic()
        wait_for(lambda: time.monotonic() > gone + CUT_S, CUT_S + 5, "the cut to pass", every=0.5)
        # What was on the wire still arrives; what counts as sending is a connection after the cut.
        netns.mend()
        back = time.monotonic()
        wait_for(lambda: [e for e in scene.witness.events("dot") if e["m"] > back], 30,
                 "sending again", every=0.1)
        first = min(e["m"] for e in scene.witness.events("dot") if e["m"] > back)
        tap.ok(first - back <= 5.0, f"sending is back {first - back:.1f} s after the network")
        wait_for(lambda: all(scene.daemon.server(n)["state"] == "healthy" for n in NAMES), 10,
                 "every server healthy again")
        tap.ok(True, "no server is blamed")
        scene.daemon.wait_finished("run", 250)
        _, report = scene.judge("run", people, "network cut", uncertain_max=2 * 10 * len(NAMES))
        tap.equal((report["bounced"], report["failed"]), ({"hard": 0, "soft": 0}, 0),
                  "nobody was bounced or failed")


reason = netns.why_not()
if reason:
    tap.skip("network cut", reason)
else:
    netns.enter()
    tap.case(test_cut)
tap.done()
