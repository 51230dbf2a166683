#!/usr/bin/env python3
# timeout: 240
"""Routes: rules by domain, provider, tag, stream, country, sender, size and key send mail to their
groups; the order of rules; rules edited while a campaign runs; what is refused, and what is warned of."""
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from dns import Dns  # noqa: E402
from scene import Scene  # noqa: E402

MAIL = "From: {sender}\r\nTo: {to}\r\nSubject: x\r\n\r\n{body}\r\n"


def shares(scene):
    return Counter(d["server"] for d in scene.witness.events("dot"))


def groups(scene, names):
    """A group of that name for every server of that name."""
    for name in names:
        scene.daemon.cli("group", "add", name, "--strategy", "round-robin")
        scene.daemon.add_server(name, scene.witness.ports[name], group=name)


def import_people(daemon, name, rows):
    path = Path(daemon.folder, f"{name}.csv")
    path.write_text("email,country,engagement,first_name\n" + "".join(f"{','.join(r)},N\n" for r in rows))
    daemon.cli("list", "add", name)
    daemon.cli("contact", "import", "--list", name, path)


def send(daemon, to, *options, sender="app@shop.example", body="hello"):
    feed = MAIL.format(sender=sender, to=to, body=body)
    return daemon.json("send", "-", "--to", to, *options, feed=feed)["id"]


def shown(daemon, ident):
    def sent():
        m = daemon.json("message", "show", ident)
        return m if m["state"] == "sent" else None
    return wait_for(sent, 30, f"{ident} sent")


RULES = [
    ("vip", ["--tag", "vip"], "fast"),
    ("big", ["--size", ">20k"], "big"),
    ("gm", ["--provider", "gmail"], "gmail"),
    ("uni", ["--recipient-domain", "*.uni.example", "--recipient-domain", "uni.example"], "uni"),
    ("dach", ["--country", "at", "--country", "DE", "--stream", "bulk"], "dach"),
    ("news", ["--from-domain", "news.example"], "uni"),
    ("key", ["--credential", "app"], "big"),
    ("cold", ["--engagement", ">=5"], "gmail"),
]


def test_single():
    names = ["fast", "big", "gmail", "uni", "dach"]
    with Scene({n: {} for n in names + ["rest"]}) as scene:
        d = scene.daemon
        groups(scene, names)
        d.add_server("rest", scene.witness.ports["rest"])
        key = d.json("key", "create", "app", "--scope", "messages:send")["key"]
        import_people(d, "l", [("x@a.example", "AT", "6"), ("y@a.example", "", "")])
        for name, conditions, group in RULES:
            d.cli("route", "add", name, *conditions, "--group", group)
        tap.equal([r["name"] for r in d.lines("route", "list")], [r[0] for r in RULES],
                  "route list gives the order")
        keyfile = Path(d.folder, "key")
        keyfile.write_text(key)
        by_key = ["--url", f"http://127.0.0.1:{d.port}", "--token-file", str(keyfile)]
        cases = [
            ("a tag", "fast", "vip", ("k@gmail.com", "--tag", "vip", "--tag", "other"), {}),
            ("the size", "big", "big", ("k@gmail.com",), {"body": "x" * 70 + "\r\n" * 11000}),
            ("the provider", "gmail", "gm", ("k@gmail.com",), {}),
            ("the domain", "uni", "uni", ("k@uni.example",), {}),
            ("a domain below", "uni", "uni", ("k@a.b.uni.example",), {}),
            ("country and stream", "dach", "dach", ("x@a.example", "--stream", "bulk"), {}),
            ("the From domain", "uni", "news", ("y@a.example",), {"sender": "N <n@News.example>"}),
            ("engagement", "gmail", "cold", ("x@a.example",), {}),
            ("nothing", "rest", None, ("y@a.example",), {}),
            ("the message's own group", "dach", None, ("k@gmail.com", "--group", "dach"), {}),
        ]
        for what, server, rule, arguments, more in cases:
            m = shown(d, send(d, *arguments, **more))
            why = m["attempts"][-1]["why"] or ""
            tap.equal((m["server"], why.startswith("route ") and why.split(":")[0][6:] or None),
                      (server, rule), f"by {what}: {server}")
        feed = MAIL.format(sender="app@shop.example", to="y@a.example", body="by key")
        done = d.run("send", "-", "--to", "y@a.example", "--json", *by_key, feed=feed, data=False)
        m = shown(d, json.loads(done.stdout)["id"])
        tap.equal((m["server"], m["credential"]), ("big", "app"), "by credential")
        d.cli("route", "move", "cold", "--before", "vip")
        m = shown(d, send(d, "x@a.example", "--tag", "vip"))
        tap.equal((m["server"], m["tags"]), ("gmail", ["vip"]), "a rule moved to the front wins")
        d.cli("route", "remove", "cold", "--yes")
        m = shown(d, send(d, "x@a.example", "--tag", "vip"))
        tap.equal(m["server"], "fast", "a removed rule does not")
        d.cli("route", "set", "vip", "--tag", "vip", "--stream", "bulk")
        m = shown(d, send(d, "y@a.example", "--tag", "vip"))
        tap.equal(m["server"], "rest", "a rule that was given one condition more holds for less")


def test_refusals():
    with Scene({"a": {}}) as scene:
        d = scene.daemon
        groups(scene, ["a"])
        d.cli("list", "add", "readers")
        for arguments, status, says in [
            (["--tag", "x", "--group", "b"], 3, "group"),
            (["--list", "reader", "--group", "a"], 3, "did you mean readers"),
            (["--campaign", "none", "--group", "a"], 3, "campaign"),
            (["--credential", "none", "--group", "a"], 3, "credential"),
            (["--stream", "fast", "--group", "a"], 2, "stream"),
            (["--provider", "gmial", "--group", "a"], 2, "did you mean gmail"),
            (["--country", "Austria", "--group", "a"], 2, "ISO 3166"),
            (["--engagement", "9", "--group", "a"], 2, "engagement"),
            (["--size", "huge", "--group", "a"], 2, "size"),
            (["--recipient-domain", "a@b.c", "--group", "a"], 2, "domain"),
            (["--segment", "s", "--group", "a"], 2, "segment"),
            (["--before", "none", "--group", "a"], 3, "none"),
        ]:
            done = d.run("route", "add", "r", *arguments)
            tap.ok(done.returncode == status and says in done.stderr,
                   f"route add {' '.join(arguments)}: {status}", (done.returncode, done.stderr))
        d.cli("route", "add", "wide", "--recipient-domain", "*.example", "--group", "a")
        done = d.run("route", "add", "narrow", "--recipient-domain", "x.example", "--tag", "t",
                     "--group", "a")
        tap.ok(done.returncode == 0 and "wide" in done.stderr and "never" in done.stderr,
               "a rule that can never match: a warning", done.stderr)
        tap.equal(d.run("route", "add", "wide", "--tag", "t", "--group", "a").returncode, 1,
                  "a name is taken once")
        done = d.run("group", "remove", "a", "--yes")
        tap.ok(done.returncode != 0 and "route" in done.stderr, "a group in use stays", done.stderr)
        tap.equal(d.run("route", "move", "wide").returncode, 2, "route move needs a place")
        tap.equal(d.run("route", "move", "wide", "--before", "wide").returncode, 2,
                  "and not its own")
        d.cli("route", "set", "narrow", "--tag", "")
        rule = d.json("route", "show", "narrow")
        tap.equal((rule["tag"], rule["recipient_domain"]), ([], ["x.example"]),
                  "an empty value takes a condition away")


def test_campaign():
    """Half of the contacts by country; in the middle of the run the rule names another group."""
    with Scene({n: {"delay": {"dot": 5}} for n in ("east", "west", "rest")}) as scene:
        d = scene.daemon
        groups(scene, ["east", "west"])
        d.add_server("rest", scene.witness.ports["rest"])
        rows = [(f"c{i}@example.org", "at" if i % 2 else "US", "") for i in range(3000)]
        import_people(d, "run", rows)
        d.add_template("run", html=None)
        d.cli("campaign", "create", "run", "--list", "run", "--template", "run", "--tag", "season")
        d.cli("route", "add", "at", "--country", "AT", "--tag", "season", "--group", "east")
        d.cli("campaign", "start", "run")
        wait_for(lambda: shares(scene)["east"] >= 200, 60, "200 by east")
        d.cli("route", "set", "at", "--group", "west")
        before = shares(scene)
        report = d.wait_finished("run", 120)
        after = shares(scene)
        tap.equal(report["sent"], 3000, "all are sent")
        tap.equal(after["rest"], 1500, "those whom no rule names go by the default group")
        tap.ok(after["west"] > 0 and after["east"] + after["west"] == 1500, "the others by the rule",
               after)
        tap.ok(after["east"] - before["east"] <= 60,
               "a rule that changed acts on messages not yet picked", (before, after))
        of_rule = {r[0] for r in rows if r[1] == "at"}
        wrong = [m["to"] for m in d.messages("run")
                 if (m["to"] in of_rule) != (m["server"] in ("east", "west"))]
        tap.equal(wrong, [], "each contact by its own rule")
        scene.judge("run", [r[0] for r in rows], "routed", uncertain_max=0)


def test_waiting():
    """What waits because its group cannot send follows a rule as soon as there is one."""
    with Scene({"a": {}, "b": {}}) as scene:
        d = scene.daemon
        groups(scene, ["b"])
        d.add_server("a", scene.witness.ports["a"])
        d.cli("server", "pause", "a")
        ids = [send(d, f"w{i}@example.net") for i in range(5)]
        wait_for(lambda: "w" and d.json("queue", "summary")["ready"] == 5
                 if "ready" in d.json("queue", "summary") else True, 10, "5 messages in memory")
        tap.equal(len(scene.witness.events("dot")), 0, "a paused server: they wait")
        d.cli("route", "add", "all", "--group", "b")
        for ident in ids:
            tap.equal(shown(d, ident)["server"], "b", "a rule frees one that waits")


def test_explain():
    """What explain says is what then happens."""
    names = ["fast", "big", "gmail", "uni", "dach"]
    with Scene({n: {} for n in names + ["rest"]}) as scene:
        d = scene.daemon
        groups(scene, names)
        d.add_server("rest", scene.witness.ports["rest"])
        d.json("key", "create", "app", "--scope", "messages:send")
        import_people(d, "l", [("x@a.example", "AT", "6"), ("y@a.example", "", "")])
        for name, conditions, group in RULES:
            d.cli("route", "add", name, *conditions, "--group", group)
        tap.equal(d.json("route", "explain", "--to", "k@gmail.com", "--size", "30k")["rule"], "big",
                  "explain: the size")
        tap.equal(d.json("route", "explain", "--to", "y@a.example", "--credential", "app")["rule"],
                  "key", "explain: the credential")
        agreed = 0
        for to in ("k@gmail.com", "k@uni.example", "x@a.example", "y@a.example", "z@b.example"):
            for options in ([], ["--tag", "vip"], ["--stream", "bulk"], ["--tag", "none"]):
                for sender in ("app@shop.example", "n@news.example"):
                    said = d.json("route", "explain", "--to", to, "--from", sender, *options)
                    m = shown(d, send(d, to, *options, sender=sender))
                    why = m["attempts"][-1]["why"] or ""
                    rule = why.split(":")[0][6:] if why.startswith("route ") else None
                    same = (said["server"], said["rule"]) == (m["server"], rule)
                    agreed += same
                    if not same:
                        tap.note(f"{to} {options} {sender}: {said} but {m['server']} {rule}")
        tap.equal(agreed, 40, "explain and what happened agree, 40 times")
        d.cli("server", "pause", "rest")
        said = d.json("route", "explain", "--to", "y@a.example")
        tap.ok(said["server"] is None and said["rejected"][0]["server"] == "rest"
               and "paused" in said["rejected"][0]["why"], "nobody can: explain says why", said)
        tap.equal(d.run("route", "explain", "--to", "y@a.example", "--campaign", "no").returncode, 3,
                  "explain: an unknown campaign")


def test_nearest():
    """A group with --nearest: contacts by the server of their part of the world, while that can."""
    with Scene({n: {} for n in ("europe", "america", "nowhere")}) as scene:
        d = scene.daemon
        d.cli("group", "add", "world", "--strategy", "round-robin", "--nearest", "yes")
        for name, region in (("europe", "eu-central-1"), ("america", "us-east-1"), ("nowhere", "x")):
            d.add_server(name, scene.witness.ports[name], "--region", region, group="world")
        rows = [(f"c{i}@example.org", ("AT", "US", "")[i % 3], "") for i in range(300)]
        import_people(d, "run", rows)
        d.add_template("run", html=None)
        d.cli("campaign", "create", "run", "--list", "run", "--template", "run", "--group", "world")
        d.cli("campaign", "start", "run", "--wait")
        of = {r[0]: r[1] for r in rows}
        by = Counter((of[m["to"]], m["server"]) for m in d.messages("run"))
        tap.equal((by["AT", "europe"], by["US", "america"]), (100, 100), "each by the nearest server")
        # europe and america had their share already; what nowhere missed is made up within bounds
        tap.ok(by["", "nowhere"] >= 40 and sum(by["", n] for n in ("europe", "america", "nowhere"))
               == 100, "those without a country go mostly where nobody else did", by)
        said = d.json("route", "explain", "--to", "c0@example.org", "--campaign", "run")
        tap.equal(said["server"], "europe", "explain says so")
        d.cli("server", "pause", "europe")
        said = d.json("route", "explain", "--to", "c0@example.org", "--campaign", "run")
        tap.equal(said["server"], "america", "the next one when it cannot")


def test_mx():
    """A company's own domain is known by its mail exchanger, looked up beside the work."""
    table = {"firm.test-mx.dev": [(20, "backup.else.dev"), (10, "aspmx.l.google.com")],
             "own.test-mx.dev": [(10, "mx.own.test-mx.dev")]}
    with Dns(table) as dns, Scene({"g": {}, "rest": {}}, start=False) as scene:
        d = scene.daemon
        d.start(env={"POSTFLEET_DNS__SERVERS": dns.address})
        groups(scene, ["g"])
        d.add_server("rest", scene.witness.ports["rest"])
        d.cli("route", "add", "gm", "--provider", "gmail", "--group", "g")

        def provider(to):
            return d.json("route", "explain", "--to", to)["provider"]
        tap.equal(provider("a@firm.test-mx.dev"), "other", "an unknown domain begins as other")
        wait_for(lambda: provider("a@firm.test-mx.dev") == "gmail", 10, "the answer")
        tap.equal(shown(d, send(d, "b@firm.test-mx.dev"))["server"], "g", "then it is its MX's provider")
        provider("a@own.test-mx.dev")
        wait_for(lambda: ("own.test-mx.dev", 15) in dns.asked, 10, "the question")
        for to in ("a@gmail.com", "a@x.example", "a@example.com", "a@y.test", "a@z.invalid"):
            provider(to)
        for _ in range(20):
            provider("a@firm.test-mx.dev")
        tap.equal(sorted(n for n, kind in dns.asked if kind == 15),
                  ["firm.test-mx.dev", "own.test-mx.dev"],
                  "a domain is asked for once; those of the table and reserved ones never")


for test in (test_single, test_refusals, test_campaign, test_waiting, test_explain, test_nearest,
             test_mx):
    tap.case(test)
tap.done()
