"""Drives test/witness/witness.py from a test: start, change behaviours, read figures and log."""
import json
import os
import subprocess
import sys
from pathlib import Path

WITNESS = Path(__file__).resolve().parent.parent / "witness"
sys.path.insert(0, str(WITNESS))
import ledger  # noqa: E402


class Witness:
    """A witness process. Servers are named; ports[NAME] is where each listens."""

    def __init__(self, folder, servers, prefix=()):
        self.log = os.path.join(folder, "witness.log")
        config = os.path.join(folder, "witness.json")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"log": self.log, "servers": servers}, f)
        self.process = subprocess.Popen(
            [*prefix, sys.executable, str(WITNESS / "witness.py"), config], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        first = self.process.stdout.readline()
        if not first:
            raise RuntimeError("the witness did not start")
        self.ports = json.loads(first)["ports"]

    def ask(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def behave(self, server, **behaviour):
        self.ask(op="behave", server=server, behave=behaviour)

    def listen(self, server):
        self.ask(op="listen", server=server)

    def unlisten(self, server):
        self.ask(op="unlisten", server=server)

    def cut(self, server):
        self.ask(op="cut", server=server)

    def stats(self):
        return self.ask(op="stats")

    def dots(self):
        """How many messages' ends all servers have seen."""
        return sum(s["dots"] for s in self.stats().values())

    def events(self, kind=None):
        return [e for e in ledger.read_log(self.log) if kind in (None, e["kind"])]

    def bodies(self):
        """(dot, bytes) of every message seen."""
        return [(d, ledger.read_body(self.log, d)) for d in self.events("dot")]

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()


def most_within(times, seconds):
    """The largest number of moments that lie within any window of that length."""
    times, most, first = sorted(times), 0, 0
    for last, moment in enumerate(times):
        while moment - times[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def longest_gap(times):
    times = sorted(times)
    return max((b - a for a, b in zip(times, times[1:])), default=0.0)
