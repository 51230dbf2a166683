#!/usr/bin/env python3
"""Every mutation of tools/mutate.py and test/sim/mutate.py still finds its text, once; and it does
change it."""
import importlib.util
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import mutate  # noqa: E402


def of_simulator():
    """The mutations of the simulator, in the form of the others."""
    path = mutate.ROOT / "test/sim/mutate.py"
    spec = importlib.util.spec_from_file_location("sim_mutate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [(file, text, new, what) for what, (file, text, new, *_) in module.MUTANTS.items()]


def main():
    failures = 0
    every = [(mutate.FLEET + name, *rest) for name, *rest in mutate.MUTATIONS] + of_simulator()
    print(f"1..{len(every)}")
    for n, (name, text, new, what) in enumerate(every, 1):
        count = (mutate.ROOT / name).read_text().count(text)
        good = count == 1 and text != new
        failures += not good
        print(f"{'ok' if good else 'not ok'} {n} - {name}: {what}: found {count} times")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
