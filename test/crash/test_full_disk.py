#!/usr/bin/env python3
# timeout: 300
"""The disk is full for a while, or until the daemon is stopped: sending waits and goes on by itself,
a stop ends within seconds, and in either case nobody is lost or doubled."""
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import crash  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

CONTACTS = 3000
STOP_MAX_S = 6


class FullDisk:
    """A scene whose daemon runs under the shim; fill() and empty() are the disk."""

    def __init__(self, scene):
        self.scene, self.flag = scene, Path(scene.folder, "full")
        self.shim = crash.build_shim("full_disk", scene.folder)

    def start(self):
        self.scene.daemon.start(env=crash.preload(self.shim, FULL_FLAG=str(self.flag)))

    def fill(self):
        self.flag.touch()

    def empty(self):
        self.flag.unlink()

    def is_told(self):
        return "ledger.full" in self.scene.daemon.log()


def arrived(scene, count, seconds=120):
    wait_for(lambda: scene.witness.dots() >= count, seconds, f"{count} dots", every=0.02)


def check_words(disk):
    """Every place where an operator looks names the disk; the log does not repeat itself."""
    run = disk.scene.daemon.run
    wait_for(disk.is_told, 20, "the full disk to be told")
    for command in (["status"], ["queue", "summary"], ["doctor"], ["doctor", "--ready"]):
        done = run(*command)
        tap.ok("disk full" in done.stdout + done.stderr, f"{' '.join(command)} names the full disk",
               done.stdout + done.stderr)
        tap.equal(done.returncode != 0, command[0] == "doctor", f"{' '.join(command)}: its status")
    wait_for(lambda: disk.scene.daemon.json("status")["core"]["ledger_behind_ms"] > 3000, 20,
             "a few tries to write")
    tap.equal(disk.scene.daemon.log().count("ledger.full"), 1, "the log says it once")


def test_words():
    with Scene(crash.slow_servers(20), start=False) as scene:
        disk = FullDisk(scene)
        disk.start()
        people = crash.begin(scene, CONTACTS)
        arrived(scene, 300)
        disk.fill()
        check_words(disk)
        disk.empty()
        wait_for(lambda: "ledger.free" in scene.daemon.log(), 20, "the end to be told")
        tap.ok("again after" in scene.daemon.log(), "how long it took is told")
        tap.equal(scene.daemon.run("doctor", "--ready").returncode, 0, "ready again")
        crash.finish(scene, people, "full, with words", 0)


def test_for_a_while():
    """Full in the slices, in the middle and at the very end of a campaign."""
    with Scene(crash.slow_servers(20), start=False) as scene:
        disk = FullDisk(scene)
        disk.start()
        people = crash.begin(scene, CONTACTS)
        for moment in (1, 1200, CONTACTS - 60, CONTACTS):
            arrived(scene, moment)
            disk.fill()
            end = time.monotonic() + 2.5
            wait_for(lambda e=end: time.monotonic() > e, 10, "the disk to be full a while")
            disk.empty()
        tap.ok(disk.is_told(), "the full disk is told")
        crash.finish(scene, people, "full for a while", 0)
        tap.equal(scene.daemon.starts, 1, "the daemon never ended")


def test_single_messages():
    """A message is accepted or refused, never both: what was answered with an error does not come."""
    with Scene({"a": {}}, start=False) as scene:
        disk = FullDisk(scene)
        disk.start()
        scene.add_servers()
        mail = os.path.join(scene.folder, "mail.eml")
        taken = []
        for k in range(30):
            if k % 10 == 3:
                disk.fill()
            if k % 10 == 7:
                disk.empty()
            Path(mail).write_text(f"From: a@example.com\nTo: one{k}@example.org\n"
                                  f"Subject: {k}\n\nbegin\nend\n")
            done = scene.daemon.run("send", mail, "--to", f"one{k}@example.org",
                                    "--from", "a@example.com")
            if done.returncode == 0:
                taken.append(f"one{k}@example.org")
        tap.ok(0 < len(taken) < 30, f"{len(taken)} of 30 were accepted")

        def came():
            return sorted(r for d in scene.witness.events("dot") for r in d["rcpt"])
        wait_for(lambda: len(came()) >= len(taken), 60, "what was accepted to arrive")
        tap.equal(came(), sorted(taken), "what was accepted came once, nothing else came")
        tap.equal(scene.daemon.stop(), 0, "SIGTERM ends with status 0")


def test_until_the_stop():
    with Scene(crash.slow_servers(30), start=False) as scene:
        disk = FullDisk(scene)
        disk.start()
        people = crash.begin(scene, CONTACTS)
        arrived(scene, 700)
        disk.fill()
        wait_for(disk.is_told, 20, "the full disk to be told")
        begin = time.monotonic()
        scene.daemon.stop(STOP_MAX_S + 20)
        took = time.monotonic() - begin
        tap.ok(took <= STOP_MAX_S, f"stopped within {took:.1f} s of SIGTERM")
        log = scene.daemon.log()
        tap.ok("not clean" in log and "core.stopped clean" not in log, "the stop does not say clean",
               log[-800:])
        disk.empty()
        disk.start()
        crash.finish(scene, people, "full until the stop", crash.uncertain_bound(1))


if crash.build_shim("full_disk", "/tmp"):
    tap.case(test_words)
    tap.case(test_for_a_while)
    tap.case(test_single_messages)
    tap.case(test_until_the_stop)
else:
    tap.skip("a full disk", "no compiler")
tap.done()
