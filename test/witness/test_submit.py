#!/usr/bin/env python3
"""The judge of test/lib/submit.py: each fault planted must be found, and a clean run have none."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import submit  # noqa: E402
import tap  # noqa: E402

TOLD = [{"verdict": "uncertain", "why": None}, {"verdict": "accepted", "why": "resend after uncertain"}]


class Case:
    """One recipient each of keyed, plain and bulk, delivered; then a fault is planted."""

    def __init__(self):
        self.book, self.rows, self.dots, self.attempts = submit.Book(), [], [], {}
        for kind in ("keyed", "plain", "bulk"):
            self.book.wants(kind, [f"{kind}+0@to.test"])
            self.book.took([f"{kind}+0@to.test"], [f"msg_{kind}"])
            self.row(kind, f"msg_{kind}")
            self.dot(kind, f"msg_{kind}")

    def row(self, kind, ident, state="sent"):
        self.rows.append({"id": ident, "to": f"{kind}+0@to.test", "state": state})

    def dot(self, kind, ident, code=250):
        self.dots.append({"id": f"<{ident}@shop.example>", "rcpt": [f"{kind}+0@to.test"], "code": code,
                          "body": f"begin {kind}\r\nend {kind}\r\n".encode()})

    def show(self, ident):
        return {"message_id": f"{ident}@shop.example", "attempts": self.attempts.get(ident, [])}

    def faults(self):
        return set(submit.judge(self.book, self.rows, self.dots, lambda d: d["body"],
                                self.show).faults())


def told(c):
    c.dot("keyed", "msg_keyed")
    c.attempts["msg_keyed"] = TOLD


def thrice(c):
    told(c)
    c.dot("keyed", "msg_keyed")


def twice_without_a_key(c):
    c.book.lost(["plain+0@to.test"])
    c.row("plain", "msg_second")
    c.dot("plain", "msg_second")


def uncertain(c):
    c.rows[0]["state"] = "uncertain"
    c.dots[0]["code"] = 0


def second_id(c):
    c.row("keyed", "msg_second")
    c.dot("keyed", "msg_second")


CASES = [
    ("all as it should be", lambda c: None, set()),
    ("twice, and told", told, set()),
    ("uncertain, and said so", uncertain, set()),
    ("twice without a key after a lost answer", twice_without_a_key, set()),
    ("no row", lambda c: c.rows.pop(0), {"lost", "phantom"}),
    ("no arrival", lambda c: c.dots.pop(0), {"lost"}),
    ("an arrival that nobody answered", lambda c: c.dots[0].update(code=0), {"lost"}),
    ("twice, and nobody says why", lambda c: c.dot("keyed", "msg_keyed"), {"unmarked"}),
    ("three times", thrice, {"doubled"}),
    ("bulk twice", lambda c: c.dot("bulk", "msg_bulk"), {"doubled", "unmarked"}),
    ("one key, two messages", second_id, {"phantom"}),
    ("a mail that nobody sent", lambda c: c.dot("other", "msg_other"), {"phantom"}),
    ("bounced, but it arrived", lambda c: c.rows[0].update(state="bounced"), {"misreported"}),
    ("still queued", lambda c: c.rows[0].update(state="queued"), {"misreported"}),
    ("cut", lambda c: c.dots[0].update(body=b"begin keyed\r\n"), {"cut"}),
    ("another id than was told", lambda c: c.book.took(["keyed+0@to.test"], ["msg_x"]),
     {"lost", "doubled"}),
]

for what, plant, wanted in CASES:
    case = Case()
    plant(case)
    tap.equal(case.faults(), wanted, what)
tap.done()
