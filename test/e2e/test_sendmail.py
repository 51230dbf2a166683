#!/usr/bin/env python3
# timeout: 180
"""postfleet sendmail, by its own name too: what cron and PHP give to sendmail(1) arrives, each
recipient once, Bcc hidden, any bytes whole; exit statuses of sysexits.h; a daemon that is away."""
import email
import email.policy
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import BINARY, wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def mails(scene):
    with open(scene.witness.log, encoding="utf-8") as f:
        events = [json.loads(line) for line in f.read().splitlines() if line.endswith("}")]
    return {rcpt: e for e in events if e["kind"] == "dot" and e["code"] == 250 for rcpt in e["rcpt"]}


def arrived(scene, to):
    found = wait_for(lambda: mails(scene).get(to), 20, f"mail for {to}")
    with open(scene.witness.log + ".bodies", "rb") as f:
        f.seek(found["at"])
        raw = f.read(found["size"])
    return found, raw, email.message_from_bytes(raw, policy=email.policy.default)


def sendmail(scene, mail, *options, program=None, env=None):
    done = subprocess.run([*(program or [BINARY, "sendmail"]), *options], input=mail, timeout=60,
                          capture_output=True, env=dict(os.environ, POSTFLEET_DATA=scene.daemon.data,
                                                        **(env or {})))
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


MAIL = (b"From: Cron <cron@host.example>\nTo: a@one.test, \"B, Q\" <b@one.test>\nCc: c@one.test\n"
        b"Bcc: hidden@one.test\nSubject: nightly\n\nline\n.\nafter the dot\n")


def test_header(scene):
    status, said = sendmail(scene, MAIL, "-t", "-i", "-oem", "-f", "bounce@host.example")
    tap.ok(status == 0 and said == "", "sendmail -t -i -f: silent and 0", (status, said))
    ids, wholes = set(), set()
    for to in ("a@one.test", "b@one.test", "c@one.test", "hidden@one.test"):
        found, raw, mail = arrived(scene, to)
        ids.add(found["id"])
        wholes.add(raw.split(b"\r\n\r\n", 1)[1])
        tap.ok(found["mail_from"] == "bounce@host.example" and found["rcpt"] == [to]
               and mail["Bcc"] is None and mail["Subject"] == "nightly", f"arrives for {to}", found)
    tap.ok(wholes == {b"line\r\n.\r\nafter the dot\r\n"} and len(ids) == 1,
           "one mail for all four, its lone dot kept with -i", (wholes, ids))


def test_arguments(scene):
    status, said = sendmail(scene, b"Subject: x\n\nbefore\n.\nafter\n", "d@one.test", "e@one.test", "-v",
                            "-F", "The Robot", "-fr@host.example")
    tap.ok(status == 0 and said.count("queued for") == 2, "recipients as arguments, -v tells", said)
    _, raw, mail = arrived(scene, "e@one.test")
    tap.ok(raw.endswith(b"\r\n\r\nbefore\r\n") and mail["From"] == "The Robot <r@host.example>"
           and mail["Date"] and mail["Message-ID"], "without -i a dot ends the mail; From, Date and "
           "Message-ID are added", raw)
    binary = b"Subject: bytes\nFrom: a@host.example\n\n" + bytes(range(128, 256)) + b"\n"
    status, said = sendmail(scene, binary, "-i", "f@one.test")
    _, raw, _ = arrived(scene, "f@one.test")
    tap.ok(status == 0 and bytes(range(128, 256)) in raw, "8-bit bytes that are no UTF-8 arrive whole")
    many = [f"m{i}@many.test" for i in range(100)]
    status, said = sendmail(scene, b"From: a@host.example\n\nhi\n", "-i", *many)
    wait_for(lambda: all(m in mails(scene) for m in many), 20, "100 recipients")
    tap.ok(status == 0, "100 recipients of one mail")


def test_name(scene, folder):
    link = os.path.join(folder, "sendmail")
    os.symlink(BINARY, link)
    status, said = sendmail(scene, b"From: a@host.example\nTo: g@one.test\n\nhi\n", "-ti", program=[link])
    tap.ok(status == 0 and arrived(scene, "g@one.test"), "called as sendmail, flags in one word", said)


def test_refused(scene):
    scene.daemon.cli("suppression", "add", "gone@one.test")
    cases = [((), b"Subject: x\n\nhi\n", 64, "no recipients"),
             (("-bs",), b"", 64, "-bs"), (("-t", "-X", "f"), b"", 64, "-X"),
             (("a@one.test",), b"", 65, "empty"),
             (("-i", "a@one.test"), b"no header here\n", 65, "line 1"),
             (("-t",), b"To: not an address\n\nhi\n", 65, "To"),
             (("gone@one.test",), b"From: a@b.test\n\nhi\n", 69, "suppressed"),
             (("--group", "nowhere", "a@one.test"), b"From: a@b.test\n\nhi\n", 78, "nowhere")]
    for options, mail, want, word in cases:
        status, said = sendmail(scene, mail, *options)
        tap.ok(status == want and word in said, f"{' '.join(options) or 'nothing'}: {want}", (status, said))
    status, said = sendmail(scene, b"From: a@b.test\n\nhi\n", "-i", "gone@one.test", "h@one.test")
    tap.ok(status == 0 and "gone@one.test: not queued" in said and arrived(scene, "h@one.test"),
           "one of two is suppressed: the other is queued, the word on stderr", said)


def test_away(scene):
    scene.daemon.stop()
    status, said = sendmail(scene, b"From: a@b.test\n\nhi\n", "-i", "late@one.test")
    tap.ok(status == 75, "the daemon is away: 75", said)
    waiting = subprocess.Popen([BINARY, "sendmail", "-i", "late@one.test"], stdin=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=dict(os.environ, POSTFLEET_DATA=scene.daemon.data))
    waiting.stdin.write(b"From: a@b.test\n\nhi\n")
    waiting.stdin.close()
    scene.daemon.start()
    tap.ok(waiting.wait(30) == 0 and arrived(scene, "late@one.test"), "back within its patience: queued once")


def main():
    with Scene({"one": {}}) as scene:
        scene.add_servers()
        tap.case(test_header, scene)
        tap.case(test_arguments, scene)
        tap.case(test_name, scene, scene.folder)
        tap.case(test_refused, scene)
        tap.case(test_away, scene)
    tap.done()


if __name__ == "__main__":
    main()
