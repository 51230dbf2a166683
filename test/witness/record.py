"""What a witness writes down: one JSON line an event, synced before anybody is answered.

Events: open, close, auth, tls, refused, dot. A `dot` is a message whose end was seen, with envelope,
Message-ID, SHA-256, the place of its bytes in FILE.bodies, and the reply meant for it (`code` 0:
none was or will be sent); `words` are its MAIL and RCPT lines as they came, `hello` the EHLO line.
Times: t is the wall clock, m the monotonic one, in seconds.
"""
import asyncio
import hashlib
import json
import os
import time

HEADER_MAX = 65536


def header_value(raw, name):
    """The unfolded value of the first header of that name; "" without one."""
    head = raw[:HEADER_MAX].split(b"\r\n\r\n", 1)[0]
    lower, wanted = b"\r\n" + head.lower(), b"\r\n" + name.lower() + b":"
    at = lower.find(wanted)
    if at < 0:
        return ""
    rest = head[at + len(wanted) - 2:]
    lines = rest.split(b"\r\n")
    value = lines[0]
    for line in lines[1:]:
        if line[:1] not in (b" ", b"\t"):
            break
        value += line
    return value.strip().decode("utf-8", "replace")


class Record:
    """An append-only log with group sync: what a turn of the loop brought is synced at its end."""

    def __init__(self, path):
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
        self.log = os.open(path, flags, 0o600)
        self.bodies = os.open(path + ".bodies", flags, 0o600)
        self.body_end = os.fstat(self.bodies).st_size
        self.lines, self.raws, self.waiting = [], [], []
        self.due = False

    def event(self, kind, server, session, **more):
        """Notes an event; it is on disk some milliseconds later."""
        more.update(kind=kind, server=server, conn=session, t=time.time(), m=time.monotonic())
        self.lines.append(more)
        self.schedule()

    def dot(self, server, session, raw, answer, **more):
        """Notes a whole message; calls answer() when it is on disk."""
        more.update(kind="dot", server=server, conn=session, t=time.time(), m=time.monotonic(),
                    id=header_value(raw, b"Message-ID"), sha256=hashlib.sha256(raw).hexdigest(),
                    size=len(raw), at=self.body_end,
                    bare=raw.count(b"\n") != raw.count(b"\r\n") or
                    raw.count(b"\r") != raw.count(b"\r\n"))
        self.lines.append(more)
        self.raws.append(raw)
        self.body_end += len(raw)
        self.waiting.append(answer)
        self.schedule()

    def schedule(self):
        if not self.due:
            self.due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self):
        self.due = False
        lines, raws, waiting = self.lines, self.raws, self.waiting
        self.lines, self.raws, self.waiting = [], [], []
        if raws:
            write_all(self.bodies, b"".join(raws))
            os.fdatasync(self.bodies)
        write_all(self.log, "".join(json.dumps(x) + "\n" for x in lines).encode())
        os.fdatasync(self.log)
        for answer in waiting:
            answer()


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
