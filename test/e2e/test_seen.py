#!/usr/bin/env python3
# timeout: 200
"""What the user sees: attempts searched, tailed and followed; a report with its end, with shares
planned by routes, and with what exactness costs; routed groups of messages; why a campaign stands
still; warm-up caps and resting members in lists; names, options and actors in plain words."""
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import BINARY, wait_for  # noqa: E402
from scene import Scene  # noqa: E402

PEOPLE = 1200


def add_campaign(scene, name, *options, people=PEOPLE):
    """Every fourth contact is in the US and at example.net."""
    d = scene.daemon
    path = Path(scene.folder, f"{name}.csv")
    path.write_text("email,country\n" + "".join(
        f"{name}{i}@example.{'net' if i % 4 == 0 else 'org'},{'US' if i % 4 == 0 else 'AT'}\n"
        for i in range(people)))
    d.cli("list", "add", name)
    d.cli("contact", "import", "--list", name, path)
    d.add_template(name, html=None, subject="Hello")
    d.cli("campaign", "create", name, "--list", name, "--template", name, *options)


def by(rows, key):
    return {row[key]: row for row in rows}


def follower(scene, *options):
    """`log tail --follow` into a file."""
    path = Path(scene.folder, "followed.jsonl")
    with open(path, "wb") as out:
        process = subprocess.Popen([BINARY, "log", "tail", "--follow", "--json", "--data",
                                    scene.daemon.data, *options], stdout=out, stderr=out)
    return process, path


def lines_of(path):
    return [json.loads(x) for x in path.read_text().splitlines() if x.startswith("{")]


def check_report_at_work(d):
    def reported():
        report = d.report("july")
        return report if report["eta"] and report["exact_shares"] else None
    report = wait_for(reported, 60, "a report with an end")
    tap.ok(report["eta"]["ends"] and report["eta"]["seconds"] > 0 and
           re.match(r"20\d\d-", report["eta"]["finishes_at"]) and report["eta"]["bottleneck"],
           "while it runs the report tells the end and what holds it up", report["eta"])
    groups = by(report["by_group"], "group")
    tap.ok(abs(groups["us"]["planned_share"] - 0.25) < 0.001 and
           abs(groups["eu"]["planned_share"] - 0.75) < 0.001, "groups are planned by the routes",
           groups)
    servers = by(report["by_server"], "server")
    tap.ok(abs(servers["slow"]["planned_share"] - 0.375) < 0.001 and
           abs(servers["us1"]["planned_share"] - 0.25) < 0.001, "and servers within them", servers)
    # a simulation of the fleet is steadied by its first answers: it may take a look or two
    cost = wait_for(lambda: next((x for x in d.report("july")["exact_shares"] if
                                  x["group"] == "eu" and x["costs_share"] > 0.2), None), 60,
                    "what exactness costs", every=0.5)
    tap.equal(cost["slowest"], "slow", "exact shares: the slowest member and its cost")


def check_log(scene, refused):
    d = scene.daemon
    tap.equal(len(d.lines("log", "search", "--limit", 10 * PEOPLE)), PEOPLE, "every attempt is found")
    bad = d.lines("log", "search", "--verdict", "hard_bounce", "--server", "us1")
    tap.ok(len(bad) == refused and all(x["code"] == 550 and x["rule"] and x["to"] and x["ms"] >= 0
                                       and "no such user" in x["reply"] for x in bad),
           "by verdict and server, with reply, rule and recipient", bad[:2])
    tap.equal(len(d.lines("log", "search", "--text", "NO SUCH", "--campaign", "july")), refused,
              "by text and campaign")
    one = d.lines("log", "search", "--to", "july4@example.net")
    tap.ok(len(one) == 1 and one[0]["group"] == "us" and one[0]["route"] == "usa",
           "by recipient, with group and route", one)
    tap.equal(d.lines("log", "search", "--until", "10m"), [], "nothing was sent ten minutes ago")
    tap.equal(len(d.lines("log", "search", "--since", "10m", "--limit", 7)), 7, "a span and a limit")
    text = d.cli("log", "tail", "--lines", 5)
    tap.ok(len(text.splitlines()) == 5 and "accepted" in text, "tail prints the last ones", text)
    tap.equal(d.run("log", "search", "--verdict", "nice").returncode, 2, "an unknown verdict")
    tap.equal(d.run("log", "search", "--since", "long ago").returncode, 2, "a time that is none")
    tap.equal(d.run("log", "search", "--server", "nobody").returncode, 3, "an unknown server")


def check_messages(d):
    found = d.lines("message", "search", "--tag", "summer")
    tap.equal(len(found), PEOPLE, "messages by the tag of their campaign")
    tap.equal(d.lines("message", "search", "--tag", "winter"), [], "none by another")
    one = d.lines("message", "search", "--to", "july8@example.net")[0]
    shown = d.json("message", "show", one["id"])
    tap.ok(one["group"] == shown["group"] == "us" and shown["route"] == "usa" and
           shown["attempts"][0]["route"] == "usa", "a message tells its routed group and rule", shown)


def test_routed_campaign():
    rule = [["^july(16|32|48)@", "550 5.1.1 no such user"]]
    behave = {"fast": {}, "slow": {"delay": {"dot": 40}}, "us1": {"rcpt": rule}}
    with Scene(behave) as scene:
        d = scene.daemon
        d.cli("group", "add", "eu", "--strategy", "weighted")
        d.cli("group", "add", "us", "--strategy", "weighted")
        for name, group in (("fast", "eu"), ("slow", "eu"), ("us1", "us")):
            d.add_server(name, scene.witness.ports[name], "--max-connections", 2, group=group)
        d.cli("route", "add", "usa", "--country", "US", "--group", "us")
        add_campaign(scene, "july", "--group", "eu", "--tag", "summer")
        process, path = follower(scene)
        d.cli("campaign", "start", "july")
        check_report_at_work(d)
        report = d.wait_finished("july", 90)
        tap.ok(report["eta"] is None, "a finished one has no end ahead")
        groups = by(report["by_group"], "group")
        tap.equal((groups["us"]["sent"], groups["eu"]["sent"]), (PEOPLE // 4 - 3, PEOPLE * 3 // 4),
                  "what each group carried")
        text = d.cli("campaign", "report", "july")
        tap.ok("Sent by group" in text and "exact shares" in text and "wait for slow" in text,
               "all of it in words", text)
        check_log(scene, 3)
        wait_for(lambda: len(lines_of(path)) >= PEOPLE, 30, "the follower saw all attempts")
        process.send_signal(signal.SIGINT)
        tap.equal(process.wait(20), 130, "Ctrl-C ends following")
        seen = lines_of(path)
        tap.equal(len({(x["id"], x["n"]) for x in seen}), len(seen), "each attempt once")
        check_messages(d)
        tap.equal(d.stop(), 0, "the daemon ends")
        scene.check_ledger("after a routed campaign")


def test_waiting():
    with Scene({"a": {}}) as scene:
        d = scene.daemon
        d.add_server("a", scene.witness.ports["a"], "--per-hour", 20)
        add_campaign(scene, "still", people=60)
        d.cli("campaign", "start", "still")
        reason = wait_for(lambda: d.report("still")["reason"], 40, "a reason", every=0.3)
        report = d.report("still")
        tap.ok(report["state"] == "running" and reason.startswith("waiting (quota): ") and
               "20 in the hour" in reason and ", until 20" in reason,
               "a campaign that stands still says what it waits for and until when", reason)
        mail = Path(scene.folder, "m.eml")
        mail.write_text("From: a@example.com\nTo: ana@example.net\nSubject: x\n\nhello\n")
        d.cli("group", "add", "other", "--strategy", "weighted")
        said = d.run("route", "add", "odd", "--tag", "odd", "--group", "other")
        tap.ok(said.returncode == 0 and "group other has no server" in said.stderr,
               "a route to an empty group is warned of", said)
        sent = d.json("send", mail, "--to", "ana@example.net", "--tag", "odd")
        shown = d.json("message", "show", sent["id"])
        tap.ok(shown["group"] == "other" and shown["route"] == "odd" and shown["now"]["why"],
               "a waiting message tells where it goes now, and what it waits for", shown)
        add_campaign(scene, "lost", "--group", "other", "--tag", "odd", people=8)
        d.cli("server", "add", "x", "--host", "127.0.0.1", "--port", 1, "--tls", "none", "--group",
              "other", "--from", "x@example.com")
        d.cli("server", "pause", "x")
        d.cli("campaign", "start", "lost")
        reason = wait_for(lambda: d.report("lost")["state"] == "stalled" and
                          "group other" in d.report("lost")["reason"] and
                          d.report("lost")["reason"], 20, "stalled", every=0.3)
        tap.ok("paused" in reason, "a stalled campaign names the group and what is the matter", reason)
        tap.ok(d.json("campaign", "forecast", "lost")["bottleneck"].startswith("group other: "),
               "so does the forecast")
        text = d.cli("queue", "summary")
        tap.ok("bulk" in text and "in " in text and "_" not in text.splitlines()[0],
               "the queue in words", text)
        again = [re.sub(r"in [0-9].*|[0-9.]+ m?s", "", d.cli("queue", "summary")) for _ in range(2)]
        tap.equal(again[0].split("WHY")[0], again[1].split("WHY")[0], "in the same order")


def test_states():
    with Scene({n: {} for n in ("a", "b", "c")}) as scene:
        d = scene.daemon
        d.cli("group", "add", "turns", "--strategy", "round-robin", "--rotate-active", 1,
              "--rotate-every", "1h")
        for name in "abc":
            d.add_server(name, scene.witness.ports[name], group="turns")
        resting = [s["name"] for s in d.lines("server", "list") if s["lifecycle"] == "resting"]
        members = d.json("group", "show", "turns")
        tap.ok(len(resting) == 2 and members["rotation"]["active"] == 1 and
               sorted(m["server"] for m in members["servers"] if m["resting"]) == sorted(resting),
               "resting members stand in server list and group show", members)
        tap.ok("resting" in d.cli("top", "--once"), "and in top")
        d.cli("warmup", "start", "a", "--table", "30,60")
        quota = by(wait_for(lambda: d.server("a")["quota"], 10, "a quota"), "window")
        tap.equal(quota["warmup"]["limit"], 30, "the cap of a warm-up is in its quota")
        tap.ok("warmup" in d.cli("top", "--once"), "and in top")
        for command, words in ((("server", "release", "b"), "neither quarantined nor suspect"),
                               (("warmup", "release", "a"), "not held")):
            said = d.run(*command)
            tap.ok(said.returncode == 0 and words in said.stderr and not said.stdout,
                   f"{' '.join(command)}: nothing to do", said)
        d.cli("warmup", "hold", "a")
        tap.ok("held already" in d.run("warmup", "hold", "a").stderr, "held already")
        for verb in ("hold", "skip", "stop"):
            said = d.run("warmup", verb, "b")
            tap.ok(said.returncode == 3 and "not warming up" in said.stderr, f"warmup {verb}", said)
        held = [e["reason"] for e in d.json("top", "--once")["events"] if e["kind"] == "warmup.held"]
        tap.ok(held and re.search(r"by user \w", held[0]), "events name who it was", held)


def test_words():
    with Scene({"a": {}}) as scene:
        d = scene.daemon
        said = d.run("server", "add", "a", "--host", "127.0.0.1", "--port", 2, "--tls", "none")
        tap.ok(said.returncode == 0 and "clear" not in said.stderr, "no warning on loopback", said)
        said = d.run("server", "add", "b", "--host", "mx.example.com", "--tls", "none")
        tap.ok("clear" in said.stderr, "a warning off it", said)
        for name in ("my server", "a\u00a0b", "x\u200by"):
            said = d.run("server", "add", name, "--host", "127.0.0.1")
            tap.ok(said.returncode == 2 and ("blank" in said.stderr or "invisible" in said.stderr),
                   f"refused: {name!r}", said)
        said = d.run("server", "set", "a", "--calendar", "Mars/North")
        tap.ok(said.returncode == 2 and "--calendar: " in said.stderr, "the option is named", said)
        said = d.run("group", "add", "g", "--strategy", "weighted", "--rotate-active", 2)
        tap.ok("--rotate-active: " in said.stderr and "--rotate-every or --rotate-messages" in
               said.stderr and "rotate_" not in said.stderr, "and those in the text", said)
        said = d.run("sink", "--help", data=False)
        tap.ok(all(w in said.stdout for w in ("reject:PHASE:CODE", "quota:N", "Examples")),
               "sink --help lists the verbs", said.stdout)


tap.case(test_routed_campaign)
tap.case(test_waiting)
tap.case(test_states)
tap.case(test_words)
tap.done()
