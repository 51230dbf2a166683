#!/usr/bin/env python3
# timeout: 240
"""Groups: exact round robin, priority tiers, fallback groups, limits that wait or spill, a server that
may send only for some From domains; pausing, draining and cloning servers; their CSV import and export."""
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def shares(scene):
    return Counter(d["server"] for d in scene.witness.events("dot"))


def test_round_robin():
    with Scene({n: {} for n in "abc"}) as scene:
        scene.daemon.cli("group", "add", "g", "--strategy", "round-robin")
        scene.add_servers("--max-connections", 1, group="g")
        people = scene.daemon.campaign("run", 300, group="g", html=None)
        scene.daemon.wait_finished("run", 60)
        tap.equal(shares(scene), {"a": 100, "b": 100, "c": 100}, "round robin: exactly a third each")
        scene.judge("run", people, "round robin", uncertain_max=0)


def test_priority():
    with Scene({"first": {"delay": {"dot": 20}}, "second": {}}) as scene:
        scene.daemon.cli("group", "add", "g", "--strategy", "priority")
        for priority, name in enumerate(("first", "second"), 1):
            scene.daemon.add_server(name, scene.witness.ports[name], "--priority", priority,
                                    "--connect-timeout", "2s", group="g")
        people = scene.daemon.campaign("run", 2000, group="g", html=None)
        wait_for(lambda: shares(scene)["first"] >= 300, 30, "300 by the first")
        tap.equal(shares(scene)["second"], 0, "priority: the second tier rests while the first can")
        scene.witness.unlisten("first")
        scene.witness.cut("first")
        report = scene.daemon.wait_finished("run", 60)
        tap.ok(shares(scene)["second"] > 0, "and carries when it cannot")
        found, _ = scene.judge("run", people, "priority", uncertain_max=10)
        tap.equal(report["sent"] + len(found.uncertain), 2000, "priority: all sent or uncertain")


def test_fallback_and_spill():
    with Scene({"small": {}, "spare": {}}) as scene:
        scene.daemon.cli("group", "add", "reserve", "--strategy", "round-robin")
        scene.daemon.cli("group", "add", "main", "--strategy", "round-robin", "--fallback", "reserve",
                         "--at-limit", "spill")
        scene.daemon.cli("group", "add", "patient", "--strategy", "round-robin", "--fallback",
                         "reserve", "--at-limit", "wait")
        scene.daemon.add_server("small", scene.witness.ports["small"], "--per-hour", 30,
                                "--group", "patient", group="main")
        scene.daemon.add_server("spare", scene.witness.ports["spare"], group="reserve")
        people = scene.daemon.campaign("run", 100, group="main", html=None)
        scene.daemon.wait_finished("run", 60)
        tap.equal(shares(scene), {"small": 30, "spare": 70}, "at the limit the rest spills over")
        scene.judge("run", people, "spill", uncertain_max=0)
        scene.daemon.campaign("wait", 20, group="patient", html=None)
        wait_for(lambda: "wait" in scene.daemon.cli("queue", "summary", "--json"), 10, "a class to wait")
        said = scene.daemon.cli("queue", "summary", "--json")
        tap.ok("small" in said or "quota" in said or "limit" in said, "queue summary says for what", said)
        tap.equal(sum(shares(scene).values()), 100, "--at-limit wait: nothing moves on")


def test_hands():
    """pause, drain, clone, set, CSV out and in again."""
    with Scene({n: {"delay": {"dot": 20}} for n in "ab"}) as scene:
        scene.add_servers("--per-day", 5000, "--cost-per-1000", "0.10", "--region", "eu")
        scene.daemon.cli("server", "pause", "a")
        people = scene.daemon.campaign("run", 200, html=None)
        scene.daemon.wait_finished("run", 60)
        tap.equal(dict(shares(scene)), {"b": 200}, "a paused server gets nothing")
        tap.equal(scene.daemon.server("a")["admin_state"], "paused", "and is shown as such")
        scene.daemon.cli("server", "resume", "a")
        scene.daemon.cli("server", "clone", "a", "c")
        scene.daemon.cli("server", "drain", "b")
        text = scene.daemon.cli("server", "export")
        tap.ok(len(text.strip().splitlines()) == 4 and "password" not in text.lower().split("\n")[1],
               "export is a header and three servers", text)
        scene.daemon.cli("server", "remove", "c", "--yes")
        path = Path(scene.folder, "servers.csv")
        path.write_text(text)
        scene.daemon.run("server", "import", str(path))
        names = sorted(s["name"] for s in scene.daemon.lines("server", "list"))
        tap.equal(names, ["a", "b", "c"], "import brings back what was removed")
        scene.judge("run", people, "one paused", uncertain_max=0)


def test_from_domain():
    with Scene({"only": {}, "any": {}}) as scene:
        scene.daemon.add_server("only", scene.witness.ports["only"], "--from-domain", "elsewhere.example")
        scene.daemon.add_server("any", scene.witness.ports["any"])
        people = scene.daemon.campaign("run", 40, html=None)
        scene.daemon.wait_finished("run", 40)
        tap.equal(dict(shares(scene)), {"any": 40}, "a server sends only for its From domains")
        scene.judge("run", people, "From domain", uncertain_max=0)


def test_export_guard():
    """What a spreadsheet would run is neutralised in the contacts' CSV."""
    with Scene(None) as scene:
        path = Path(scene.folder, "in.csv")
        path.write_text('email,first_name\na@example.org,"=HYPERLINK(""http://evil"",""x"")"\n'
                        "b@example.org,+1\nc@example.org,@SUM(A1)\nd@example.org,plain\n")
        scene.daemon.cli("list", "add", "l")
        scene.daemon.cli("contact", "import", "--list", "l", str(path))
        text = scene.daemon.cli("contact", "export", "--list", "l")
        cells = [c.strip('"') for line in text.splitlines() for c in line.split(",")]
        tap.ok(not [c for c in cells if c[:1] in ("=", "+", "@")], "no cell begins a formula", text)
        tap.ok("plain" in text and "d@example.org" in text, "and the rest is as it was", text)


for test in (test_round_robin, test_priority, test_fallback_and_spill, test_hands, test_from_domain,
             test_export_guard):
    tap.case(test)
tap.done()
