#!/usr/bin/env python3
"""The ledger checker finds each planted loss, double, phantom, cut and false report, and accepts
what is right; the log reader survives a torn last line."""
import copy
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
import ledger  # noqa: E402
import tap  # noqa: E402

PEOPLE = [f"p{i}@example.com" for i in range(10)]


def dot(to, code=250, server="a", mid=None):
    return {"kind": "dot", "server": server, "rcpt": [to], "code": code, "id": mid or f"<{to}>"}


def world():
    """Ten recipients: eight sent, p8 uncertain after a lost reply, p9 bounced at RCPT."""
    dots = [dot(p, server="ab"[i % 2]) for i, p in enumerate(PEOPLE[:8])] + [dot(PEOPLE[8], 0)]
    rows = [{"to": p, "state": "sent"} for p in PEOPLE[:8]]
    rows += [{"to": PEOPLE[8], "state": "uncertain"}, {"to": PEOPLE[9], "state": "bounced"}]
    report = {"state": "finished", "recipients": 10, "sent": 8, "bounced": {"hard": 1, "soft": 0},
              "failed": 0, "uncertain": 1, "suppressed": 0, "cancelled": 0, "expired": 0,
              "pending": 0, "by_server": [{"server": "a", "sent": 4}, {"server": "b", "sent": 4}]}
    return dots, rows, report


def run(dots, rows, report=None, **more):
    found = ledger.judge(dots, rows, PEOPLE, **more)
    if report:
        ledger.judge_report(found, report, rows, dots)
    return found


def planted():
    """(what, kind expected, function that spoils dots, rows and report)."""
    def lose_mail(d, r, p): del d[0]
    def lose_row(d, r, p): del r[0]
    def unsent(d, r, p): d.pop(3)
    def twice_here(d, r, p): d.append(dot(PEOPLE[1]))
    def twice_there(d, r, p): d.append(dot(PEOPLE[1], server="b"))
    def again_after_loss(d, r, p): d.append(dot(PEOPLE[8], 250, "b"))
    def stranger(d, r, p): d.append(dot("x@example.org"))
    def row_of_stranger(d, r, p): r.append({"to": "x@example.org", "state": "sent"})
    def two_rows(d, r, p): r.append(dict(r[0]))
    def two_recipients(d, r, p): d[0]["rcpt"] = PEOPLE[:2]
    def says_failed(d, r, p): r[2]["state"] = "failed"
    def says_queued(d, r, p): r[8]["state"] = "queued"
    def says_bounced(d, r, p): r[8]["state"] = "bounced"
    def says_sent(d, r, p): r[8]["state"] = "sent"
    def odd_state(d, r, p): r[9]["state"] = "gone"
    def bad_sum(d, r, p): p["recipients"] = 11
    def bad_sent(d, r, p): p.update(sent=7, failed=1)
    def boasting(d, r, p): p["by_server"][0]["sent"] = 9
    return [("a mail that never came", "lost", lose_mail), ("a row that vanished", "lost", lose_row),
            ("sent without an arrival", "lost", unsent), ("the same server twice", "doubled", twice_here),
            ("two servers", "doubled", twice_there),
            ("sent again after a lost reply", "doubled", again_after_loss),
            ("a mail to a stranger", "phantom", stranger),
            ("a row for a stranger", "phantom", row_of_stranger),
            ("two rows for one", "phantom", two_rows),
            ("two recipients in a transaction", "phantom", two_recipients),
            ("failed, but arrived", "misreported", says_failed),
            ("queued after its dot left", "misreported", says_queued),
            ("bounced after its dot left", "misreported", says_bounced),
            ("sent without an answer", "misreported", says_sent),
            ("a state nobody knows", "misreported", odd_state),
            ("a sum that is wrong", "disagree", bad_sum), ("a count that is wrong", "disagree", bad_sent),
            ("more than the server took", "disagree", boasting)]


def test_right():
    dots, rows, report = world()
    found = run(dots, rows, report)
    tap.equal(found.faults(), {}, "a right world has no fault")
    tap.equal(found.uncertain, [PEOPLE[8]], "the uncertain one is named")
    dots.append(dot(PEOPLE[0], 451))
    tap.equal(run(dots, rows, report).faults(), {}, "a refusal at the dot is no arrival")


def test_planted():
    for what, kind, spoil in planted():
        dots, rows, report = copy.deepcopy(world())
        spoil(dots, rows, report)
        found = run(dots, rows, report)
        tap.ok(kind in found.faults(), f"finds {what} ({kind})", found)


def test_transactional():
    dots, rows, _ = world()
    dots.append(dot(PEOPLE[8], 250, "b"))
    rows[8].update(state="sent", uncertain_attempts=1)
    tap.equal(run(dots, rows, transactional=True).faults(), {},
              "transactional: once more after a loss, marked, is right")
    dots[-1]["id"] = "<other>"
    tap.ok("doubled" in run(dots, rows, transactional=True).faults(),
           "transactional: another Message-ID is a double")


def mail(to, cut=None):
    text = f"begin of mail for {to}\r\n" + "line\r\n" * 50 + f"end of mail for {to}\r\n"
    raw = f"Subject: x\r\nContent-Type: text/plain\r\n\r\n{text}".encode()
    return raw[:cut]


def test_bodies():
    import record
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "w.log")
        written = record.Record(path)
        written.schedule = lambda: None
        for i, to in enumerate(PEOPLE[:8]):
            written.dot("a", 1, mail(to, -30 if i == 3 else None), lambda: None, rcpt=[to],
                        mail_from="s@example.com", code=250, n=1)
        written.flush()
        with open(path, "a", encoding="utf-8") as f:
            f.write('{"kind": "dot", "rcp')
        _, rows, _ = world()
        rows[8]["state"] = "queued"
        found = ledger.check(path, rows, PEOPLE)
        tap.equal(found.faults(), {"truncated": [PEOPLE[3]]}, "finds the cut body, only that")
        tap.equal(found.pending, [PEOPLE[8]], "names what is pending")
        for i, to in enumerate(PEOPLE[:8]):
            dots = [e for e in ledger.read_log(path) if e["kind"] == "dot"]
            if ledger.read_body(path, dots[i]) != mail(to, -30 if i == 3 else None):
                tap.ok(False, f"body {i} is kept byte for byte")
        tap.ok(True, "bodies are kept byte for byte")


for test in (test_right, test_planted, test_transactional, test_bodies):
    tap.case(test)
tap.done()
