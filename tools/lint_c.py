"""Linters over C sources: include law, purity, banned calls, sizes, form.

Each takes a Tree and returns a list of "file:line: what" strings; an empty list is a pass. They
read text, not syntax trees, and rely on the brace style that clang-format enforces. Nothing here
prints; tools/lint.py does.
"""
import fnmatch
import re
import subprocess

FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 60
BANNED = ("strcpy strcat sprintf vsprintf gets strtok strtok_r system popen rand srand random "
          "atoi atol atoll atof alloca").split()
EXEC = "execl execlp execle execv execvp execvpe execve fexecve posix_spawn posix_spawnp".split()
# Where a process may begin: always this very binary, but for the Postfix that `bench relay` is held
# against, by its absolute path.
STARTS_PROCESSES = ("src/main/", "src/lab/daemon.c", "src/lab/bench_postfix.c")
SANITIZER = ("__asan_", "__ubsan_", "__sanitizer_", "__lsan_", "__tsan_", "__stack_chk_fail",
             "__gcov", "__llvm", "_GLOBAL_OFFSET_TABLE_")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


class Floors:
    """tools/floors.txt, parsed."""

    def __init__(self, path):
        self.rooms, self.libraries = {}, {}
        self.libc_pure, self.barred_pure = set(), set()
        for line in path.read_text().splitlines():
            words = line.split("#")[0].split()
            if words:
                self.take(words)

    def take(self, words):
        if words[0] == "room":
            name, _floor, pure, rooms, libraries = words[1:6]
            self.rooms[name] = {"pure": pure == "pure", "rooms": split(rooms) | {name},
                                "libraries": split(libraries)}
        elif words[0] == "library":
            self.libraries[words[1]] = words[2:]
        elif words[0] == "libc-pure":
            self.libc_pure |= set(words[1:])
        elif words[0] == "barred-pure":
            self.barred_pure |= set(words[1:])
        else:
            raise ValueError(f"floors.txt: unknown line {' '.join(words)}")

    def library_of(self, header):
        for name, patterns in self.libraries.items():
            if any(fnmatch.fnmatch(header, p) for p in patterns):
                return name
        return None


def split(words):
    return set() if words == "-" else set(words.split(","))


def c_files(tree, under="src/"):
    return [f for f in tree.files if f.startswith(under) and f.endswith((".c", ".h"))]


def strip_code(text):
    """The text with comments and literals blanked, line structure kept."""
    def blank(match):
        kept = re.sub(r"[^\n]", " ", match.group(0))
        return kept
    token = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)
    return token.sub(blank, text)


def include_law(tree):
    """Every #include of src/ROOM/ is allowed by tools/floors.txt."""
    floors, bad = Floors(tree.root / "tools/floors.txt"), []
    for name in c_files(tree):
        room = name.split("/")[1]
        if room not in floors.rooms:
            bad.append(f"{name}:1: room {room} is not in tools/floors.txt")
            continue
        for n, line in enumerate(tree.text(name).splitlines(), 1):
            hit = INCLUDE.match(line)
            why = hit and judge_include(tree, floors, room, hit.group(1), hit.group(2))
            if why:
                bad.append(f"{name}:{n}: {why}")
    return bad


def judge_include(tree, floors, room, quote, header):
    law = floors.rooms[room]
    if quote == '"':
        if "/" not in header:
            return f'"{header}" lacks its room: write "{room}/{header}"'
        other = header.split("/")[0]
        if other not in law["rooms"]:
            return f"room {room} may not include {header}"
        if law["pure"] and header in floors.barred_pure:
            return f"pure room {room} may not include {header}"
        return None
    library = floors.library_of(header)
    if library:
        return None if library in law["libraries"] else f"room {room} may not use {library}"
    if law["pure"] and header not in floors.libc_pure:
        return f"pure room {room} may not include <{header}>"
    return None


def archive_symbols(path):
    """(member, kind, symbol) of every symbol in a static library."""
    out = subprocess.run(["nm", "-A", "-P", str(path)], capture_output=True, text=True, check=True)
    for line in out.stdout.splitlines():
        where, symbol, kind = line.split()[:3]
        member = where.rstrip(":").split("[")[-1].rstrip("]").split("/")[-1]
        yield member, kind, symbol


def purity(tree):
    """Pure rooms call only pure rooms, base, model, and tools/pure-symbols.txt."""
    floors, build = Floors(tree.root / "tools/floors.txt"), tree.build
    allowed = [w for line in (tree.root / "tools/pure-symbols.txt").read_text().splitlines()
               for w in line.split("#")[0].split()]
    impure_members = {h.split("/")[1][:-2] + ".c.o" for h in floors.barred_pure}
    bad = []
    for room, law in floors.rooms.items():
        archive = build / "src" / room / f"lib{room}.a"
        if not law["pure"] or not archive.exists():
            continue
        known = set()
        for other in law["rooms"]:
            path = build / "src" / other / f"lib{other}.a"
            if path.exists():
                known |= {s for m, kind, s in archive_symbols(path)
                          if kind not in "Uwv" and m not in impure_members}
        for member, kind, symbol in archive_symbols(archive):
            if kind != "U" or symbol in known or symbol.startswith(SANITIZER):
                continue
            if not any(fnmatch.fnmatchcase(symbol, p) for p in allowed):
                bad.append(f"src/{room}: {member} uses {symbol}, which is not pure")
    return sorted(set(bad))


def banned_calls(tree):
    """No call that cannot be used safely, and no new program but from STARTS_PROCESSES."""
    plain = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    spawn = re.compile(r"(?<![\w.>])(" + "|".join(EXEC) + r")\s*\(")
    bad = []
    for name in c_files(tree):
        for n, line in enumerate(strip_code(tree.text(name)).splitlines(), 1):
            hit = plain.search(line)
            if not hit and not name.startswith(STARTS_PROCESSES):
                hit = spawn.search(line)
            if hit:
                bad.append(f"{name}:{n}: {hit.group(1)} is banned")
    return bad


def file_length(tree):
    """No source file is longer than FILE_LINES_MAX lines."""
    bad = []
    for name in tree.files:
        if name.endswith((".c", ".h", ".py", ".sh", ".ts", ".tsx")):
            lines = tree.text(name).count("\n")
            if lines > FILE_LINES_MAX:
                bad.append(f"{name}:{lines}: {lines} lines, at most {FILE_LINES_MAX}")
    return bad


def function_length(tree):
    """No C function's body spans more than FUNCTION_LINES_MAX lines, braces included."""
    bad = []
    for name in c_files(tree) + c_files(tree, "test/"):
        opened = None
        for n, line in enumerate(strip_code(tree.text(name)).splitlines(), 1):
            if line.rstrip() == "{":
                opened = n
            elif line.rstrip() == "}" and opened:
                if n - opened + 1 > FUNCTION_LINES_MAX:
                    bad.append(f"{name}:{opened}: function of {n - opened + 1} lines, "
                               f"at most {FUNCTION_LINES_MAX}")
                opened = None
    return bad


def opening_comment(tree):
    """Every C file begins by saying what it is."""
    return [f"{name}:1: does not open with a comment"
            for name in c_files(tree) + c_files(tree, "test/")
            if not tree.text(name).startswith(("/*", "//"))]


def no_typedef_struct(tree):
    """Structs and enums go by their own names."""
    word = re.compile(r"\btypedef\s+(struct|enum|union)\b")
    return [f"{name}:{n}: typedef of a {hit.group(1)}"
            for name in c_files(tree)
            for n, line in enumerate(strip_code(tree.text(name)).splitlines(), 1)
            for hit in [word.search(line)] if hit]


def clang_format(tree):
    """clang-format has nothing to change."""
    tool = tree.tool("clang-format-14", "clang-format")
    files = c_files(tree) + c_files(tree, "test/")
    if not files:
        return []
    done = subprocess.run([tool, "--dry-run", "--ferror-limit=1"] + files, cwd=tree.root,
                          capture_output=True, text=True)
    bad = [line for line in done.stderr.splitlines() if "[-Wclang-format-violations]" in line]
    return bad if bad or done.returncode == 0 else [done.stderr.strip()[:500]]


def cppcheck(tree):
    """cppcheck finds no error, doubtful code or unportable code."""
    if not c_files(tree):
        return []
    tool = tree.tool("cppcheck")
    cache = tree.build / "cppcheck"
    cache.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [tool, "--quiet", "--enable=warning,portability", "--std=c11", "--inline-suppr", "-j", "2",
         # internalAstError: cppcheck 2.10 does not know the GNU `a ?: b`.
         "--suppress=internalAstError", "--suppress=missingInclude", "--suppress=unknownMacro", "--suppress=normalCheckLevelMaxBranches",
         f"--cppcheck-build-dir={cache}", "--template={file}:{line}: {severity} {id}: {message}",
         "-D_GNU_SOURCE", "-I", "src", "src"], cwd=tree.root, capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if re.match(r"^\S+:\d+: ", line)]
