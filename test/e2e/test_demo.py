#!/usr/bin/env python3
# timeout: 300
"""The demo, judged from outside: its last line, the sinks' log and the data folder it keeps are
counted again here; its limits and faults are looked for in the log; Ctrl-C and a terminal."""
import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import tap  # noqa: E402
from daemon import children_of, wait_for  # noqa: E402

CONTACTS = 600
FIELDS = ("recipients at_sinks sent bounced failed suppressed uncertain pending lost doubled "
          "failovers servers kept").split()
RESERVED = re.compile(r"@(.*\.)?(example\.(com|net|org)|example|test|invalid)$")
SENT = 2  # enum message_state


def run(*arguments, timeout=120):
    return subprocess.run([daemon.BINARY, "demo", *map(str, arguments)], capture_output=True,
                          text=True, timeout=timeout, stdin=subprocess.DEVNULL)


def read_log(folder):
    """(port, message id, recipient) of each line of the sinks' logs."""
    logs = [p for p in Path(folder).rglob("*.log") if "sink" in p.name]
    return [tuple(line.split()[i] for i in (0, 2, 4))
            for p in logs for line in p.read_text().splitlines()]


def check_sums(last, seed):
    tap.ok(all(f in last for f in FIELDS), f"seed {seed}: all named fields are there", last)
    parts = sum(last[f] for f in "sent bounced failed suppressed uncertain pending".split())
    tap.equal(parts, CONTACTS, f"seed {seed}: the states add up to the contacts")
    tap.equal(last["recipients"], CONTACTS, f"seed {seed}: recipients")
    tap.ok(last["lost"] == 0 and last["doubled"] == 0, f"seed {seed}: nothing lost or doubled", last)
    tap.ok(last["sent"] >= CONTACTS * 0.9, f"seed {seed}: at least 90 % was sent", last)


def check_log(last, log, seed):
    recipients = Counter(line[2] for line in log)
    ports = Counter(int(line[0]) for line in log)
    at = {s["name"]: s["at_sink"] for s in last["servers"]}
    tap.equal(len(last["servers"]), 6, f"seed {seed}: six servers")
    tap.equal(len(log), last["at_sinks"], f"seed {seed}: at_sinks is what the log holds")
    tap.equal({s["name"]: ports[s["port"]] for s in last["servers"]}, at,
              f"seed {seed}: so is each server's share")
    tap.ok(not recipients or max(recipients.values()) == 1, f"seed {seed}: each recipient once")
    tap.equal(len({line[1] for line in log}), len(log), f"seed {seed}: each Message-ID once")
    tap.ok(all(RESERVED.search(r) for r in recipients), f"seed {seed}: reserved domains only",
           [r for r in recipients if not RESERVED.search(r)][:3])
    tap.ok(0 < at["quota"] <= CONTACTS // 20, f"seed {seed}: the quota holds", at)
    tap.equal(at["wrong-pass"], 0, f"seed {seed}: nothing by the server that refuses the password")
    tap.ok(all(at[name] > 0 for name in ("fast", "slow", "dying", "small")),
           f"seed {seed}: the others all carried some", at)


def check_database(last, log, folder, seed):
    with sqlite3.connect(f"file:{folder}/data/postfleet.db?mode=ro", uri=True) as db:
        sent = db.execute("SELECT count(DISTINCT message_id) FROM result WHERE state = ?",
                          (SENT,)).fetchone()[0]
    tap.equal(sent, last["sent"], f"seed {seed}: the database says the same")
    tap.ok(last["sent"] <= len(log) <= last["sent"] + last["uncertain"],
           f"seed {seed}: what arrived was sent, or is uncertain", last)


def test_seed(seed):
    with tempfile.TemporaryDirectory() as folder:
        kept = folder + "/kept"
        done = run("--contacts", CONTACTS, "--seconds", 25, "--seed", seed, "--no-web", "--json",
                   "--keep", kept)
        tap.ok(done.returncode == 0, f"seed {seed}: exit 0", done.stdout[-500:] + done.stderr[-1500:])
        last, log = json.loads(done.stdout.strip().splitlines()[-1]), read_log(kept)
        check_sums(last, seed)
        check_log(last, log, seed)
        check_database(last, log, kept, seed)
        tap.equal(last["kept"], kept, f"seed {seed}: kept names the folder")
        tap.ok("Lost: 0. Doubled: 0." in done.stderr, f"seed {seed}: the proof in words", done.stderr)
        states = {s["name"]: s["state"] for s in last["servers"]}
        tap.ok(states["wrong-pass"] == "misconfigured" and states["quota"] == "exhausted",
               f"seed {seed}: the sick ones are known as sick", states)


def test_time_is_up():
    """Far too many for the time: what is unsent is pending, and that is no success."""
    with tempfile.TemporaryDirectory() as folder:
        done = run("--contacts", 30000, "--seconds", 2, "--no-web", "--json", "--keep", folder)
        last = json.loads(done.stdout.strip().splitlines()[-1])
        tap.ok(done.returncode == 1 and last["pending"] > 0, "the time is up: pending, exit 1", last)
        tap.ok(last["lost"] == 0 and last["doubled"] == 0 and
               last["at_sinks"] == len(read_log(folder)), "and still nothing is lost or doubled", last)


def test_words():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "mine").write_text("x")
        done = run("--keep", folder, "--no-web")
        tap.ok(done.returncode == 5 and "not empty" in done.stderr, "--keep: not over what is there",
               done.stderr)
        tap.equal(os.listdir(folder), ["mine"], "and it is left as it was")
    for words in (["--contacts", "0"], ["--seconds", "-1"], ["--seed"], ["--host", "192.0.2.1"],
                  ["example.com"], ["--contacts", "10x"]):
        done = run(*words)
        tap.ok(done.returncode == 2 and done.stderr, f"{' '.join(words)}: exit 2", done.stderr)


def test_interrupted():
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen([daemon.BINARY, "demo", "--contacts", "5000", "--no-web", "--json"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env={**os.environ, "TMPDIR": folder})
        lines = []
        while not any(" sent," in line for line in lines):
            lines.append(child.stderr.readline())
        family = children_of(child.pid)
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=30)
        last = json.loads(out.strip().splitlines()[-1])
        tap.equal(child.returncode, 130, "Ctrl-C: exit 130")
        tap.ok(last["lost"] == 0 and last["doubled"] == 0 and last["pending"] > 0,
               "with an honest count", last)
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), 10,
                 "no child to be left")
        tap.equal(os.listdir(folder), [], "and nothing is left in the folder for temporary files")


def on_terminal(seconds, **environment):
    """What the demo writes to a terminal within some seconds."""
    pid, fd = pty.fork()
    if pid == 0:
        try:
            os.execve(daemon.BINARY, [daemon.BINARY, "demo", "--contacts", "300", "--seconds", "5",
                                      "--no-web"], {**os.environ, "TERM": "xterm", **environment})
        finally:
            os._exit(127)
    seen, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                piece = os.read(fd, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
    os.close(fd)
    return seen.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_terminal():
    seen, status = on_terminal(60, NO_COLOR="")
    tap.equal(status, 0, "on a terminal: exit 0")
    tap.ok(re.search(r"\x1b\[\d+A", seen) and "\x1b[32m" in seen, "the table is redrawn, in colours",
           seen[-500:])
    tap.ok("Lost: 0. Doubled: 0." in seen, "and the proof stands below it", seen[-1500:])
    seen, _ = on_terminal(60, NO_COLOR="1")
    tap.ok(re.search(r"\x1b\[\d+A", seen) and not re.search(r"\x1b\[\d+m", seen),
           "NO_COLOR: no colours", seen[-500:])
    done = run("--contacts", 100, "--seconds", 5, "--no-web")
    tap.ok("\x1b" not in done.stdout + done.stderr, "elsewhere: plain lines", done.stderr[-500:])
    tap.ok("Proof" in done.stdout, "and the proof on standard output", done.stdout)


for one in (1, 42, 2026):
    tap.case(test_seed, one)
for case in (test_time_is_up, test_words, test_interrupted, test_terminal):
    tap.case(case)
tap.done()
