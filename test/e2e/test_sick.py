#!/usr/bin/env python3
# timeout: 400
"""Sick servers beside a well one: one refuses, one greets 421, one is a black hole, one answers 451
to MAIL, one drops at DATA before its 354. All mail leaves by the well one, nobody is bounced, the
sick are known as sick. Then: a server that drops after every dot, 550 5.1.1, a wrong password."""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
import witness as w  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

SICK = {"refusing": {"refuse": True}, "closed": {"reply": {"greeting": "421 4.3.2 not now"}},
        "hole": {"silent": True}, "mail451": {"reply": {"mail": "451 4.3.0 try later"}},
        "dropping": {"drop": ["data"]}}
TIMEOUTS = ["--connect-timeout", "2s", "--reply-timeout", "2s"]


def bounced_nobody(report, what):
    tap.equal((report["bounced"], report["failed"]), ({"hard": 0, "soft": 0}, 0), what)


def test_five_sick():
    well = {"well": {"delay": {"dot": 40}}}
    with Scene({**SICK, **well}) as scene:
        scene.add_servers(*TIMEOUTS)
        people = scene.daemon.campaign("run", 3000, html=None)
        scene.daemon.wait_finished("run", 200)
        _, report = scene.judge("run", people, "five sick, one well", uncertain_max=0)
        tap.equal(report["sent"], 3000, "all 3,000 left")
        bounced_nobody(report, "nobody was bounced or failed")
        dots = [d for d in scene.witness.events("dot")]
        tap.equal({d["server"] for d in dots}, {"well"}, "all left by the well one")
        gap = w.longest_gap([d["m"] for d in dots])
        tap.ok(gap <= 4.0, f"the longest gap is {gap:.2f} s, at most 4 (two timeouts of 2 s)")
        for name in SICK:
            server = scene.daemon.server(name)
            tap.ok(server["state"] != "healthy" and server["reason"], f"{name} is known as sick",
                   server)
        tap.equal(scene.daemon.server("well")["state"], "healthy", "the well one is healthy")


def test_drop_after_dot():
    servers = {"bad": {"drop": ["dot"]}, "good": {"delay": {"dot": 400}}}
    with Scene(servers) as scene:
        scene.add_servers(*TIMEOUTS)
        people = scene.daemon.campaign("run", 700, html=None)
        wait_for(lambda: scene.daemon.server("bad")["state"] in ("open", "half_open"), 60,
                 "the dropping server to open")
        scene.daemon.wait_finished("run", 150)
        found, report = scene.judge("run", people, "drop after every dot")
        lost = sorted(d["m"] for d in scene.witness.events("dot") if d["server"] == "bad")
        tries = [m for m in lost[3:]]
        tap.ok(len(lost) >= 3 and all(b - a > 5 for a, b in zip(lost[2:], lost[3:])),
               f"it opened after 3 lost dots, then one a try ({len(tries)})", lost)
        tap.equal(len(found.uncertain), len(lost), "each lost dot is one uncertain, no more")
        tap.equal(report["sent"] + report["uncertain"], 700, "the campaign went on elsewhere")


def test_no_such_user():
    rule = [["^dead", "550 5.1.1 no such user here"]]
    with Scene({"a": {"rcpt": rule}, "b": {"rcpt": rule}}) as scene:
        scene.add_servers()
        dead = scene.daemon.add_people("run", 20, prefix="dead")
        alive = [f"alive{i}@example.org" for i in range(80)]
        path = Path(scene.folder, "alive.csv")
        path.write_text("email,first_name\n" + "".join(f"{a},X\n" for a in alive))
        scene.daemon.cli("contact", "import", "--list", "run", str(path))
        scene.daemon.add_template("run", html=None)
        scene.daemon.cli("campaign", "create", "run", "--list", "run", "--template", "run")
        scene.daemon.cli("campaign", "start", "run", "--wait", status=4)
        _, report = scene.judge("run", dead + alive, "550 5.1.1", uncertain_max=0)
        tap.equal((report["sent"], report["bounced"]["hard"]), (80, 20), "bounced, hard")
        refused = [e["rcpt"] for e in scene.witness.events("refused")]
        tap.equal(sorted(refused), sorted(dead), "no second server was asked")
        check_suppressed(scene, dead[0], alive[0])


def check_suppressed(scene, dead, alive):
    done = scene.daemon.run("suppression", "check", dead)
    tap.ok(done.returncode == 0 and dead in done.stdout, "the dead address is suppressed",
           done.stdout + done.stderr)
    tap.equal(scene.daemon.run("suppression", "check", alive).returncode, 3,
              "a good address is not")
    row = next(m for m in scene.daemon.messages("run") if m["to"] == dead)
    shown = scene.daemon.json("message", "show", row["id"])
    attempt = shown["attempts"][-1]
    tap.equal((row["state"], attempt["verdict"], attempt["code"], attempt["phase"]),
              ("bounced", "hard_bounce", 550, "rcpt"), "the attempt says why")
    tap.ok("no such user here" in attempt["reply"], "and keeps the reply", attempt)


def test_wrong_password():
    auth = {"auth": {"user": "u", "password": "right", "mechs": ["PLAIN", "LOGIN"]}}
    with Scene({"locked": auth, "good": {"delay": {"dot": 300}}}) as scene:
        Path(scene.folder, "pw").write_text("wrong\n")
        scene.daemon.add_server("locked", scene.witness.ports["locked"], "--user", "u",
                                "--password-file", str(Path(scene.folder, "pw")))
        scene.add_servers(only=["good"])
        people = scene.daemon.campaign("run", 600, html=None)
        started = time.monotonic()
        wait_for(lambda: scene.daemon.server("locked")["state"] == "misconfigured", 20,
                 "misconfigured after the first 535")
        scene.daemon.wait_finished("run", 120)
        _, report = scene.judge("run", people, "535", uncertain_max=0)
        bounced_nobody(report, "a wrong password bounces nobody")
        logins = [e["m"] for e in scene.witness.events("auth")]
        tap.ok(1 <= len(logins) and w.most_within(logins, 60) <= 3,
               f"{len(logins)} logins in {time.monotonic() - started:.0f} s, at most 3 a minute")
        log = scene.daemon.log()
        tap.ok("wrong" not in log.replace("wrong password", ""), "the log holds no password")


for test in (test_five_sick, test_drop_after_dot, test_no_such_user, test_wrong_password):
    tap.case(test)
tap.done()
