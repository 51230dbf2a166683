"""Applications that submit by SMTP and HTTP and go on whatever happens to the daemon. A Book holds
what they wanted, what they were told, and how often they were told nothing; judge() compares it with
the daemon's messages and with what a witness saw.

Kinds of submission: `keyed` says an idempotency key, so sending again is safe; `plain` says none: when
its answer is lost it sends again all the same and may so submit twice, which is counted apart, by the
recipient, which is the client's own and of one submission only; `bulk` is keyed and of the bulk stream.
"""
import base64
import collections
import http.client
import json
import queue
import socket
import ssl
import threading
import time

PATIENCE_S = 90  # for one answer: a daemon may be stopped for long
FINAL = {"sent", "uncertain", "bounced", "failed", "suppressed", "cancelled", "expired"}


class Unanswered(Exception):
    """All of it may have been read, and no answer came."""


class Book:
    """What the clients know; every method may be called from any thread."""

    def __init__(self):
        self.lock = threading.Lock()
        self.kinds = {}                               # recipient -> kind
        self.ids = collections.defaultdict(set)       # recipient -> message ids it was told
        self.accepted = set()                         # recipients
        self.unanswered = collections.Counter()       # recipient -> submissions without an answer
        self.refused = []

    def wants(self, kind, to):
        with self.lock:
            self.kinds.update((a, kind) for a in to)

    def took(self, to, ids=()):
        """ids: of the first of them, as far as they were told."""
        with self.lock:
            self.accepted.update(to)
            for a, i in zip(to, ids):
                self.ids[a].add(i)

    def lost(self, to):
        with self.lock:
            self.unanswered.update(to)

    def refuse(self, what):
        with self.lock:
            self.refused.append(what)

    def progress(self):
        with self.lock:
            return len(self.accepted)


class Smtp:
    """A connection over STARTTLS with AUTH, made again as often as needed."""

    def __init__(self, port, context, login):
        self.port, self.context, self.login, self.sock = port, context, login, None

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def reply(self):
        """Code and text of the next reply."""
        text = []
        while True:
            line = self.file.readline()
            if not line.endswith(b"\r\n"):
                raise ConnectionError("closed")
            text.append(line[4:].decode().strip())
            if line[3:4] != b"-":
                return int(line[:3]), " ".join(text)

    def say(self, data, wanted):
        """One command; its reply must have this code."""
        self.sock.sendall(data)
        code, text = self.reply()
        if code != wanted:
            raise ConnectionError(f"{data[:20]!r}: {code} {text}")

    def begin(self, step=lambda name: None):
        """step(name) is called before each step."""
        step("connect")
        self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        self.file = self.sock.makefile("rb")
        if self.reply()[0] != 220:
            raise ConnectionError("no greeting")
        step("ehlo")
        self.say(b"EHLO app.example\r\n", 250)
        step("starttls")
        self.say(b"STARTTLS\r\n", 220)
        step("handshake")
        self.sock = self.context.wrap_socket(self.sock, server_hostname="localhost")
        self.file = self.sock.makefile("rb")
        step("ehlo again")
        self.say(b"EHLO app.example\r\n", 250)
        step("auth")
        plain = base64.b64encode(b"\0%s\0%s" % tuple(x.encode() for x in self.login))
        self.say(b"AUTH PLAIN " + plain + b"\r\n", 235)

    def envelope(self, sender, to, step):
        """True: 354 was said. All in one write, unless there are steps."""
        words = [b"MAIL FROM:<%s>\r\n" % sender.encode()]
        words += [b"RCPT TO:<%s>\r\n" % a.encode() for a in to] + [b"DATA\r\n"]
        if step is None:
            self.sock.sendall(b"".join(words))
            codes = [self.reply()[0] for _ in words]
        else:
            codes = []
            for word in words:
                step(word[:4].decode().lower())
                self.sock.sendall(word)
                codes.append(self.reply()[0])
        if codes[-1] == 354 and set(codes[:-1]) == {250}:
            return True
        if codes[-1] == 354:
            self.close()  # part of it only is no use, and a lone dot would send it
        elif self.sock:
            self.say(b"RSET\r\n", 250)
        return False

    def submit(self, sender, to, mail, step=None):
        """Code and text of the last reply; 0: not taken, try again."""
        if not self.sock:
            self.begin(step or (lambda name: None))
        if not self.envelope(sender, to, step):
            return 0, "the envelope was not taken"
        half = len(mail) // 2
        if step:
            step("body")
        self.sock.sendall(mail[:half])
        if step:
            step("middle of the body")
        self.sock.sendall(mail[half:])
        if step:
            step("dot")
        try:
            self.sock.sendall(b".\r\n")
            return self.reply()
        except (OSError, ValueError) as e:
            raise Unanswered(str(e)) from e


class Mail:
    """What an SMTP client submits."""

    def __init__(self, kind, name, to, size=300):
        self.kind, self.name, self.to = kind, name, to
        key = f"X-Postfleet-Idempotency-Key: {name}\r\n" if kind != "plain" else ""
        lines = "".join(f"{i:060d}\r\n" for i in range(size // 62))
        self.raw = (f"From: Shop <shop@shop.example>\r\nTo: undisclosed:;\r\nSubject: {name}\r\n{key}"
                    f"\r\nbegin {name}\r\n{lines}end {name}\r\n").encode()


def run_smtp(port, context, login, mails, book):
    """Takes mails from a queue until it is empty; each is submitted until it is accepted."""
    client = Smtp(port, context, login)
    while True:
        try:
            mail = mails.get_nowait()
        except queue.Empty:
            client.close()
            return
        while not offer_mail(client, mail, book):
            time.sleep(0.02)  # between two tries: the daemon is away, or full


def offer_mail(client, mail, book, step=None):
    try:
        code, text = client.submit("app@shop.example", mail.to, mail.raw, step)
    except Unanswered:
        client.close()
        book.lost(mail.to)
        return False
    except (OSError, ValueError, ConnectionError):
        client.close()
        return False
    if code == 250:
        book.took(mail.to, [next(w for w in text.split() if w.startswith("msg_"))])
        return True
    if code >= 500:
        book.refuse(f"{mail.name}: {code} {text}")
        return True
    return False


class Post:
    """What an HTTP client submits: one message, or a batch."""

    def __init__(self, kind, name, to, batch):
        self.kind, self.name, self.to = kind, name, to
        stream = "bulk" if kind == "bulk" else "transactional"
        parts = {"from": "Shop <shop@shop.example>", "subject": name, "stream": stream, "group": "g",
                 "text": f"begin {name}\n{'text ' * 40}\nend {name}"}
        self.path = "/v1/messages:batch" if batch else "/v1/messages"
        body = {"defaults": parts, "messages": [{"to": a} for a in to]} if batch else dict(
            parts, to=to[0])
        self.body = json.dumps(body).encode()

    def headers(self, key):
        more = {} if self.kind == "plain" else {"Idempotency-Key": self.name}
        return dict(more, **{"Authorization": f"Bearer {key}", "Content-Type": "application/json"})


class Http:
    def __init__(self, port, key):
        self.port, self.key, self.link = port, key, None

    def close(self):
        if self.link:
            self.link.close()
        self.link = None

    def submit(self, post):
        """Status and what it says; raises Unanswered when it may have been read."""
        if not self.link:
            self.link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
            self.link.connect()
        try:
            self.link.request("POST", post.path, post.body, post.headers(self.key))
            answer = self.link.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as e:
            raise Unanswered(str(e)) from e
        if answer.getheader("Connection") == "close":
            self.close()
        return answer, said


def run_http(port, key, posts, book):
    client = Http(port, key)
    while True:
        try:
            post = posts.get_nowait()
        except queue.Empty:
            client.close()
            return
        while not offer_post(client, post, book):
            time.sleep(0.02)  # between two tries: the daemon is away, or at work on this key


def offer_post(client, post, book):
    try:
        answer, said = client.submit(post)
    except Unanswered:
        client.close()
        book.lost(post.to)
        return False
    except OSError:
        client.close()
        return False
    return take_answer(post, answer.status, said, book)


def take_answer(post, status, said, book):
    """False: try again."""
    if status != 202:
        if status not in (409, 429, 503, 507):
            book.refuse(f"{post.name}: {status} {said}")
            return True
        if status == 503:
            book.lost(post.to)  # core may have had it
        return False
    items = said["data"] if "data" in said else [said]
    for to, item in zip(post.to, items):
        if "id" not in item and item["error"]["code"] in ("later", "failed", "unreachable"):
            return False
        if "id" not in item:
            book.refuse(f"{to}: {item}")
    book.took(post.to, [i.get("id") for i in items])
    return True


# ---- the judgement


class Judged:
    KINDS = ("lost", "phantom", "doubled", "unmarked", "misreported", "cut")

    def __init__(self):
        for kind in self.KINDS:
            setattr(self, kind, [])
        self.count = collections.Counter()

    def faults(self):
        return {k: getattr(self, k) for k in self.KINDS if getattr(self, k)}

    def __str__(self):
        return "\n".join([str(dict(self.count))] + [f"{k} {len(v)}: {v[:5]}" for k, v in
                                                    self.faults().items()])


def judge(book, rows, dots, body_of, show):
    """rows: {"id","to","state","stream"}; dots: of the witness; body_of(dot): its bytes; show(id): the
    message in full, asked only where the rows and dots do not tell enough."""
    found = Judged()
    by_to, arrived = collections.defaultdict(list), collections.defaultdict(list)
    for row in rows:
        by_to[row["to"]].append(row)
    for dot in dots:
        for to in dot["rcpt"]:
            if len(dot["rcpt"]) > 1 or to not in book.kinds:
                found.phantom.append(f"{to} in {dot['id']}")
            elif dot["code"] == 0 or dot["code"] == 250:
                arrived[to].append(dot)
    for to in by_to.keys() - book.kinds.keys():
        found.phantom.append(f"{to} has a row")
    for to, kind in book.kinds.items():
        judge_rows(found, book, to, kind, by_to[to])
        judge_arrivals(found, to, kind, by_to[to], arrived[to], show)
        for dot in arrived[to]:
            text = body_of(dot)
            name = to.split("@")[0].split("+")[0].encode()
            if b"begin " + name not in text or b"end " + name not in text:
                found.cut.append(to)
    return found


def judge_rows(found, book, to, kind, rows):
    """One message for what was accepted; without a key perhaps one more for each answer lost."""
    most = 1 + (book.unanswered[to] if kind == "plain" else 0)
    if to in book.accepted and not rows:
        found.lost.append(to)
    if len(rows) > most:
        found.phantom.append(f"{to} ({kind}): {len(rows)} messages, at most {most}")
    missing = book.ids[to] - {row["id"] for row in rows} - {None}
    if missing:
        found.lost.append(f"{to}: {sorted(missing)} was said and is not there")
    if kind != "plain" and len(book.ids[to]) > 1:
        found.doubled.append(f"{to}: one key, the ids {sorted(book.ids[to])}")
    found.count["messages"] += len(rows)
    found.count["submitted twice without a key"] += max(len(rows) - 1, 0)
    for row in rows:
        found.count[row["state"]] += 1
        if row["state"] not in FINAL:
            found.misreported.append(f"{to}: {row['state']} at the end")


def judge_arrivals(found, to, kind, rows, dots, show):
    plain_case = len(rows) == 1 and len(dots) == 1 and rows[0]["state"] == "sent"
    if plain_case and dots[0]["code"] == 250:
        found.count["arrived"] += 1
        return
    left = collections.defaultdict(list)
    for dot in dots:
        left[dot["id"].strip("<>")].append(dot)
    for row in rows:
        whole = show(row["id"])
        mine = left.pop(whole["message_id"], [])
        found.count["arrived"] += bool(mine)
        judge_message(found, to, kind, row, whole, mine)
    found.phantom += [f"{to}: {name} is of no message" for name in left]


def judge_message(found, to, kind, row, whole, dots):
    state = row["state"]
    if state == "sent" and not any(d["code"] for d in dots):
        found.lost.append(f"{to}: sent, and nobody took it")
    if state not in ("sent", "uncertain") and dots:
        found.misreported.append(f"{to}: {state}, and it arrived")
    if len(dots) > (1 if kind == "bulk" else 2):
        found.doubled.append(f"{to}: {len(dots)} times")
    if len(dots) < 2:
        return
    found.count["arrived twice"] += 1
    tries = [(a["verdict"], a["why"] or "") for a in whole["attempts"]]
    first = next((i for i, t in enumerate(tries) if t[0] == "uncertain"), None)
    if first is None or not any("resend after uncertain" in why for _, why in tries[first + 1:]):
        found.unmarked.append(f"{to}: {tries}")


# ---- the load


def addresses(name, n):
    return [f"{name}+{i}@to.test" for i in range(n)]


def make_mails(prefix, shape, book):
    """A queue of mails for a shape of (kind, mails, recipients each, bytes), well mixed."""
    rows = [[Mail(kind, f"{prefix}{k}{i}", addresses(f"{prefix}{k}{i}", n), size)
             for i in range(count)] for k, (kind, count, n, size) in enumerate(shape)]
    return mixed(rows, book)


def make_posts(prefix, shape, book):
    """The same for (kind, requests, messages each)."""
    rows = [[Post(kind, f"{prefix}{k}{i}", addresses(f"{prefix}{k}{i}", n), n > 1)
             for i in range(count)] for k, (kind, count, n) in enumerate(shape)]
    return mixed(rows, book)


def mixed(rows, book):
    """By their place in their own row, so that each kind is there from beginning to end."""
    placed = [(i / len(row), k, item) for k, row in enumerate(rows) for i, item in enumerate(row)]
    out = queue.Queue()
    for _, _, item in sorted(placed, key=lambda x: x[:2]):
        book.wants(item.kind, item.to)
        out.put(item)
    return out


class Load:
    """with Load(...) as l: threads submit; l.join() waits for their end."""

    def __init__(self, work):
        """work: (function, arguments) a thread."""
        self.errors = []
        self.threads = [threading.Thread(target=self.run, args=w, daemon=True) for w in work]
        for t in self.threads:
            t.start()

    def run(self, function, *arguments):
        try:
            function(*arguments)
        except Exception as e:  # a client that dies is a failure of the test, told at join
            self.errors.append(f"{function.__name__}: {e!r}")

    def join(self, seconds):
        end = time.monotonic() + seconds
        for t in self.threads:
            t.join(max(end - time.monotonic(), 0.1))
        return not self.errors and not any(t.is_alive() for t in self.threads)


def tls_context(ca):
    return ssl.create_default_context(cafile=ca)
