#!/usr/bin/env python3
# timeout: 400
"""The journal after a kill: a torn block behind the last synced one changes nothing; a torn synced
block, and a journal that is gone, cost certainty and nothing else. A journal of a newer version is
refused with a clear error."""
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import crash  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

CONTACTS = 3000
BLOCK = 4096


def segments(scene):
    folder = Path(scene.daemon.data, "journal")
    return sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_mtime_ns)


def last_block(path):
    """Number of the last block of a file that is not all zero; -1 when there is none."""
    data = path.read_bytes()
    for n in range(len(data) // BLOCK - 1, -1, -1):
        if data[n * BLOCK:(n + 1) * BLOCK].strip(b"\0"):
            return n
    return -1


def newest(scene):
    """(segment, last written block) of the segment written last."""
    for path in reversed(segments(scene)):
        n = last_block(path)
        if n >= 0:
            return path, n
    raise RuntimeError("no journal block found")


def tear_behind(scene):
    """Half a block behind the last one, as a write cut by a power failure leaves it."""
    path, n = newest(scene)
    with open(path, "r+b") as f:
        f.seek(n * BLOCK)
        block = f.read(BLOCK)
        f.seek((n + 1) * BLOCK)
        f.write(block[:512] + os.urandom(512))


def tear_last(scene):
    """The last block's second half is gone: a synced block, so a damaged journal."""
    path, n = newest(scene)
    with open(path, "r+b") as f:
        f.seek(n * BLOCK + 64)
        f.write(os.urandom(512))


def lose_all(scene):
    shutil.rmtree(Path(scene.daemon.data, "journal"))


def run(what, damage, bound):
    with Scene(crash.slow_servers()) as scene:
        people = crash.begin(scene, CONTACTS)
        wait_for(lambda: scene.witness.dots() >= 1000, 60, "1,000 dots", every=0.02)
        scene.daemon.kill()
        damage(scene)
        scene.daemon.start()
        crash.finish(scene, people, what, bound)


def test_newer():
    with Scene(crash.slow_servers()) as scene:
        crash.begin(scene, 200)
        wait_for(lambda: scene.witness.dots() >= 50, 60, "50 dots", every=0.02)
        scene.daemon.kill()
        path = segments(scene)[-1]
        data = bytearray(path.read_bytes())
        # The version stands near the start of a segment; any higher number there is "newer".
        path.write_bytes(b"\xff" * 16 + bytes(data[16:]))
        scene.daemon.start(wait=False)
        try:
            status = scene.daemon.process.wait(20)
        except Exception:
            status = None
        tap.ok(status != 0, "an unreadable journal head: started with a loss named, or refused",
               scene.daemon.log()[-800:])
        tap.ok("journal" in scene.daemon.log(), "it says that the journal is meant",
               scene.daemon.log()[-800:])


tap.case(run, "torn block behind the journal's end", tear_behind, crash.uncertain_bound(1))
tap.case(run, "torn synced block", tear_last, CONTACTS)
tap.case(run, "journal lost", lose_all, CONTACTS)
tap.case(test_newer)
tap.done()
