#!/usr/bin/env python3
# timeout: 700
"""The k-th write, sync, read, connect, accept or allocation of core fails, for k = 1, 2, 3 ..., in a
campaign of 20 mails: whatever happens (an error, an exit, a restart), the campaign ends, nobody is
lost or doubled, and at most two a connection are uncertain.

Runs the build without sanitizers, whose malloc can be replaced. For each call the first sites are
all tried, later ones evenly spread, within a time budget; the number tried is printed."""
import concurrent.futures
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import crash  # noqa: E402
import daemon  # noqa: E402
import tap  # noqa: E402
import witness  # noqa: E402
from daemon import CliError, Daemon, wait_for  # noqa: E402
from witness import ledger  # noqa: E402

MAILS = 20
CONNECTIONS = 2
CALLS = {"write": errno.ENOSPC, "sync": errno.EIO, "read": errno.EIO, "connect": errno.ENETUNREACH,
         "accept": errno.EMFILE, "malloc": errno.ENOMEM}
SITES = 360  # of each call; only malloc has more
BUDGET_S = float(os.environ.get("POSTFLEET_FAULT_SECONDS", "420"))


def prepare(folder):
    """A data folder with servers, list and template, served once; and its witness."""
    seen = witness.Witness(folder, {"a": {}, "b": {}})
    d = Daemon(folder).start()
    for name, port in seen.ports.items():
        d.add_server(name, port, "--max-connections", CONNECTIONS)
    people = d.add_people("run", MAILS)
    d.add_template("run", html=None)
    d.cli("campaign", "create", "run", "--list", "run", "--template", "run")
    d.stop()
    return seen, people


def environment(folder, shim, call, site):
    return {"LD_PRELOAD": shim, "FAIL_CALL": call, "FAIL_AT": str(site), "FAIL_IN": "--role core",
            "FAIL_ERRNO": str(CALLS[call]), "FAIL_ONCE": str(Path(folder, "failed")),
            "FAIL_COUNT": str(Path(folder, "count"))}


def start_campaign(d):
    """Starts daemon and campaign; without the shim when the fault kept either from standing."""
    for _ in range(4):
        try:
            if d.process.poll() is not None:
                d.start()
            d.wait_ready(25)
            if d.report("run")["state"] == "draft":
                d.run("campaign", "start", "run", timeout=30)
            if d.report("run")["state"] != "draft":
                return
        except (CliError, TimeoutError, subprocess.TimeoutExpired, KeyError, ValueError):
            if d.process.poll() is None:
                d.kill()
    raise CliError("the campaign could not be started after the fault: " + d.log()[-1500:])


def finish(d):
    """Waits for the end of the campaign; a daemon that ended is started again, as an init would."""
    def finished():
        if d.process.poll() is not None:
            d.start()
        done = d.run("campaign", "report", "run", "--json", timeout=30)
        return '"finished"' in done.stdout.replace(" ", "")
    wait_for(finished, 40, "campaign finished; the log says: " + d.log()[-1500:], every=0.1)


def try_site(prepared, shim, call, site):
    """One run with one fault: a text when something is wrong, else None. Also the calls counted."""
    with tempfile.TemporaryDirectory(prefix="postfleet-fault-") as folder:
        shutil.copytree(Path(prepared.folder, "data"), Path(folder, "data"),
                        ignore=shutil.ignore_patterns("*.sock"))
        d = Daemon(folder)
        seen_before = len(prepared.seen.events("dot"))
        try:
            d.start(wait=False, env=environment(folder, shim, call, site))
            start_campaign(d)
            finish(d)
            rows, report = d.messages("run"), d.report("run")
            dots = [e for e in prepared.seen.events("dot")[seen_before:]]
            found = ledger.judge(dots, rows, prepared.people)
            ledger.judge_report(found, report, rows)
            if found.faults() or len(found.uncertain) > 2 * 2 * CONNECTIONS:
                return str(found)
            if d.stop() != 0:
                return f"stopped with {d.process.returncode}"
            return None
        except (CliError, TimeoutError, subprocess.TimeoutExpired) as e:
            return f"{type(e).__name__}: {e}"
        finally:
            d.__exit__()
            count = Path(folder, "count")
            prepared.counted = int(count.read_text()) if count.exists() else 0


class Prepared:
    """A prepared folder and its witness; one a thread, so that runs do not mix."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="postfleet-prepared-")
        self.seen, self.people = prepare(self.folder)
        self.counted = 0

    def close(self):
        self.seen.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def sites_of(count):
    """The first third one by one, the rest evenly spread over the count."""
    if count <= SITES:
        return list(range(1, count + 1))
    first = SITES // 3
    step = (count - first) / (SITES - first)
    return list(range(1, first + 1)) + [int(first + step * i) for i in range(1, SITES - first + 1)]


def run_call(pool, prepared, shim, call, deadline):
    wrong = try_site(prepared[0], shim, call, 0)
    total = prepared[0].counted
    tap.ok(not wrong and total > 0, f"{call}: {total} calls in an undisturbed run", wrong)
    free, lock = list(prepared), threading.Lock()

    def one(site):
        if time.monotonic() > deadline:
            return None
        with lock:
            mine = free.pop()
        try:
            return site, try_site(mine, shim, call, site)
        finally:
            with lock:
                free.append(mine)
    done = [r for r in pool.map(one, sites_of(total)) if r]
    bad = [f"k = {site}: {text}" for site, text in done if text]
    tap.ok(not bad, f"{call}: {len(done)} sites failed in turn, nobody lost or doubled",
           "\n".join(bad)[:6000])


def main():
    plain = os.environ.get("POSTFLEET_PLAIN_BINARY")
    with tempfile.TemporaryDirectory() as folder:
        shim = crash.build_shim("fail_nth", folder)
        if not plain or not shim:
            tap.skip("the k-th call", "no build without sanitizers, or no compiler")
            return
        daemon.BINARY = plain
        prepared = [Prepared(), Prepared()]
        end = time.monotonic() + BUDGET_S
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for n, call in enumerate(CALLS):
                left = (end - time.monotonic()) / (len(CALLS) - n)
                tap.case(run_call, pool, prepared, shim, call, time.monotonic() + left)
        for p in prepared:
            p.close()


main()
tap.done()
