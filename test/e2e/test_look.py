#!/usr/bin/env python3
# timeout: 300
"""Looking closer: `log patterns` clusters what servers said and explains it, `server isolate` tells
one bad server from a bad address and from everything, `server evidence` gives a bundle without
secrets, all of it through a daemon and witnesses that answer as told."""
import base64
import re
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

USER, PASSWORD = "relay-user-7Q", "s3cret-Hz-9"
RULES = [["^dead", "550 5.1.1 <{to}> no such user, ticket 4711"], ["^odd", "550 zork plugh 77"],
         ["^slow", "451 4.7.1 Greylisted, try again in 300 seconds"]]


def patterns(scene, *options):
    return scene.daemon.lines("log", "patterns", *options)


def test_patterns():
    with Scene({"a": {"rcpt": RULES}, "b": {"rcpt": RULES}}) as scene:
        tap.equal(patterns(scene), [], "no patterns before anything was sent")
        scene.add_servers()
        path = Path(scene.folder, "all.csv")
        names = [f"{kind}{i}@{domain}" for i in range(30) for kind in ("dead", "fine")
                 for domain in ("gmail.com", "example.org")]
        names += ["odd1@example.org", "odd2@example.org", "slow1@example.org"]
        path.write_text("email\n" + "".join(n + "\n" for n in names))
        scene.daemon.cli("list", "add", "run")
        scene.daemon.cli("contact", "import", "--list", "run", path)
        scene.daemon.add_template("run", html=None, subject="Hello")
        scene.daemon.cli("campaign", "create", "run", "--list", "run", "--template", "run")
        scene.daemon.cli("campaign", "start", "run")
        wait_for(lambda: scene.daemon.report("run")["sent"] >= 60 and
                 scene.daemon.report("run")["pending"] <= 3, 60, "all were tried")
        found = wait_for(lambda: patterns(scene) if len(patterns(scene)) >= 3 else None, 30,
                         "three kinds of replies")
        tap.equal(found[0]["verdict"], "unknown", "what no rule knows stands first")
        tap.ok("zork plugh <n>" in found[0]["shape"], "its number is masked", found[0])
        dead = [p for p in found if p["verdict"] == "hard_bounce"]
        tap.equal(len(dead), 1, "60 refusals are one kind")
        dead = dead[0]
        tap.ok(dead["count"] == 60 and dead["code"] == 550 and dead["enhanced"] == "5.1.1",
               "with count, code and enhanced code", dead)
        tap.ok("dead" not in dead["shape"] and "4711" not in dead["shape"], "no address, no number",
               dead["shape"])
        tap.ok(sorted(dead["providers"]) == ["gmail", "other"], "by mailbox provider", dead)
        tap.ok(set(dead["servers"]) <= {"a", "b"} and dead["servers"], "by server", dead)
        tap.ok(dead["new"] is True and dead["means"] and dead["do"] and dead["rule"],
               "new, with rule and explanation", dead)
        tap.equal(patterns(scene, "--server", "a", "--since", "1h", "--limit", 1)[0]["verdict"],
                  "unknown", "by server, span and limit")
        tap.equal(scene.daemon.run("log", "patterns", "--server", "nobody").returncode, 3,
                  "an unknown server ends with 3")
        tap.equal(scene.daemon.run("log", "patterns", "--since", "long ago").returncode, 2,
                  "a span that is none ends with 2")
        text = scene.daemon.cli("log", "patterns")
        tap.ok("NEW" in text and "worth a rule" in text and "there is no such mailbox" in text,
               "the text names what is new and what is worth a rule", text)


def isolate(scene, *options, status=0):
    return scene.daemon.json("server", "isolate", *options, status=status)


def test_isolate():
    with Scene({n: {} for n in ("a", "b", "c", "d")}) as scene:
        scene.add_servers("--reply-timeout", "2s", "--connect-timeout", "2s")
        got = isolate(scene, "--to", "me@x.example,you@y.example")
        tap.ok(got["verdict"] == "well" and got["ran"] == 8, "all well: 4 servers, 2 addresses", got)
        tap.equal(len(scene.witness.events("dot")), 8, "eight probes arrived")
        codes = {s["step"]: s["code"] for s in got["probes"][0]["steps"]}
        tap.ok(codes["ehlo"] == codes["mail"] == codes["rcpt"] == codes["message"] == 250,
               "codes of each step are read", codes)
        scene.witness.behave("b", reply={"mail": "550 5.7.1 not you"})
        got = isolate(scene, "--to", "me@x.example,you@y.example", status=1)
        tap.ok(got["verdict"] == "servers" and got["servers"] == ["b"], "server b", got["text"])
        bad = [p for p in got["probes"] if p["deviates"]]
        tap.ok(len(bad) == 2 and all(p["failed_step"] == "mail" and p["code"] == 550 and
                                     p["enhanced"] == "5.7.1" and "not you" in p["conversation"]
                                     for p in bad), "its deviations are marked and shown", bad)
        for name in "abcd":
            scene.witness.behave(name, rcpt=[["^me", "550 5.1.1 no me"]])
        got = isolate(scene, "--to", "me@x.example", "--to", "you@y.example", status=1)
        tap.ok(got["verdict"] == "recipients" and got["recipients"] == ["me@x.example"],
               "recipient me", got["text"])
        for name in "abcd":
            scene.witness.behave(name, reply={"dot": "554 5.7.1 spam"})
        got = isolate(scene, "--to", "me@x.example", status=1)
        tap.ok(got["verdict"] == "systemic" and "systemic" in got["text"], "systemic", got["text"])
        for name in "abcd":
            scene.witness.behave(name)
        scene.witness.behave("c", silent=True)
        got = isolate(scene, "--to", "me@x.example", "--server", "a,c,d", status=1)
        tap.ok(got["verdict"] == "servers" and got["servers"] == ["c"] and got["ran"] == 3,
               "a silent server, of the three named", got["text"])
        scene.daemon.cli("server", "set", "a", "--per-hour", "1")
        got = isolate(scene, "--to", "me@x.example", "--server", "a", status=1)
        probe = got["probes"][0]
        tap.ok(got["verdict"] == "nothing" and not probe["ran"] and "limit" in probe["why_not"],
               "probes counted in the limit, and a used up limit is said", probe)
        text = scene.daemon.run("server", "isolate", "--to", "me@x.example", "--verbose").stdout
        tap.ok("EHLO" in text and "SERVER" in text and "server c" in text, "as a table", text)
        for options, status in ((["--to", "nonsense"], 2), (["--to", "a@b.c", "--server", "x"], 3),
                                (["--to", "a@b.c", "--group", "none"], 3)):
            tap.equal(scene.daemon.run("server", "isolate", *options).returncode, status,
                      f"isolate {' '.join(options)} ends with {status}")


def secrets():
    """Everything that must never be in a bundle."""
    user, password = USER.encode(), PASSWORD.encode()
    plain = b"\0" + user + b"\0" + password
    coded = [base64.b64encode(x).decode().rstrip("=") for x in (user, password, plain)]
    return [USER, PASSWORD, *coded]


def members(path):
    with tarfile.open(path) as tar:
        return {Path(m.name).name: tar.extractfile(m).read().decode() for m in tar.getmembers()}


def test_evidence():
    login = {"user": USER, "password": PASSWORD, "mechs": ["PLAIN", "LOGIN"]}
    echo = " ".join(secrets()[:2] + [base64.b64encode(PASSWORD.encode()).decode()])
    with Scene({"good": {"auth": login, "rcpt": RULES}}) as scene:
        pw = Path(scene.folder, "pw")
        pw.write_text(PASSWORD + "\n")
        scene.daemon.add_server("good", scene.witness.ports["good"], "--user", USER,
                                "--password-file", pw, "--header", "X-Api-Token: tok-SECRET-1")
        path = Path(scene.folder, "all.csv")
        path.write_text("email\ndead1@example.org\ndead2@example.org\nfine@example.org\n")
        scene.daemon.cli("list", "add", "run")
        scene.daemon.cli("contact", "import", "--list", "run", path)
        scene.daemon.add_template("run", html=None, subject="Hello")
        scene.daemon.cli("campaign", "create", "run", "--list", "run", "--template", "run")
        scene.daemon.cli("campaign", "start", "run", "--wait", status=4)
        scene.witness.behave("good", auth=login, reply={"rcpt": f"550 5.7.0 {echo} whoami"})
        mail = Path(scene.folder, "m.eml")
        mail.write_text("From: a@example.com\nTo: ana@example.net\nSubject: x\n\nhello\n")
        sent = scene.daemon.json("send", mail, "--to", "ana@example.net")
        wait_for(lambda: scene.daemon.json("message", "show", sent["id"])["attempts"], 30, "a try")
        to = Path(scene.folder, "bundle.tar")
        scene.daemon.cli("server", "evidence", "good", "--to", to, "--since", "2h")
        files = members(to)
        tap.equal(sorted(files), sorted(["README.txt", "attempts.json", "configuration.json",
                                         "conversations.txt", "counts-per-hour.csv", "replies.json",
                                         "state-changes.json"]), "the files of a bundle")
        whole = "".join(files.values())
        raw = scene.daemon.cli("server", "evidence", "good", "--json")
        leaks = [s for s in [*secrets(), "tok-SECRET-1", "dead1@", "dead2@", "ana@"]
                 if s in whole or s in raw]
        tap.equal(leaks, [], "no password, user, base64 of AUTH, header value or local part in it")
        tap.ok("@example.org" in whole and "@example.net" in whole, "domains stay")
        tap.ok("no such user" in whole and "RCPT TO" in files["conversations.txt"],
               "replies and conversations are in it")
        shown = scene.daemon.json("message", "show", sent["id"])
        tap.ok(shown["message_id"] and shown["message_id"] in whole, "Message-IDs stay", shown)
        tap.ok(re.search(r"\d+ x  after rcpt: 550", files["README.txt"]), "the page on top counts",
               files["README.txt"])
        again = scene.daemon.run("server", "evidence", "good", "--to", to)
        tap.ok(again.returncode == 1 and "exists" in again.stderr, "no file is overwritten", again)
        folder = Path(scene.folder, "bundle")
        scene.daemon.cli("server", "evidence", "good", "--to", folder)
        tap.equal(sorted(p.name for p in folder.iterdir()), sorted(files), "or into a folder")
        tap.equal(scene.daemon.run("server", "evidence", "nobody").returncode, 3,
                  "an unknown server ends with 3")


tap.case(test_patterns)
tap.case(test_isolate)
def test_quarantine():
    with Scene({"a": {}, "b": {}}) as scene:
        scene.add_servers()

        def state():
            return scene.daemon.server("a")["state"]
        scene.daemon.cli("server", "quarantine", "a", "--reason", "ticket 17", status=0)
        wait_for(lambda: state() == "quarantined", 10, "a is out")
        tap.ok("ticket 17" in scene.daemon.server("a")["reason"], "quarantined, with the reason")
        scene.daemon.campaign("run", 50, html=None)
        scene.daemon.wait_finished("run", 60)
        tap.equal({d["server"] for d in scene.witness.events("dot")}, {"b"}, "no mail through it")
        scene.daemon.stop()
        scene.daemon.start()
        wait_for(lambda: state() == "quarantined", 10, "still out after a restart")
        tap.ok("ticket 17" in scene.daemon.server("a")["reason"], "the reason outlives a restart")
        scene.daemon.cli("server", "release", "a")
        wait_for(lambda: state() in ("ramp", "healthy"), 10, "released")
        scene.daemon.cli("server", "quarantine", "a", "--reason", "short", "--for", "1s")
        wait_for(lambda: state() in ("ramp", "healthy"), 20, "back by itself")
        tap.equal(scene.daemon.run("server", "quarantine", "a").returncode, 2, "a reason is needed")
        tap.equal(scene.daemon.run("server", "release", "x").returncode, 3, "an unknown server")


tap.case(test_evidence)
tap.case(test_quarantine)
tap.done()
