#!/usr/bin/env python3
"""Mutation check of the simulator: breaks one rule of the engine at a time in a copy of the tree,
builds it, and runs seeds, ten at a time, until one fails: of the scene that holds the rule where
one is named, else of all. A mutant that lives through all of them is a property that the simulator
does not hold. Not part of ./check (up to some minutes a mutant):

    test/sim/mutate.py [--seeds N] [--build DIR] [NAME]...
"""
import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

STEP = 10

# name: (file, text that is there once, text instead, perhaps a scene)
MUTANTS = {
    "one dot more in a second and a minute": (
        "src/fleet/quota.c", "        if (used < l->limit)\n            continue;\n        /* Those",
        "        if (used <= l->limit)\n            continue;\n        /* Those"),
    "one message more in an hour and a day": (
        "src/fleet/quota.c", "    if (used >= l->limit) {", "    if (used > l->limit) {"),
    "pace begins unused after a start": (
        "src/fleet/quota.c", "    q->even_at_us = (now_ms + kinds[QUOTA_SECOND].span_ms) * 1000;\n",
        "    now_ms -= 3600000;\n"),
    "one connection more": (
        "src/engine/outlet.c", "return n ? MIN(n + o->n_slow, max_connections(o)) : 0;",
        "return n ? n + o->n_slow + 1 : 0;"),
    "the dot does not wait for its intent": (
        "src/engine/session.c", "    if (j->ticket > durable_for(c, j)) {\n        if (list_empty",
        "    if (j->ticket > durable_for(c, j) + 1000) {\n        if (list_empty", "crashes"),
    "an intent without an outcome is ready again": (
        "src/engine/recover.c", "        if (r->kind == JOURNAL_INTENT)\n",
        "        if (r->kind == JOURNAL_INTENT && x == NULL)\n"),
    "an uncertain bulk message is sent again": (
        "src/fleet/retry.c", "    bool again = a->lane == LANE_TRANSACTIONAL && ",
        "    bool again = "),
    "a server never opens": (
        "src/fleet/breaker.c", "    return b->failures_in_row >= FAILURES_TO_OPEN || ",
        "    return false && ", "sick"),
    "weights do not count": (
        "src/fleet/dispatch.c", "(double)FINISH_SCALE / MAX(strategy_weight(p, now_ms), 0.001)",
        "(double)FINISH_SCALE / MAX(1.0, 0.001)"),
    "fallback groups in any order": (
        "src/fleet/dispatch.c", "fleet_find_group(f, g->fallbacks[i]);\n        if (fb && pick",
        "fleet_find_group(f, g->fallbacks[g->n_fallbacks - 1 - i]);\n        if (fb && pick"),
    "a deferred message is not looked for": (
        "src/engine/settle.c", "            campaigner_look_at(c, x->o.lane, x->o.due);", "            ;", "villains"),
    "the common cause is found late": (
        "src/fleet/common.c", "    f->common_probe_at = now_ms + PROBE_MS;\n",
        "    f->common_probe_at = now_ms + 60 * PROBE_MS;\n", "network cut"),
    "no pause between messages": (
        "src/engine/session.c", "loop_now_ms(s->core->loop) + pause + 1;",
        "loop_now_ms(s->core->loop) + pause / 2;"),
    "an outcome of the journal is forgotten": (
        "src/engine/recover.c", "        if (r->kind == JOURNAL_OUTCOME)\n",
        "        if (r->kind == JOURNAL_OUTCOME && x == NULL)\n"),
    "a warm-up's cap is not counted": (
        "src/fleet/limits.c", "        h->kinds |= (uint8_t)(1u << k);", "        h->kinds |= 0;"),
    "route explain forgets to whom a recipient sticks": (
        "src/engine/routing_explain.c", ".home = home_of(c, choice.group_num, text(args, \"to\")),",
        ".home = home_of(c, 0, text(args, \"to\")),", "routes"),
    "explaining takes turns": (
        "src/fleet/explain.c", "    f->is_dry = true;", "    f->is_dry = false;", "shares"),
    "rules stand above a message's own group": (
        "src/engine/routing.c", "    if (out->group_num)\n        return;\n    out->rule",
        "    if (out->group_num == UINT32_MAX)\n        return;\n    out->rule", "routes"),
    "ready messages do not follow new rules": (
        "src/engine/routing.c", "            if (!routing_job(c, j) && !moves)",
        "            if (!moves)", "routes"),
    "the use of a limit is not read at the start": (
        "src/engine/limiting.c", "    if (!q)\n        return true;\n", "    return true;\n", "quotas"),
    "a clock set forwards before a reboot is time that passed": (
        "src/engine/anchor.c", "(moved < MOVED_MS || limits_shift(db, moved, e))",
        "moved < INT64_MAX", "quotas"),
    "a credential's limit is not checked": (
        "src/fleet/internal.h", "1u << LIMIT_CAMPAIGN | 1u << LIMIT_CREDENTIAL | ",
        "1u << LIMIT_CAMPAIGN | ", "quotas"),
    "a limit's day is UTC's": (
        "src/engine/limiting.c",
        "janitor_open_calendar(c, fleet_limit(c->fleet, &k), c->limits[i].limits.calendar);",
        "janitor_open_calendar(c, fleet_limit(c->fleet, &k), \"UTC\");", "quotas"),
    "a deadline is not looked at before the dot": (
        "src/engine/session.c", "(j->item->expires_at && core_steady(c) >= j->item->expires_at)",
        "(j->item->expires_at && core_steady(c) >= j->item->expires_at + 60000)", "deadlines"),
    "a picked message is not looked at again": (
        "src/engine/outlet.c",
        "        list_each_safe(it, &o->backlog[l]) drop_dead(o->core, list_entry(it, struct job, link));",
        "        (void)l;", "deadlines"),
    "a size is rounded up": (
        "src/engine/due.c", ".size = k->size_log ? size_of(j) : 0,",
        ".size = k->size_log ? UINT64_C(1) << k->size_log : 0,", "sizes"),
    "classes take strict turns": (
        "src/engine/due.c", " && rand_below(&c->rand, 2)", "", "liar"),
    "a provider's warm-up cap is another provider's": (
        "src/engine/warming.c", "provider_by_name(providers_builtin(), str_of(provider))}",
        "provider_by_name(providers_builtin(), str_of(provider)) + 1}", "warm-up"),
}


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def build(folder, tree):
    if not (folder / "build.ninja").exists():
        done = run(["meson", "setup", str(folder), str(tree)])
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
    return run(["ninja", "-C", str(folder), "test/sim/sim"])


def first_failure(folder, seeds, scene):
    """What failed in the first ten seeds of which one does."""
    for at in range(1, seeds + 1, STEP):
        out = run([str(folder / "test/sim/sim"), "--seeds", str(STEP), "--from", str(at),
                   *(["--scene", scene] if scene else [])]).stdout.splitlines()
        for n, line in enumerate(out):
            if line.startswith("not ok"):
                failed = sum(x.startswith("not ok") for x in out)
                what = line.split(" - ")[1].split(",")[0]
                return f"{failed} of seeds {at} to {at + STEP - 1}, {what}: {out[n + 1][1:].strip()}"
    return None


def try_mutant(name, tree, folder, seeds):
    """What caught it, or None."""
    file, old, new, *scene = MUTANTS[name]
    path = tree / file
    text = path.read_text()
    if text.count(old) != 1:
        return f"DOES NOT APPLY: {file} has its text {text.count(old)} times"
    path.write_text(text.replace(old, new))
    try:
        done = build(folder, tree)
        if done.returncode:
            return "DOES NOT BUILD: " + done.stdout[-400:]
        return first_failure(folder, seeds, scene[0] if scene else None)
    finally:
        path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(MUTANTS))
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--build", help="a folder to build in, kept")
    options = parser.parse_args()
    lived = 0
    with tempfile.TemporaryDirectory(prefix="pf-mutate-") as scratch:
        tree = Path(options.build or scratch) / "tree"
        shutil.copytree(ROOT, tree, dirs_exist_ok=True, symlinks=True,
                        ignore=shutil.ignore_patterns(".git", "build*", "node_modules"))
        folder = Path(options.build or scratch) / "build"
        if build(folder, tree).returncode:
            sys.exit("the tree as it is does not build")
        for name in options.names or MUTANTS:
            caught = try_mutant(name, tree, folder, options.seeds)
            lived += caught is None or caught.startswith("DOES NOT")
            print(f"{'caught' if caught else 'LIVED '}  {name}: {caught or ''}", flush=True)
    return 1 if lived else 0


if __name__ == "__main__":
    sys.exit(main())
