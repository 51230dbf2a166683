#!/usr/bin/env python3
"""Tests of the TAP counter in tools/check.py: a runner that cannot fail would hide everything."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import check  # noqa: E402

CASES = [
    ("plain pass", "1..2\nok 1 - a\nok 2 - b\n", 0, (2, 0, 0)),
    ("a failing line", "1..2\nok 1 - a\nnot ok 2 - b\n", 1, (1, 1, 0)),
    ("cmocka's skip", "1..1\nnot ok 1 - a # SKIP\n", 0, (0, 0, 1)),
    ("a skip with its reason", "1..1\nok 1 - a # skip no root\n", 0, (0, 0, 1)),
    ("everything skipped", "1..0 # SKIP no corpora\n", 0, (0, 0, 1)),
    ("died before its plan was done", "1..3\nok 1 - a\n", 0, (1, 1, 0)),
    ("nonzero status without a failing line", "1..1\nok 1 - a\n", 139, (1, 1, 0)),
    ("no TAP at all", "hello\n", 0, (0, 1, 0)),
    ("plan at the end", "ok 1\nok 2\n1..2\n", 0, (2, 0, 0)),
    ("bail out", "ok 1\nBail out! no port\n", 0, (1, 1, 0)),
    ("words that only look like TAP", "okay then\nok 1 - x\n1..1\n", 0, (1, 0, 0)),
]


def main():
    failures = 0
    print(f"1..{len(CASES)}")
    for n, (name, text, status, want) in enumerate(CASES, 1):
        c = check.read_tap(text, status)
        got = (c.passed, c.failed, c.skipped)
        failures += got != want
        print(f"{'ok' if got == want else 'not ok'} {n} - counts {name}: {got}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
