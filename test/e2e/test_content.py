#!/usr/bin/env python3
# timeout: 150
"""A campaign whose content is refused pauses before it has harmed every recipient and server; no
refused message goes to a second server, nobody is suppressed."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

SPAM = "550 5.7.1 Message rejected as spam by content filter"


def test_content():
    with Scene({"a": {"reply": {"dot": SPAM}}, "b": {"reply": {"dot": SPAM}}}) as scene:
        scene.add_servers()
        scene.daemon.campaign("run", 500, html=None)
        wait_for(lambda: scene.daemon.report("run")["state"] == "paused", 40, "the pause")
        wait_for(lambda: all(scene.daemon.server(n)["in_flight"] == 0 for n in "ab"), 20, "quiet")
        wait_for(lambda: scene.daemon.report("run")["failed"] >= 20, 20, "the results to be written")
        r = scene.daemon.report("run")
        tap.ok(20 <= r["failed"] <= 150, f"{r['failed']} failed before the pause", r)
        tap.ok(r["pending"] == 500 - r["failed"], "the others wait", r)
        tap.ok(r["bounced"]["hard"] == 0 and r["suppressed"] == 0, "nobody is blamed for it", r)
        attempts = sum(x["failed"] + x["sent"] for x in r["by_server"])
        tap.ok(attempts == r["failed"], "no refused message went to a second server", r)


tap.case(test_content)
tap.done()
