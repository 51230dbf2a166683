#!/usr/bin/env python3
# timeout: 240
"""The failure matrix of a group: rules by code, enhanced code and text, what they do to messages and
servers, tries a round, rounds and deadline, the order of failover, suppression by a rule, the dry run
against what happened, and what the command line refuses."""
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from scene import Scene  # noqa: E402

PICKY = {"rcpt": [["^full", "552 5.2.2 this mailbox is full"],
                  ["^another", "550 sorry, Try  Another server"],
                  ["^policy", "550 5.7.1 refused by local rules, ask <me@example.org>"],
                  ["^nobody", "550 we know nothing of them"]]}
LATER = {"rcpt": [["^late", "450 4.2.0 come again"]]}


def tiers(scene, names, group="g"):
    """Servers asked one after the other: each is a tier of its own."""
    scene.daemon.cli("group", "add", group, "--strategy", "priority")
    for priority, name in enumerate(names, 1):
        scene.daemon.add_server(name, scene.witness.ports[name], "--priority", priority, group=group)


def run(scene, name, count, prefix, seconds=40):
    people = scene.daemon.campaign(name, count, group="g", prefix=prefix, html=None)
    scene.daemon.wait_finished(name, seconds)
    return people


def show(scene, campaign, n=0):
    rows = scene.daemon.messages(campaign)
    return scene.daemon.json("message", "show", rows[n]["id"])


def states(scene, campaign):
    return Counter(m["state"] for m in scene.daemon.messages(campaign))


def test_rules():
    with Scene({"picky": PICKY, "kind": {}}) as scene:
        tiers(scene, ["picky", "kind"])
        run(scene, "full0", 6, "full")
        run(scene, "another0", 5, "another")
        run(scene, "fine0", 4, "fine")
        tap.equal(states(scene, "full0"), {"bounced": 6}, "without a rule a full mailbox bounces")
        tap.equal(states(scene, "another0"), {"failed": 5}, "and an unknown refusal fails")
        rules = ["--rule", "552 -> next_server", "--rule", "text 'try another' -> next_server",
                 "--rule", "5.7.* -> quarantine"]
        said = scene.daemon.json("failover", "set", "--group", "g", *rules, "--dry-run")
        found = {c["rule"]: c for c in said["changes"]}
        tap.equal((said["attempts"], said["changed"], said["complete"]), (15, 11, True),
                  "dry run: 15 attempts of the last day, 11 would have changed")
        tap.equal((found[1]["changed"], found[1]["moves"][0]["from"], found[1]["moves"][0]["to"]),
                  (6, "give_up", "next_server"), "rule 1 would have moved 6")
        tap.equal((found[2]["changed"], sorted(found)), (5, [1, 2]), "rule 2 5, rule 3 none")
        example = found[1]["moves"][0]["examples"][0]
        tap.equal(example["to"], "f***@example.org", "examples have no address")
        tap.equal(scene.daemon.json("failover", "show", "--group", "g")["is_default"], True,
                  "a dry run changes nothing")
        told = scene.daemon.run("failover", "set", "--group", "g", *rules)
        tap.ok(told.returncode == 0 and told.stderr.count("content") >= 2,
               "set warns that refusals for content go round", told.stderr)
        run(scene, "full1", 6, "full-b")
        run(scene, "another1", 5, "another-b")
        tap.equal(states(scene, "full1") + states(scene, "another1"), {"sent": 11},
                  "with the rules the next server takes them")
        tap.equal(Counter(d["server"] for d in scene.witness.events("dot"))["kind"], 11,
                  "and got each once")
        shown = show(scene, "another1")
        whys = [(a["server"], a["verdict"], a["why"]) for a in shown["attempts"]]
        tap.ok(len(whys) == 2 and "failover rule 2 of group g: next_server" in whys[0][2] and
               "rule" not in (whys[1][2] or ""), "the rule that decided stays with the attempt", whys)
        run(scene, "policy1", 3, "policy")
        server = scene.daemon.server("picky")
        tap.ok(server["state"] == "quarantined" and "failover rule 3" in server["reason"],
               "5.7.* -> quarantine takes the server out, with the reason", server)
        tap.equal(states(scene, "policy1"), {"sent": 3}, "its messages go on by the other")


def test_rounds():
    with Scene({n: LATER for n in "abc"}) as scene:
        tiers(scene, "abc")
        scene.daemon.cli("failover", "set", "--group", "g", "--rule", "450 -> next_server",
                         "--tries-per-round", 2, "--rounds", 2, "--first-delay", "1s")
        run(scene, "rounds", 1, "late")
        shown = show(scene, "rounds")
        tap.equal([a["server"] for a in shown["attempts"]], ["a", "b", "a", "b"],
                  "two servers a round, two rounds")
        tap.equal((shown["state"], scene.daemon.report("rounds")["bounced"]),
                  ("bounced", {"hard": 0, "soft": 1}), "then it is bounced, soft")
        whys = [a["why"] for a in shown["attempts"]]
        tap.ok("tries per round reached" in whys[1] and "rounds reached" in whys[3],
               "and the attempts say by what", whys)
        scene.daemon.cli("failover", "set", "--group", "g", "--tries-per-round", "none", "--rounds",
                         "none", "--tries", 5)
        run(scene, "tries", 1, "late")
        shown = show(scene, "tries")
        tap.equal([a["server"] for a in shown["attempts"]], ["a", "b", "c", "a", "b"],
                  "--tries 5: five attempts in all")
        tap.ok("tries in all reached" in shown["attempts"][-1]["why"], "as the last one says",
               shown["attempts"][-1])


def test_deadline():
    with Scene({n: LATER for n in "ab"}) as scene:
        tiers(scene, "ab")
        scene.daemon.cli("failover", "set", "--group", "g", "--deadline", "4s", "--first-delay", "1s",
                         "--max-delay", "1s")
        run(scene, "short", 2, "late")
        shown = show(scene, "short")
        tap.ok(3 <= len(shown["attempts"]) <= 5, "tried each second until the deadline",
               len(shown["attempts"]))
        tap.equal(scene.daemon.report("short")["bounced"], {"hard": 0, "soft": 2},
                  "at the deadline bounced, soft, with the whole history")
        tap.ok("deadline reached" in shown["attempts"][-1]["why"], "the last attempt says why",
               shown["attempts"][-1])
        tap.equal(scene.daemon.run("suppression", "check", shown["to"]).returncode, 3,
                  "and nobody is suppressed")


def test_suppress_and_open():
    with Scene({"picky": PICKY, "kind": {}}) as scene:
        tiers(scene, ["picky", "kind"])
        scene.daemon.cli("failover", "set", "--group", "g", "--rule",
                         "unknown 'know nothing' -> suppress")
        people = run(scene, "gone", 3, "nobody")
        said = scene.daemon.json("suppression", "check", people[0])
        tap.equal((said["reason"], said["source"]), ("rule", "failover rule 1 of group g: suppress"),
                  "a rule suppresses, and is named as the source")
        tap.equal(scene.daemon.report("gone")["bounced"], {"hard": 3, "soft": 0}, "bounced, hard")
        scene.daemon.cli("failover", "set", "--group", "g", "--reset", "--rule", "552 !content -> open")
        scene.daemon.cli("suppression", "revert", "--server", "picky", "--since", "1h", "--yes")
        tap.equal(scene.daemon.run("suppression", "check", people[0]).returncode, 3,
                  "revert of the server takes it back")
        run(scene, "again", 1, "full")
        server = scene.daemon.server("picky")
        tap.ok(server["state"] in ("open", "half_open", "ramp") and
               "failover rule 1 of group g: open" in scene.daemon.log(), "a rule opens a server",
               server)
        tap.equal(states(scene, "again"), {"sent": 1}, "its message goes on")


def test_order():
    names = "abcd"
    with Scene({n: ({} if n == "d" else LATER) for n in names}) as scene:
        scene.daemon.cli("group", "add", "g", "--strategy", "round-robin")
        scene.add_servers(group="g")
        scene.daemon.cli("failover", "set", "--group", "g", "--rule", "450 -> next_server", "--order",
                         "d,b")
        run(scene, "warm", 8, "fine")  # every server has answered once
        run(scene, "order", 12, "late")
        rows = [scene.daemon.json("message", "show", m["id"]) for m in scene.daemon.messages("order")]
        seconds = Counter(r["attempts"][1]["server"] for r in rows if len(r["attempts"]) > 1)
        tap.ok(sum(seconds.values()) >= 6 and seconds["d"] >= sum(seconds.values()) - 1,
               "the first of the order is asked next", seconds)
        tap.equal(states(scene, "order"), {"sent": 12}, "and all are sent")


def test_words():
    with Scene(None) as scene:
        cli = scene.daemon.run
        shown = scene.daemon.json("failover", "show")
        tap.ok(shown["is_default"] and len(shown["defaults"]) >= 13 and
               shown["effective"]["streams"]["bulk"]["deadline"] == "72h",
               "show has every default", shown)
        text = scene.daemon.cli("failover", "show")
        tap.ok("content" in text and "next_server" in text and "72h" in text, "and says so", text)
        path = Path(scene.folder, "matrix.yaml")
        path.write_text("# ours\nrules:\n  - 552 -> next_server\n  - code: [450, 451]\n    phase: rcpt\n"
                        "    text: come again\n    action: next_server\ntries: 7\ndeadline: 12h\n")
        said = scene.daemon.json("failover", "set", "--file", str(path))
        tap.equal((said["rules"], said["tries"], said["deadline"]),
                  (["552 -> next_server",
                    "450,451 phase=rcpt text 'come again' -> next_server"], 7, "12h"),
                  "a file is read as it is meant")
        scene.daemon.cli("failover", "set", "--tries", "none")
        said = scene.daemon.json("failover", "show")
        tap.equal((said["tries"], len(said["rules"])), (None, 2), "a single setting changes alone")
        for content, line, word in (("rules:\n  - 552 -> nowhere\n", 2, "nowhere"),
                                    ("tries: 3\ntires: 4\n", 2, "tries"),
                                    ("rules:\n  - code: 552\n    action: defer\n    verdict: sad\n", 4,
                                     "sad"),
                                    ("rules: [\n", 2, ""), ("deadline: soon\n", 1, "duration"),
                                    ("order: a\n", 1, "list")):
            path.write_text(content)
            done = cli("failover", "set", "--file", str(path))
            tap.ok(done.returncode == 2 and f"line {line}" in done.stderr and word in done.stderr,
                   f"refused with its line: {content!r}", done.stderr)
        for args, status in ((("--group", "nope", "--tries", "3"), 3), ((), 2),
                             (("--rule", "accepted -> next_server"), 2),
                             (("--order", "ghost"), 3), (("--tries", "0"), 2)):
            done = cli("failover", "set", *args)
            tap.equal(done.returncode, status, f"failover set {' '.join(args)} exits {status}")
        scene.daemon.cli("failover", "set", "--reset")
        tap.ok(scene.daemon.json("failover", "show")["is_default"], "--reset brings the defaults back")


for test in (test_rules, test_rounds, test_deadline, test_suppress_and_open, test_order, test_words):
    tap.case(test)
tap.done()
