#!/usr/bin/env python3
"""The witness: SMTP servers on loopback that keep what came, written apart from `postfleet sink` so
that neither can hide the other's faults.

  witness.py CONFIG.json     {"log": FILE, "servers": {NAME: {behaviour, "port": N, "host": A}}}

Prints {"ports": {NAME: PORT}} when it listens; then takes commands on standard input, a JSON object
a line, and answers each with one line: {"op": "behave", "server": NAME, "behave": {...}},
{"op": "listen"|"unlisten", "server": NAME}, {"op": "cut", "server": NAME} (resets open sessions),
{"op": "stats"}. It ends when its input ends. session.py says what a behaviour may hold.
"""
import asyncio
import collections
import json
import re
import socket
import ssl
import struct
import sys

from record import Record
from session import GOOD, Session

ODD = {"reply", "raw", "delay", "drop", "close", "hold", "trickle", "every", "silent"}

def final_code(text):
    """The code of the reply's last line; 0 when it is no SMTP code."""
    for line in text.splitlines():
        if line[3:4] != "-":
            return int(line[:3]) if re.match(r"[2-5][0-9][0-9]", line) else 0
    return 0


class Server:
    """One listening port with its behaviour and its figures."""

    def __init__(self, name, config, record):
        self.name, self.record = name, record
        self.host, self.port = config.pop("host", "127.0.0.1"), config.pop("port", 0)
        self.set_behaviour(config)
        self.sessions, self.counts = set(), collections.Counter()
        self.seen = collections.Counter()
        self.max_sessions = self.max_messages = self.connections = 0
        self.listener = self.tls_context = None

    def set_behaviour(self, behave):
        self.behave = behave
        self.well = not ODD & set(behave)

    def behave_at(self, phase, turn=None):
        """The behaviour, without its phase's oddities when it is not the phase's N-th turn. A dot
        took its turn when it was recorded."""
        every = self.behave.get("every", {}).get(phase)
        self.seen[phase] += turn is None
        if every and (turn or self.seen[phase]) % every:
            return {"rcpt": self.behave.get("rcpt", ())}
        return self.behave

    async def listen(self):
        if self.listener:
            return
        if self.behave.get("tls", "none") != "none" and self.tls_context is None:
            self.tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls_context.load_cert_chain(self.behave["cert"], self.behave["key"])
        implicit = self.tls_context if self.behave.get("tls") == "tls" else None
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio: no delay
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.host, self.port))
        self.port = sock.getsockname()[1]
        self.listener = await asyncio.get_running_loop().create_server(
            lambda: Session(self), sock=sock, ssl=implicit, backlog=512)

    async def unlisten(self):
        if self.listener:
            self.listener.close()
            self.listener = None

    def cut(self):
        """Resets every open session, as a dying server does."""
        for session in list(self.sessions):
            sock = session.transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            session.transport.abort()

    # -- called by sessions -----------------------------------------------------------------
    def opened(self, session):
        self.connections += 1
        self.sessions.add(session)
        self.max_sessions = max(self.max_sessions, len(self.sessions))
        self.record.event("open", self.name, self.connections, sessions=len(self.sessions))
        return self.connections

    def lost(self, session):
        self.sessions.discard(session)
        self.record.event("close", self.name, session.number, messages=session.messages)

    def count(self, what):
        self.counts[what] += 1

    def note_tls(self, session, resumed, version):
        self.counts["tls"] += 1
        self.counts["tls_resumed"] += resumed
        self.record.event("tls", self.name, session.number, resumed=resumed, version=version)

    def note_auth(self, session, mech, good):
        self.record.event("auth", self.name, session.number, mech=mech, good=good)

    def note_refused(self, session, to, reply):
        self.record.event("refused", self.name, session.number, rcpt=to, reply=reply)

    def message(self, session, raw, sender, rcpts, answer):
        self.max_messages = max(self.max_messages, session.messages)
        text = self.behave.get("raw", {}).get("dot") or self.behave.get("reply", {}).get("dot")
        every = self.behave.get("every", {}).get("dot")
        self.seen["dot"] += 1
        session.dot_turn = self.seen["dot"]
        odd = not every or session.dot_turn % every == 0
        code = final_code(text if text and odd else GOOD["dot"])
        if odd and ("dot" in self.behave.get("drop", ()) or "dot" in self.behave.get("hold", ())):
            code = 0
        self.counts["dots"] += 1
        self.record.dot(self.name, session.number, raw, answer, mail_from=sender, rcpt=rcpts,
                        code=code, n=session.messages, words=session.words, hello=session.hello)

    def stats(self):
        return {"connections": self.connections, "open": len(self.sessions),
                "max_sessions": self.max_sessions, "max_messages": self.max_messages,
                "dots": self.counts["dots"], "counts": dict(self.counts)}


async def obey(servers, command):
    server = servers.get(command.get("server"))
    op = command["op"]
    if op == "behave":
        server.set_behaviour(command["behave"])
    elif op == "listen":
        await server.listen()
    elif op == "unlisten":
        await server.unlisten()
    elif op == "cut":
        server.cut()
    elif op == "stats":
        return {name: s.stats() for name, s in servers.items()}
    else:
        return {"error": f"unknown op {op}"}
    return {"ok": True}


async def serve(config):
    record = Record(config["log"])
    servers = {name: Server(name, dict(c), record) for name, c in config["servers"].items()}
    for server in servers.values():
        await server.listen()
    for server in servers.values():
        if server.behave.get("refuse"):
            await server.unlisten()
    print(json.dumps({"ports": {name: s.port for name, s in servers.items()}}), flush=True)
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(await obey(servers, json.loads(line))), flush=True)


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        config = json.load(f)
    try:
        asyncio.run(serve(config))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
