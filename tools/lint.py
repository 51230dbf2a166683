#!/usr/bin/env python3
"""The linters of ./check lint. Each is a function Tree -> list of "file:line: what"; this file
holds those over any text and the runner. `tools/lint.py [--tap] [NAME]...` runs all or some.
tools/test_lint.py plants a violation for each of them."""
import ast
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import lint_c  # noqa: E402

# Files that must name what they forbid.
SELF = {"tools/lint.py", "tools/lint_c.py", "tools/test_lint.py"}
TEXT = (".c", ".h", ".py", ".sh", ".sql", ".md", ".build", ".txt", ".yaml", ".ts", ".tsx", ".json")
WORDS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\b(stub|stubs|stubbed|placeholder|for now)\b",
                   re.IGNORECASE)
MACHINE = re.compile(r"(?<![\w.])/(?:work|root|home/[a-z]+)/")
GENERATED = re.compile(r"\.(o|a|so|pyc|gcda|gcno|profraw|profdata|orig|rej)$|^build[^/]*/"
                       r"|(^|/)(node_modules|__pycache__|dist)/|\.min\.(js|css)$|\.bundle\.js$")
PYTHON_FUNCTION_MAX = 60


class Tree:
    """The files to look at: what git tracks or would track, or everything below the root."""

    def __init__(self, root, build=None):
        self.root = Path(root)
        self.build = Path(build) if build else self.root / "build-check"
        self.files = sorted(self.find())
        self._texts = {}

    def find(self):
        if (self.root / ".git").exists():
            out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=self.root,
                                 capture_output=True, text=True, check=True).stdout
            return [f for f in out.splitlines() if (self.root / f).is_file()]
        names = (p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file())
        return [str(n) for n in names if not n.parts[0].startswith("build")]

    def text(self, name):
        if name not in self._texts:
            self._texts[name] = (self.root / name).read_text(errors="replace")
        return self._texts[name]

    def tool(self, *names):
        for name in names:
            if shutil.which(name):
                return name
        raise FileNotFoundError(f"{names[0]} is not installed")


def text_files(tree):
    names = {"quickstart", "check", ".ci/run"}
    return [f for f in tree.files if (f.endswith(TEXT) or f in names) and f not in SELF]


def words(tree):
    """Nothing is left to be done later."""
    return [f"{name}:{n}: the word {hit.group(0)!r}"
            for name in text_files(tree) if name != "LICENSE"
            for n, line in enumerate(tree.text(name).splitlines(), 1)
            for hit in [WORDS.search(line)] if hit]


def machine_paths(tree):
    """No path of the machine this was written on."""
    return [f"{name}:{n}: machine path {hit.group(0)!r}"
            for name in text_files(tree)
            for n, line in enumerate(tree.text(name).splitlines(), 1)
            for hit in [MACHINE.search(line)] if hit]


def generated(tree):
    """No built file, and no file twice."""
    bad = [f"{name}:1: is generated" for name in tree.files if GENERATED.search(name)]
    seen = {}
    for name in tree.files:
        data = (tree.root / name).read_bytes()
        if len(data) < 200:
            continue
        digest = hashlib.sha256(data).digest()
        if digest in seen:
            bad.append(f"{name}:1: the same bytes as {seen[digest]}")
        seen[digest] = name
    return bad


def scripts(tree):
    """Shell and Python parse; Python functions stay under PYTHON_FUNCTION_MAX lines."""
    bad = []
    for name in tree.files:
        if name in ("quickstart", "check", ".ci/run") or name.endswith(".sh"):
            done = subprocess.run(["sh", "-n", name], cwd=tree.root, capture_output=True, text=True)
            if done.returncode:
                bad.append(f"{name}:1: {done.stderr.strip()}")
        elif name.endswith(".py"):
            bad += python_file(name, tree.text(name))
    return bad


def python_file(name, text):
    try:
        syntax = ast.parse(text)
    except SyntaxError as e:
        return [f"{name}:{e.lineno}: {e.msg}"]
    return [f"{name}:{node.lineno}: function of {node.end_lineno - node.lineno + 1} lines, at most "
            f"{PYTHON_FUNCTION_MAX}"
            for node in ast.walk(syntax)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.end_lineno - node.lineno + 1 > PYTHON_FUNCTION_MAX]


LINTERS = {
    "include-law": lint_c.include_law,
    "purity": lint_c.purity,
    "banned-calls": lint_c.banned_calls,
    "file-length": lint_c.file_length,
    "function-length": lint_c.function_length,
    "opening-comment": lint_c.opening_comment,
    "typedef": lint_c.no_typedef_struct,
    "clang-format": lint_c.clang_format,
    "cppcheck": lint_c.cppcheck,
    "words": words,
    "machine-paths": machine_paths,
    "generated": generated,
    "scripts": scripts,
}


def main():
    names = [a for a in sys.argv[1:] if not a.startswith("--")] or list(LINTERS)
    tree, failures = Tree(Path(__file__).resolve().parent.parent), 0
    print(f"1..{len(names)}")
    for n, name in enumerate(names, 1):
        try:
            bad = LINTERS[name](tree)
        except FileNotFoundError as e:
            print(f"ok {n} - {name} # SKIP {e}", flush=True)
            continue
        failures += bool(bad)
        print(f"{'not ok' if bad else 'ok'} {n} - {name}")
        for line in bad[:40]:
            print(f"# {line}")
        if len(bad) > 40:
            print(f"# ... and {len(bad) - 40} more")
        sys.stdout.flush()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
