#!/usr/bin/env python3
# timeout: 240
"""The life of the daemon's processes: the ready line, the ports, the lock, children that are killed or
crash, a parent that is killed, and the end by SIGTERM."""
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import tap  # noqa: E402
from daemon import children_of, signal_all, wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def role(d, name):
    """The process id of a child by its role; None when it does not run."""
    for pid in children_of(d.process.pid):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--role" in words and words[words.index(b"--role") + 1] == name.encode():
            return pid
    return None


def alive(pid):
    """There, and no zombie that waits for its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_ready(d):
    return d.run("doctor", "--ready").returncode == 0


def test_ready_line():
    with Scene(None) as scene:
        d = scene.daemon
        # The parent looks for readiness by itself, a moment after `doctor --ready` may have seen it.
        line = wait_for(lambda: next((x for x in d.log().splitlines() if "is ready" in x), ""), 10,
                        "the ready line")
        tap.ok(os.path.realpath(d.data) in line and f"http://127.0.0.1:{d.port}" in line,
               "the ready line names data and address", d.log()[-800:])
        modes = {n: stat.S_IMODE(os.stat(Path(d.data, n)).st_mode) for n in ("api.sock", "link.sock")}
        tap.equal(modes, {"api.sock": 0o600, "link.sock": 0o600}, "both sockets are 0600")
        children = children_of(d.process.pid)
        tap.equal(len(children), 2, "core and web are its children")
        begin = time.monotonic()
        status = d.stop()
        tap.ok(status == 0 and time.monotonic() - begin < 10, f"SIGTERM: exit {status}, within 10 s")
        tap.equal([p for p in children if alive(p)], [], "no child is left")
        tap.ok(d.run("doctor", "--ready").returncode == 6, "doctor --ready then says 6")


def test_default_port_taken():
    with socket.socket() as s, tempfile.TemporaryDirectory() as folder:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", 8025))
            s.listen()
        except OSError:
            pass  # taken by somebody else: the same to us
        child = subprocess.Popen([daemon.BINARY, "serve", "--data", folder + "/d", "--json"], text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            line = json.loads(child.stdout.readline())
            tap.ok(line["ready"] and not line["http"].endswith(":8025"), "another port is used", line)
            done = subprocess.run([daemon.BINARY, "status", "--json", "--data", folder + "/d"],
                                  capture_output=True, text=True, timeout=60)
            tap.equal(done.returncode, 0, "and the daemon answers")
        finally:
            child.terminate()
            _, err = child.communicate(timeout=30)
        tap.ok("8025" in err and "warning" in err, "with a warning", err[-500:])


def test_children_return():
    """A kill of web does not stop sending; a kill of core costs no more than its open dots."""
    with Scene({"a": {"delay": {"dot": 40}}}) as scene:
        scene.add_servers("--max-connections", 2)
        people = scene.daemon.campaign("run", 300, html=None)
        wait_for(lambda: scene.witness.dots() >= 20, 30, "20 dots")
        core, web, before = role(scene.daemon, "core"), role(scene.daemon, "web"), scene.witness.dots()
        os.kill(web, signal.SIGKILL)
        wait_for(lambda: scene.witness.dots() >= before + 20, 20, "sending without web")
        wait_for(lambda: is_ready(scene.daemon), 20, "web again")
        tap.ok(role(scene.daemon, "core") == core and role(scene.daemon, "web") not in (None, web),
               "web is another process, core the same")
        os.kill(core, signal.SIGKILL)
        wait_for(lambda: is_ready(scene.daemon) and role(scene.daemon, "core") != core, 20, "core again")
        tap.ok(role(scene.daemon, "core") not in (None, core), "core is another process")
        scene.daemon.wait_finished("run", 90)
        scene.judge("run", people, "web and core killed", uncertain_max=4)


def test_three_crashes():
    """Three crashes in a minute: core comes up with sending held; resume lets it go."""
    with Scene({"a": {}}) as scene:
        d = scene.daemon
        scene.add_servers()
        for n in range(3):
            old = wait_for(lambda: role(d, "core"), 20, "core")
            wait_for(lambda: is_ready(d), 30, "readiness")
            os.kill(old, signal.SIGABRT)
            wait_for(lambda old=old: role(d, "core") not in (None, old), 20, "the next core")
        wait_for(lambda: d.run("status").returncode == 0 and d.json("status")["core"]["paused"], 30, "sending held")
        tap.ok("core.held" in d.log(), "the parent says so")
        people = d.campaign("run", 20, html=None)
        tap.equal(scene.witness.dots(), 0, "nothing leaves while held")
        d.cli("resume")
        d.wait_finished("run", 60)
        scene.judge("run", people, "after resume", uncertain_max=0)


def test_parent_killed():
    """Its children go with it, and a start right behind finds no one in the way."""
    with Scene(None) as scene:
        d = scene.daemon
        children = children_of(d.process.pid)
        os.kill(d.process.pid, signal.SIGKILL)
        d.process.wait()
        d.start()
        tap.equal([p for p in children if alive(p)], [], "the old children are gone")
        tap.ok(is_ready(d), "the new daemon is ready")


def test_second_daemon():
    with Scene(None) as scene:
        d = scene.daemon
        done = subprocess.run([daemon.BINARY, "serve", "--data", d.data], capture_output=True, text=True, timeout=30)
        tap.ok(done.returncode == 1 and str(d.process.pid) in done.stderr, "refused, with the other's id",
               done.stderr)
        done = d.run("db", "migrate")
        tap.ok(done.returncode == 1 and "another daemon" in done.stderr, "db migrate keeps out, too", done.stderr)
        tap.ok(is_ready(d), "the first is not disturbed")
        foreign = Path(scene.folder, "foreign")
        foreign.mkdir()
        foreign.joinpath("mine.txt").write_text("x")
        done = subprocess.run([daemon.BINARY, "serve", "--data", foreign], capture_output=True, text=True, timeout=30)
        tap.ok(done.returncode == 5 and os.listdir(foreign) == ["mine.txt"], "a foreign folder is left as it is",
               done.stderr)


def test_impatient():
    """A second SIGTERM ends at once, whatever the children do."""
    with Scene({"a": {"delay": {"dot": 60_000}}}) as scene:
        scene.add_servers("--max-connections", 1)
        scene.daemon.campaign("run", 3, html=None)
        wait_for(lambda: scene.witness.dots() >= 1, 20, "a dot without an answer")
        left = children_of(scene.daemon.process.pid)
        begin = time.monotonic()
        scene.daemon.process.terminate()
        wait_for(lambda: "daemon.stopping" in scene.daemon.log(), 5, "its word")
        scene.daemon.process.terminate()
        status = scene.daemon.process.wait(20)
        tap.ok(status == 0 and time.monotonic() - begin < 5, f"exit {status} at once")
        signal_all(left, 0)


for test in (test_ready_line, test_default_port_taken, test_children_return, test_three_crashes,
             test_parent_killed, test_second_daemon, test_impatient):
    tap.case(test)
tap.done()
