#!/usr/bin/env python3
# timeout: 900
"""kill -9 at 30 random moments in 10,000 messages, restarted at once; also only the parent, only core
and only web are killed. The seed is printed and can be given by POSTFLEET_SEED."""
import os
import random
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import crash  # noqa: E402
import tap  # noqa: E402
from daemon import children_of, signal_all, wait_for  # noqa: E402
from scene import Scene  # noqa: E402

CONTACTS = 10000
KILLS = 30
SEED = int(os.environ.get("POSTFLEET_SEED", "20261"))


def test_random_kills():
    chance = random.Random(SEED)
    tap.note(f"seed {SEED}")
    with Scene(crash.slow_servers(40)) as scene:
        people = crash.begin(scene, CONTACTS)
        # What becomes uncertain may never arrive: the moments stay below what surely does.
        moments = sorted(chance.randrange(50, CONTACTS // 2) for _ in range(KILLS))
        crash.kill_at(scene, moments, CONTACTS)
        crash.finish(scene, people, f"{KILLS} kills", crash.uncertain_bound(KILLS), seconds=400)


def test_single_processes():
    """Killing web never stops sending; a killed core is started again by the parent."""
    with Scene(crash.slow_servers()) as scene:
        people = crash.begin(scene, 3000)
        wait_for(lambda: scene.witness.dots() >= 500, 60, "500 dots")
        core, web = crash.child(scene, "core"), crash.child(scene, "web")
        signal_all([web], signal.SIGKILL)
        seen = scene.witness.dots()
        wait_for(lambda: scene.witness.dots() > seen + 200, 30, "sending without web")
        tap.ok(core == crash.child(scene, "core"), "the death of web leaves core alone")
        scene.daemon.wait_ready()
        tap.ok(crash.child(scene, "web") != web, "the parent starts web again")
        signal_all([core], signal.SIGKILL)
        scene.daemon.wait_ready()
        tap.ok(crash.child(scene, "core") != core, "the parent starts core again")
        crash.finish(scene, people, "web and core killed", crash.uncertain_bound(1))


def test_parent_alone():
    """Children do not outlive their parent, so that two cores never share a folder."""
    with Scene(crash.slow_servers()) as scene:
        people = crash.begin(scene, 2000)
        wait_for(lambda: scene.witness.dots() >= 300, 60, "300 dots")
        left = children_of(scene.daemon.process.pid)
        signal_all([scene.daemon.process.pid], signal.SIGKILL)
        scene.daemon.process.wait()
        wait_for(lambda: not [p for p in left if Path(f"/proc/{p}").exists()], 15,
                 "the children end with their parent")
        scene.daemon.start()
        crash.finish(scene, people, "parent killed", crash.uncertain_bound(1))


def test_crashes_hold():
    """Three crashes (SIGABRT: the sanitizers answer SIGSEGV themselves) of core within a minute start
    it with sending held."""
    with Scene(crash.slow_servers()) as scene:
        scene.add_servers("--max-connections", 2)
        for _ in range(3):
            core = crash.child(scene, "core")
            signal_all([core], signal.SIGABRT)
            wait_for(lambda old=core: crash.child(scene, "core") != old, 20, "a new core")
        people = scene.daemon.campaign("run", 50, html=None, start=False)
        scene.daemon.run("campaign", "start", "run")
        status = scene.daemon.run("queue", "summary", "--json").stdout
        tap.ok(scene.witness.dots() == 0, "after three crashes nothing is sent", status)
        scene.daemon.cli("resume")
        scene.daemon.wait_finished("run", 60)
        scene.judge("run", people, "resumed by hand after three crashes", uncertain_max=0)


for test in (test_random_kills, test_single_processes, test_parent_alone, test_crashes_hold):
    tap.case(test)
tap.done()
