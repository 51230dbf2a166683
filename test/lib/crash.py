"""What the crash tests share: three slow servers, a campaign, kills at chosen moments."""
import shutil
import subprocess
from pathlib import Path

import tap
from daemon import children_of, wait_for

CONNECTIONS = 10
SHIMS = Path(__file__).resolve().parent.parent / "shim"


def slow_servers(dot_ms=60):
    return {name: {"delay": {"dot": dot_ms}} for name in ("one", "two", "three")}


def build_shim(name, folder):
    """Compiles test/shim/NAME.c into the folder; None without a compiler."""
    if not shutil.which("cc"):
        return None
    out = Path(folder) / f"{name}.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(out), str(SHIMS / f"{name}.c")],
                   check=True)
    return str(out)


def preload(path, **more):
    """Environment for a preloaded shim, under AddressSanitizer too."""
    return {"LD_PRELOAD": path, "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0", **more}


def begin(scene, contacts, *options):
    """Adds the servers and starts campaign `run`; the addresses."""
    scene.add_servers("--max-connections", CONNECTIONS, *options)
    return scene.daemon.campaign("run", contacts, html=None)


def kill_at(scene, moments, contacts, env=None):
    """kill -9 whenever that many dots were seen, start again at once. How many kills fell into the
    middle, that is with something sent and something left."""
    middle = 0
    for moment in moments:
        wait_for(lambda m=moment: scene.witness.dots() >= m, 120, f"{moment} dots", every=0.02)
        scene.daemon.kill()
        middle += 0 < scene.witness.dots() < contacts
        scene.daemon.start(env=env)
    return middle


def finish(scene, people, what, uncertain_max, seconds=240):
    """Waits for the end of the campaign and judges it; the daemon is stopped afterwards."""
    scene.daemon.wait_finished("run", seconds)
    found, report = scene.judge("run", people, what, uncertain_max=uncertain_max)
    tap.equal(report["sent"] + report["uncertain"], len(people), f"{what}: all sent or uncertain")
    tap.equal(scene.daemon.stop(), 0, f"{what}: SIGTERM ends with status 0")
    scene.check_ledger(what)
    return found, report


def uncertain_bound(kills, servers=3):
    return 2 * CONNECTIONS * servers * kills


def role_of(pid):
    """"core" or "web", read from the command line of a child."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return next((role for role in ("core", "web") if role.encode() in words
                 or any(w.endswith(b"=" + role.encode()) for w in words)), "")


def child(scene, role):
    """The pid of the child with that role."""
    def look():
        for pid in children_of(scene.daemon.process.pid):
            try:
                if role_of(pid) == role:
                    return pid
            except OSError:
                pass
        return None
    return wait_for(look, 20, f"a {role} process")
