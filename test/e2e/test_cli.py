#!/usr/bin/env python3
# timeout: 200
"""The command line on its own: offline commands, usage errors, and the client against a stand-in for
the daemon's HTTP that pages, refuses, lies, stalls and breaks off; then the life of `serve`."""
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import daemon  # noqa: E402
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402


def run(*arguments, feed=None, env=None, cwd=None, timeout=60):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("POSTFLEET_")}
    return subprocess.run([daemon.BINARY, *map(str, arguments)], capture_output=True, text=True,
                          input=feed, timeout=timeout, cwd=cwd, env=dict(clean, **(env or {})),
                          stdin=subprocess.DEVNULL if feed is None else None)


def expect(done, status, words, what, where="err"):
    text = done.stderr if where == "err" else done.stdout
    tap.ok(done.returncode == status and all(w in text for w in words)
           and "Sanitizer" not in done.stderr and "check(" not in done.stderr,
           f"{what}: exit {done.returncode}", f"wanted {status} {words}\n{done.stdout[-600:]}{done.stderr[-1200:]}")


# -- the stand-in ---------------------------------------------------------------------------------

class Stand(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers by a function (method, path, query, body) -> (status, document or bytes or None)."""
    daemon_threads = True

    def __init__(self, folder, answer):
        self.answer, self.seen = answer, []
        # a socket address holds 107 bytes: bind by the way of a descriptor
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        super().__init__(f"/proc/self/fd/{fd}/api.sock", Handler)
        os.close(fd)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that was interrupted


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body leave in one write

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while True:
                size = int(self.rfile.readline(), 16)
                parts.append(self.rfile.read(size))
                self.rfile.readline()
                if size == 0:
                    return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def handle_any(self):
        url = urlparse(self.path)
        body = self.body()
        query = {k: v for k, v in parse_qs(url.query).items()}
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        status, answer = self.server.answer(self.command, url.path, query, body)
        if status == 0:  # break off in the middle of an answer
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"data\":[")
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        data = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        kind = "application/json" if status < 400 else "application/problem+json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any


def problem(status, code, detail, **more):
    return status, dict(type="about:blank", title=code, status=status, code=code, detail=detail, **more)


class Place:
    """A data folder (with a path too long for a socket address) and a stand-in in it."""

    def __init__(self, answer):
        self.top = tempfile.TemporaryDirectory(prefix="postfleet-")
        self.data = os.path.join(self.top.name, "long" * 30, "data")
        os.makedirs(self.data)
        self.stand = Stand(self.data, answer)

    def run(self, *arguments, **more):
        return run(*arguments, "--data", self.data, **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stand.shutdown()
        self.stand.server_close()
        self.top.cleanup()


def test_paging():
    """Every row once, in order, over pages; --limit stops early; a table for people."""
    rows = [{"id": f"msg_{i}", "state": "sent", "to": f"é{i}@example.org\x1b[2J"} for i in range(1234)]

    def answer(method, path, query, body):
        at = int(query.get("after", ["0"])[0])
        page = rows[at:at + min(int(query["limit"][0]), 500)]
        more = at + len(page) < len(rows)
        return 200, {"data": page, "next": str(at + len(page)) if more else None, "has_more": more}

    with Place(answer) as place:
        done = place.run("message", "search", "--json", "--campaign", "a/b & c")
        got = [json.loads(x) for x in done.stdout.splitlines()]
        tap.ok(done.returncode == 0 and got == rows, "all rows over three pages", done.stderr)
        tap.ok("campaign=a%2Fb%20%26%20c" in place.stand.seen[0][1], "a filter is encoded",
               place.stand.seen[0][1])
        tap.ok("\x1b" not in done.stdout, "no escape reaches the terminal as JSON")
        done = place.run("message", "search", "--limit", "501", "--json")
        tap.equal(len(done.stdout.splitlines()), 501, "--limit 501")
        done = place.run("message", "search")
        lines = done.stdout.splitlines()
        tap.ok(len(lines) == 1235 and lines[0].startswith("ID") and "\x1b" not in done.stdout
               and "\\x1b" in done.stdout, "a table, safe for terminals", lines[:2])


def test_problems():
    """Each stable code has its exit status; text for people, the document with --json."""
    cases = {"invalid": (400, 2), "not_found": (404, 3), "conflict": (409, 1), "refused": (422, 5),
             "not_allowed": (403, 7), "later": (503, 75), "full": (507, 75), "unreachable": (502, 6),
             "failed": (500, 1), "too_big": (413, 2), "something_new": (422, 5), "unauthorized": (401, 7)}
    for code, (http, status) in cases.items():
        with Place(lambda *_, h=http, c=code: problem(h, c, f"because {c}\x1b[1m",
                                                      errors=[{"field": "x", "message": "y"}])) as place:
            done = place.run("server", "pause", "a")
            expect(done, status, [f"because {code}\\x1b", "x: y"], f"{http} {code}")
            done = place.run("server", "pause", "a", "--json")
            tap.ok(done.returncode == status and json.loads(done.stderr)["code"] == code
                   and done.stdout == "", f"{code} as a document on standard error", done.stderr)


def test_liars():
    """Answers that are no JSON, break off, or come from nobody."""
    for what, answer, status in (("HTML", (200, b"<html>"), 1), ("HTML error", (500, b"<html>"), 1),
                                 ("a break", (0, None), 6), ("an empty 204", (204, None), 0),
                                 ("an unknown 404", (404, b"?"), 3)):
        with Place(lambda *_, a=answer: a) as place:
            expect(place.run("server", "pause", "a"), status, [], f"answered by {what}")
    with tempfile.TemporaryDirectory() as folder:
        expect(run("status", "--data", folder), 6, ["serve --data"], "no socket")
        s = socket.socket(socket.AF_UNIX)
        s.bind(folder + "/api.sock")  # bound, nobody listens
        expect(run("status", "--data", folder), 6, ["serve --data"], "a stale socket")
        s.close()
        Path(folder, "lock").write_text(f"{os.getpid()}\n")  # a daemon that only starts: we are it
        os.unlink(folder + "/api.sock")
        late = threading.Timer(1.5, lambda: Stand(folder, lambda *_: (200, {"paused": False})))
        late.start()
        expect(run("status", "--data", folder), 0, [], "a daemon that starts is waited for")
    expect(run("status", "--data", "/nowhere/at/all"), 6, ["/nowhere/at/all"], "no folder")
    expect(run("status", "--url", "http://127.0.0.1:9"), 6, ["127.0.0.1:9"], "no daemon at --url")


def test_bodies():
    """What the options become on the wire."""
    with Place(lambda *_: (200, {"name": "alpha", "warnings": ["in clear"]})) as place:
        secret = Path(place.top.name, "pw")
        secret.write_text(" s3 cret\n\n")
        done = place.run("server", "add", "al/pha", "--host", "h", "--tls=none", "--port", "25", "--user", "ü",
                         "--password-file", secret, "--per-hour", "50k", "--per-day", "none",
                         "--connect-timeout", "2s", "--group", "a", "--group", "b", "--header", "X-A: b")
        _, path, _, body = place.stand.seen[0]
        tap.ok(done.returncode == 0 and "in clear" in done.stderr, "a warning of the daemon is shown", done.stderr)
        tap.equal((path, json.loads(body)),
                  ("/v1/servers", {"host": "h", "tls": "none", "port": 25, "user": "ü", "per_hour": 50000,
                                   "per_day": None, "connect_timeout": "2s", "group": ["a", "b"],
                                   "header": ["X-A: b"], "name": "al/pha", "password": " s3 cret\n"}),
                  "server add: names, numbers, one newline of the password dropped")
        tap.ok("s3" not in done.stdout + done.stderr, "no secret is echoed")
        place.run("server", "add", "b", "--preset", "sendgrid", "--port", "2525", "--password-file", "-",
                  feed="key\n")
        sent = json.loads(place.stand.seen[1][3])
        tap.ok(sent["host"] == "smtp.sendgrid.net" and sent["port"] == 2525 and sent["user"] == "apikey"
               and sent["password"] == "key", "a preset fills in, options win", sent)
        place.run("server", "show", "a/../b c?x#y%")
        tap.equal(unquote(place.stand.seen[2][1]), "/v1/servers/a/../b c?x#y%", "a name is one path segment")
        tap.ok("%2F" in place.stand.seen[2][1], "with its slashes encoded", place.stand.seen[2][1])


def test_uploads():
    """Bytes arrive as they are, from a file and from standard input; wrong rows land beside it."""
    reply = {"rows": 4, "imported": 2, "updated": 0, "skipped": 0, "invalid": 2, "suppressed": 0,
             "errors": [{"line": 3, "email": "=cmd", "message": 'no "at"'}, {"line": 4, "email": "", "message": "empty"}]}
    with Place(lambda *_: (200, reply)) as place:
        data = b"\xff\xfe" + "email\nä@example.org\n".encode("utf-16-le") * 3000
        path = Path(place.top.name, "people.csv")
        path.write_bytes(data)
        done = place.run("contact", "import", "--list", "l 1", path, "--map", "A=B", "--map=C=D", "--json",
                         "--dry-run", "--policy", "skip")
        got = json.loads(done.stdout)
        tap.ok(done.returncode == 4 and got["errors_file"] == f"{path}.errors.csv" and "errors" not in got,
               "exit 4, errors_file named", done.stdout + done.stderr)
        tap.equal(place.stand.seen[0][3], data, "the file's bytes arrived")
        tap.equal(place.stand.seen[0][1],
                  "/v1/contacts:import?list=l%201&policy=skip&map=A%3DB&map=C%3DD&dry_run=1", "and its options")
        text = Path(got["errors_file"]).read_text()
        tap.ok("\"'=cmd\"" in text and '"no ""at"""' in text, "errors.csv is harmless in spreadsheets", text)
        place.run("send", "-", "--to", "a@b.example", feed="Subject: x\n\nhello\n")
        tap.equal((place.stand.seen[1][3], place.stand.seen[1][2]["Content-Type"]),
                  (b"Subject: x\n\nhello\n", "message/rfc822"), "a mail from standard input")
        expect(place.run("contact", "import", "--list", "l", "/nowhere.csv"), 3, ["/nowhere.csv"], "no such file")
        expect(place.run("contact", "import", "--list", "l", place.top.name), 1, ["folder"], "a folder")


def report(state, pending, **more):
    sent = 100 - pending - more.get("failed", 0)
    return dict({"name": "c", "state": state, "recipients": 100, "pending": pending, "sent": sent,
                 "bounced": {"hard": 0, "soft": 0}, "failed": 0, "by_server": []}, **more)


def test_wait():
    """--wait: 0 all sent, 4 some not; paused is said; a daemon that goes away is waited for."""
    for what, steps, status, words in (
            ("all sent", [report("running", 50), report("finished", 0)], 0, []),
            ("some failed", [report("finished", 0, failed=3)], 4, []),
            ("cancelled", [report("running", 60), report("cancelled", 0)], 4, []),
            ("paused meanwhile", [report("paused", 50, reason="by hand"), report("running", 40),
                                  report("finished", 0)], 0, ["paused", "by hand"]),
            ("a restart meanwhile", [report("running", 50), None, None, report("finished", 0)], 0, ["waiting"])):
        left = list(steps)

        def answer(method, path, query, body, left=left):
            if method == "POST":
                return 200, {"state": "running"}
            step = left.pop(0) if len(left) > 1 else left[0]
            return problem(503, "later", "core is starting") if step is None else (200, step)

        with Place(answer) as place:
            done = place.run("campaign", "start", "c", "--wait", "--json")
            expect(done, status, words, f"--wait, {what}")
            tap.equal(json.loads(done.stdout)["state"], steps[-1]["state"], "its last report is printed")
    looks = []

    def standing_still(method, path, query, body):
        if path.endswith("/queue"):
            looks.append(1)
            return 200, {"classes": [{"campaign": "c", "limited_by": "quota", "why": "1 at a quota"}]}
        return 200, report("finished", 0) if looks else report("running", 50)

    with Place(standing_still) as place:
        expect(place.run("campaign", "start", "c", "--wait"), 0, ["waits (quota)", "1 at a quota"],
               "--wait tells what limits a campaign that does not move")


def test_interrupt():
    """Ctrl-C: 130, and the campaign goes on (nothing is asked of the daemon)."""
    with Place(lambda m, *_: (200, {"state": "running"}) if m == "POST" else (200, report("running", 50))) as place:
        child = subprocess.Popen([daemon.BINARY, "campaign", "start", "c", "--wait", "--data", place.data],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: len(place.stand.seen) >= 2, 20, "the first look")
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=20)
        tap.ok(child.returncode == 130 and "goes on" in err, f"exit {child.returncode}", err)
        tap.equal([s[0] for s in place.stand.seen].count("POST"), 1, "one POST only")


def test_url_and_key():
    with Place(lambda *_: (200, {"ok": True})) as place:
        bridge = socket.create_server(("127.0.0.1", 0))
        port = bridge.getsockname()[1]

        def carry():
            while True:
                one, _ = bridge.accept()
                two = socket.socket(socket.AF_UNIX)
                fd = os.open(place.data, os.O_PATH)
                two.connect(f"/proc/self/fd/{fd}/api.sock")
                os.close(fd)
                two.sendall(one.recv(65536))
                one.sendall(two.recv(65536))
                one.close()
                two.close()
        threading.Thread(target=carry, daemon=True).start()
        key = Path(place.top.name, "key")
        key.write_text("pf_live_abc\n")
        done = run("status", "--url", f"http://127.0.0.1:{port}/", "--token-file", key)
        expect(done, 0, [], "--url with --token-file")
        tap.equal(place.stand.seen[-1][2].get("Authorization"), "Bearer pf_live_abc", "the key is sent")
        done = run("status", env={"POSTFLEET_URL": f"http://127.0.0.1:{port}", "POSTFLEET_TOKEN_FILE": str(key)})
        expect(done, 0, [], "the same by the environment")
        key.write_text("two words")
        expect(run("status", "--url", f"http://127.0.0.1:{port}", "--token-file", key), 2, ["key"], "a malformed key")
        bridge.close()


def test_suppression_check():
    found = {"address": "a@b.example", "reason": "manual", "source": "user", "since": "2026-11-21T00:00:00.000Z",
             "provisional": False}
    with Place(lambda m, path, *_: (200, found) if "a%40" in path else problem(404, "not_found", "no")) as place:
        done = place.run("suppression", "check", "a@b.example")
        tap.ok(done.returncode == 0 and all(w in done.stdout for w in ("a@b.example", "manual", "user", "2026")),
               "suppressed: exit 0 and why", done.stdout)
        expect(place.run("suppression", "check", "x@b.example"), 3, ["not suppressed"], "not suppressed", "out")


# -- offline --------------------------------------------------------------------------------------

def test_offline():
    with tempfile.TemporaryDirectory() as folder:
        data = folder + "/d"
        expect(run("init", "--data", data), 0, ["ready"], "init", "out")
        expect(run("init", "--data", data), 0, ["already"], "init again", "out")
        tap.ok(json.loads(run("init", "--data", data, "--json").stdout)["created"] is False, "init --json")
        expect(run("init", "--data", folder), 5, [folder], "init refuses a foreign folder")
        expect(run("db", "check", "--data", data), 0, ["whole"], "db check", "out")
        expect(run("db", "backup", folder + "/b.db", "--data", data), 0, [], "db backup")
        tap.equal(oct(os.stat(folder + "/b.db").st_mode & 0o777), "0o600", "the copy is private")
        expect(run("db", "backup", folder + "/b.db", "--data", data), 1, ["already"], "not over a file")
        expect(run("db", "migrate", "--dry-run", "--data", data), 0, ["latest"], "db migrate", "out")
        expect(run("db", "check", "--data", folder + "/none"), 3, ["init"], "db check of nothing")
        Path(data, "postfleet.yaml").write_text("log: {level: debug}\n")
        done = run("config", "show", "--data", data, "--json", env={"POSTFLEET_HTTP__LISTEN": "1.2.3.4:5"})
        shown = {r["name"]: (r["value"], r["origin"]) for r in map(json.loads, done.stdout.splitlines())}
        tap.equal((shown["log.level"], shown["http.listen"], shown["public_url"]),
                  (("debug", "file"), ("1.2.3.4:5", "environment"), ("", "default")), "config show tells origins")
        Path(data, "postfleet.yaml").write_text("http:\n  lisen: 1\n")
        expect(run("config", "check", "--data", data), 2, ["line 2", "lisen", "listen"], "config check")
        Path(data, "postfleet.yaml").write_text(run("config", "sample").stdout)
        expect(run("config", "check", "--data", data), 0, ["order"], "the sample is valid", "out")
        done = run("doctor", "--data", data, "--json")
        tap.ok(done.returncode == 1 and [c["check"] for c in json.loads(done.stdout)["checks"] if not c["ok"]]
               == ["daemon"], "doctor misses only the daemon", done.stdout + done.stderr)
        expect(run("version", cwd=folder), 0, ["postfleet"], "version", "out")


def test_words():
    expect(run("sevrer", "list"), 2, ["server"], "a typo in the noun")
    expect(run("server", "rm", "x"), 2, ["remove"], "another product's word")
    expect(run("server", "list", "--jsno"), 2, ["--json"], "a typo in an option")
    expect(run("route", "explain"), 2, [], "a later command does not exist")
    done = run("server", "list", "--jsno", "--json")
    tap.equal(json.loads(done.stderr)["code"], "invalid", "a usage error with --json is a document")
    for shell in ("bash", "zsh", "fish"):
        expect(run("completion", shell), 0, ["retry-failed"], f"completion {shell}", "out")
    script = run("completion", "bash").stdout + """
    COMP_WORDS=(postfleet campaign st); COMP_CWORD=2; _postfleet; echo "1:${COMPREPLY[*]}"
    COMP_WORDS=(postfleet server add x --tls ""); COMP_CWORD=5; _postfleet; echo "2:${COMPREPLY[*]}"
    COMP_WORDS=(postfleet group set g --at); COMP_CWORD=4; _postfleet; echo "3:${COMPREPLY[*]}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
    tap.equal(done.stdout.split("\n")[:3], ["1:start", "2:none starttls tls", "3:--at-limit"], "bash completes")
    man = run("help", "--man").stdout
    tap.ok(man.startswith(".TH POSTFLEET 1") and "retry\\-failed" in man, "the manual")


def test_replies():
    done = run("bounce", "classify", "--replies", "--json",
               feed="rcpt\t550 5.1.1 no such user\r\n\n452 4.2.2 mailbox \xff full\nnonsense\n")
    rows = [json.loads(x) for x in done.stdout.splitlines()]
    tap.ok(done.returncode == 0 and len(rows) == 3 and rows[0]["verdict"] == "hard_bounce"
           and rows[0]["reply"] == "550 5.1.1 no such user"
           and all(set(r) == {"reply", "verdict", "fault", "permanent", "rule"} for r in rows),
           "a line a reply, PHASE<TAB> taken off", done.stdout + done.stderr)


for test in (test_words, test_offline, test_replies, test_paging, test_problems, test_liars, test_bodies,
             test_uploads, test_wait, test_interrupt, test_url_and_key, test_suppression_check):
    tap.case(test)
tap.done()
