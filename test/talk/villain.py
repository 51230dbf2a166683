#!/usr/bin/env python3
"""Plays the server's side of transcripts (README.md beside this file) over a loopback socket.

  villain.py --port P [--host H] [--once] [--exact] [--speed X] [--cert PEM] FILE...

One file a connection, in turn and from the start again; with --once it ends after each was played.
Prints "listening PORT" (--port 0 picks one), then a line a connection: FILE, and `played` or what
was not as written. Commands are compared by their verb, with --exact to the letter. Waits are divided by
--speed. The certificate for `tls` is self-signed for talk.test and made at the start unless given. Connections are served in
threads: a slow one delays nobody."""
import argparse
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[rnt0\\])")
BYTES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}
PATIENCE_S = 30
VERBS = {b"EHLO", b"HELO", b"STARTTLS", b"AUTH", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"RSET", b"QUIT"}
LINE_MAX = 1 << 20


class Mismatch(Exception):
    """The client did something else than the transcript says."""


class Ended(Exception):
    """The transcript ended the connection."""


def unescape(text):
    return ESCAPE.sub(lambda m: BYTES.get(m[1]) or (bytes([int(m[1][1:], 16)])), text)


def number_and_rest(text):
    number, _, rest = text.partition(b" ")
    return int(number), rest


class Peer:
    """A connection on which one transcript is played."""

    def __init__(self, sock, context, args):
        self.sock, self.context, self.exact, self.speed = sock, context, args.exact, args.speed
        self.seen, self.held, self.chunk = b"", False, None
        sock.settimeout(PATIENCE_S)

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as why:
            raise Mismatch(f"client left while we sent: {why}") from why

    def fill(self):
        try:
            part = self.sock.recv(65536)
        except OSError as why:
            raise Mismatch(f"client left: {why}") from why
        if not part:
            raise Mismatch("client closed")
        self.seen += part

    def read_line(self):
        while b"\n" not in self.seen:
            if len(self.seen) > LINE_MAX:
                raise Mismatch("client sends a line without end")
            self.fill()
        line, _, self.seen = self.seen.partition(b"\n")
        return line.rstrip(b"\r")

    def read_body(self):
        if self.chunk is None:
            return
        while len(self.seen) < self.chunk:
            self.fill()
        self.seen, self.chunk = self.seen[self.chunk:], None

    def read_to_dot(self):
        while self.read_line() != b".":
            pass

    def client_line(self, want):
        if want.startswith(b"<held"):
            self.held = True
            return
        if want.startswith(b"<body"):
            self.read_body()
            return
        if not want and self.held:
            self.held = False
            return
        if want == b".":
            self.read_to_dot()
            return
        got = self.read_line()
        if got.upper().startswith(b"BDAT "):
            self.chunk = int(got.split()[1])
        want = unescape(want)
        verb = want.split(b" ")[0]
        same = got == want if self.exact else \
            verb not in VERBS or got.upper().split(b" ")[0] == verb
        if not same:
            raise Mismatch(f"client said {got!r} for {want!r}")

    def start_tls(self, rest):
        if rest == b"fail":
            self.send(os.urandom(64))
            return
        self.sock = self.context.wrap_socket(self.sock, server_side=True)

    def open_session(self, rest):
        lines = [b"talk.test"] + [c for c in rest.split(b",") if c]
        self.send(b"220 talk.test ESMTP\r\n")
        self.client_line(b"EHLO me.test")
        last = len(lines) - 1
        self.send(b"".join(b"250" + (b" " if i == last else b"-") + line + b"\r\n"
                           for i, line in enumerate(lines)))

    def wait(self, ms):
        time.sleep(int(ms) / 1000 / self.speed)

    def drip(self, rest):
        ms, text = number_and_rest(rest)
        for byte in unescape(text) + b"\r\n":
            self.send(bytes([byte]))
            self.wait(ms)

    def flood(self, rest):
        times, text = number_and_rest(rest)
        for _ in range(times):
            self.send(unescape(text) + b"\r\n")

    def long(self, rest):
        letters, text = number_and_rest(rest)
        self.send(unescape(text) + b"x" * letters + b"\r\n")

    def reset(self, _rest):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Ended

    def close(self, _rest):
        raise Ended

    def play(self, line):
        word, _, rest = line.partition(b" ")
        words = {
            b"S:": lambda r: self.send(unescape(r) + b"\r\n"),
            b"S~": lambda r: self.send(unescape(r)),
            b"C:": self.client_line,
            b"open": self.open_session,
            b"tls": self.start_tls,
            b"close": self.close,
            b"reset": self.reset,
            b"delay": self.wait,
            b"drip": self.drip,
            b"flood": self.flood,
            b"long": self.long,
            b"garbage": lambda r: self.send(os.urandom(int(r))),
        }
        if word in words:
            words[word](rest)

    def wait_for_close(self):
        """What the transcript does not say any more is not answered."""
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass


def play_file(path, sock, context, args):
    peer = Peer(sock, context, args)
    with open(path, "rb") as f:
        lines = f.read().split(b"\n")
    try:
        for number, line in enumerate(lines, 1):
            try:
                peer.play(line)
            except (Mismatch, ssl.SSLError, OSError) as why:
                return f"line {number}: {why}"
        peer.wait_for_close()
    except Ended:
        pass
    finally:
        peer.sock.close()
    return "played"


def server_context(cert):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if cert:
        context.load_cert_chain(cert)
        return context
    with tempfile.TemporaryDirectory() as folder:
        both = os.path.join(folder, "both.pem")
        key = os.path.join(folder, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                        "/CN=talk.test", "-addext", "subjectAltName=DNS:talk.test,IP:127.0.0.1",
                        "-keyout", key, "-out", both], check=True, stderr=subprocess.DEVNULL)
        context.load_cert_chain(both, key)
    return context


def needs_tls(files):
    for path in files:
        with open(path, "rb") as f:
            if re.search(rb"^tls$", f.read(), re.MULTILINE):
                return True
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--once", action="store_true", help="end after each file was played once")
    parser.add_argument("--exact", action="store_true", help="compare commands to the letter")
    parser.add_argument("--speed", type=float, default=1, help="divides every wait")
    parser.add_argument("--cert", help="certificate and key in one PEM file")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    context = server_context(args.cert) if args.cert or needs_tls(args.files) else None

    listener = socket.create_server((args.host, args.port), backlog=128)
    print("listening", listener.getsockname()[1], flush=True)
    threads, bad, lock = [], [], threading.Lock()

    def serve(path, sock):
        outcome = play_file(path, sock, context, args)
        with lock:
            print(path, outcome, flush=True)
            if outcome != "played":
                bad.append(path)

    turn = 0
    while not args.once or turn < len(args.files):
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        path = args.files[turn % len(args.files)]
        turn += 1
        thread = threading.Thread(target=serve, args=(path, sock), daemon=True)
        thread.start()
        threads = [t for t in threads if t.is_alive()] + [thread]
    for thread in threads:
        thread.join()
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
