#!/usr/bin/env python3
"""Builds build-check/ and runs the test suites; called by ./check.

Every test is a program that prints TAP: the binaries meson knows of, and the Python scripts
test/SUITE/test_*.py. This runner counts the TAP lines itself (cmocka writes skips as "not ok
# SKIP", and a program that dies early prints too few), keeps what each printed in
build-check/logs/, and ends with one line: `N passed, M failed, S skipped`.
A script may say in its first 40 lines `# timeout: SECONDS` and `# alone: why` (run beside no
other test).
"""
import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-check"
PLAIN = ROOT / "build-plain"  # without sanitizers, where a preloaded library replaces malloc or time
PLAIN_SUITES = {"fault", "e2e"}
SUITES = ["lint", "unit", "talk", "store", "sim", "fault", "crash", "peer", "e2e", "fuzz"]
WITHOUT_BUILD = {"lint", "fuzz"}
DEFAULT_TIMEOUT = 300
SEEDS = "POSTFLEET_SIM_SEEDS"
FIRST_SEED = "POSTFLEET_SIM_FROM"
TAP_LINE = re.compile(r"^(ok|not ok)\b(.*)$")
SKIP = re.compile(r"#\s*skip\b\s*(.*)$", re.IGNORECASE)
PLAN = re.compile(r"^1\.\.(\d+)(.*)$")

print_lock = threading.Lock()


class Test:
    """One program: what to run, how long it may take, whether it wants the machine alone."""

    def __init__(self, suite, name, command, env=None, timeout=DEFAULT_TIMEOUT, alone=False,
                 folder=ROOT):
        self.suite, self.name, self.command, self.folder = suite, name, command, folder
        self.env, self.timeout, self.alone = env or {}, timeout, alone


class Count:
    """TAP figures of one program, with the lines worth showing."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.planned = None
        self.notes = []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def fail(self, why):
        self.failed += 1
        self.notes.append("not ok - " + why)


def read_tap(text, returncode):
    """Counts the TAP lines of a finished program and adds what the counts themselves reveal."""
    count = Count()
    seen = 0
    for line in text.splitlines():
        line = line.strip()
        plan = PLAN.match(line)
        if plan:
            count.planned = (count.planned or 0) + int(plan.group(1))
            skip_all = SKIP.search(plan.group(2))
            if plan.group(1) == "0" and skip_all:
                count.skipped += 1
                count.notes.append("skip - " + skip_all.group(1))
            continue
        if line.startswith("Bail out!"):
            count.fail(line)
            continue
        hit = TAP_LINE.match(line)
        if not hit:
            continue
        seen += 1
        skip = SKIP.search(hit.group(2))
        if skip:
            count.skipped += 1
            count.notes.append("skip -" + hit.group(2))
        elif hit.group(1) == "ok":
            count.passed += 1
        else:
            count.failed += 1
            count.notes.append(line)
    judge_plan(count, seen, returncode)
    return count


def judge_plan(count, seen, returncode):
    if count.planned is not None and seen < count.planned:
        count.fail(f"planned {count.planned} tests, {seen} reported")
    if returncode != 0 and count.failed == 0:
        count.fail(f"ended with status {returncode}")
    if seen == 0 and count.planned is None and count.failed == 0:
        count.fail("printed no TAP line")


def script_test(suite, path):
    head = "\n".join(path.read_text().splitlines()[:40])
    limit = re.search(r"^# timeout: (\d+)", head, re.MULTILINE)
    alone = re.search(r"^# alone\b", head, re.MULTILINE) is not None
    return Test(suite, path.stem, [sys.executable, str(path)],
                timeout=int(limit.group(1)) if limit else DEFAULT_TIMEOUT, alone=alone)


def suite_of_binary(name, meson_suites):
    """The suite of a meson test: that of its declaration; unit tests of the store are `store`."""
    for label in meson_suites:
        suite = label.split(":")[-1]
        if suite in SUITES and suite != "unit":
            return suite
    return "store" if name.startswith(("store_", "journal")) else "unit"


def binary_tests():
    raw = subprocess.run(["meson", "introspect", "--tests", str(BUILD)], check=True,
                         capture_output=True, text=True).stdout
    for entry in json.loads(raw):
        seeds = int(os.environ.get(SEEDS, 0)) if entry["name"] == "sim" else 0
        yield Test(suite_of_binary(entry["name"], entry["suite"]), entry["name"], entry["cmd"],
                   env=entry["env"], timeout=max(int(entry["timeout"]), 60, 10 * seeds),
                   folder=BUILD)


def script_tests():
    for suite in ("unit", "talk", "store", "sim", "fault", "crash", "peer", "e2e"):
        for path in sorted((ROOT / "test" / suite).glob("test_*.py")):
            yield script_test(suite, path)
    for path in sorted((ROOT / "test" / "witness").glob("test_*.py")):
        yield script_test("unit", path)
    yield Test("lint", "lint", [sys.executable, str(ROOT / "tools/lint.py"), "--tap"], timeout=600)
    yield script_test("lint", ROOT / "tools/test_lint.py")
    yield script_test("lint", ROOT / "tools/test_check.py")
    yield script_test("lint", ROOT / "tools/test_mutate.py")
    yield Test("fuzz", "fuzz", [sys.executable, str(ROOT / "tools/fuzz.py"), "--tap"], timeout=900,
               alone=True)


def run_one(test):
    """Runs a test in a session of its own, so that a timeout ends all it started."""
    env = dict(os.environ, **test.env)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:strict_string_checks=1:abort_on_error=0")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    env["POSTFLEET_SOURCE_ROOT"] = str(ROOT)
    env.setdefault("POSTFLEET_BINARY", str(BUILD / "postfleet"))
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    log = BUILD / "logs" / f"{test.suite}-{test.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with open(log, "wb") as out:
        try:
            child = subprocess.Popen(test.command, stdout=out, stderr=subprocess.STDOUT, env=env,
                                     cwd=test.folder, stdin=subprocess.DEVNULL,
                                     start_new_session=True)
        except OSError as e:
            count = Count()
            count.fail(f"cannot be run: {e}")
            show(test, count, 0.0, log)
            return count
        try:
            status, late = child.wait(test.timeout), False
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            status, late = child.wait(), True
    count = read_tap(log.read_text(errors="replace"), 0 if late else status)
    if late:
        count.fail(f"did not end within {test.timeout} s")
    show(test, count, time.monotonic() - started, log)
    return count


def show(test, count, seconds, log):
    with print_lock:
        print(f"# {test.suite:6} {test.name:28} {count.passed:5} passed {count.failed:3} failed "
              f"{count.skipped:3} skipped {seconds:7.1f} s", flush=True)
        for note in count.notes[:20]:
            print(f"#   {note}", flush=True)
        if count.failed:
            tail = log.read_text(errors="replace").splitlines()[-40:]
            print("\n".join("#   | " + line for line in tail), flush=True)
            print(f"#   (all of it: {log.relative_to(ROOT)})", flush=True)


def run_all(tests, jobs):
    total = Count()
    shared = [t for t in tests if not t.alone]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for count in pool.map(run_one, shared):
            total.add(count)
    for test in tests:
        if test.alone:
            total.add(run_one(test))
    return total


def quietly(command, env=None):
    """Runs a build step; its words are shown only when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode != 0:
        print(done.stdout[-6000:] + done.stderr[-2000:])
    return done.returncode == 0


def build(suites):
    """Brings build-check/, and build-plain/ for the suites that want it, up to date."""
    if not quietly(["ninja", "-C", str(BUILD)]):
        return False
    if not PLAIN_SUITES & set(suites):
        return True
    if not (PLAIN / "build.ninja").exists():
        env = dict(os.environ, CC="ccache gcc" if shutil.which("ccache") else "gcc")
        if not quietly(["meson", "setup", str(PLAIN), str(ROOT)], env):
            return False
    os.environ["POSTFLEET_PLAIN_BINARY"] = str(PLAIN / "postfleet")
    return quietly(["ninja", "-C", str(PLAIN), "postfleet"])


def close(total):
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    if total.failed or total.passed == 0:
        return 1
    if total.skipped and os.environ.get("CI") == "true":
        return 1
    return 0


def place_of(test):
    """What tells most in least time goes first; of the long suites the longest tests first, so that
    none of them runs on alone at the end."""
    early = SUITES.index("fault")
    suite = SUITES.index(test.suite)
    return (suite, 0) if suite < early else (early, -test.timeout)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./check", description="Runs the test suites.")
    parser.add_argument("suites", nargs="*", metavar="suite", help=" ".join(SUITES))
    parser.add_argument("--only", metavar="NAME", help="only tests whose name contains NAME")
    parser.add_argument("--list", action="store_true", help="names the tests and ends")
    jobs = (os.cpu_count() or 1) + 1  # most tests wait for clocks and timeouts half of their time
    parser.add_argument("--jobs", type=int, default=jobs, help=f"tests at a time ({jobs})")
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds of the simulator (200)")
    parser.add_argument("--from", dest="first", type=int, metavar="SEED",
                        help="the first of them (1)")
    options = parser.parse_args()
    if options.seeds:
        os.environ[SEEDS] = str(options.seeds)
    if options.first:
        os.environ[FIRST_SEED] = str(options.first)
    unknown = [s for s in options.suites if s not in SUITES]
    if unknown:
        parser.error(f"no suite {unknown[0]!r}; there are: {' '.join(SUITES)}")
    options.suites = options.suites or SUITES
    return options


def main():
    options = parse_arguments()
    if set(options.suites) - WITHOUT_BUILD or "lint" in options.suites:
        if not build(options.suites):
            total = Count()
            total.fail("build")
            print("not ok - build of build-check/")
            return close(total)
    tests = [t for t in list(binary_tests()) + list(script_tests())
             if t.suite in options.suites and (not options.only or options.only in t.name)]
    tests.sort(key=place_of)
    if options.list:
        for test in tests:
            print(f"{test.suite:6} {test.name}")
        return 0
    return close(run_all(tests, options.jobs))


if __name__ == "__main__":
    sys.exit(main())
