"""Real mail servers, each in a root of its own: an overlay over this machine's files in a private
mount and process namespace, into which the Debian package is installed. Nothing of it is seen
outside; ending the namespace's first process ends and unmounts all of it."""
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from daemon import wait_for

ENTER = """set -e
mount -t tmpfs none "$1/over"
mkdir "$1/over/up" "$1/over/work" "$1/over/root"
mount -t overlay none -o "lowerdir=/,upperdir=$1/over/up,workdir=$1/over/work" "$1/over/root"
mkdir -p "$1/over/root$1/share"
mount --bind "$1/share" "$1/over/root$1/share"
mount -t proc none "$1/over/root/proc"
mount --rbind /dev "$1/over/root/dev"
printf '#!/bin/sh\\nexit 101\\n' > "$1/over/root/usr/sbin/policy-rc.d"
chmod +x "$1/over/root/usr/sbin/policy-rc.d"
exec chroot "$1/over/root" sh -e "$1/share/run.sh"
"""


def why_not():
    """Why no peer can run here; None when it can."""
    if os.geteuid() != 0:
        return "not root"
    if not shutil.which("apt-get"):
        return "no apt-get"
    probe = subprocess.run(["unshare", "-m", "-p", "-f", "true"], capture_output=True)
    return "no mount namespaces" if probe.returncode else None


class Peer:
    """A mail server that runs `script` (sh) in its own root; files in self.share are seen by both
    sides under the same path. The script installs, configures and stays in the foreground."""

    def __init__(self, packages, script):
        self.folder = tempfile.mkdtemp(prefix="postfleet-peer-")
        self.share = os.path.join(self.folder, "share")
        for name in ("share", "over"):
            os.mkdir(os.path.join(self.folder, name))
        os.chmod(self.folder, 0o755)
        os.chmod(self.share, 0o777)
        install = "export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n" \
                  f"apt-get install -y -q --no-install-recommends {packages}\n"
        Path(self.share, "run.sh").write_text(f"cd {self.share}\n{install}{script}")
        self.log = os.path.join(self.folder, "peer.log")
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                ["unshare", "-m", "-p", "-f", "--kill-child=KILL", "sh", "-c", ENTER, "sh",
                 self.folder], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True)

    def wait_port(self, port, seconds=120):
        """Until the server greets on this port of loopback."""
        import socket

        def greets():
            if self.process.poll() is not None:
                raise RuntimeError("the peer ended: " + self.words())
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
                    return s.recv(3) == b"220"
            except OSError:
                return False
        try:
            wait_for(greets, seconds, f"a greeting on port {port}", every=0.3)
        except TimeoutError as e:
            raise TimeoutError(f"{e}; {self.words()}") from None

    def words(self):
        return Path(self.log).read_text(errors="replace")[-2500:]

    def mails(self, under="box"):
        """The files of every maildir below share/UNDER, as bytes."""
        return [p.read_bytes() for p in self.files(under)]

    def files(self, under="box"):
        """Their names: what was there before is no news, however names are ordered."""
        return [p for folder in ("new", "cur")
                for p in sorted(Path(self.share, under).rglob(f"{folder}/*")) if p.is_file()]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
