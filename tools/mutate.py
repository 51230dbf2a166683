#!/usr/bin/env python3
"""Breaks rules of the dispatcher, one at a time, in a copy of the tree, and runs the unit tests of
fleet/: each must be caught. Prints a table; the status is the number of survivors. Not part of
./check (it takes minutes); tools/test_mutate.py sees to it that every text still occurs."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLEET = "src/fleet/"
TIMEOUT = 120

# file, exact text (once in the file), what it becomes, what that breaks
MUTATIONS = [
    ("dispatch.c", "heap_rekey(&p->tier->heap, &p->node, p->node.key + MAX(step, 1));",
     "heap_rekey(&p->tier->heap, &p->node, p->node.key + 1000);", "weights are shares"),
    ("place.c", "strategy_key(p) : MAX(p->finish, p->tier->vtime);",
     "strategy_key(p) : p->finish;", "no burst after a return"),
    ("dispatch.c", "if (k->ask->lane == LANE_BULK || g->n_passed == 0)", "if (g->n_passed < 1000000)",
     "what bulk passed by is there for transactional mail"),
    ("dispatch.c", "(census_is_limit(out->bound) && g->at_limit == AT_LIMIT_WAIT)",
     "census_is_limit(out->bound)", "a message spills when the group says so"),
    ("dispatch.c", "return now_ms - since < (s->is_cold ? OWED_COLD_MS : OWED_MS) *",
     "return now_ms - since < OWED_COLD_MS *", "a busy server keeps its turn for 250 ms"),
    ("against.c", "if (was_tried(a, s->num))", "if (was_tried(a, 0))",
     "a server is asked once a round"),
    ("against.c", "a->size > s->max_size", "a->size >= s->max_size",
     "a message as large as the server takes goes there"),
    ("lanes.c", "lanes_keep_reserve(s, now_ms) ? n - 1 : n;",
     "lanes_keep_reserve(s, now_ms) ? n : n;", "one connection is kept"),
    ("quota.c", "l->limit * QUOTA_RESERVE_PERCENT / 100 : 0;", "l->limit / 100 : 0;",
     "a fifth of a quota is kept"),
    ("quota.c", "if (used >= l->limit) {", "if (used > l->limit) {", "no quota is exceeded by one"),
    ("quota.c", "uint64_t used = line_used(l, now_ms) + q->reserved;",
     "uint64_t used = line_used(l, now_ms);", "what is on its way counts"),
    ("quota.c", "#define SPREAD_MOST   4", "#define SPREAD_MOST   8",
     "never over four times the even pace"),
    ("quota.c", "if (lane == LANE_TRANSACTIONAL)\n            give_back_urgent(l, now_ms, at_ms);",
     "(void)give_back_urgent;", "a refused one gives its part of the reserve back"),
    ("limits.c", "quota_take(q, (enum lane)h->lane, now_ms);",
     "k == LIMIT_GROUP ? quota_return(q, (enum lane)h->lane)\n"
     "                             : quota_take(q, (enum lane)h->lane, now_ms);",
     "all limits are taken"),
    ("limits.c", "for (int k = LIMIT_GROUP; k < LIMIT_KINDS; k++) {\n"
     "        struct scope *s = kinds & 1u << k",
     "for (int k = LIMIT_CREDENTIAL; k < LIMIT_KINDS; k++) {\n"
     "        struct scope *s = kinds & 1u << k", "all limits are checked"),
    ("rotation.c", "(health_may_send(p->server, now_ms) || p->server->is_parked)", "true",
     "a sick one gives its turn away"),
    ("rotation.c", "if (g->rotate_active && g->n_places)", "if (false)",
     "k of n, also right after a reload"),
    ("strategy.c", "#define STEP_DOWN      0.25", "#define STEP_DOWN      0.50",
     "weights move in bounded steps"),
    ("strategy.c", "if (!health_stands(s) || s->weighed_at", "if (s->weighed_at",
     "weights freeze while a breaker moves"),
    ("strategy.c", "return MAX(slowest_decile_us(s), REFUSAL_TIMES * f->typical_us);",
     "return slowest_decile_us(s);", "fast refusals are no attraction"),
    ("strategy.c", "now_ms) + s->quota.reserved < s->included_per_month",
     "now_ms) < s->included_per_month", "the included volume exactly"),
    ("strategy.c", "/ MAX(p->weight, 1u);", "/ 1u;", "recipients stick by weight"),
    ("concurrency.c", "n = MAX(n - 1 / n, 1);", "n = MAX(n / 2, 1);",
     "concurrency shrinks by one nth"),
    ("explain.c", "f->is_dry = true;", "f->is_dry = false;", "explaining takes nothing"),
    ("fleet.c", "p->finish = (int64_t)behind;", "p->finish = 0 * (int64_t)behind;",
     "turns go on over a reload of the configuration"),
    ("breaker.h", "#define FAILURES_TO_OPEN 3", "#define FAILURES_TO_OPEN 4",
     "three failures in a row open a server"),
]


def copy_tree(to):
    """What meson needs to configure; only fleet/ and its tests are built."""
    skip = shutil.ignore_patterns("build*", ".git", "__pycache__", "node_modules")
    shutil.copytree(ROOT, to, ignore=skip, symlinks=True)


def quiet(command, folder, timeout):
    try:
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, timeout=timeout,
                              stderr=subprocess.STDOUT, text=True, check=False)
    except subprocess.TimeoutExpired:
        return 124, "took too long"
    return done.returncode, done.stdout


def fleet_tests():
    return sorted(p.stem for p in (ROOT / "test/unit").glob("test_fleet_*.c")
                  if p.stem != "test_fleet_region")


def prepare(tree):
    build = tree / "build-mutate"
    env_cc = os.environ.get("CC", "cc")
    status, out = quiet(["meson", "setup", str(build), "-Dbuildtype=debug"], tree, 600)
    if status:
        sys.exit(f"meson setup with {env_cc} failed:\n{out[-2000:]}")
    return build


def first_failure(build, jobs):
    """The name of the first test that fails, or None; a mutation that does not build is an error."""
    status, out = quiet(["ninja", f"-j{jobs}", *fleet_tests()], build, 1200)
    if status:
        sys.exit(f"a mutation does not build: it would prove nothing\n{out[-3000:]}")
    for test in fleet_tests():
        if quiet([str(build / test)], build, TIMEOUT)[0] != 0:
            return test
    return None


def apply(tree, mutation):
    """Puts one mutation in; returns what was there."""
    name, text, new, _ = mutation
    path = tree / (FLEET + name)
    old = path.read_text()
    if old.count(text) != 1:
        sys.exit(f"{path}: this text occurs {old.count(text)} times, not once:\n{text}")
    path.write_text(old.replace(text, new))
    return path, old


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--only", type=int, help="the number of one mutation")
    args = p.parse_args()
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="postfleet-mutate-") as folder:
        tree = Path(folder) / "tree"
        copy_tree(tree)
        build = prepare(tree)
        broken = first_failure(build, args.jobs)
        if broken:
            sys.exit(f"{broken} fails without any mutation")
        for n, mutation in enumerate(MUTATIONS, 1):
            if args.only not in (None, n):
                continue
            started = time.monotonic()
            path, old = apply(tree, mutation)
            caught = first_failure(build, args.jobs)
            path.write_text(old)
            survivors += caught is None
            print(f"{n:2} {mutation[0]:14} {mutation[3]:52} {caught or 'SURVIVED':22} "
                  f"{time.monotonic() - started:5.1f} s", flush=True)
    print(f"{survivors} survived")
    return min(survivors, 100)


if __name__ == "__main__":
    sys.exit(main())
