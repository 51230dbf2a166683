"""Runs the real daemon from outside, through the fixed forms of its command line only.

A Daemon owns a data folder. Nothing here sleeps for a fixed time: wait_for() polls a condition until
a deadline. Processes are ended by the ids that were started here, children included.
"""
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(os.environ.get("POSTFLEET_SOURCE_ROOT",
                           Path(__file__).resolve().parent.parent.parent))
BINARY = os.environ.get("POSTFLEET_BINARY", str(ROOT / "build-check" / "postfleet"))
TEMPLATE_TEXT = """begin of mail for {{ contact.email }}
Hello {{ contact.first_name | default: "you" }}, this is {{ campaign.name }}.
.a line that begins with a dot
Leave: {{ unsubscribe_url }}
end of mail for {{ contact.email }}
"""
TEMPLATE_HTML = """<html><body><p>begin of mail for {{ contact.email }}</p>
<p>Hello {{ contact.first_name | default: "you" }}</p>
<p><a href="{{ unsubscribe_url }}">leave</a></p>
<p>end of mail for {{ contact.email }}</p></body></html>
"""


class CliError(Exception):
    """A command that did not end as expected."""


def wait_for(condition, seconds, what, every=0.05):
    """Polls until the condition is true and gives its value back; raises when time is up."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(every)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children_of(pid):
    """All living descendants of a process."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            fields = stat.rpartition(")")[2].split()
            if fields[0] != "Z":
                parents[int(entry)] = int(fields[1])
    found, new = set(), {pid}
    while new:
        new = {p for p, parent in parents.items() if parent in new} - found
        found |= new
    return sorted(found)


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Daemon:
    """A data folder and, when started, the daemon that serves it."""

    def __init__(self, folder, env=None, prefix=()):
        self.folder, self.data = str(folder), os.path.join(str(folder), "data")
        self.env, self.prefix = dict(os.environ, **(env or {})), list(prefix)
        self.process, self.port, self.starts = None, free_port(), 0

    # -- life -------------------------------------------------------------------------------
    def start(self, *options, wait=True, env=None, prefix=None, seconds=40):
        self.starts += 1
        self.output = os.path.join(self.folder, f"serve-{self.starts}.log")
        command = [*(self.prefix if prefix is None else prefix), BINARY, "serve", "--data", self.data]
        if "--http" not in options:
            command += ["--http", f"127.0.0.1:{self.port}"]
        with open(self.output, "wb") as out:
            self.process = subprocess.Popen(command + list(options), stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, start_new_session=True,
                                            env=dict(self.env, **(env or {})))
        if wait:
            self.wait_ready(seconds)
        return self

    def ready(self):
        if self.process.poll() is not None:
            raise CliError(f"serve ended with {self.process.returncode}: {self.log()[-1500:]}")
        return self.run("doctor", "--ready").returncode == 0

    def wait_ready(self, seconds=40):
        wait_for(self.ready, seconds, f"doctor --ready; the log says: {self.log()[-1500:]}")

    def pids(self):
        return [self.process.pid] + children_of(self.process.pid)

    def kill(self):
        """kill -9 of parent and children at once."""
        signal_all(self.pids(), signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=30):
        """SIGTERM; the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            left = children_of(self.process.pid)
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise CliError(f"serve did not end within {seconds} s of SIGTERM") from None
            signal_all(left, 0)
        return self.process.returncode

    def log(self):
        with open(self.output, encoding="utf-8", errors="replace") as f:
            return f.read()

    def sanitizer_words(self):
        """Lines of AddressSanitizer and UBSan in any log of this folder."""
        words = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:")
        return [line for path in sorted(Path(self.folder).glob("serve-*.log"))
                for line in path.read_text(errors="replace").splitlines()
                if any(w in line for w in words)]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    # -- commands ---------------------------------------------------------------------------
    def run(self, *arguments, feed=None, timeout=120, data=True):
        """Runs a command whatever its status."""
        where = ["--data", self.data] if data else []
        return subprocess.run([BINARY, *map(str, arguments), *where], input=feed, text=True,
                              capture_output=True, timeout=timeout, env=self.env,
                              stdin=subprocess.DEVNULL if feed is None else None)

    def cli(self, *arguments, status=0, **more):
        """Runs a command that must end with this status; its standard output."""
        done = self.run(*arguments, **more)
        if done.returncode != status:
            raise CliError(f"{' '.join(map(str, arguments))}: status {done.returncode}, wanted "
                           f"{status}\n{done.stdout[-800:]}{done.stderr[-1500:]}")
        return done.stdout

    def json(self, *arguments, **more):
        return json.loads(self.cli(*arguments, "--json", **more))

    def lines(self, *arguments, **more):
        return [json.loads(x) for x in self.cli(*arguments, "--json", **more).splitlines() if x]

    # -- the trade --------------------------------------------------------------------------
    def add_server(self, name, port, *options, host="127.0.0.1", tls="none", group=None):
        where = ["--group", group] if group else []
        origin = [] if "--from" in options else ["--from", "news@example.com"]
        return self.cli("server", "add", name, "--host", host, "--port", port, "--tls", tls,
                        *origin, *where, *options)

    def add_people(self, name, count, prefix="p", domain="example.org"):
        """A list of that many contacts with a first_name; their addresses."""
        path = os.path.join(self.folder, f"{name}.csv")
        people = [f"{prefix}{i}@{domain}" for i in range(count)]
        with open(path, "w", encoding="utf-8") as f:
            f.write("email,first_name\n")
            f.writelines(f"{to},Name{i}\n" for i, to in enumerate(people))
        self.cli("list", "add", name)
        self.cli("contact", "import", "--list", name, path)
        return people

    def add_template(self, name, subject="Hello {{ contact.first_name }}", text=TEMPLATE_TEXT,
                     html=TEMPLATE_HTML):
        options = []
        for kind, content in (("text", text), ("html", html)):
            if content:
                path = os.path.join(self.folder, f"{name}.{kind}")
                with open(path, "w", encoding="utf-8") as f:
                    f.write(content)
                options += [f"--{kind}", path]
        self.cli("template", "add", name, "--subject", subject, *options)

    def campaign(self, name, count, group=None, start=True, **more):
        """List, template and campaign of that name; the addresses it goes to."""
        people = self.add_people(name, count, prefix=more.pop("prefix", name))
        self.add_template(name, **more)
        self.cli("campaign", "create", name, "--list", name, "--template", name,
                 *(["--group", group] if group else []))
        if start:
            self.cli("campaign", "start", name)
        return people

    def report(self, name):
        return self.json("campaign", "report", name)

    def messages(self, name):
        return self.lines("message", "search", "--campaign", name)

    def server(self, name):
        return next(s for s in self.lines("server", "list") if s["name"] == name)

    def wait_finished(self, name, seconds):
        def finished():
            report = self.report(name)
            return report if report["state"] == "finished" else None
        return wait_for(finished, seconds, f"campaign {name} finished", every=0.2)
