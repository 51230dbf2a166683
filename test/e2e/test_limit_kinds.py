#!/usr/bin/env python3
# timeout: 400
"""Limits of groups, campaigns, mailbox providers, a server with a provider, and credentials hold to
the message; they are set and removed while a campaign runs, and act at once."""
import http.client
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
import witness as w  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def limit(scene, kind):
    return next(x for x in scene.daemon.lines("limit", "list") if x["kind"] == kind)


def used(scene, kind):
    return sum(q["used"] for q in limit(scene, kind)["quota"])


def at_limit(scene, kind, most):
    """True when the limit is used up and nothing is on the wire."""
    in_flight = sum(s["in_flight"] for s in scene.daemon.lines("server", "list"))
    return used(scene, kind) >= most and in_flight == 0


def wait_at_limit(scene, kind, most, seconds=60):
    wait_for(lambda: at_limit(scene, kind, most), seconds, f"the limit of {kind} to be used up",
             every=0.2)


def prepare(scene, name, people, text="hello {{ contact.email }}\n{{ unsubscribe_url }}\n"):
    """A campaign to these addresses, not started."""
    path = Path(scene.folder, f"{name}.csv")
    path.write_text("email\n" + "".join(f"{to}\n" for to in people))
    scene.daemon.cli("list", "add", name)
    scene.daemon.cli("contact", "import", "--list", name, path)
    scene.daemon.add_template(name, subject="hello", text=text, html=None)
    scene.daemon.cli("campaign", "create", name, "--list", name, "--template", name)


def arrived(scene, domain, server=None):
    return [d for d in scene.witness.events("dot")
            if all(to.endswith("@" + domain) for to in d["rcpt"])
            and server in (None, d["server"])]


def test_group_and_kill():
    with Scene({"a": {"delay": {"dot": 40}}, "b": {"delay": {"dot": 40}}}) as scene:
        scene.add_servers("--max-connections", 2)
        people = scene.daemon.campaign("run", 150, html=None, start=False)
        scene.daemon.cli("limit", "set", "--group", "default", "--per-hour", 100)
        scene.daemon.cli("campaign", "start", "run")
        wait_for(lambda: scene.witness.dots() >= 40, 30, "40 dots", every=0.01)
        scene.daemon.kill()
        scene.daemon.start()
        wait_at_limit(scene, "group", 100)
        dots, report = scene.witness.dots(), scene.daemon.report("run")
        tap.ok(dots <= 100, f"a group's 100 an hour, killed: {dots} arrived, never over 100")
        tap.ok(dots + report["uncertain"] >= 90, "and its quota is used", report)
        table = scene.daemon.cli("limit", "list")
        tap.ok("USED" in table and "hour 100/100" in table, "limit list shows the use", table)
        scene.judge("run", people, "a group's 100 an hour", uncertain_max=8)


def test_campaign():
    with Scene({"a": {}}) as scene:
        scene.add_servers()
        people = scene.daemon.campaign("run", 200, html=None, start=False)
        scene.daemon.cli("limit", "set", "--campaign", "run", "--per-second", 20)
        scene.daemon.cli("campaign", "start", "run")
        wait_for(lambda: scene.witness.dots() >= 50, 30, "50 dots", every=0.02)
        most = w.most_within([d["m"] for d in scene.witness.events("dot")], 1.0)
        tap.ok(most <= 22, f"a campaign's 20 a second: at most {most} in any second, 22 allowed")
        scene.daemon.cli("limit", "set", "--campaign", "run", "--per-hour", 120)
        wait_at_limit(scene, "campaign", 120)
        tap.equal(scene.witness.dots(), 120, "an hourly limit set while it runs acts at once")
        scene.daemon.cli("limit", "remove", "--campaign", "run")
        scene.daemon.wait_finished("run", 30)
        tap.ok(not scene.daemon.lines("limit", "list"), "a removed limit is not listed")
        scene.judge("run", people, "a campaign's limits, lifted", uncertain_max=0)


def test_provider():
    with Scene({"a": {}, "b": {}}) as scene:
        scene.add_servers()
        people = [f"p{i}@{domain}" for i in range(40) for domain in ("gmail.com", "example.org")]
        prepare(scene, "run", people)
        scene.daemon.cli("limit", "set", "--provider", "gmail", "--per-minute", 15)
        scene.daemon.cli("campaign", "start", "run")
        wait_for(lambda: len(arrived(scene, "example.org")) == 40, 40, "the others", every=0.1)
        tap.ok(True, "those of other providers go on")
        wait_for(lambda: len(arrived(scene, "gmail.com")) >= 15, 40, "15 to gmail", every=0.1)
        most = w.most_within([d["m"] for d in arrived(scene, "gmail.com")], 60.0)
        tap.ok(most <= 15, f"a provider's 15 a minute over two servers: {most} in a minute")
        scene.daemon.cli("limit", "remove", "--provider", "gmail")
        scene.daemon.wait_finished("run", 30)
        tap.equal(len(arrived(scene, "gmail.com")), 40, "the rest leaves when the limit is lifted")


def test_server_and_provider():
    with Scene({"a": {}, "b": {}}) as scene:
        scene.add_servers()
        for name, domain, count in (("run", "gmail.com", 60), ("rest", "example.org", 20)):
            prepare(scene, name, [f"p{i}@{domain}" for i in range(count)])
        scene.daemon.cli("limit", "set", "--server", "a", "--provider", "gmail", "--per-hour", 10)
        scene.daemon.cli("campaign", "start", "run")
        scene.daemon.wait_finished("run", 60)
        here, there = (len(arrived(scene, "gmail.com", server)) for server in "ab")
        tap.ok(5 <= here <= 10, f"server a for gmail, 10 an hour: {here} by it, never over 10")
        tap.equal(here + there, 60, "the other server takes the rest")
        scene.daemon.cli("campaign", "start", "rest")
        scene.daemon.wait_finished("rest", 60)
        tap.ok(len(arrived(scene, "example.org", "a")) >= 5, "a sends to others as before")
        one = limit(scene, "server_provider")
        tap.ok(one["server"] == "a" and one["provider"] == "gmail", "both are named", one)


def post(scene, key, to):
    link = http.client.HTTPConnection("127.0.0.1", scene.daemon.port, timeout=30)
    link.request("POST", "/v1/messages",
                 json.dumps({"from": "a@example.com", "to": to, "subject": "s", "text": "t"}),
                 {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
    status = link.getresponse().status
    link.close()
    return status


def test_credential():
    with Scene({"a": {}}) as scene:
        scene.add_servers()
        keys = {name: scene.daemon.json("key", "create", name, "--scope", "messages:send")["key"]
                for name in ("app", "other")}
        scene.daemon.cli("limit", "set", "--credential", "app", "--per-hour", 10)
        taken = [post(scene, keys["app"], f"p{i}@app.example") for i in range(25)]
        tap.equal(set(taken), {202}, "messages over a credential's limit are accepted and wait")
        for i in range(20):
            post(scene, keys["other"], f"p{i}@other.example")
        wait_for(lambda: len(arrived(scene, "other.example")) == 20, 30, "the other key's", every=0.1)
        wait_at_limit(scene, "credential", 10)
        tap.equal(len(arrived(scene, "app.example")), 10, "a credential's 10 an hour: 10 arrive")
        scene.daemon.cli("limit", "remove", "--credential", "app")
        wait_for(lambda: len(arrived(scene, "app.example")) == 25, 30, "the rest", every=0.1)
        tap.ok(True, "the rest leaves when the limit is lifted")


def test_refusals():
    with Scene({}) as scene:
        for what, options, status in (
                ("nothing it is for", ("--per-hour", 5), 2),
                ("two things", ("--group", "default", "--campaign", "x", "--per-hour", 5), None),
                ("no figure", ("--group", "default"), 2),
                ("no such group", ("--group", "none", "--per-hour", 5), None),
                ("a server alone", ("--server", "a", "--per-hour", 5), None)):
            done = scene.daemon.run("limit", "set", *options)
            tap.ok(done.returncode != 0 and done.stderr and (status is None or done.returncode == status),
                   f"limit set with {what} is refused", (done.returncode, done.stderr))


for test in (test_group_and_kill, test_campaign, test_provider, test_server_and_provider,
             test_credential, test_refusals):
    tap.case(test)
tap.done()
