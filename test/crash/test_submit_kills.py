#!/usr/bin/env python3
# timeout: 600
"""10,000 messages submitted by SMTP (STARTTLS, AUTH, pipelined, several recipients) and by HTTP
(single and batches) at once, while the daemon is killed with -9 thirty times; then 1,000 more while it
is stopped for 20 s with a client standing at each step of both protocols, and a server at each step of
sending. What was accepted arrived or says honestly why not; nothing of the transactional stream more
than twice, of bulk more than once; each second arrival is told by its attempts.

  test_submit_kills.py [--long]     POSTFLEET_SEED=N chooses the moments
--long stops at each step by itself, 20 s each (8 minutes).
"""
import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import crash  # noqa: E402
import submit  # noqa: E402
import tap  # noqa: E402
from certs import make_certificate  # noqa: E402
from daemon import free_port, signal_all, wait_for  # noqa: E402
from scene import Scene  # noqa: E402
from witness import ledger  # noqa: E402

KILLS = 30
STOP_S = 20
SEED = int(os.environ.get("POSTFLEET_SEED", "20264"))
# kind, mails, recipients each, bytes of the body
MAILS = [("keyed", 600, 5, 300), ("plain", 250, 4, 300), ("plain", 500, 1, 300),
         ("keyed", 5, 100, 100_000)]
# kind, requests, messages each
POSTS = [("keyed", 140, 20), ("bulk", 65, 20), ("keyed", 450, 1), ("plain", 450, 1)]
STEPS = ["connect", "ehlo", "starttls", "handshake", "ehlo again", "auth", "mail", "rcpt", "data",
         "body", "middle of the body", "dot"]
HTTP_STEPS = ["connect", "half of the head", "head", "half of the body", "answer"]
# Servers of their own for each step of sending, so that one stop meets them all.
SENDING = {"greeting": 300, "ehlo": 300, "mail": 300, "rcpt": 300, "data": 300, "dot": 300}


class Place:
    """The daemon with its entrances and logins, and the clients' book."""

    def __init__(self, scene):
        self.scene, self.port = scene, free_port()
        self.options = ("--submission", f"127.0.0.1:{self.port}")
        ca, cert, key = make_certificate(scene.folder)
        os.makedirs(scene.daemon.data, mode=0o700)
        Path(scene.daemon.data, "postfleet.yaml").write_text(
            f"tls:\n  cert_file: {cert}\n  key_file: {key}\n", encoding="utf-8")
        d = scene.daemon
        d.start(*self.options)
        d.cli("group", "add", "g", "--strategy", "round-robin")
        scene.add_servers("--max-connections", 5, "--max-messages-per-connection", 40, group="g")
        made = d.json("credential", "create", "app", "--group", "g", "--stream", "transactional")
        self.login = made["user"], made["password"]
        self.key = d.json("key", "create", "app-http", "--scope", "messages:send")["key"]
        self.context, self.book, self.link = submit.tls_context(ca), submit.Book(), None

    def load(self, prefix, mails, posts, clients):
        """Begins to submit with that many clients by each entrance."""
        self.mails = submit.make_mails(prefix + "s", mails, self.book)
        self.posts = submit.make_posts(prefix + "h", posts, self.book)
        return submit.Load(
            [(submit.run_smtp, self.port, self.context, self.login, self.mails, self.book)] * clients
            + [(submit.run_http, self.scene.daemon.port, self.key, self.posts, self.book)] * clients)

    def show(self, ident):
        """A message in full, over one connection for all."""
        if not self.link:
            self.link = http.client.HTTPConnection("localhost")
            self.link.sock = socket.socket(socket.AF_UNIX)
            self.link.sock.connect(os.path.join(self.scene.daemon.data, "api.sock"))
        self.link.request("GET", f"/v1/messages/{ident}")
        return json.loads(self.link.getresponse().read())


def kill_once(place, chance):
    """All of it, or only the process that has the sockets, or only the one that talks HTTP."""
    daemon, what = place.scene.daemon, chance.random()
    if what < 0.6:
        daemon.kill()
        daemon.start(*place.options)
        return
    signal_all([crash.child(place.scene, "core" if what < 0.85 else "web")], signal.SIGKILL)
    daemon.wait_ready()


def test_kills(place):
    chance = random.Random(SEED)
    began = time.monotonic()
    load = place.load("k", MAILS, POSTS, 3)
    total = len(place.book.kinds)
    moments = sorted(chance.randrange(total // 100, total * 95 // 100) for _ in range(KILLS))
    middle = 0
    for moment in moments:
        wait_for(lambda m=moment: place.book.progress() >= m or load.errors, 120,
                 f"{moment} accepted", every=0.005)
        kill_once(place, chance)
        middle += place.book.progress() < total
    tap.ok(load.join(120), "every client came to its end", load.errors)
    tap.ok(middle == KILLS, f"{middle} of {KILLS} kills fell among {total} submissions (seed {SEED})")
    tap.note(f"{time.monotonic() - began:.0f} s")


# ---- stopped


class Pause:
    """Clients that wait at their step until the daemon is stopped."""

    def __init__(self):
        self.stopped, self.waiting, self.lock = threading.Event(), 0, threading.Lock()

    def at(self, mine):
        def step(name):
            if name != mine:
                return
            with self.lock:
                self.waiting += 1
            self.stopped.wait(60)
        return step


def stand_smtp(place, pause, step, prefix):
    """A mail whose client stands at that step when the daemon stops."""
    name = f"{prefix}s{STEPS.index(step)}"
    mail = submit.Mail("keyed", name, submit.addresses(name, 2), 5000)
    place.book.wants("keyed", mail.to)
    client = submit.Smtp(place.port, place.context, place.login)
    once = pause.at(step)
    while not submit.offer_mail(client, mail, place.book, once):
        once = pause.at(None)
    client.close()


def stand_http(place, pause, step, prefix):
    name = f"{prefix}h{HTTP_STEPS.index(step)}"
    post = submit.Post("keyed", name, submit.addresses(name, 20), True)
    place.book.wants("keyed", post.to)
    once = pause.at(step)
    while not post_slowly(place, post, once):
        once = pause.at(None)


def post_slowly(place, post, step):
    """One request, byte by byte as far as the steps want it. False: try again."""
    lines = [f"{k}: {v}" for k, v in post.headers(place.key).items()]
    head = "\r\n".join([f"POST {post.path} HTTP/1.1", "Host: x", *lines, "Connection: close",
                        f"Content-Length: {len(post.body)}", "", ""]).encode()
    try:
        step("connect")
        with socket.create_connection(("127.0.0.1", place.scene.daemon.port), timeout=90) as s:
            for name, part in (("half of the head", head[:60]), ("head", head[60:]),
                               ("half of the body", post.body[:40]), ("answer", post.body[40:])):
                step(name)
                s.sendall(part)
            data = b"".join(iter(lambda: s.recv(65536), b""))
        top, _, body = data.partition(b"\r\n\r\n")
        return submit.take_answer(post, int(top.split()[1]), json.loads(body), place.book)
    except (OSError, ValueError, IndexError):
        return False


def stop_with(place, standing, load, prefix):
    """20 s without a turn of the daemon while these clients stand where they are."""
    pause, daemon = Pause(), place.scene.daemon
    threads = [threading.Thread(target=stand, args=(place, pause, step, prefix), daemon=True)
               for stand, step in standing]
    for t in threads:
        t.start()
    wait_for(lambda: pause.waiting == len(threads), 30, "each client at its step", every=0.01)
    before = place.book.progress()
    wait_for(lambda: place.book.progress() > before + 20 or not load, 30, "submissions beside them",
             every=0.005)
    pids = daemon.pids()
    signal_all(pids, signal.SIGSTOP)
    pause.stopped.set()
    end = time.monotonic() + STOP_S
    wait_for(lambda: time.monotonic() >= end, STOP_S + 5, "the stop to pass", every=0.2)
    signal_all(pids, signal.SIGCONT)
    for t in threads:
        t.join(90)
    return not any(t.is_alive() for t in threads)


def test_stop(place):
    for (step, ms), name in zip(SENDING.items(), place.scene.witness.ports):
        place.scene.witness.behave(name, delay={step: ms})
    standing = [(stand_smtp, s) for s in STEPS] + [(stand_http, s) for s in HTTP_STEPS]
    load = place.load("t", [("keyed", 80, 5, 300), ("plain", 100, 1, 300)],
                      [("keyed", 20, 20), ("plain", 100, 1)], 2)
    done = stop_with(place, standing, load, "stand")
    tap.ok(done and load.join(120), f"stopped {STOP_S} s: {len(standing)} clients, each at a step of "
           "its own, and those beside them all end", load.errors)
    if "--long" not in sys.argv:
        return
    for stand, step in standing:
        tap.ok(stop_with(place, [(stand, step)], None, "alone"), f"stopped at {step} alone")


# ---- the end


def is_over(daemon):
    return not any(daemon.lines("message", "search", "--state", state, "--limit", "1")
                   for state in ("queued", "deferred", "held"))


def test_judgement(place):
    daemon, witness = place.scene.daemon, place.scene.witness
    for name in witness.ports:
        witness.behave(name)
    wait_for(lambda: is_over(daemon), 150, "an end of every message", every=0.5)
    rows = daemon.lines("message", "search")
    dots = witness.events("dot")
    found = submit.judge(place.book, rows, dots, lambda dot: ledger.read_body(witness.log, dot),
                         place.show)
    tap.ok(not place.book.refused, "nothing was refused", place.book.refused[:5])
    tap.equal(len(place.book.accepted), len(place.book.kinds), "every submission was accepted in the end")
    tap.ok(not found.faults(), "accepted is delivered or honestly accounted for; none more than twice, "
           "each second time told by its attempts", found)
    tap.note(found.count)
    plain = sum(place.book.unanswered[a] for a, k in place.book.kinds.items() if k == "plain")
    tap.ok(found.count["submitted twice without a key"] <= plain,
           f"clients without a key, which send again: {found.count['submitted twice without a key']} "
           f"messages twice, of {plain} answers lost")
    tap.equal(daemon.stop(), 0, "SIGTERM ends with status 0")
    place.scene.check_ledger("submission")


def main():
    servers = {name: {"delay": {"dot": 20}} for name in ("one", "two", "three", "four", "five", "six")}
    with Scene(servers, start=False) as scene:
        place = Place(scene)
        for test in (test_kills, test_stop, test_judgement):
            tap.case(test, place)
    tap.done()


if __name__ == "__main__":
    main()
