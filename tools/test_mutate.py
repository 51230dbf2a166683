#!/usr/bin/env python3
"""Every mutation of tools/mutate.py still finds its text, once; and it does change it."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import mutate  # noqa: E402


def main():
    failures = 0
    print(f"1..{len(mutate.MUTATIONS)}")
    for n, (name, text, new, what) in enumerate(mutate.MUTATIONS, 1):
        count = (mutate.ROOT / mutate.FLEET / name).read_text().count(text)
        good = count == 1 and text != new
        failures += not good
        print(f"{'ok' if good else 'not ok'} {n} - {name}: {what}: found {count} times")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
