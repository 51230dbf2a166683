#!/usr/bin/env python3
"""The ledger checker: holds what the witness saw against what the daemon says, and names every
message that is lost, phantom, doubled, truncated or misreported. It knows nothing of Postfleet's
insides; test_ledger.py plants each fault and expects it found.

  ledger.py --log WITNESS.log --messages SEARCH.jsonl --recipients FILE [--report REPORT.json]

An *arrival* is a message whose final dot the witness saw and which it did not refuse: answered 2xx,
or not answered at all (code 0). What was refused with 4xx or 5xx may travel again.
"""
import argparse
import collections
import email
import email.policy
import json
import sys

FINAL = {"sent", "uncertain", "bounced", "failed", "suppressed", "cancelled", "expired"}
STATES = FINAL | {"queued", "deferred", "held"}  # deferred: queued, shown as tried before


class Findings:
    """Lists of addresses (or descriptions) per kind of fault, and the uncertain by name."""

    KINDS = ("lost", "phantom", "doubled", "truncated", "misreported", "disagree")

    def __init__(self):
        for kind in self.KINDS:
            setattr(self, kind, [])
        self.uncertain, self.pending, self.arrived = [], [], 0

    def faults(self):
        return {k: getattr(self, k) for k in self.KINDS if getattr(self, k)}

    def __str__(self):
        head = f"arrived {self.arrived}, uncertain {len(self.uncertain)}, " \
               f"pending {len(self.pending)}"
        return head + "".join(f"\n{kind} {len(found)}: {found[:5]}"
                              for kind, found in self.faults().items())


def read_log(path):
    """The events of a witness log; a last line cut by a kill is left out."""
    events = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.endswith("\n"):
                events.append(json.loads(line))
    return events


def read_body(path, dot):
    with open(path + ".bodies", "rb") as f:
        f.seek(dot["at"])
        return f.read(dot["size"])


def texts(raw):
    """The decoded text of every text part of a mail."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return [part.get_content() for part in message.walk()
            if part.get_content_maintype() == "text"]


def marked_whole(raw, to):
    """True when every text part holds both marks that the tests' templates put around it."""
    first, last = f"begin of mail for {to}", f"end of mail for {to}"
    parts = texts(raw)
    return bool(parts) and all(first in part and last in part for part in parts)


def judge(dots, rows, recipients, whole=None, transactional=False):
    """Compares arrivals, the daemon's message rows and who should have got a mail.

    dots: `dot` events. rows: dicts with "to" and "state". recipients: addresses, one message each.
    whole(dot, to) tells whether a body is complete; None: not looked at."""
    found = Findings()
    wanted = set(recipients)
    by_to = collections.defaultdict(list)
    for dot in dots:
        if len(dot["rcpt"]) != 1:
            found.phantom.append(f"{dot['id']}: {len(dot['rcpt'])} recipients in one transaction")
        for to in dot["rcpt"]:
            if to not in wanted:
                found.phantom.append(to)
            elif dot["code"] == 0 or 200 <= dot["code"] < 300:
                by_to[to].append(dot)
    row_of = collections.defaultdict(list)
    for row in rows:
        row_of[row["to"]].append(row)
        if row["to"] not in wanted:
            found.phantom.append(f"{row['to']} has a row")
    found.arrived = len(by_to)
    for to in wanted:
        judge_one(found, to, by_to.get(to, []), row_of.get(to, []), transactional)
        if whole:
            found.truncated += [to for dot in by_to.get(to, []) if not whole(dot, to)]
    return found


def judge_one(found, to, arrivals, rows, transactional):
    answered = [d for d in arrivals if d["code"]]
    if len(arrivals) > 1:
        marked = rows and rows[0].get("uncertain_attempts", 0) >= len(arrivals) - 1
        same = len({d["id"] for d in arrivals}) == 1
        if not (transactional and marked and same):
            found.doubled.append(to)
    if len(rows) != 1:
        kind = found.lost if not rows else found.phantom
        kind.append(to if not rows else f"{to} has {len(rows)} rows")
        return
    state = rows[0]["state"]
    if state not in STATES:
        found.misreported.append(f"{to}: unknown state {state}")
    elif state == "sent" and not answered:
        # Unanswered, yet called sent: no 2xx can have been read.
        found.lost.append(to) if not arrivals else found.misreported.append(
            f"{to}: sent, but never answered")
    elif state not in ("sent", "uncertain") and arrivals:
        found.misreported.append(f"{to}: {state}, but it arrived")
    if state == "uncertain":
        found.uncertain.append(to)
    elif state not in FINAL:
        found.pending.append(to)


def judge_report(found, report, rows, dots=()):
    """The report must add up, and say what the rows and the servers say."""
    count = collections.Counter(row["state"] for row in rows)
    bounced = report["bounced"]["hard"] + report["bounced"]["soft"]
    said = {"sent": report["sent"], "bounced": bounced, "failed": report["failed"],
            "uncertain": report["uncertain"], "suppressed": report["suppressed"],
            "cancelled": report["cancelled"], "expired": report["expired"],
            "pending": report["pending"]}
    if report["recipients"] != sum(said.values()):
        found.disagree.append(f"recipients {report['recipients']} is not the sum of {said}")
    count["pending"] = sum(count.pop(state, 0) for state in STATES - FINAL)
    for state, number in said.items():
        if number != count[state]:
            found.disagree.append(f"report says {state} {number}, the rows {count[state]}")
    if report["state"] == "finished" and report["pending"]:
        found.disagree.append(f"finished with {report['pending']} pending")
    accepted = collections.Counter(d["server"] for d in dots if 200 <= d["code"] < 300)
    for line in report.get("by_server", []):
        # A reply that a crash kept us from reading was accepted there and is uncertain here.
        if line["sent"] > accepted[line["server"]] and dots:
            found.disagree.append(f"report says {line['sent']} sent by {line['server']}, "
                                  f"it took {accepted[line['server']]}")


def check(log, rows, recipients, report=None, whole=marked_whole, transactional=False):
    """Reads a witness log and judges all of it; whole(raw, to) or None."""
    dots = [e for e in read_log(log) if e["kind"] == "dot"]
    test = (lambda dot, to: whole(read_body(log, dot), to)) if whole else None
    found = judge(dots, rows, recipients, test, transactional)
    if report:
        judge_report(found, report, rows, dots)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", required=True)
    parser.add_argument("--messages", required=True, help="message search --json")
    parser.add_argument("--recipients", required=True, help="an address a line")
    parser.add_argument("--report", help="campaign report --json")
    options = parser.parse_args()
    with open(options.messages, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    with open(options.recipients, encoding="utf-8") as f:
        recipients = f.read().split()
    report = None
    if options.report:
        with open(options.report, encoding="utf-8") as f:
            report = json.load(f)
    found = check(options.log, rows, recipients, report)
    print(found)
    return 1 if found.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
