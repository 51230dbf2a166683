#!/usr/bin/env python3
# timeout: 120
"""A name with two addresses of which IPv6 swallows everything: the slow family is skipped (happy
eyeballs), and mail leaves by IPv4 without waiting for the connect timeout. In a network namespace."""
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import netns  # noqa: E402
import tap  # noqa: E402
from scene import Scene  # noqa: E402


def test_slow_family():
    found = {a[0] for a in socket.getaddrinfo("both.test", 25, type=socket.SOCK_STREAM)}
    tap.equal(found, {socket.AF_INET, socket.AF_INET6}, "the name has both families")
    with Scene({"a": {}}, env={"POSTFLEET_PUBLIC_URL": "http://127.0.0.1"}) as scene:
        port = scene.witness.ports["a"]
        netns.nft("add table ip6 hole")
        netns.nft("add chain ip6 hole out { type filter hook output priority 0; }")
        netns.nft(f"add rule ip6 hole out tcp dport {port} drop")
        scene.daemon.add_server("a", port, "--connect-timeout", "20s", host="both.test")
        people = scene.daemon.campaign("run", 50, html=None)
        started = scene.daemon.wait_finished("run", 15)
        tap.equal(started["sent"], 50, "all left by the other family, well before the timeout")
        tap.equal(scene.daemon.server("a")["state"], "healthy", "the server is not blamed")
        scene.judge("run", people, "slow family", uncertain_max=0)


reason = netns.why_not()
if reason:
    tap.skip("the slow family", reason)
else:
    netns.enter()
    tap.case(test_slow_family)
tap.done()
