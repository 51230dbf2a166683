#!/usr/bin/env python3
"""Builds the fuzz targets with clang (libFuzzer, ASan, UBSan, coverage) in build-fuzz/ and runs each
for 20 s, two at a time. A target fails on a crash, a leak or a hang, with fewer than 100,000
executions inside its time, or when less than 80 % of its parser's lines were reached.
  tools/fuzz.py [--tap] [--seconds N] [NAME]...      --list names them"""
import argparse
import concurrent.futures
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build-fuzz"
RUNS_WANTED = 100_000
LINES_WANTED = 80.0
C_ARGS = "-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined " \
         "-fprofile-instr-generate -fcoverage-mapping"
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
LETTER = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"\\": b"\\", b'"': b'"'}
lock = threading.Lock()


class Target:
    """A line of tools/fuzz-targets.txt."""

    def __init__(self, line):
        words = line.split()
        self.name, self.covers, self.seeds = words[0], words[1].split(","), words[2:]


class Result:
    def __init__(self):
        self.runs, self.percent, self.faults, self.log = 0, 0.0, [], None


def shared_folder():
    return Path(os.environ.get("POSTFLEET_SHARED", ROOT.parent / "shared"))


def read_targets():
    rows = (ROOT / "tools/fuzz-targets.txt").read_text().splitlines()
    return {t.name: t for t in (Target(r) for r in rows if r.strip() and not r.startswith("#"))}


def unescape(data):
    def one(match):
        word = match.group(1)
        if word[:1] == b"x" and len(word) > 1:
            return bytes([int(word[1:], 16)])
        if word.isdigit() and word != b"0":
            return bytes([int(word, 8) & 255])
        return LETTER.get(word, word)
    return ESCAPE.sub(one, data)


def located(path):
    return shared_folder() / path if path.startswith("corpora/") else ROOT / path


def seed_bytes(seed):
    """The inputs that one SEEDS word stands for; none when the shared folder is absent."""
    kind, _, rest = seed.partition(":")
    if kind == "text":
        yield unescape(rest.replace("%20", " ").encode())
    elif kind == "files":
        for name in sorted(glob.glob(str(located(rest)), recursive=True)):
            if os.path.isfile(name):
                yield Path(name).read_bytes()[:65536]
    elif kind == "lines":
        path, _, column = rest.rpartition(":")
        if located(path).exists():
            for line in located(path).read_bytes().splitlines():
                cells = line.split(b"\t")
                if len(cells) >= int(column):
                    yield unescape(cells[int(column) - 1])
    else:
        raise ValueError(f"fuzz-targets.txt: unknown seed {seed}")


def write_seeds(target):
    folder = BUILD / "seeds" / target.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    n = 0
    for seed in target.seeds:
        for data in seed_bytes(seed):
            (folder / f"{n:05}").write_bytes(data)
            n += 1
    return folder


def tool(name):
    return shutil.which(name + "-14") or shutil.which(name) or name


def quiet(command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(" ".join(map(str, command)) + "\n" + done.stdout[-3000:]
                           + done.stderr[-3000:])
    return done.stdout


def build():
    if not (BUILD / "build.ninja").exists():
        shutil.rmtree(BUILD, ignore_errors=True)
        clang = tool("clang")
        env = dict(os.environ, CC=f"ccache {clang}" if shutil.which("ccache") else clang)
        quiet(["meson", "setup", str(BUILD), str(ROOT), "-Dfuzz=true", "-Dbuildtype=debugoptimized",
               "-Db_sanitize=address,undefined", "-Db_lundef=false", f"-Dc_args={C_ARGS}",
               "-Dc_link_args=-fprofile-instr-generate"], env=env)
    quiet(["meson", "setup", "--reconfigure", str(BUILD), str(ROOT)])
    listed = json.loads(quiet(["meson", "introspect", "--targets", str(BUILD)]))
    names = [t["name"][5:] for t in listed
             if t["name"].startswith("fuzz_") and t["type"] == "executable"]
    if names:
        quiet(["ninja", "-C", str(BUILD)] + ["fuzz_" + n for n in names])
    return names


def fuzz_once(command, result, env):
    """Runs libFuzzer, adding its executions to the result; its status and its last words."""
    with open(result.log, "wb") as log:
        status = subprocess.run(command, stdout=log, stderr=log, env=env, cwd=BUILD).returncode
    text = result.log.read_text(errors="replace")
    hit = re.search(r"number_of_executed_units:\s*(\d+)", text)
    result.runs += int(hit.group(1)) if hit else 0
    return status, text


def run_target(target, seconds):
    result = Result()
    seeds, corpus = write_seeds(target), BUILD / "corpus" / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    profile = BUILD / "profiles" / f"{target.name}.profraw"
    profile.parent.mkdir(exist_ok=True)
    profile.unlink(missing_ok=True)
    result.log = BUILD / f"fuzz-{target.name}.log"
    env = dict(os.environ, LLVM_PROFILE_FILE=str(profile), POSTFLEET_SOURCE_ROOT=str(ROOT),
               ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1")
    command = [str(BUILD / f"fuzz_{target.name}"), "-timeout=5", "-rss_limit_mb=1500",
               "-max_len=16384", "-print_final_stats=1",
               f"-artifact_prefix={BUILD}/crash-{target.name}-", str(corpus), str(seeds)]
    status, text = fuzz_once(command + [f"-max_total_time={seconds}"], result, env)
    if status == 0 and result.runs < RUNS_WANTED:  # a slow target, or a busy machine
        env["LLVM_PROFILE_FILE"] = str(profile) + ".2"
        status, text = fuzz_once(command + [f"-runs={RUNS_WANTED - result.runs}",
                                            "-max_total_time=120"], result, env)
        os.replace(str(profile) + ".2", profile)
    if status == 0 and result.runs < RUNS_WANTED:
        result.faults.append(f"only {result.runs} executions, wanted {RUNS_WANTED}")
    if status != 0:
        result.faults.append(f"ended with status {status}: see {result.log.relative_to(ROOT)}")
        result.faults += [line for line in text.splitlines()
                          if "ERROR" in line or "SUMMARY" in line or "Test unit" in line][:5]
    result.percent = coverage(target, profile, result)
    if result.percent < LINES_WANTED:
        result.faults.append(f"reached {result.percent:.1f} % of {','.join(target.covers)}, "
                             f"wanted {LINES_WANTED:.0f} %")
    return result


def coverage(target, profile, result):
    """Percent of the lines of the covered files that this run reached."""
    if not profile.exists():
        result.faults.append("wrote no coverage profile")
        return 0.0
    merged = profile.with_suffix(".profdata")
    quiet([tool("llvm-profdata"), "merge", "-sparse", str(profile), "-o", str(merged)])
    report = json.loads(quiet([tool("llvm-cov"), "export", "-summary-only",
                               f"-instr-profile={merged}", str(BUILD / f"fuzz_{target.name}")]))
    count = covered = 0
    for entry in report["data"][0]["files"]:
        name = os.path.relpath(os.path.realpath(os.path.join(BUILD, entry["filename"])), ROOT)
        if name in target.covers:
            count += entry["summary"]["lines"]["count"]
            covered += entry["summary"]["lines"]["covered"]
    if count == 0:
        result.faults.append(f"no lines of {','.join(target.covers)} in the binary")
    return 100.0 * covered / count if count else 0.0


def report(number, target, result):
    with lock:
        print(f"{'not ok' if result.faults else 'ok'} {number} - {target.name}: {result.runs} "
              f"executions, {result.percent:.1f} % of {','.join(target.covers)}")
        for fault in result.faults:
            print(f"# {fault}")
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--tap", action="store_true", help="the default; kept for ./check")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    # Instrumented programs that the build itself runs must not leave profiles in the source tree.
    os.environ["LLVM_PROFILE_FILE"] = str(BUILD / "build.profraw")
    try:
        built = build()
    except RuntimeError as e:
        print("1..1\nnot ok 1 - build of the fuzz targets")
        print("\n".join("# " + line for line in str(e).splitlines()[-40:]))
        return 1
    table = read_targets()
    names = [n for n in built if not options.names or n in options.names]
    if options.list:
        print("\n".join(names))
        return 0
    print(f"1..{max(1, len(names))}")
    unlisted = [n for n in names if n not in table]
    targets = [table[n] for n in names if n in table]
    failed = bool(unlisted) or not names
    for number, name in enumerate(unlisted or ([] if names else ["any"]), 1):
        print(f"not ok {number} - {name} is not in tools/fuzz-targets.txt")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {pool.submit(run_target, t, options.seconds): t for t in targets}
        for number, job in enumerate(concurrent.futures.as_completed(jobs), len(unlisted) + 1):
            report(number, jobs[job], job.result())
            failed = failed or bool(job.result().faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
