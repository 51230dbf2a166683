#!/usr/bin/env python3
# timeout: 400
"""Imports of contacts at their edges: the same address again under each policy, files of more rows
than are sorted at a time, a kill in the middle and the import again, encodings cut at every place,
a file without a column for the address."""
import csv
import io
import json
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

WINDOW = 65536  # rows that are sorted at a time (src/api/import_contacts.c)


def write(scene, name, content):
    path = Path(scene.folder, name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def counters(got):
    return {k: got[k] for k in ("rows", "imported", "updated", "skipped", "invalid", "suppressed")}


def add_up(got):
    return got["rows"] == sum(v for k, v in counters(got).items() if k != "rows")


def exported(scene, name):
    """address -> fields, as the export says it."""
    text = scene.daemon.cli("contact", "export", "--list", name)
    return {row["email"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}


def test_policies():
    """First, second and third row of an address, apart by less and by more than a window; which of
    them wins is what the policy says, in the order of the file and not of the addresses."""
    people = [f"p{i:05}@example.org" for i in range(WINDOW + 1500)]
    random.Random(7).shuffle(people)
    again = people[:300] + people[-300:] + people[:300]
    rows = [(a, f"first-{i}") for i, a in enumerate(people)] + \
           [(a, f"again-{i}") for i, a in enumerate(again)]
    first, last = {}, {}
    for address, value in rows:
        first.setdefault(address, value)
        last[address] = value
    bad = {5: "nobody", 40000: "a@b@c", WINDOW + 3: ""}
    lines = [f"{a},{v}" for a, v in rows]
    for at, what in sorted(bad.items()):
        lines.insert(at, f"{what},x")
    text = "email,word\n" + "\n".join(lines) + "\n"
    for policy, known, wins in (("update", "updated", last), ("new", "skipped", first),
                                ("skip", "skipped", first)):
        with Scene(None) as scene:
            scene.daemon.cli("list", "add", "l")
            got = scene.daemon.json("contact", "import", "--list", "l", "--policy", policy,
                                    write(scene, "l.csv", text), status=4)
            want = dict.fromkeys(counters(got), 0) | {
                "rows": len(lines), "imported": len(people), known: len(again), "invalid": len(bad)}
            tap.equal(counters(got), want, f"policy {policy}: every row is counted once")
            told = [int(r["line"]) for r in csv.DictReader(open(got["errors_file"], newline=""))]
            tap.equal(told, [at + 2 for at in sorted(bad)], "errors name their lines, in order")
            tap.ok({a: r["word"] for a, r in exported(scene, "l").items()} == wins,
                   f"policy {policy}: the right row of each address won")
            tap.equal(scene.daemon.json("list", "show", "l")["contacts"], len(people),
                      "the list counts each contact once")
            answer = scene.daemon.json("contact", "import", "--list", "l", "--policy", policy,
                                       write(scene, "again.csv", "email,word\n" + "\n".join(
                                           f"{a},{wins[a]}" for a in people[:2000]) + "\n"))
            tap.ok(answer["imported"] == 0 and answer[known] == 2000 and add_up(answer),
                   f"policy {policy}: known ones are {known}", answer)


def rows_in(scene):
    with sqlite3.connect(f"file:{scene.daemon.data}/postfleet.db?mode=ro", uri=True) as db:
        return db.execute("SELECT count(*) FROM contact").fetchone()[0]


def test_kill():
    """Whatever a kill leaves, the same file again makes it whole."""
    people = [f"k{i:05}@example.org" for i in range(120000)]
    random.Random(3).shuffle(people)
    text = "email,n\n" + "".join(f"{a},{i}\n" for i, a in enumerate(people))
    with Scene(None) as scene:
        scene.daemon.cli("list", "add", "l")
        path = write(scene, "l.csv", text)
        for kill in range(2):
            before = rows_in(scene)
            run = subprocess.Popen([daemon.BINARY, "contact", "import", "--list", "l", path,
                                    "--data", scene.daemon.data], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
            wait_for(lambda: rows_in(scene) > before, 60, "rows of the import", every=0.005)
            scene.daemon.kill()
            _, said = run.communicate(timeout=60)
            tap.ok(run.returncode not in (0, 4) and said, f"kill {kill + 1}: the command says so", said)
            left = rows_in(scene)
            tap.ok(before < left < len(people), f"kill {kill + 1}: {left} rows are in, the rest is not")
            scene.daemon.start()
            tap.equal(scene.daemon.json("list", "show", "l")["contacts"], left,
                      "each of them is on the list")
        left = rows_in(scene)
        got = scene.daemon.json("contact", "import", "--list", "l", path)
        tap.ok(got["imported"] == len(people) - left and got["updated"] == left and add_up(got),
               "the same file again: the rest is imported, what was there is updated", got)
        tap.ok({a: r["n"] for a, r in exported(scene, "l").items()} ==
               {a: str(i) for i, a in enumerate(people)}, "and all of it is there, once")
        tap.equal(scene.daemon.stop(), 0, "the daemon stops")
        done = scene.daemon.run("db", "check")
        tap.ok(done.returncode == 0, "the database is whole", done.stdout + done.stderr)


def test_cuts():
    """The reader takes 64 KB at a time: characters, quotes and line ends of a value fall on the cut
    at every alignment (the pattern has 5 bytes in UTF-8)."""
    note = "ü\n\"" * 60
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        with Scene(None) as scene:
            for shift in range(5):
                name = f"l{shift}"
                quoted = note.replace('"', '""')
                text = f"{'x' * (shift + 1)},email,note\r\n" + "".join(
                    f",c{shift}-{i}@example.org,\"{quoted}{i}\"\r\n" for i in range(500))
                scene.daemon.cli("list", "add", name)
                got = scene.daemon.json("contact", "import", "--list", name,
                                        write(scene, name + ".csv", text.encode(encoding)))
                notes = {a: r["note"] for a, r in exported(scene, name).items()}
                want = {f"c{shift}-{i}@example.org": f"{note}{i}" for i in range(500)}
                tap.ok(got["imported"] == 500 and notes == want,
                       f"{encoding}, moved by {shift}: every value is whole", counters(got))


def test_no_email():
    with Scene(None) as scene:
        scene.daemon.cli("list", "add", "l")
        path = write(scene, "l.csv", "Name,E-Mail-Adresse,Ort\nAda,ada@example.org,Graz\n")
        done = scene.daemon.run("contact", "import", "--list", "l", path)
        tap.ok(done.returncode == 2 and "Name, E-Mail-Adresse, Ort" in done.stderr
               and "--map E-Mail-Adresse=email" in done.stderr,
               "a file without a column email: its columns and the remedy are named", done.stderr)
        got = scene.daemon.json("contact", "import", "--list", "l", path,
                                "--map", "E-Mail-Adresse=email")
        tap.equal(got["imported"], 1, "which works")
        wide = ",".join(f"a rather long name of a column {i}" for i in range(60)) + "\n"
        done = scene.daemon.run("contact", "import", "--list", "l", write(scene, "w.csv", wide))
        tap.ok(done.returncode == 2 and "..." in done.stderr and "--map" in done.stderr,
               "of sixty columns the first ones are named", done.stderr)
        done = scene.daemon.run("suppression", "import", path)
        tap.ok(done.returncode == 2 and "email or address" in done.stderr,
               "suppressions: the error names both columns that would do", done.stderr)


for test in (test_policies, test_kill, test_cuts, test_no_email):
    tap.case(test)
tap.done()
