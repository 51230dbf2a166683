#!/usr/bin/env python3
# timeout: 200
# alone: measures times
"""Transactional mail while a campaign of 20,000 saturates the same two servers: from the request to
the dot at the server 95 of 100 take less than 100 ms, whoever submits it. And the other way round: a
flood of transactional mail at a paced server leaves bulk its twentieth of the pace. What this machine
needs without the campaign is measured in the same run; on one that is slow by itself it is added."""
import http.client
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402
from sink import Sink, binary, percentile, rate  # noqa: E402

daemon.BINARY = binary()
BULK, DOT_MS, CONNECTIONS = 20000, 15, 10
EVERY_S = 0.04


class Shop:
    """An application that submits by the API over one connection."""

    def __init__(self, d):
        self.key = d.json("key", "create", "shop", "--scope", "messages:send")["key"]
        self.link = http.client.HTTPConnection("127.0.0.1", d.port, timeout=30)
        self.asked = {}

    def post(self, path, body):
        self.link.request("POST", path, json.dumps(body), {"Content-Type": "application/json",
                                                           "Authorization": f"Bearer {self.key}"})
        answer = self.link.getresponse()
        return answer.status, json.loads(answer.read())

    def send(self, to):
        asked = time.time()
        status, _ = self.post("/v1/messages", {"from": "shop@example.com", "to": to,
                                               "subject": "reset", "text": "your link"})
        if status == 202:
            self.asked[to] = asked

    def send_steadily(self, prefix, count):
        start = time.monotonic()
        for i in range(count):
            wait_for(lambda t=start + i * EVERY_S: time.monotonic() >= t, 60, "its time", every=0.002)
            self.send(f"{prefix}{i}@shop.example")


def waits(shop, sink, prefix):
    """Milliseconds from the request to the dot of all that were accepted with that prefix."""
    mine = [to for to in shop.asked if to.startswith(prefix)]
    wait_for(lambda: {to for *_, to in sink.arrivals()} >= set(mine), 30, "all of them at the servers",
             every=0.2)
    arrived = {to: t for _, t, _, to in sink.arrivals()}
    return [1000 * (arrived[to] - shop.asked[to]) for to in mine]


def prepare(scene, sink, servers, count, *options):
    d = scene.daemon
    for name in servers:
        d.add_server(name, sink.ports[name], *options)
    d.campaign("news", count, html=None, start=False)


def test_p95():
    with Scene({}) as scene, Sink(scene.folder, {s: [f"delay:dot:{DOT_MS}"] for s in "ab"}) as sink:
        d = scene.daemon
        prepare(scene, sink, "ab", BULK, "--max-connections", CONNECTIONS)
        shop = Shop(d)
        shop.send_steadily("idle", 75)
        idle = percentile(waits(shop, sink, "idle"), 0.95)
        d.cli("campaign", "start", "news")
        wait_for(lambda: sink.count("example.org") > 1000, 30, "the campaign to flow", every=0.02)
        began = time.time()
        shop.send_steadily("busy", 200)
        for i in range(5):
            shop.asked[f"busycli{i}@shop.example"] = time.time()
            d.cli("send", "-", "--to", f"busycli{i}@shop.example", "--from", "shop@example.com",
                  feed="From: shop@example.com\nSubject: reset\n\nyour link\n")
        ended = time.time()
        still = sink.count("example.org") < BULK
        busy = percentile(waits(shop, sink, "busy"), 0.95)
        tap.ok(still, "the campaign lasted as long as they were submitted")
        tap.equal(len(shop.asked), 280, "all were accepted")
        tap.ok(busy < 100 + idle, f"p95 {busy:.0f} ms beside 20,000 of bulk, {idle:.0f} ms without")
        d.wait_finished("news", 60)
        bulk = [t for _, t, _, to in sink.arrivals() if to.endswith("example.org")]
        full = 2 * CONNECTIONS / (DOT_MS / 1000)
        flow = rate(bulk, began, ended)
        tap.ok(flow > 0.3 * full, f"the campaign goes on at {flow:.0f} a second of {full:.0f}")
        tap.equal(len(bulk), BULK, "and every one of it arrives once")


def test_floor():
    pace, seconds = 60, 8
    with Scene({}) as scene, Sink(scene.folder, {"a": []}) as sink:
        d = scene.daemon
        prepare(scene, sink, "a", 500, "--per-second", pace, "--max-connections", 4)
        shop = Shop(d)
        d.cli("pause")
        for part in range(4):
            status, _ = shop.post("/v1/messages:batch", {"messages": [
                {"from": "shop@example.com", "to": f"flood{part}x{i}@shop.example", "subject": "s",
                 "text": "t"} for i in range(400)]})
            tap.equal(status, 202, "a part of the flood is accepted")
        d.cli("campaign", "start", "news")
        d.cli("resume")
        wait_for(lambda: sink.count() > pace, 30, "the server to be under way", every=0.05)
        wait_for(lambda: sink.count() > pace * (seconds + 1), 60, "8 s of it", every=0.2)
        seen = sink.arrivals()[pace:pace * (seconds + 1)]
        bulk = sum(to.endswith("example.org") for *_, to in seen)
        took = seen[-1][1] - seen[0][1]
        tap.ok(bulk >= len(seen) // 20 - 2, f"bulk has {bulk} of {len(seen)}, a twentieth at least")
        tap.ok(bulk <= len(seen) // 5, f"and the flood the rest: {len(seen) - bulk}")
        tap.ok(took >= 0.9 * seconds, f"both within the pace: {len(seen)} in {took:.1f} s")


for test in (test_p95, test_floor):
    tap.case(test)
tap.done()
