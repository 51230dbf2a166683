#!/usr/bin/env python3
# timeout: 600
"""kill -9 five times within a campaign of 6,000 through three slow servers: nobody lost, nobody
twice, at most two uncertain per connection and kill, each named. Once on the disk as it is, once
with 5 ms added to every sync."""
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import crash  # noqa: E402
import tap  # noqa: E402
from scene import Scene  # noqa: E402

CONTACTS = 6000
KILLS = [900, 1900, 2900, 3900, 4900]


def run_kills(what, env=None, contacts=CONTACTS, kills=KILLS):
    with Scene(crash.slow_servers(), env=env) as scene:
        people = crash.begin(scene, contacts)
        middle = crash.kill_at(scene, kills, contacts)
        tap.ok(middle >= 4, f"{what}: {middle} of {len(kills)} kills fell into the middle")
        crash.finish(scene, people, what, crash.uncertain_bound(len(kills)))


def test_kill():
    run_kills("five kills")


def test_slow_sync():
    with tempfile.TemporaryDirectory() as folder:
        shim = crash.build_shim("slow_sync", folder)
        if not shim:
            tap.skip("five kills, slow syncs", "no compiler")
            return
        run_kills("five kills, 5 ms a sync", crash.preload(shim, SLOW_SYNC_MS="5"))


tap.case(test_kill)
tap.case(test_slow_sync)
tap.done()
