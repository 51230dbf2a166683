#!/usr/bin/env python3
# timeout: 400
"""Limits hold to the message: 100 an hour with a kill in the middle, 2 sessions, 5 messages a
connection, 20 a second also right after a start, and with the clock set an hour back and forth."""
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
import witness as w  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

FAKETIME = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"]


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


def set_clock(path, offset):
    """What libfaketime reads: an offset in seconds, put in place in one step."""
    new = path + ".new"
    Path(new).write_text(f"{offset:+d}s\n")
    os.rename(new, path)


def test_clock():
    library = next((p for p in FAKETIME if os.path.exists(p)), None)
    plain = os.environ.get("POSTFLEET_PLAIN_BINARY")
    if not library or not plain:
        tap.skip("clock jumps", "no libfaketime" if not library else "no build without sanitizers")
        return
    for name, jump in (("forth", 3600), ("back", -3600)):
        tap.case(run_clock, library, plain, name, jump)


def run_clock(library, plain, name, jump):
    import daemon
    folder = Path(os.environ.get("TMPDIR", "/tmp"), f"postfleet-clock-{os.getpid()}-{name}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    clock, kept = str(folder / "offset"), daemon.BINARY
    set_clock(clock, 0)
    env = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": "1",
           "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
    daemon.BINARY = plain
    try:
        with Scene({"a": {"delay": {"dot": 40}}}, start=False) as scene:
            scene.daemon.start(env=env)
            scene.add_servers("--per-hour", 100, "--max-connections", 2)
            scene.daemon.campaign("run", 150, html=None)
            wait_for(lambda: scene.witness.dots() >= 40, 30, "40 dots", every=0.02)
            set_clock(clock, jump)
            check_hundred(scene, f"clock an hour {name}")
    finally:
        daemon.BINARY = kept
        shutil.rmtree(folder, ignore_errors=True)


for test in (test_hour_and_kill, test_sessions, test_second):
    tap.case(test)
test_clock()
tap.done()
