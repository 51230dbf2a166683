#!/usr/bin/env python3
# timeout: 200
"""db restore: a backup takes the place of the database, paused, and what was there is kept; a
running daemon, a damaged file and a foreign key are refused and leave everything as it was."""
import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from scene import Scene  # noqa: E402


def restore(daemon, *args):
    return daemon.run("db", "restore", *args, "--yes")


def test_restore():
    with Scene({"a": {}}) as scene:
        d = scene.daemon
        scene.add_servers()
        backup = Path(d.data).parent / "backup.db"
        d.run("db", "backup", str(backup))
        d.run("list", "add", "later")
        r = restore(d, str(backup))
        tap.ok(r.returncode == 1, "refused while the daemon runs", r.stderr)
        d.stop()
        hurt = backup.with_name("hurt.db")
        raw = bytearray(backup.read_bytes())
        raw[5000:9000] = b"\x55" * 4000
        hurt.write_bytes(raw)
        r = restore(d, str(hurt))
        tap.ok(r.returncode == 1 and not list(Path(d.data).glob("before-restore-*")),
               "a damaged backup is refused, nothing was moved", r.stderr)
        key = Path(d.data) / "secret.key"
        kept = key.read_bytes()
        os.chmod(key, 0o600)
        key.write_bytes(os.urandom(len(kept)))
        r = restore(d, str(backup))
        tap.ok(r.returncode == 1 and "key" in r.stderr, "a foreign key is refused", r.stderr)
        key.write_bytes(kept)
        os.chmod(key, 0o400)
        r = restore(d, str(backup), "--json")
        tap.ok(r.returncode == 0 and json.loads(r.stdout)["paused"], "restored", r.stderr)
        aside = list(Path(d.data).glob("before-restore-*"))
        tap.ok(len(aside) == 1 and (aside[0] / "postfleet.db").exists(),
               "what was there lies aside", aside)
        d.start()
        lists = d.run("list", "list", "--json").stdout
        tap.ok("later" not in lists, "the list made after the backup is gone", lists)
        servers = d.run("server", "list", "--json").stdout
        tap.ok('"a"' in servers, "the server is there", servers)
        status = json.loads(d.run("status", "--json").stdout)
        tap.ok(status["paused"] is True, "sending is paused", status)
        d.run("resume")
        people = d.campaign("run", 20, html=None)
        d.wait_finished("run", 60)
        scene.judge("run", people, "after resume", uncertain_max=0)
        shutil.rmtree(aside[0])


tap.case(test_restore)
tap.done()
