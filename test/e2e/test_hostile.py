#!/usr/bin/env python3
# timeout: 420
"""Every server of corpora/attacks/hostile-replies.tsv, and 39 of our own, beside two healthy ones: a
campaign for each row through {hostile, well, fine}. The row's expectation holds, the healthy servers carry the rest,
nobody is lost or doubled, and the daemon neither crashes nor leaks."""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import ROOT, children_of, wait_for  # noqa: E402
from scene import Scene  # noqa: E402

TABLE = Path(os.environ.get("POSTFLEET_SHARED", ROOT.parent / "shared"),
             "corpora/attacks/hostile-replies.tsv")
COUNT = 12
LOGIN = {"user": "u", "password": "p", "mechs": ["PLAIN"]}
GARBAGE = "220 go\r\n" + "\x16\x07garbage!" * 7
# What a row may end as, beside `sent`: nothing, or these counters; "must" is at least one of them.
ELSEWHERE = {"by_hostile": 0}
ROWS = {
    "HR002": ({"raw": {"greeting": "220\r\n"}}, {}),
    "HR004": ({"raw": {"greeting": "220-a\r\n220-b\r\n220 c\r\n"}}, {"must": "by_hostile"}),
    "HR008": ({"raw": {"greeting": "HTTP/1.1 400 Bad Request\r\n\r\n"}}, ELSEWHERE),
    "HR010": ({"reply": {"greeting": "554 5.7.1 go away"}}, ELSEWHERE),
    "HR016": ({"raw": {"ehlo": "250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"},
               "reply": {"starttls": "454 4.7.0 no"}}, {"by_hostile": 0, "tls": "starttls",
                                                        "never": "command_AUTH"}),
    "HR019": ({"raw": {"ehlo": "250-x\r\n250 STARTTLS\r\n"}, "reply": {"starttls": "454 no tls"}},
              {"by_hostile": 0, "tls": "starttls"}),
    "HR020": ({"raw": {"ehlo": "250-x\r\n250 STARTTLS\r\n", "starttls": GARBAGE},
               "hold": ["mail"]}, {"by_hostile": 0, "tls": "starttls"}),
    "HR023": ({"auth": LOGIN, "endless_auth": True}, {"by_hostile": 0, "login": True,
                                                      "few": "challenges"}),
    "HR027": ({"auth": LOGIN, "raw": {"auth": "235 ok\r\n250 extra\r\n"}},
              {"by_hostile": 0, "login": True}),
    "HR029": ({"reply": {"mail": "550 5.1.8 sender rejected"}}, ELSEWHERE),
    "HR030": ({"reply": {"mail": "451 4.7.1 rate limited"}}, {"by_hostile": 0, "deferred": True}),
    "HR031": ({"reply": {"rcpt": "550 5.1.1 user unknown"}}, {"by_hostile": 0, "must": "hard"}),
    "HR033": ({"reply": {"rcpt": "452 4.2.2 mailbox full"}}, {"by_hostile": 0, "must": "deferred"}),
    "HR035": ({"reply": {"rcpt": "251 will forward"}}, {"must": "by_hostile"}),
    "HR037": ({"raw": {"rcpt": "55 short\r\n"}}, ELSEWHERE),
    "HR040": ({"reply": {"rcpt": '550 5.1.1 =HYPERLINK("http://evil","x")'}},
              {"by_hostile": 0, "must": "hard"}),
    "HR044": ({"drop": ["dot"]}, {"by_hostile": 0, "must": "uncertain"}),
    "HR050": ({"raw": {"data": "354 go\r\n552 5.3.4 too big\r\n"}, "hold": ["dot"]},
              {"by_hostile": 0, "soft": True, "failed": True, "uncertain": True}),
    "HR053": ({"raw": {"dot": "250 2.0.0 ok\r\n421 closing\r\n"}, "close": ["dot"]},
              {"must": "by_hostile"}),
    "HR054": ({"reply": {"dot": "452 4.3.1 disk full"}}, {"by_hostile": 0, "deferred": True}),
    "HR055": ({"reply": {"dot": "554 5.6.0 rejected"}},
              {"by_hostile": 0, "failed": True, "soft": True}),
    # The dot's own deadline is ten minutes; test/unit moves the clock over it. Here: patience.
    "HR056": ({"trickle": {"dot": 150}}, {"must": "by_hostile"}),
    "HR057": ({"rcpt": [["^hr0570", "550 5.1.1 none"]], "reply": {"rset": "500 no"}},
              {"hard": True}),
    "HR058": ({"hold": ["quit"]}, {"must": "by_hostile"}),
    "HR061": ({"refuse": True}, {"by_hostile": 0, "host": "192.0.2.1"}),
    "HR062": ({"refuse": True}, ELSEWHERE),
    "HR063": ({"silent": True}, ELSEWHERE),
    "HR064": ({"refuse": True}, {"by_hostile": 0, "host": "no-such-host.invalid"}),
}


# Our own: nonsense of each kind in each phase. A loss after the dot is uncertain and may be nothing
# else; an ill-formed reply never bounces anybody.
OWN = {
    "binary": {"raw": "\x00\xff\xfe\x80 \x1b[2J\r\n"},
    "odd": {"raw": "999 what\r\n"},
    "mixed": {"raw": "250-a\r\n550 b\r\n"},
    "endless": {"raw": "250-a\r\n" * 3000, "hold": True},
    "line": {"raw": "250 " + "x" * 70000, "hold": True},
    "mute": {"hold": True},
    "gone": {"drop": True},
}


def own_rows():
    for phase in ("greeting", "ehlo", "mail", "rcpt", "data", "dot"):
        for kind, ill in OWN.items():
            if phase == "dot" and ill.get("hold"):
                continue  # waits for the dot's own ten minutes
            behave = {"raw": {phase: ill["raw"]}} if "raw" in ill else {}
            behave.update({word: [phase] for word in ("hold", "drop") if ill.get(word)})
            if "raw" in ill and ill.get("hold"):
                behave = {"raw": {phase: ill["raw"]}}  # what is sent never ends, nothing follows
            may = {"deferred": True, "uncertain": phase == "dot", "failed": kind == "mixed",
                   "soft": kind == "mixed"}
            yield f"{kind}-{phase}", (behave, may)


def add_hostile(scene, name, expect):
    options = ["--connect-timeout", "2s", "--reply-timeout", "2s"]
    if expect.get("login") or expect.get("tls"):
        options += ["--user", "u", "--password-file", str(Path(scene.folder, "pw"))]
    scene.daemon.cli("group", "add", name, "--strategy", "round-robin")
    scene.daemon.add_server(name, scene.witness.ports[name], *options, group=name,
                            host=expect.get("host", "127.0.0.1"), tls=expect.get("tls", "none"))


def settled(scene, name):
    """The report once everything is over or waits for its next try."""
    report = scene.daemon.report(name)
    return report if report["pending"] == report["deferred"] and report["recipients"] else None


def judge_row(scene, name, people, expect):
    report = settled(scene, name)
    hostile = sum(line["sent"] for line in report["by_server"] if line["server"] == name)
    got = {"hard": report["bounced"]["hard"], "soft": report["bounced"]["soft"],
           "failed": report["failed"], "uncertain": report["uncertain"],
           "deferred": report["deferred"], "by_hostile": hostile}
    wrong = [k for k, n in got.items() if k != "by_hostile" and n
             and not expect.get(k) and expect.get("must") != k]
    if expect.get("by_hostile") == 0 and hostile:
        wrong.append("by_hostile")
    if expect.get("must") and not got[expect["must"]]:
        wrong.append(f"no {expect['must']}")
    counts = scene.witness.stats()[name]["counts"]
    if counts.get(expect.get("never")):
        wrong.append(expect["never"])
    if counts.get(expect.get("few"), 0) > 40 * scene.witness.stats()[name]["connections"]:
        wrong.append(expect["few"])
    tap.ok(not wrong, f"{name.upper()}: {got}", f"not as expected: {wrong}; {report}")
    from witness import ledger
    dots = [e for e in scene.witness.events("dot")
            if e["rcpt"] and e["rcpt"][0].startswith(name + "0")]
    found = ledger.judge(dots, scene.daemon.messages(name), people)
    tap.ok(not found.faults(), f"{name.upper()}: nothing lost or doubled", found)


def run_rows(rows):
    servers = {row.lower(): behave for row, (behave, _) in rows.items()}
    with Scene({**servers, "well": {}, "fine": {}},
               env={"POSTFLEET_PUBLIC_URL": "http://127.0.0.1"}) as scene:
        Path(scene.folder, "pw").write_text("p\n")
        for row, (_, expect) in rows.items():
            add_hostile(scene, row.lower(), expect)
        groups = [x for row in rows for x in ("--group", row.lower())]
        for name in ("well", "fine"):
            scene.daemon.add_server(name, scene.witness.ports[name], *groups)
        before = children_of(scene.daemon.process.pid)
        scene.daemon.add_template("t", html=None)
        people = {}
        for row in rows:
            name = row.lower()
            people[name] = scene.daemon.add_people(name, COUNT, prefix=name + "0")
            scene.daemon.cli("campaign", "create", name, "--list", name, "--template", "t",
                             "--group", name)
            scene.daemon.cli("campaign", "start", name)
        for row, (_, expect) in rows.items():
            wait_for(lambda r=row: settled(scene, r.lower()), 90, f"{row} to settle", every=0.2)
            judge_row(scene, row.lower(), people[row.lower()], expect)
        tap.equal(children_of(scene.daemon.process.pid), before, "no process died meanwhile")
        tap.equal(scene.daemon.stop(), 0, "SIGTERM ends with status 0")


def test_table_is_covered():
    if not TABLE.exists():
        tap.skip("the table is covered", f"no {TABLE}")
        return
    ids = {line.split("\t")[0] for line in TABLE.read_text().splitlines()[1:] if line}
    tap.equal(sorted(ids - set(ROWS)), [], "every row of the table has its server here")


def test_own():
    run_rows(dict(own_rows()))


def test_corpus():
    run_rows(ROWS)


tap.case(test_table_is_covered)
tap.case(test_corpus)
tap.case(test_own)
tap.done()
