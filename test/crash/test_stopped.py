#!/usr/bin/env python3
# timeout: 400
"""SIGSTOP for 20 s, then SIGCONT, while connections stand at each step of the protocol: six servers
take their time at another step each, so that one stop meets them all."""
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import crash  # noqa: E402
import tap  # noqa: E402
from daemon import signal_all, wait_for  # noqa: E402
from scene import Scene  # noqa: E402

STEPS = ["greeting", "ehlo", "mail", "rcpt", "data", "dot"]
STOP_S = 20
CONTACTS = 2500


def stop_for(scene, seconds):
    """Stops all processes of the daemon for that long on the monotonic clock."""
    pids = scene.daemon.pids()
    signal_all(pids, signal.SIGSTOP)
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end, seconds + 5, "the stop to pass", every=0.2)
    signal_all(pids, signal.SIGCONT)


def run_stop(what, stops, uncertain_max, *options):
    servers = {step: {"delay": {step: 400}} for step in STEPS}
    with Scene(servers) as scene:
        people = crash.begin(scene, CONTACTS, "--max-messages-per-connection", 7, *options)
        for moment in stops:
            wait_for(lambda m=moment: scene.witness.dots() >= m, 120, f"{moment} dots", every=0.02)
            stop_for(scene, STOP_S)
        crash.finish(scene, people, what, uncertain_max)


def test_patient():
    run_stop("stopped at every step", [300, 1200], 0)


def test_impatient():
    """Every deadline has passed when it wakes; a reply that lies in the socket still counts."""
    connections = crash.CONNECTIONS * len(STEPS)
    run_stop("stopped beyond the timeouts", [400], 2 * connections, "--reply-timeout", "5s",
             "--connect-timeout", "5s")


tap.case(test_patient)
tap.case(test_impatient)
tap.done()
