#!/usr/bin/env python3
# timeout: 240
"""2,000 contacts over three servers of weights 10:5:5 with equal connections: 1000, 500, 500 within
3; each recipient once, each subject personalised; one second after the last message the report says
what the servers say."""
import email
import email.policy
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

CONTACTS = 2000
WEIGHTS = {"alpha": 10, "beta": 5, "gamma": 5}


def start_campaign(scene):
    d = scene.daemon
    d.cli("group", "add", "news", "--strategy", "weighted")
    for name, weight in WEIGHTS.items():
        d.add_server(name, scene.witness.ports[name], "--weight", weight, "--max-connections", 8,
                     group="news")
    return d.campaign("july", CONTACTS, group="news")


def report_a_second_later(scene):
    """The report as it is asked for exactly once, one second after the last dot."""
    wait_for(lambda: scene.witness.dots() >= CONTACTS, 120, "all dots at the servers", every=0.02)
    last = max(d["t"] for d in scene.witness.events("dot"))
    wait_for(lambda: time.time() >= last + 1.0, 5, "a second after the last dot", every=0.01)
    return scene.daemon.report("july")


def test_shares():
    with Scene({name: {"delay": {"dot": 5}} for name in WEIGHTS}) as scene:
        people = start_campaign(scene)
        report = report_a_second_later(scene)
        tap.equal((report["state"], report["sent"], report["pending"]), ("finished", CONTACTS, 0),
                  "the report is complete one second after the last message")
        dots = scene.witness.events("dot")
        at = Counter(d["server"] for d in dots)
        want = {"alpha": 1000, "beta": 500, "gamma": 500}
        tap.ok(all(abs(at[n] - want[n]) <= 3 for n in want), f"shares {dict(at)}", want)
        said = {line["server"]: line["sent"] for line in report["by_server"]}
        tap.equal(said, dict(at), "the report agrees with the servers")
        shares = {line["server"]: round(line["planned_share"], 3) for line in report["by_server"]}
        tap.equal(shares, {"alpha": 0.5, "beta": 0.25, "gamma": 0.25}, "planned shares")
        each = Counter(d["rcpt"][0] for d in dots)
        tap.ok(set(each) == set(people) and set(each.values()) == {1}, "each recipient once")
        check_subjects(scene, people)
        scene.judge("july", people, "2,000 over 10:5:5", uncertain_max=0)
        tap.equal(scene.daemon.stop(), 0, "SIGTERM ends with status 0")
        scene.check_ledger("afterwards")


def check_subjects(scene, people):
    numbers = {to: i for i, to in enumerate(people)}
    wrong, ids = [], set()
    for dot, raw in scene.witness.bodies():
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        to = dot["rcpt"][0]
        ids.add(dot["id"])
        if mail["Subject"] != f"Hello Name{numbers[to]}" or to not in str(mail["To"]):
            wrong.append((to, mail["Subject"], mail["To"]))
    tap.equal(wrong, [], "every subject is personalised and every To its own")
    tap.equal(len(ids), CONTACTS, "every message has a Message-ID of its own")


tap.case(test_shares)
tap.done()
