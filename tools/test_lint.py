#!/usr/bin/env python3
# timeout: 120
"""Each linter finds the violation planted for it and is silent on the clean tree: a linter that
cannot fail is none."""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import lint  # noqa: E402

CLEAN_C = """/* Adds numbers. It keeps no state. */
#include "fleet/sum.h"

int fleet_sum(int a, int b)
{
    return a + b;
}
"""
CLEAN_H = """/* Adds numbers. */
#ifndef FLEET_SUM_H
#define FLEET_SUM_H

int fleet_sum(int a, int b);

#endif
"""
LONG = "/* Long. */\nvoid f(void);\nvoid f(void)\n{\n" + "    f();\n" * 60 + "}\n"

# (linter, file, content): the planted violation.
PLANTED = [
    ("include-law", "src/fleet/a.c", '/* x */\n#include "store/db.h"\n'),
    ("include-law", "src/fleet/b.c", '/* x */\n#include "base/clock.h"\n'),
    ("include-law", "src/fleet/c.c", "/* x */\n#include <time.h>\n"),
    ("include-law", "src/fleet/d.c", '/* x */\n#include "sum.h"\n'),
    ("include-law", "src/store/e.c", "/* x */\n#include <uv.h>\n"),
    ("include-law", "src/attic/f.c", "/* x */\n"),
    ("banned-calls", "src/net/a.c", "/* x */\nvoid f(char *d) { strcpy(d, g()); }\n"),
    ("banned-calls", "src/net/b.c", '/* x */\nvoid f(void) { execv("/bin/true", 0); }\n'),
    ("file-length", "src/net/c.c", "/* x */\n" + "int x;\n" * 701),
    ("function-length", "src/net/d.c", LONG),
    ("opening-comment", "src/net/e.c", "int x;\n"),
    ("typedef", "src/net/f.h", "/* x */\ntypedef struct net { int a; } net_t;\n"),
    ("clang-format", "src/net/g.c", "/* x */\nint   f( void ) {return 1;}\n"),
    ("cppcheck", "src/net/h.c", "/* x */\nint f(void);\nint f(void)\n{\n    int a[2];\n"
                                "    a[0] = 1;\n    return a[2];\n}\n"),
    ("words", "src/net/i.c", "/* x */\n/* TO" + "DO: later */\n"),
    ("words", "doc/J.md", "This is a st" + "ub.\n"),
    ("machine-paths", "doc/K.md", "See /wo" + "rk/main/x.\n"),
    ("generated", "src/net/l.o", "ELF"),
    ("generated", "doc/paper.h", CLEAN_H + "/* " + "y" * 200 + " */\n"),
    ("scripts", "tools/m.sh", "if then\n"),
    ("scripts", "tools/n.py", "def f(:\n"),
]
# (file, content) that look like violations and are none.
INNOCENT = [
    ("src/main/a.c", '/* x */\nvoid f(void)\n{\n    execv("/proc/self/exe", 0);\n}\n'),
    ("src/net/b.c", "/* strcpy( and system( are banned */\nconst char *s = \"strcpy(\";\n"),
]
number = failures = 0


def report(good, what, detail=""):
    global number, failures
    number += 1
    failures += not good
    print(f"{'ok' if good else 'not ok'} {number} - {what}")
    if not good:
        print(f"# {detail}")


def make_tree(root):
    files = {"src/fleet/sum.c": CLEAN_C, "src/fleet/sum.h": CLEAN_H}
    for name, content in files.items():
        write(root, name, content)
    write(root, "doc/original.h", CLEAN_H + "/* " + "y" * 200 + " */\n")
    for name in ("tools/floors.txt", "tools/pure-symbols.txt"):
        write(root, name, (HERE.parent / name).read_text())
    shutil.copy(HERE.parent / ".clang-format", root / ".clang-format")


def write(root, name, content):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def violations(root, name):
    return lint.LINTERS[name](lint.Tree(root, build=root.parent / "build-x"))


def test_clean(root):
    for name in lint.LINTERS:
        bad = violations(root, name)
        report(not bad, f"{name} is silent on a clean tree", bad)


def test_planted(root):
    for name, file, content in PLANTED:
        write(root, file, content)
        bad = violations(root, name)
        report(any(line.startswith(file) for line in bad), f"{name} finds {file}", bad)
        (root / file).unlink()


def test_innocent(root):
    for file, content in INNOCENT:
        write(root, file, content)
        for name in ("banned-calls", "include-law"):
            bad = violations(root, name)
            report(not bad, f"{name} accepts {file}", bad)
        (root / file).unlink()


def build_archive(root, room, source):
    where = root.parent / "build-x" / "src" / room
    where.mkdir(parents=True, exist_ok=True)
    (where / "x.c").write_text(source)
    subprocess.run(["cc", "-c", "x.c", "-o", "x.c.o"], cwd=where, check=True)
    subprocess.run(["ar", "rcs", f"lib{room}.a", "x.c.o"], cwd=where, check=True)


def test_purity(root):
    build_archive(root, "fleet", "#include <string.h>\nsize_t f(const char *s)"
                                 " { return strlen(s); }\n")
    bad = violations(root, "purity")
    report(not bad, "purity accepts strlen", bad)
    build_archive(root, "fleet", "#include <time.h>\nlong f(void) { return time(0); }\n")
    bad = violations(root, "purity")
    report(any("uses time" in line for line in bad), "purity finds a clock", bad)
    build_archive(root, "base", "int base_helper(void) { return 1; }\n")
    build_archive(root, "fleet", "int base_helper(void);\nint f(void) { return base_helper(); }\n")
    bad = violations(root, "purity")
    report(not bad, "purity accepts what base defines", bad)


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        root.mkdir()
        make_tree(root)
        test_clean(root)
        test_planted(root)
        test_innocent(root)
        test_purity(root)
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
