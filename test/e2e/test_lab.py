#!/usr/bin/env python3
# timeout: 240
"""The demo's closing proof and the sink, held against what their logs and smtplib say; help,
completion and version of the command line."""
import json
import smtplib
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import tap  # noqa: E402
from daemon import free_port, wait_for  # noqa: E402


def run(*arguments, timeout=150):
    return subprocess.run([daemon.BINARY, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)


def test_demo():
    with tempfile.TemporaryDirectory() as folder:
        done = run("demo", "--seconds", 60, "--contacts", 2000, "--seed", 7, "--no-web", "--json",
                   "--keep", folder + "/kept")
        tap.ok(done.returncode == 0, "the demo ends with 0", done.stdout[-800:] + done.stderr[-1500:])
        last = json.loads(done.stdout.strip().splitlines()[-1])
        tap.ok(last["lost"] == 0 and last["doubled"] == 0 and last["recipients"] == 2000,
               "nothing lost, nothing doubled", last)
        logs = [p for p in Path(last["kept"]).rglob("*.log") if "sink" in p.name]
        seen = Counter(line.split()[2] for p in logs for line in p.read_text().splitlines() if line)
        tap.equal(sum(seen.values()), last["at_sinks"], "at_sinks is what the sinks' logs hold")
        tap.ok(set(seen.values()) == {1}, "each Message-ID once in the logs")
        tap.ok(last["sent"] >= 1800, "at least 90 % was sent", last)


def test_sink():
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "sink.log")
        child = subprocess.Popen([daemon.BINARY, "sink", "--ports", f"{port}-{port}", "--log", str(log)],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def send():
                try:
                    with smtplib.SMTP("127.0.0.1", port, timeout=5) as s:
                        s.sendmail("a@example.com", ["b@example.org"],
                                   "Message-ID: <1@example.com>\r\n\r\nx\r\n")
                    return True
                except ConnectionRefusedError:
                    return False
            wait_for(send, 20, "the sink to listen")
            words = wait_for(lambda: log.exists() and log.read_text().split(), 5, "its log line")
            tap.ok(words[0] == str(port) and "1@example.com" in words[2] and "a@example.com" in words[3]
                   and "b@example.org" in words[4], "PORT TIME MESSAGE-ID MAIL-FROM RCPT", words)
        finally:
            child.terminate()
            child.wait(10)


def test_words():
    tap.ok(run("version").returncode == 0, "version")
    done = run("--help")
    tap.ok(done.returncode == 0 and "campaign" in done.stdout, "--help lists the nouns", done.stdout)
    for noun in ("server", "campaign", "contact", "suppression", "message", "demo", "sink"):
        done = run(noun, "--help")
        tap.ok(done.returncode == 0 and noun in done.stdout, f"{noun} --help", done.stdout + done.stderr)
    done = run("completion", "bash")
    tap.ok(done.returncode == 0 and "postfleet" in done.stdout, "completion bash", done.stderr)
    tap.ok(run("demo", "--seconds", "soon").returncode == 2, "a bad option of demo: exit 2")
    done = subprocess.run([daemon.BINARY, "bounce", "classify", "--replies", "--json"], text=True,
                          input="rcpt\t550 5.1.1 no such user\n452 4.2.2 mailbox full\n",
                          capture_output=True, timeout=60)
    rows = [json.loads(x) for x in done.stdout.splitlines()]
    tap.equal([r["verdict"] for r in rows][:1], ["hard_bounce"], "bounce classify --replies")
    tap.equal(len(rows), 2, "a line a reply")


for test in (test_words, test_sink, test_demo):
    tap.case(test)
tap.done()
