#!/usr/bin/env python3
# timeout: 300
"""Bad input of every kind: a clear error with place and remedy, a documented exit status, nothing
lost, never a crash."""
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def refused(done, status, words, what):
    """Ended with this status, said one of the words on standard error, and did not crash."""
    text = done.stdout + done.stderr
    statuses = status if isinstance(status, tuple) else (status,)
    good = done.returncode in statuses and any(w.lower() in text.lower() for w in words)
    tap.ok(good and "Sanitizer" not in text and "check failed" not in text,
           f"{what}: exit {done.returncode} and says why", f"wanted {status}, {words}\n{text[-1200:]}")


def write(scene, name, content):
    path = Path(scene.folder, name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_options():
    with Scene(None) as scene:
        run = scene.daemon.run
        for arguments, words in (
                (["server", "add", "x", "--host", "h", "--port", "99999"], ["port", "65535"]),
                (["server", "add", "x", "--host", "h", "--port", "25", "--wieght", "3"],
                 ["--weight", "wieght"]),
                (["server", "add", "x", "--host", "h", "--port", "25", "--tls", "maybe"],
                 ["starttls"]),
                (["server", "add", "x", "--port", "25"], ["--host"]),
                (["server", "frobnicate"], ["frobnicate"]),
                (["sevrer", "list"], ["server"]),
                (["group", "add", "g", "--strategy", "magic"], ["round-robin"]),
                (["campaign", "create", "c", "--list"], ["--list"]),
                (["server", "add", "x", "--host", "h", "--port", "25", "--connect-timeout", "fast"],
                 ["duration", "10s", "connect-timeout"])):
            refused(run(*arguments), 2, words, " ".join(arguments))
        refused(run("server", "show", "nobody"), 3, ["nobody"], "an unknown server")
        refused(run("server", "add", "x", "--host", "h", "--port", "25", "--group", "none"), 3,
                ["none"], "an unknown group")
        refused(run("campaign", "start", "nothing"), 3, ["nothing"], "an unknown campaign")
        nobody = subprocess.run([daemon.BINARY, "server", "list", "--data", scene.folder + "/void"],
                                capture_output=True, text=True, timeout=60)
        refused(nobody, 6, ["serve", "running", "reach"], "no daemon there")


def test_addresses():
    with Scene(None) as scene:
        for bad in ("no-at", "a@", "@b", "a b@example.org", "a@b..c", "a@exa\nmple.org",
                    "a@example.org\r\nRCPT TO:<x@y>", "a" * 400 + "@example.org"):
            done = scene.daemon.run("server", "add", "x", "--host", "127.0.0.1", "--port", "25",
                                    "--from", bad)
            refused(done, 2, ["address", "from", "line break"], f"--from {bad[:30]!r}")
        tap.equal(scene.daemon.lines("server", "list"), [], "no server came of it")


CSVS = [
    ("no email column", "mail,name\na@example.org,A\n", 2, ["email"], None),
    ("empty file", "", (1, 2), ["empty", "header", "email"], None),
    ("bad rows", "email,name\ngood@example.org,A\nnot-an-address,B\n,C\nalso@example.org,D\n", 4,
     ["invalid"], (4, 2, 2)),
    ("an open quote", 'email,name\na@example.org,"never closed\nb@example.org,B\n', (1, 2, 4),
     ["quote"], None),
    ("NUL bytes", b"email,name\na@example.org,A\0B\nb@example.org,C\n", (0, 1, 2, 4),
     ["", "invalid"], None),
]


def test_csv():
    with Scene(None) as scene:
        for i, (what, content, status, words, counts) in enumerate(CSVS):
            scene.daemon.cli("list", "add", f"l{i}")
            path = write(scene, f"l{i}.csv", content)
            done = scene.daemon.run("contact", "import", "--list", f"l{i}", path, "--json")
            refused(done, status, words, f"CSV with {what}")
            if counts:
                got = json.loads(done.stdout)
                five = [got[k] for k in ("imported", "updated", "skipped", "invalid", "suppressed")]
                tap.ok(sum(five) == got["rows"] == counts[0] and got["imported"] == counts[1]
                       and got["invalid"] == counts[2], "its five counters add up to rows", got)
                errors = Path(got["errors_file"]).read_text()
                tap.ok("not-an-address" in errors, "FILE.errors.csv holds the bad rows", errors)
        refused(scene.daemon.run("contact", "import", "--list", "l0", scene.folder + "/no.csv"),
                (1, 2, 3), ["no.csv"], "a file that is not there")


def test_encodings():
    """Comma, semicolon, tab; UTF-8 with BOM, UTF-16, Latin-1; quoted line breaks."""
    name = "Zoë Müller"
    for what, content in (
            ("UTF-8 with BOM", b"\xef\xbb\xbf" + f"email,first_name\nx@example.org,{name}\n".encode()),
            ("UTF-16", f"email;first_name\r\nx@example.org;{name}\r\n".encode("utf-16")),
            ("Latin-1", f"email\tfirst_name\nx@example.org\t{name}\n".encode("latin-1")),
            ("quoted line breaks", f'email,note,first_name\nx@example.org,"a\nb",{name}\n'.encode())):
        with Scene(None) as scene:
            scene.daemon.cli("list", "add", "l")
            done = scene.daemon.run("contact", "import", "--list", "l", write(scene, "l.csv", content))
            shown = scene.daemon.run("contact", "show", "x@example.org", "--json")
            tap.ok(done.returncode == 0 and shown.returncode == 0
                   and name in json.dumps(json.loads(shown.stdout), ensure_ascii=False),
                   f"CSV in {what}", done.stderr + shown.stdout + shown.stderr)


TEMPLATES = [
    ("an open tag", "Hello {{ contact.first_name", ["line 1", "1:"]),
    ("an unknown tag", "a\n{% dance %}\n", ["2"]),
    ("an if without end", "x\ny {% if contact.a %} z", ["endif", "2"]),
    ("an unknown filter", "{{ contact.a | sparkle }} {{ unsubscribe_url }}", ["sparkle"]),
]


def test_templates():
    with Scene({"a": {}}) as scene:
        scene.add_servers()
        scene.daemon.add_people("l", 3)
        for i, (what, text, words) in enumerate(TEMPLATES):
            path = write(scene, f"t{i}.txt", text)
            refused(scene.daemon.run("template", "add", f"t{i}", "--subject", "s", "--text", path), 2,
                    words, f"template with {what}")
        for name, text, word in (("nolink", "Hello", "unsubscribe"),
                                 ("novar", "{{ contact.shoe }} {{ unsubscribe_url }}", "shoe")):
            scene.daemon.run("template", "add", name, "--subject", "s", "--text",
                             write(scene, name, text))
            scene.daemon.run("campaign", "create", name, "--list", "l", "--template", name)
            refused(scene.daemon.run("campaign", "start", name), (2, 3, 5), [word],
                    f"a start with template {name}")
        tap.equal(scene.witness.dots(), 0, "nothing was sent")


def serve_fails(scene, status, words, what, *options, prefix=(), seconds=20):
    """`serve` must end by itself with this status and say one of the words."""
    d = scene.daemon
    d.start(*options, wait=False, prefix=prefix)
    try:
        got = d.process.wait(seconds)
    except subprocess.TimeoutExpired:
        d.kill()
        got = "still running"
    text = d.log()
    good = got in (status if isinstance(status, tuple) else (status,))
    tap.ok(good and any(w.lower() in text.lower() for w in words) and "Sanitizer" not in text,
           f"{what}: exit {got} and says why", f"wanted {status}, {words}\n{text[-1500:]}")


def test_yaml():
    with Scene(None, start=False) as scene:
        os.makedirs(scene.daemon.data, exist_ok=True)
        for what, text, words in (("an unknown key", "lisen: 1\n", ["lisen"]),
                                  ("a bad indent", "log:\n  level: info\n bad: 1\n", ["line", "3"]),
                                  ("binary", "\x00\x01\x02", ["yaml", "line", "character"])):
            Path(scene.daemon.data, "postfleet.yaml").write_text(text)
            serve_fails(scene, (1, 2), words, f"postfleet.yaml with {what}")


def used_folder(scene):
    """Serves once and stops, with a server whose password is stored."""
    scene.daemon.start()
    pw = write(scene, "pw", "hidden\n")
    scene.daemon.add_server("a", 2525, "--user", "u", "--password-file", pw)
    scene.daemon.stop()


def foreign_key(scene, key):
    """A key of another folder is whole, and yet not this one's: doctor and db check say so."""
    other = Path(scene.folder, "other")
    scene.daemon.run("init", "--data", other, data=False)
    key.unlink()
    key.write_bytes(Path(other, "secret.key").read_bytes())
    key.chmod(0o400)
    for when, word in ((time.time() + 3600, "the key, written later"), (1000, "the database is foreign")):
        os.utime(key, (when, when))
        done = scene.daemon.run("doctor", "--json")
        bad = [c for c in json.loads(done.stdout)["checks"] if not c["ok"] and c["check"] == "key"]
        tap.ok(done.returncode == 1 and bad and word in bad[0]["finding"] and bad[0]["remedy"],
               f"doctor names a foreign key: {word}", done.stdout + done.stderr)
    done = scene.daemon.run("db", "check")
    tap.ok(done.returncode and "not the one" in done.stderr, "db check names it too", done.stderr)


def test_key():
    with Scene(None, start=False) as scene:
        used_folder(scene)
        key = Path(scene.daemon.data, "secret.key")
        kept = key.read_bytes()
        tap.equal(oct(key.stat().st_mode & 0o777), "0o400", "secret.key is 0400")
        key.unlink()
        serve_fails(scene, (1, 7), ["secret.key", "key"], "missing key file")
        key.write_bytes(os.urandom(len(kept)))
        key.chmod(0o400)
        serve_fails(scene, (1, 7), ["secret.key", "key"], "wrong key file")
        foreign_key(scene, key)
        key.unlink()
        key.write_bytes(kept)
        key.chmod(0o400)
        scene.daemon.start()
        tap.equal(len(scene.daemon.lines("server", "list")), 1, "with its key back all is there")
        found = [p for p in Path(scene.daemon.data).rglob("*")
                 if p.is_file() and b"hidden" in p.read_bytes()]
        tap.equal(found, [], "no file of the data folder holds the password in clear")


def test_newer_database():
    with Scene(None, start=False) as scene:
        used_folder(scene)
        path = Path(scene.daemon.data, "postfleet.db")
        db = sqlite3.connect(path)
        tables = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = next(t for t in tables if "version" in t)
        columns = [r[1] for r in db.execute(f"PRAGMA table_info({table})")]
        row = dict(zip(columns, db.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()), version=9999)
        db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                   list(row.values()))
        db.commit()
        db.close()
        serve_fails(scene, 1, ["newer", "version"], "a database of a newer version")
        path.write_bytes(b"this is no database at all" * 400)
        serve_fails(scene, 1, ["database"], "a file that is no database")


def test_port_and_folder():
    with Scene(None, start=False) as scene:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            serve_fails(scene, 1, [str(port)], "an occupied port", "--http", f"127.0.0.1:{port}")
        scene.daemon.start()
        other = subprocess.run([daemon.BINARY, "serve", "--data", scene.daemon.data, "--http",
                                f"127.0.0.1:{daemon.free_port()}"], capture_output=True, text=True,
                               timeout=30)
        refused(other, (1, 75), ["lock", "already", "another", "in use"], "a second daemon on one folder")


def namespace_missing():
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return "not root, or no unshare"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        return "no mount namespaces"
    return None


def test_read_only():
    if namespace_missing():
        tap.skip("a read-only folder", namespace_missing())
        return
    with Scene(None, start=False) as scene:
        used_folder(scene)
        script = f'mount --bind "{scene.daemon.data}" "{scene.daemon.data}" && ' \
                 f'mount -o remount,bind,ro "{scene.daemon.data}" && exec "$@"'
        serve_fails(scene, (1, 7), ["read-only", "write", "permission"], "a read-only folder",
                    prefix=["unshare", "-m", "sh", "-c", script, "sh"])


def test_full_disk():
    """Refuses with 507, keeps what it accepted, goes on by itself when space is back."""
    if namespace_missing():
        tap.skip("a full disk", namespace_missing())
        return
    with Scene({"a": {}}, start=False) as scene:
        d = scene.daemon
        os.makedirs(d.data)
        script = f'mount -t tmpfs -o size=48m none "{d.data}" && exec "$@"'
        d.start(prefix=["unshare", "-m", "sh", "-c", script, "sh"], wait=False)
        inside = wait_for(lambda: Path(f"/proc/{d.process.pid}/root{d.data}/api.sock").exists()
                          and f"/proc/{d.process.pid}/root{d.data}", 30, "the data folder")
        shown, d.data = d.data, inside
        d.wait_ready()
        scene.add_servers()
        for cycle in range(3):
            fill_and_free(scene, cycle)
        d.data = shown


def fill_and_free(scene, cycle):
    d = scene.daemon
    mail = write(scene, "m.eml", "Subject: x\r\n\r\n" + ("x" * 70 + "\r\n") * 3000)
    filler = Path(d.data, "filler")
    with open(filler, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * 65536)
        except OSError:
            pass
    accepted, statuses = [], set()
    for i in range(4):
        done = d.run("send", mail, "--to", f"f{cycle}-{i}@example.org", "--from", "a@example.com",
                     "--json")
        statuses.add(done.returncode)
        if done.returncode == 0:
            accepted.append(f"f{cycle}-{i}@example.org")
    tap.ok(75 in statuses and statuses <= {0, 75}, f"full disk {cycle}: refused with 75", statuses)
    filler.unlink()
    last = f"f{cycle}-free@example.org"
    wait_for(lambda: d.run("send", mail, "--to", last, "--from", "a@example.com").returncode == 0,
             5, "accepting again within 5 s")
    tap.ok(True, f"full disk {cycle}: accepts again by itself")
    want = set(accepted) | {last}
    wait_for(lambda: want <= {e["rcpt"][0] for e in scene.witness.events("dot")}, 30,
             "what was accepted arrives")
    tap.ok(True, f"full disk {cycle}: what was accepted arrived")


for test in (test_options, test_addresses, test_csv, test_encodings, test_templates, test_yaml, test_key,
             test_newer_database, test_port_and_folder, test_read_only, test_full_disk):
    tap.case(test)
tap.done()
