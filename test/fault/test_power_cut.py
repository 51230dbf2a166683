#!/usr/bin/env python3
# timeout: 900
"""Power cuts: all that the daemon writes, syncs and names while it sends 200 messages is recorded,
over four starts with one kill -9 in them. Then the disk is made as a cut at some point may leave
it: what was synced stays, the rest is kept, dropped or torn. Each such disk is recovered without
sending (postfleet db recover) and judged: the database opens and is whole, the ledger is clean,
all that was answered with 2xx before the cut is there in exactly one state, every mail that a
server took before the cut is sent or uncertain, and at most two a connection became uncertain.

  test_power_cut.py [--states N] [--seed N] [--jobs N] [--replay FOLDER]

States are spread over the whole log, so that N beyond its length takes every prefix several times.
--replay takes the folder of an earlier run, which is kept when a state was judged bad."""
import argparse
import collections
import concurrent.futures
import http.client
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import crash  # noqa: E402
import daemon  # noqa: E402
import powercut  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

CONNECTIONS = 4
SINGLES = {"first": 30, "later": 70}
CONTACTS = 100
NO_USER = [["^run1[0-9]@", "550 5.1.1 no such user"]]
SERVERS = {"one": {"delay": {"dot": 25}, "rcpt": NO_USER},
           "two": {"delay": {"dot": 40}, "rcpt": NO_USER,
                   "reply": {"dot": "451 4.3.0 later"}, "every": {"dot": 7}},
           "three": {"delay": {"dot": 25}, "rcpt": NO_USER}}
SENT, UNCERTAIN, FINAL = 2, 3, range(2, 9)  # enum message_state
TRANSACTIONAL = 0                           # enum lane
UNCERTAIN_MAX = 2 * CONNECTIONS * len(SERVERS)


class Facts:
    """What the world outside knows and when: answers with 2xx, commands that ended well."""

    def __init__(self):
        self.singles, self.rows = [], []  # (time, address), (time, SQL that finds it, what)
        self.ready_at = None

    def did(self, sql, what):
        self.rows.append((time.monotonic(), sql, what))

    def save(self, path, dots, expected_end):
        Path(path).write_text(json.dumps({"singles": self.singles, "rows": self.rows,
                                          "ready_at": self.ready_at, "dots": dots,
                                          "kill_at": expected_end}))


# ---- the run that is recorded

def post(scene, facts, number, prefix):
    """One message by the API; noted when it was answered with 202."""
    to, size = f"{prefix}{number}@example.org", 60000 if prefix == "later" else 2000
    size = 90000 if number % 25 == 3 else size  # goes to the spool
    body = {"from": "shop@example.com", "to": to, "subject": "order", "text": "line of text\n" *
            (size // 13), "stream": "bulk" if number % 3 == 0 else "transactional"}
    link = http.client.HTTPConnection("127.0.0.1", timeout=20)
    link.sock = socket.socket(socket.AF_UNIX)
    link.sock.settimeout(20)
    link.sock.connect(os.path.join(scene.daemon.data, "api.sock"))
    try:
        link.request("POST", "/v1/messages", json.dumps(body), {"Content-Type": "application/json"})
        answer = link.getresponse()
        answer.read()
        if answer.status == 202:
            facts.singles.append((time.monotonic(), to))
    finally:
        link.close()


def post_all(scene, facts, prefix, dead):
    """Posts them one after the other; what a dead daemon did not take is posted again later."""
    for number in range(SINGLES[prefix]):
        while not dead.is_set():
            try:
                post(scene, facts, number, prefix)
                break
            except (OSError, http.client.HTTPException):
                dead.wait(0.1)  # killed: up again soon. It may have been taken: then it is twice


def set_up(scene, facts):
    scene.add_servers("--max-connections", CONNECTIONS)
    for name in SERVERS:
        facts.did(f"SELECT 1 FROM server WHERE name = '{name}'", f"server {name}")
    people = scene.daemon.add_people("run", CONTACTS, prefix="run")
    facts.did(f"SELECT 1 FROM list WHERE name = 'run' AND members = {CONTACTS}", "list run")
    facts.did(f"SELECT 1 FROM (SELECT count(*) n FROM contact) WHERE n = {CONTACTS}", "contacts")
    scene.daemon.add_template("run", html=None)
    facts.did("SELECT 1 FROM template WHERE name = 'run'", "template run")
    scene.daemon.cli("campaign", "create", "run", "--list", "run", "--template", "run")
    facts.did("SELECT 1 FROM campaign WHERE name = 'run'", "campaign run")
    return people


def record(scene, env):
    """Four starts: single ones; nothing at all; the campaign, killed in the middle; the rest."""
    facts, dead, d = Facts(), threading.Event(), scene.daemon
    d.start(env=env)
    facts.ready_at = time.monotonic()
    set_up(scene, facts)
    post_all(scene, facts, "first", dead)
    wait_for(lambda: scene.witness.dots() >= SINGLES["first"], 30, "the first single messages")
    d.stop()
    d.start(env=env)
    d.stop()
    d.start(env=env)
    poster = threading.Thread(target=post_all, args=(scene, facts, "later", dead))
    d.cli("campaign", "start", "run")
    facts.did("SELECT 1 FROM campaign WHERE name = 'run' AND state >= 2", "start of run")
    poster.start()
    wait_for(lambda: scene.witness.dots() >= SINGLES["first"] + 60, 60, "half of it", every=0.01)
    d.kill()
    kill_at = time.monotonic()
    d.start(env=env)
    poster.join(60)
    dead.set()
    try:
        d.wait_finished("run", 12)
    except TimeoutError:
        tap.note("some mails of the campaign wait for another try")
    tap.equal(d.stop(), 0, "the recorded daemon stops cleanly")
    dots = [{"m": e["m"], "to": e["rcpt"][0], "code": e["code"]}
            for e in scene.witness.events("dot")]
    facts.save(Path(scene.folder, "facts.json"), dots, kill_at)


# ---- one state

def ids_of(blob):
    """The contacts of a lease: zigzag varints of differences."""
    ids, last, shift, z = [], 0, 0, 0
    for byte in blob:
        z |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            last += (z >> 1) ^ -(z & 1)
            ids.append(last)
            shift = z = 0
    return ids


class Books:
    """The messages of a recovered database, by address."""

    def __init__(self, path):
        db = sqlite3.connect(path)
        self.results, self.open, self.messages = (collections.defaultdict(list), set(),
                                                  collections.defaultdict(list))
        for message, _, state in db.execute("SELECT message_id, n, state FROM result ORDER BY 1, 2"):
            self.results[message].append(state)
        self.queue = {row[0] for row in db.execute("SELECT id FROM queue")}
        lanes = dict(db.execute("SELECT num, lane FROM campaign"))
        for message, to, lane in db.execute("SELECT id, rcpt, lane FROM message"):
            self.messages[to].append((message, lane))
        people = dict(db.execute("SELECT id, email FROM contact"))
        for first, num, blob, is_open in db.execute(
                "SELECT first_id, campaign_num, ids, open FROM lease WHERE campaign_num <> 0"):
            for i, contact in enumerate(ids_of(blob)):
                self.messages[people[contact]].append((first + i, lanes[num]))
                if is_open:
                    self.open.add(first + i)
        self.whole = db.execute("PRAGMA integrity_check").fetchone()[0]
        self.db = db

    def state(self, message, lane):
        """Its one state; None when it has none or two."""
        last = self.results[message][-1] if self.results[message] else 0
        if message in self.queue:
            again = lane == TRANSACTIONAL and last == UNCERTAIN
            return "queued" if last not in FINAL or again else None
        if last in FINAL:
            return "end"
        return "leased" if message in self.open else None

    def judge(self, facts, now):
        """Texts for all that is wrong, `now` being the last moment before the cut."""
        if self.whole != "ok":
            yield f"integrity_check: {self.whole}"
        for at, sql, what in facts["rows"]:
            if at <= now and not self.db.execute(sql).fetchone():
                yield f"{what} was done and is not there"
        for at, to in facts["singles"]:
            if at <= now and not self.messages[to]:
                yield f"{to} was answered with 202 and is not there"
        took, refused = collections.Counter(), collections.Counter()
        for dot in facts["dots"]:
            if dot["m"] <= now:
                (refused if dot["code"] >= 400 else took)[dot["to"]] += 1
        for to, mine in list(self.messages.items()):
            if len(mine) != 1 and "@" in to and to.startswith("run"):
                yield f"{to} has {len(mine)} messages"
            yield from self.judge_one(to, mine, took[to])
        for to in took:
            if not self.messages[to]:
                yield f"{to} was taken by a server and has no message"

    def judge_one(self, to, mine, took):
        states = [s for message, _ in mine for s in self.results[message]]
        known = sum(s in (SENT, UNCERTAIN) for s in states)
        for message, lane in mine:
            if self.state(message, lane) is None:
                yield f"{to}: results {self.results[message]}, queued {message in self.queue}, " \
                      f"leased {message in self.open}: not one state"
        if known < took:
            yield f"{to}: taken {took} times, but its results are {states}"
        if sum(s == SENT for s in states) > took:
            yield f"{to}: sent, but no server has it"


def recover(folder, early):
    """db recover on the folder; its answer. A cut in the first start is followed by another."""
    if early:
        done = run("init", folder)
        if done.returncode != 0:
            return None, f"init: {done.stdout}{done.stderr}"
    done = run("db", "recover", "--json", folder)
    if done.returncode != 0:
        return None, f"db recover ended with {done.returncode}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout), None


def run(*words):
    *command, folder = words
    return subprocess.run([daemon.BINARY, *command, "--data", folder], capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)


def judge_state(folder, facts, now, early):
    """Recovers a state twice and judges it: the faults, and how many became uncertain."""
    try:
        said, wrong = recover(folder, early)
        if wrong:
            return [wrong], 0
        uncertain = len(said["uncertain"])
        faults = list(Books(os.path.join(folder, "postfleet.db")).judge(facts, now))
        if uncertain > UNCERTAIN_MAX:
            faults.append(f"{uncertain} became uncertain, at most {UNCERTAIN_MAX} may")
        if said["journal"] != "whole" and uncertain:
            faults.append(f"the journal is called {said['journal']}, {uncertain} uncertain by that")
        return faults, uncertain
    except (sqlite3.Error, subprocess.TimeoutExpired, ValueError, KeyError) as e:
        return [f"{type(e).__name__}: {e}"], 0


# ---- all states

def cut_points(events, states, rng):
    """As many places as states, in order: a twentieth of them over the first 40 events, which make
    the folder, the others spread evenly over all events that change something."""
    places = [e.number for e in events
              if e.kind != powercut.WRITE or e.data is not None or e.at % (1 << 20) == 0]
    early = states // 20
    for start, end, n in ((0, 40, early), (40, len(places), states - early)):
        for i in range(n):
            yield places[start + int((i + rng.random()) * (end - start) / n)]


class Judging:
    """Takes states as they come and works on a few at a time."""

    def __init__(self, facts, jobs, base):
        self.facts, self.jobs, self.base = facts, jobs, base
        self.pool = concurrent.futures.ThreadPoolExecutor(jobs)
        self.running, self.bad = collections.deque(), []
        self.states = self.uncertain = self.most = 0

    def add(self, number, disk, cut, now, rng):
        folder = os.path.join(self.base, f"state-{number}")
        what = f"state {number}, cut after event {cut}: {disk.write_state(folder, rng)}"
        early = now <= self.facts["ready_at"]
        self.running.append((what, folder, self.pool.submit(judge_state, folder, self.facts, now,
                                                            early)))
        if len(self.running) > self.jobs:
            self.take()

    def take(self):
        what, folder, future = self.running.popleft()
        faults, uncertain = future.result()
        self.states += 1
        self.uncertain += uncertain
        self.most = max(self.most, uncertain)
        if faults:
            self.bad.append(what + "\n  " + "\n  ".join(faults[:6]))
        shutil.rmtree(folder, ignore_errors=True)

    def close(self):
        while self.running:
            self.take()
        self.pool.shutdown()


def cut_everywhere(folder, options):
    events = powercut.read_log(Path(folder, "writes.log"))
    facts = json.loads(Path(folder, "facts.json").read_text())
    disk, fed = powercut.Disk(os.path.join(facts["root"], "data")), 0
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="postfleet-cut-", dir=where) as base:
        judging = Judging(facts, options.jobs, base)
        for i, cut in enumerate(cut_points(events, options.states, random.Random(options.seed))):
            while fed <= cut:
                disk.take(events[fed])
                fed += 1
            now = events[cut + 1].s if cut + 1 < len(events) else float("inf")
            if options.only is None or i == options.only:
                judging.add(i, disk, cut, now, random.Random(f"{options.seed}:{i}"))
        judging.close()
    for e in events[fed:]:
        disk.take(e)
    tap.note(f"{len(events)} events, {len(facts['singles'])} answered with 202, "
             f"{len(facts['dots'])} dots; {judging.uncertain / max(judging.states, 1):.1f} "
             f"uncertain a state, at most {judging.most}")
    tap.ok(not judging.bad, f"{judging.states} states open, whole, nothing lost "
           f"({len(judging.bad)} bad)", "\n".join(judging.bad[:12]))
    return disk


def run_all(options, shim):
    if options.replay:
        cut_everywhere(options.replay, options)
        return
    with Scene(SERVERS, start=False) as scene:
        log = os.path.join(scene.folder, "writes.log")
        record(scene, {"LD_PRELOAD": shim, "RECORD_DIR": scene.daemon.data, "RECORD_LOG": log})
        path = Path(scene.folder, "facts.json")
        path.write_text(json.dumps(dict(json.loads(path.read_text()), root=scene.folder)))
        disk = cut_everywhere(scene.folder, options)
        missed = list(disk.differences(scene.daemon.data))
        tap.ok(not missed, "the log, taken whole, gives the files as they are", "\n".join(missed))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, help="this state alone")
    parser.add_argument("--replay", metavar="FOLDER")
    options = parser.parse_args()
    plain = os.environ.get("POSTFLEET_PLAIN_BINARY")
    with tempfile.TemporaryDirectory() as folder:
        shim = crash.build_shim("record_writes", folder)
        if not plain or not shim:
            tap.skip("power cuts", "no build without sanitizers, or no compiler")
            return
        daemon.BINARY = plain
        tap.note(f"seed {options.seed}, {options.states} states")
        tap.case(run_all, options, shim)


main()
tap.done()
