"""One SMTP session of the witness: a server that does what its behaviour says, well or ill.

Behaviour is a dict, looked up anew at every step, so that it can change under open sessions. Phases:
greeting ehlo starttls auth mail rcpt data dot rset quit.
  reply   {phase: "451 4.3.0 no"}   instead of the good answer
  raw     {phase: bytes as str}     sent as it is (latin-1) instead of the answer
  delay   {phase: ms}               before the answer
  drop    [phase]                   closes instead of answering (dot: after the dot was read)
  close   [phase]                   closes after answering
  hold    [phase]                   never answers
  trickle {phase: ms}               the answer a byte at a time
  rcpt    [[regex, reply]]          per recipient
  every   {phase: N}                the above for the phase only at each N-th time of the server
  auth    {user, password, mechs}   offers and asks for a login; endless_auth: true asks for ever
  extensions [words]   tls none|starttls|tls   silent true: black hole (greeting held)
"""
import asyncio
import base64
import hashlib
import hmac
import re

EXTENSIONS = ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 52428800", "ENHANCEDSTATUSCODES"]
GOOD = {"greeting": "220 witness.test ESMTP", "starttls": "220 2.0.0 go ahead",
        "auth": "235 2.7.0 welcome", "mail": "250 2.1.0 ok", "rcpt": "250 2.1.5 ok",
        "data": "354 go ahead", "dot": "250 2.0.0 taken", "rset": "250 2.0.0 flushed",
        "quit": "221 2.0.0 bye"}
LINE_MAX = 65536


class Session(asyncio.Protocol):
    """Reads commands, answers in order. While an answer is due later, reading stands still."""

    def __init__(self, server):
        self.server, self.transport = server, None
        self.buffer, self.out = bytearray(), bytearray()
        self.blocked = self.closed = False
        self.mode = "command"  # command, body, chunk, auth
        self.number = self.messages = self.dot_turn = 0
        self.sender, self.rcpts, self.body = None, [], bytearray()
        self.looked_at = 0  # bytes of the buffer that hold no end of the body
        self.hello, self.words = "", []  # EHLO, and MAIL and RCPT of this message, as they came
        self.chunk_left, self.chunk_last = 0, False
        self.logged_in = False
        self.auth_step = None

    # -- connection -------------------------------------------------------------------------
    def connection_made(self, transport):
        self.transport = transport
        self.number = self.server.opened(self)
        if self.server.behave.get("tls") == "tls":
            self.note_tls()
        self.answer("greeting")
        self.flush()

    def after_tls(self):
        """What came in already is the client's first words over TLS."""
        self.note_tls()
        self.blocked = False
        self.work()

    def note_tls(self):
        ssl_object = self.transport.get_extra_info("ssl_object")
        self.server.note_tls(self, bool(ssl_object and ssl_object.session_reused),
                             ssl_object.version() if ssl_object else "")

    def connection_lost(self, error):
        if not self.closed:
            self.closed = True
            self.server.lost(self)

    def data_received(self, data):
        self.buffer += data
        self.work()

    def flush(self):
        """Writes the answers of one turn together."""
        if self.out and not self.closed:
            self.transport.write(bytes(self.out))
        self.out.clear()

    def close(self):
        if not self.closed:
            self.flush()
            self.closed = True
            self.server.lost(self)
            self.transport.close()

    # -- answering --------------------------------------------------------------------------
    def answer(self, phase, good=None, then=None):
        """Gives the behaviour's answer to a phase, or the good one; then() runs after it."""
        if self.server.well and phase != "quit":
            self.finish((good or GOOD[phase]).encode() + b"\r\n", False, then)
            return
        behave = self.server.behave_at(phase, self.dot_turn if phase == "dot" else None)
        text = behave.get("reply", {}).get(phase) or good or GOOD[phase]
        raw = behave.get("raw", {}).get(phase)
        data = raw.encode("latin-1") if raw is not None else (text + "\r\n").encode()
        if phase in behave.get("drop", ()):
            self.close()
            return
        if phase in behave.get("hold", ()) or (phase == "greeting" and behave.get("silent")):
            self.blocked = True
            return
        delay = behave.get("delay", {}).get(phase, 0)
        trickle = behave.get("trickle", {}).get(phase, 0)
        closing = phase in behave.get("close", ()) or phase == "quit" or data[:3] == b"421"
        if delay or trickle:
            self.blocked = True
            asyncio.get_running_loop().create_task(
                self.answer_later(data, delay / 1000, trickle / 1000, closing, then))
            return
        self.finish(data, closing, then)

    async def answer_later(self, data, delay, trickle, closing, then):
        self.flush()
        await asyncio.sleep(delay)
        for i in range(len(data) - 1 if trickle else 0):
            if self.closed:
                return
            self.out += data[i:i + 1]
            self.flush()
            await asyncio.sleep(trickle)
        if not self.closed:
            self.blocked = False
            self.finish(data[-1:] if trickle else data, closing, then)
            self.work()

    def finish(self, data, closing, then):
        self.out += data
        if then and data[:1] in (b"2", b"3"):
            then()
        if closing:
            self.close()

    def say(self, text):
        self.out += text.encode() + b"\r\n"

    # -- reading ----------------------------------------------------------------------------
    def work(self):
        self.read_on()
        self.flush()

    def read_on(self):
        while self.buffer and not self.blocked and not self.closed:
            if self.mode == "body":
                if not self.take_body():
                    return
            elif self.mode == "chunk":
                if not self.take_chunk():
                    return
            else:
                end = self.buffer.find(b"\r\n")
                if end < 0:
                    if len(self.buffer) > LINE_MAX:
                        self.close()
                    return
                line = bytes(self.buffer[:end])
                del self.buffer[:end + 2]
                self.auth_line(line) if self.mode == "auth" else self.command(line)

    def command(self, line):
        verb, _, rest = line.partition(b" ")
        name = verb.upper().decode("latin-1")
        self.note_words(name, line.decode("utf-8", "backslashreplace"))
        handler = getattr(self, "do_" + name.lower(), None) if name.isalpha() else None
        self.server.count("command_" + name[:12])
        if handler:
            handler(rest.strip())
        else:
            self.say("500 5.5.1 what?")

    def note_words(self, name, text):
        if name in ("EHLO", "HELO"):
            self.hello = text
        elif name == "MAIL":
            self.words = [text]
        elif name == "RCPT":
            self.words.append(text)

    def do_ehlo(self, rest):
        behave = self.server.behave
        words = list(behave.get("extensions", EXTENSIONS))
        over_tls = self.transport.get_extra_info("ssl_object") is not None
        if behave.get("tls") == "starttls" and not over_tls:
            words.append("STARTTLS")
        auth = behave.get("auth")
        if auth and (over_tls or not auth.get("tls_only")):
            words.append("AUTH " + " ".join(auth.get("mechs", ["PLAIN", "LOGIN"])))
        lines = ["witness.test"] + words
        self.answer("ehlo", "\r\n".join(f"250{' ' if i == len(lines) - 1 else '-'}{w}"
                                        for i, w in enumerate(lines)))

    def do_helo(self, rest):
        self.answer("ehlo", "250 witness.test")

    def do_noop(self, rest):
        self.say("250 2.0.0 ok")

    def do_rset(self, rest):
        self.sender, self.rcpts = None, []
        self.answer("rset")

    def do_quit(self, rest):
        self.answer("quit")

    def do_starttls(self, rest):
        def upgrade():
            self.blocked = True
            self.flush()
            asyncio.get_running_loop().create_task(self.upgrade())
        self.answer("starttls", then=upgrade)

    async def upgrade(self):
        loop = asyncio.get_running_loop()
        self.buffer.clear()  # plaintext behind STARTTLS is never believed
        try:
            self.transport = await loop.start_tls(self.transport, self, self.server.tls_context,
                                                  server_side=True)
        except (OSError, EOFError, AttributeError, TypeError):  # TypeError: it has no certificate
            self.close()
            return
        self.after_tls()

    # -- login ------------------------------------------------------------------------------
    def do_auth(self, rest):
        mech, _, initial = rest.partition(b" ")
        mech = mech.upper().decode()
        self.server.count("auth_" + mech)
        steps = {"PLAIN": [""], "LOGIN": ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"], "XOAUTH2": [""],
                 "CRAM-MD5": [base64.b64encode(b"<1.2@witness.test>").decode()]}.get(mech)
        if steps is None:
            self.say("504 5.5.4 no such mechanism")
            return
        self.auth_step = (mech, steps, [initial] if initial else [])
        self.auth_go_on()

    def auth_line(self, line):
        self.auth_step[2].append(line)
        self.auth_go_on()

    def auth_go_on(self):
        mech, steps, got = self.auth_step
        if self.server.behave.get("endless_auth"):
            self.mode = "auth"
            self.server.count("challenges")
            self.say("334 ")
            return
        if len(got) < len(steps):
            self.mode = "auth"
            self.say("334 " + steps[len(got)])
            return
        self.mode = "command"
        good = self.auth_right(mech, got)
        self.server.note_auth(self, mech, good)
        self.logged_in = good
        self.answer("auth", None if good else "535 5.7.8 authentication failed")

    def auth_right(self, mech, got):
        wanted = self.server.behave.get("auth") or {}
        user, password = wanted.get("user", "").encode(), wanted.get("password", "").encode()
        try:
            plain = [base64.b64decode(x) for x in got]
        except ValueError:
            return False
        if mech == "PLAIN":
            return plain[0].split(b"\0")[1:] == [user, password]
        if mech == "LOGIN":
            return plain == [user, password]
        if mech == "XOAUTH2":
            return plain[0] == b"user=" + user + b"\1auth=Bearer " + password + b"\1\1"
        digest = hmac.new(password, b"<1.2@witness.test>", hashlib.md5).hexdigest()
        return plain[0] == user + b" " + digest.encode()

    # -- a message --------------------------------------------------------------------------
    def do_mail(self, rest):
        if self.server.behave.get("auth") and not self.logged_in:
            self.say("530 5.7.0 authentication required")
            return
        path = re.match(rb"(?i)FROM:\s*<([^>]*)>(.*)$", rest)
        if not path:
            self.say("501 5.5.4 syntax")
            return

        def accept():
            self.sender, self.rcpts = path.group(1).decode("utf-8", "replace"), []
        self.sender = None
        self.answer("mail", then=accept)

    def do_rcpt(self, rest):
        path = re.match(rb"(?i)TO:\s*<([^>]*)>(.*)$", rest)
        if not path or self.sender is None:
            self.say("503 5.5.1 MAIL first" if path else "501 5.5.4 syntax")
            return
        to = path.group(1).decode("utf-8", "replace")
        reply = next((r for pattern, r in self.server.behave.get("rcpt", ())
                      if re.search(pattern, to)), None)
        if reply and not reply.startswith("2"):
            self.server.note_refused(self, to, reply)
        self.answer("rcpt", reply, then=lambda: self.rcpts.append(to))

    def do_data(self, rest):
        if not self.rcpts:
            self.say("554 5.5.1 no valid recipients")
            return

        def begin():
            self.mode, self.body, self.looked_at = "body", bytearray(), 0
        self.answer("data", then=begin)

    def do_bdat(self, rest):
        words = rest.upper().split()
        self.chunk_left, self.chunk_last = int(words[0]), words[1:] == [b"LAST"]
        self.mode = "chunk"
        if self.chunk_left == 0:
            self.end_chunk()

    def take_chunk(self):
        part = self.buffer[:self.chunk_left]
        self.body += part
        del self.buffer[:len(part)]
        self.chunk_left -= len(part)
        if self.chunk_left == 0:
            self.end_chunk()
        return True

    def end_chunk(self):
        self.mode = "command"
        if not self.rcpts:
            self.body = bytearray()
            self.say("503 5.5.1 no valid recipients")
        elif self.chunk_last:
            self.end_message(bytes(self.body))
        else:
            self.say("250 2.0.0 more")

    def take_body(self):
        """The body ends at CRLF.CRLF and nothing else; RFC 5321 4.1.1.4. True: it ended."""
        if self.buffer.startswith(b".\r\n"):
            end, skip = 0, 3
        else:
            end, skip = self.buffer.find(b"\r\n.\r\n", self.looked_at), 5
            if end < 0:
                self.looked_at = max(len(self.buffer) - 4, 0)
                return False
        raw = bytes(self.buffer[:end]) + (b"\r\n" if skip == 5 else b"")
        del self.buffer[:end + skip]
        raw = raw[1:] if raw.startswith(b".") else raw
        self.mode = "command"
        self.end_message(raw.replace(b"\r\n.", b"\r\n"))
        return True

    def end_message(self, raw):
        self.messages += 1
        self.blocked = True
        self.server.message(self, raw, self.sender, self.rcpts, self.answer_dot)
        self.sender, self.rcpts, self.body = None, [], bytearray()

    def answer_dot(self):
        self.blocked = False
        if not self.closed:
            self.answer("dot")
            self.work()
