#!/usr/bin/env python3
# timeout: 120
"""A mail of nothing but dots, each of which is doubled on the wire, holds nobody up: while it leaves,
core answers others, over and over."""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import daemon  # noqa: E402
import sink  # noqa: E402
import tap  # noqa: E402
from scene import Scene  # noqa: E402
from test_api import Api  # noqa: E402

# Without sanitizers: AddressSanitizer looks at all of a body for each dot.
daemon.BINARY = sink.binary()
DOTS = 20 * 1024 * 1024 // 3


def main():
    with Scene(None) as scene, sink.Sink(scene.folder, {"a": []}) as server:
        scene.daemon.add_server("a", server.ports["a"], "--chunking", "no")
        api = Api(scene)
        raw = b"From: a@shop.example\r\nSubject: dots\r\n\r\n" + b".\r\n" * DOTS
        answer, said = api.call("POST", "/v1/messages?to=dots@in.test", raw, kind="message/rfc822")
        tap.equal(answer.status, 202, "20 MB of dots are taken")
        began, took = time.monotonic(), []
        while api.call("GET", f"/v1/messages/{said['id']}")[1]["state"] != "sent":
            asked = time.monotonic()
            api.call("GET", "/v1/status")
            took.append(time.monotonic() - asked)
        whole = time.monotonic() - began
        tap.ok(max(took) < whole / 6, f"while they left, core answered {len(took)} times; the slowest took "
               f"{max(took) / whole:.3f} of the whole", sorted(took)[-5:])
    counts = server.counts["a"]
    tap.ok(counts["messages"] == 1 and counts["bytes"] >= len(raw) - 100, "and all of them arrived", counts)
    tap.done()


if __name__ == "__main__":
    main()
