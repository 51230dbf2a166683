#!/usr/bin/env python3
# timeout: 200
"""`top` in a real pseudo-terminal: a screen of 80x24 without an overlong line, keys, filter, scroll,
resize, pause that asks, stop and continue, the terminal put back at the end; and without a terminal:
blocks of text, one object a line."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import BINARY, wait_for  # noqa: E402
from scene import Scene  # noqa: E402

ESCAPE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Screen:
    """As much of a terminal as top needs: cells, cursor, erase, alternate screen, wrapping."""

    def __init__(self, columns, rows):
        self.alternate = self.hidden = False
        self.wrapped = self.scrolled = 0
        self.unknown, self.tail = [], ""
        self.resize(columns, rows)

    def resize(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.x = self.y = 0

    def put(self, char):
        if self.x >= self.columns:
            self.wrapped += 1
            self.x, self.y = 0, self.y + 1
        if self.y >= self.rows:
            self.scrolled += 1
            self.cells = self.cells[1:] + [[" "] * self.columns]
            self.y = self.rows - 1
        self.cells[self.y][self.x] = char
        self.x += 1

    def newline(self):
        self.y += 1
        if self.y >= self.rows:
            self.scrolled += 1
            self.cells = self.cells[1:] + [[" "] * self.columns]
            self.y = self.rows - 1

    def command(self, arguments, letter):
        if letter == "H":
            self.x = self.y = 0
        elif letter == "K":
            self.cells[self.y][self.x:] = [" "] * (self.columns - self.x)
        elif letter == "J":
            first = 0 if arguments == "2" else self.y
            if arguments != "2":
                self.command("", "K")
                first += 1
            for y in range(first, self.rows):
                self.cells[y] = [" "] * self.columns
        elif letter in "hl" and arguments in ("?1049", "?25"):
            setattr(self, "alternate" if arguments == "?1049" else "hidden",
                    (letter == "h") == (arguments == "?1049"))
        elif letter != "m":
            self.unknown.append(arguments + letter)

    def feed(self, text):
        text = self.tail + text
        self.tail = ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = ESCAPE.match(text, at)
                if not found:
                    self.tail = text[at:]
                    return
                self.command(*found.groups())
                at = found.end()
                continue
            if text[at] == "\r":
                self.x = 0
            elif text[at] == "\n":
                self.newline()
            else:
                self.put(text[at])
            at += 1

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def text(self):
        return "\n".join(self.lines())


class Top:
    """`postfleet top` in a pseudo-terminal of that size."""

    def __init__(self, scene, columns=80, rows=24, env=None, options=()):
        self.screen, self.raw = Screen(columns, rows), ""
        self.master, slave = pty.openpty()
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.size(columns, rows, False)
        full = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **(env or {})}
        full.pop("NO_COLOR", None) if not env or "NO_COLOR" not in env else None

        def lead():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen([BINARY, "top", "--data", scene.daemon.data, "--interval",
                                         "200ms", *options], stdin=slave, stdout=slave,
                                        stderr=slave, env=full, preexec_fn=lead)

    def size(self, columns, rows, tell=True):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.read()
            self.screen.resize(columns, rows)

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            data = os.read(self.master, 65536).decode(errors="replace")
            self.raw += data
            self.screen.feed(data)

    def keys(self, text):
        os.write(self.master, text.encode())

    def wait(self, condition, what, seconds=20):
        def look():
            self.read()
            return condition(self.screen.text())
        try:
            wait_for(look, seconds, what)
        except TimeoutError:
            tap.note(self.screen.text())
            raise

    def ended(self):
        """The exit status; the terminal's modes must be as before."""
        def over():
            self.read()
            return self.process.poll() is not None
        wait_for(over, 20, "top ends")
        self.read()
        return self.process.returncode

    def restored(self):
        after = termios.tcgetattr(self.slave)
        return after[3] == self.before[3] and not self.screen.alternate and not self.screen.hidden


def show(title, screen):
    if os.environ.get("TOP_SHOW"):
        print(f"# ---- {title}\n" + "\n".join("# |" + x for x in screen.lines()), flush=True)


def fits(top, what):
    top.screen.wrapped = top.screen.scrolled = 0  # frames of the size before may have come too
    seen = len(top.raw)
    top.wait(lambda t: top.raw.count("\x1b[H", seen) >= 3, "three more frames")
    lines = top.screen.lines()
    tap.ok(not top.screen.wrapped and not top.screen.scrolled and not top.screen.unknown,
           f"{what}: no line is too long, nothing scrolls", (top.screen.wrapped,
                                                            top.screen.scrolled,
                                                            top.screen.unknown, lines))


def test_screen():
    servers = {f"srv{i:02}": {"delay": {"dot": 60}} for i in range(6)}
    servers["sick"] = {"refuse": True}
    with Scene(servers) as scene:
        scene.add_servers("--connect-timeout", "2s", "--max-connections", "2", "--per-hour", "5000")
        scene.daemon.campaign("spring", 30000, html=None)
        top = Top(scene)
        top.wait(lambda t: "sick" in t and "open" in t and "spring" in t and "msg/s" in t,
                 "servers, states and the campaign are shown")
        top.wait(lambda t: re.search(r"[1-9][0-9.]* msg/s", t), "a rate is shown")
        show("80x24", top.screen)
        fits(top, "80x24")
        text = top.screen.text()
        lines = top.screen.lines()
        tap.ok(lines[3].startswith("sick"), "the sickest server stands first", lines[:6])
        tap.ok("█" in text and "%" in text and "hour" in text, "quota bars", text)
        tap.ok(all(w in text for w in ("QUEUE", "bulk", "CAMPAIGN", "EVENTS", "P95", "q quit")),
               "queue, campaigns, events and keys are there", text)
        tap.ok(re.search(r"spring.*%.*/30 000.*/s.*left", text), "progress with time left", text)
        tap.ok("\x1b[?1049h" in top.raw and "\x1b[31m" in top.raw, "alternate screen, colour")
        tap.ok(top.raw.count("\x1b[2J") <= 1, "redrawn in place: never wiped while it runs")
        heads = [x for x in lines if x.startswith("SERVER")][0]
        columns = [heads.index(w) + len(w) for w in ("MSG/S", "1M", "P95", "FAIL/M", "CONN")]
        rows = [x.ljust(80) for x in lines if re.match(r"(srv|sick)", x)]
        tap.ok(rows and all(r[c - 1] != " " and r[c] == " " for r in rows for c in columns),
               "figures stand under their heads", (heads, rows))
        try_keys(top)
        try_sizes(top)
        try_pause(top, scene)
        try_stop(top)
        top.keys("q")
        tap.equal(top.ended(), 0, "q ends with 0")
        tap.ok(top.restored(), "and the terminal is as before")


def try_keys(top):
    top.keys("/srv03\r")
    top.wait(lambda t: "srv03" in t and "srv01" not in t, "a filter")
    top.keys("/\x1b")
    top.wait(lambda t: "srv01" in t, "the filter is taken away")
    top.keys("sss")
    top.wait(lambda t: "by name" in t, "sorted by name")
    top.keys("\x1b[B\x1b[B\x1b[B")
    top.wait(lambda t: "4-" in t and "srv00" not in t, "arrows scroll")
    top.keys("\x1b[5~")
    top.wait(lambda t: "srv00" in t, "and back")


def try_sizes(top):
    top.size(120, 40)
    top.wait(lambda t: top.screen.lines()[39].startswith("q quit"), "the whole of 120x40 is used")
    show("120x40", top.screen)
    fits(top, "120x40")
    top.size(60, 12)
    top.wait(lambda t: top.screen.lines()[11].startswith("q quit") and "QUEUE" in t, "60x12")
    show("60x12", top.screen)
    fits(top, "60x12")
    top.size(80, 24)


def try_pause(top, scene):
    top.keys("p")
    top.wait(lambda t: "Pause all sending? y/n" in t, "p asks")
    top.keys("n")
    top.wait(lambda t: "y/n" not in t and "PAUSED" not in t, "n changes nothing")
    top.keys("py")
    top.wait(lambda t: "PAUSED" in t and "p resume" in t, "y pauses")
    tap.ok(scene.daemon.json("queue", "summary")["paused"], "the daemon is paused")
    top.keys("py")
    top.wait(lambda t: "PAUSED" not in t, "and lets it go on")


def try_stop(top):
    os.kill(top.process.pid, signal.SIGTSTP)
    wait_for(lambda: Path(f"/proc/{top.process.pid}/stat").read_text().rpartition(")")[2]
             .split()[0] == "T", 10, "top is stopped")
    top.read()
    tap.ok(top.restored(), "SIGTSTP gives the terminal back")
    os.kill(top.process.pid, signal.SIGCONT)
    top.wait(lambda t: top.screen.alternate and "QUEUE" in t, "SIGCONT draws again")


def test_ways_out():
    with Scene({"a": {}}) as scene:
        scene.add_servers()
        top = Top(scene, env={"NO_COLOR": "1", "LC_ALL": "C"})
        top.wait(lambda t: "QUEUE" in t, "a screen without colour")
        tap.ok("\x1b[3" not in top.raw and "\x1b[1m" not in top.raw, "NO_COLOR is respected")
        tap.ok(top.screen.text().isascii(), "ASCII where the locale is", top.screen.text())
        top.keys("\x03")
        tap.equal(top.ended(), 130, "Ctrl-C ends with 130")
        tap.ok(top.restored(), "and the terminal is as before")
        top = Top(scene)
        top.wait(lambda t: "QUEUE" in t, "a screen")
        os.kill(top.process.pid, signal.SIGTERM)
        top.ended()
        tap.ok(top.restored(), "SIGTERM puts the terminal back")
        top = Top(scene)
        top.wait(lambda t: "QUEUE" in t, "a screen")
        scene.daemon.stop()
        top.wait(lambda t: "msg/s" not in t.splitlines()[0], "it says that the daemon is away")
        tap.ok(top.process.poll() is None, "and stays")
        scene.daemon.start()
        top.wait(lambda t: "msg/s" in t.splitlines()[0], "and shows it again when it is back", 40)
        top.keys("q")
        tap.equal(top.ended(), 0, "q ends")


def test_plain():
    with Scene({"a": {}, "b": {}}) as scene:
        scene.add_servers("--per-day", "1000")
        begin = time.monotonic()
        text = scene.daemon.cli("top", "--once")
        tap.ok(time.monotonic() - begin < 20 and "\x1b" not in text, "once, without escapes", text)
        tap.ok(re.search(r"(?m)^a +healthy", text) and "msg/s" in text and " - " not in text.split(
            "\n")[0], "servers and rates", text)
        one = scene.daemon.lines("top", "--once")
        tap.ok(len(one) == 1 and {s["name"] for s in one[0]["core"]["servers"]} == {"a", "b"} and
               one[0]["core"]["per_s"] is not None, "one object with rates", one)
        process = subprocess.Popen([BINARY, "top", "--interval", "200ms", "--json", "--data",
                                    scene.daemon.data], stdout=subprocess.PIPE, text=True)
        rows = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        tap.equal(process.wait(20), 130, "SIGINT ends a stream with 130")
        tap.ok(rows[0]["at"] < rows[2]["at"], "an object an interval")
        tap.equal(scene.daemon.run("top", "--interval", "1ms").returncode, 2, "too short: refused")


tap.case(test_screen)
tap.case(test_ways_out)
tap.case(test_plain)
tap.done()
