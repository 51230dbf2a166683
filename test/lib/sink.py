"""Drives `postfleet sink` from a test: fast servers on loopback where the witness, which keeps every
message, would be the slowest of all. Its log tells when which message came, and for whom."""
import json
import math
import os
import random
import socket
import subprocess

import daemon


def binary():
    """The build without sanitizers where there is one: figures of time are of that."""
    return os.environ.get("POSTFLEET_PLAIN_BINARY") or daemon.BINARY


def free_ports(n):
    """The first of n ports in a row that nobody listens on now."""
    while True:
        first = random.randrange(20000, 32000 - n)
        held = []
        try:
            for port in range(first, first + n):
                held.append(socket.create_server(("127.0.0.1", port)))
            return first
        except OSError:
            continue
        finally:
            for sock in held:
                sock.close()


class Sink:
    """with Sink(folder, {"a": ["delay:dot:20"], "b": []}) as s: s.ports["a"], s.arrivals(); behind
    it s.counts["a"]["refused"]."""

    def __init__(self, folder, servers):
        self.log = os.path.join(folder, "sink.log")
        first = free_ports(len(servers))
        self.ports = {name: first + i for i, name in enumerate(servers)}
        self.names = {port: name for name, port in self.ports.items()}
        words = [w for name, list_ in servers.items() for does in list_
                 for w in ("--behave", f"{self.ports[name]}={does}")]
        self.process = subprocess.Popen(
            [binary(), "sink", "--ports", f"{first}-{first + len(servers) - 1}", "--log", self.log,
             "--json", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        if "listening" not in self.process.stderr.readline():
            raise RuntimeError("the sink does not listen")

    def arrivals(self):
        """(server, epoch seconds, Message-ID, recipient) of every message it took, in order."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            rows = [line.split() for line in f if line.endswith("\n")]
        return [(self.names[int(r[0])], int(r[1]) / 1000, r[2], r[4]) for r in rows]

    def count(self, end=""):
        """How many messages it took (for recipients that end so), without parsing their lines."""
        with open(self.log, "rb") as f:
            return f.read().count(end.encode() + b"\n")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            out = self.process.communicate(timeout=10)[0]
            self.counts = {self.names[c["port"]]: c for c in map(json.loads, out.splitlines())}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stop()


def rate(times, first, last):
    """How many of these moments lie within [first, last), a second."""
    return sum(first <= t < last for t in times) / (last - first)


def percentile(values, part):
    """The value that `part` of all (0.95) do not exceed."""
    values = sorted(values)
    return values[max(math.ceil(len(values) * part) - 1, 0)]
