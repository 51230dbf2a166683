#!/usr/bin/env python3
# timeout: 300
"""What a user does every day, through the command line and the public API: one message durable
before its answer, pause and resume, unsubscribe by page and by one click, suppression at the last
moment, keys and errors of the API, large bodies."""
import http.client
import json
import re
import sys
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402


def call(scene, method, path, body=None, key=None, kind="application/json"):
    """One HTTP request over TCP: (status, content type, text)."""
    link = http.client.HTTPConnection("127.0.0.1", scene.daemon.port, timeout=20)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if body is not None:
        headers["Content-Type"] = kind
    link.request(method, path, body, headers)
    answer = link.getresponse()
    text = answer.read().decode("utf-8", "replace")
    link.close()
    return answer.status, answer.getheader("Content-Type", ""), text


def test_one_message():
    with Scene({"a": {}}) as scene:
        scene.add_servers()
        mail = Path(scene.folder, "m.eml")
        mail.write_bytes(b"From: a@example.com\r\nTo: b@example.org\r\nSubject: one\r\n\r\n.dot\r\nend\r\n")
        got = scene.daemon.json("send", str(mail), "--to", "b@example.org", "--from", "a@example.com",
                                "--stream", "transactional")
        tap.ok(got["id"].startswith("msg_") and "@" in got["message_id"], "send answers with ids", got)
        wait_for(lambda: scene.witness.dots() == 1, 20, "its arrival")
        dot, raw = scene.witness.bodies()[0]
        tap.ok(dot["id"].strip("<>") == got["message_id"].strip("<>") and b"\r\n.dot\r\nend\r\n" in raw,
               "it arrives with that Message-ID, its dot intact", raw)
        shown = wait_for(lambda: [m for m in [scene.daemon.json("message", "show", got["id"])]
                                  if m["state"] == "sent"], 10, "its state sent")[0]
        tap.equal([(a["server"], a["verdict"], a["code"]) for a in shown["attempts"]],
                  [("a", "accepted", 250)], "message show tells the attempt")
        big = Path(scene.folder, "big.eml")
        big.write_bytes(b"Subject: big\r\n\r\n" + (b"y" * 70 + b"\r\n") * 40_000)
        scene.daemon.json("send", str(big), "--to", "b@example.org", "--from", "a@example.com")
        wait_for(lambda: scene.witness.dots() == 2, 30, "the large one")
        tap.ok(scene.witness.bodies()[1][1].endswith((b"y" * 70 + b"\r\n") * 40_000),
               "a body of 2.9 MB arrives whole")


def test_api():
    with Scene({"a": {}}) as scene:
        scene.add_servers()
        key = scene.daemon.json("key", "create", "app", "--scope", "messages:send")["key"]
        status, kind, text = call(scene, "POST", "/v1/messages", "{}")
        tap.ok(status == 401 and "problem+json" in kind, "no key: 401 as problem+json", text)
        mail = {"from": "a@example.com", "to": "b@example.org", "subject": "Grüße", "text": "hello"}
        status, _, text = call(scene, "POST", "/v1/messages", json.dumps(mail), key)
        tap.ok(status == 202 and json.loads(text)["id"].startswith("msg_"), "POST /v1/messages: 202", text)
        raw = "Subject: raw\r\n\r\nx\r\n"
        status, _, text = call(scene, "POST", "/v1/messages?to=c%40example.org&from=a%40example.com",
                               raw, key, "message/rfc822")
        tap.equal(status, 202, "raw mail: 202")
        wait_for(lambda: scene.witness.dots() == 2, 20, "both arrive")
        for what, body in (("broken JSON", "{"), ("no recipient", '{"subject":"x"}'),
                           ("a bad address", json.dumps(dict(mail, to="nobody"))),
                           ("a header in the subject",
                            json.dumps(dict(mail, subject="x\r\nBcc: evil@example.org")))):
            status, kind, text = call(scene, "POST", "/v1/messages", body, key)
            tap.ok(status in (400, 422) and "code" in json.loads(text), f"{what}: {status} with a code",
                   text)
        status, _, text = call(scene, "GET", "/v1/servers", key=key)
        tap.equal(status, 403, "a key may do no more than its scope")
        tap.equal([call(scene, "GET", p)[0] for p in ("/livez", "/readyz", "/nowhere")],
                  [200, 200, 404], "livez, readyz, an unknown path")
        tap.equal(scene.witness.dots(), 2, "what was refused did not leave")


def test_pause():
    with Scene({"a": {"delay": {"dot": 50}}}) as scene:
        scene.add_servers("--max-connections", 4)
        people = scene.daemon.campaign("run", 600, html=None)
        wait_for(lambda: scene.witness.dots() >= 60, 30, "60 dots")
        scene.daemon.cli("pause")
        paused = time.monotonic()
        wait_for(lambda: time.monotonic() > paused + 2.5, 5, "the pause to hold", every=0.1)
        late = [d for d in scene.witness.events("dot") if d["m"] > paused + 1.0]
        tap.equal(late, [], "a second after pause nothing leaves")
        scene.daemon.cli("resume")
        resumed = time.monotonic()
        wait_for(lambda: [d for d in scene.witness.events("dot") if d["m"] > resumed], 5, "sending again")
        scene.daemon.cli("campaign", "pause", "run")
        wait_for(lambda: scene.daemon.report("run")["state"] == "paused", 5, "the campaign paused")
        scene.daemon.cli("campaign", "resume", "run")
        scene.daemon.wait_finished("run", 60)
        scene.judge("run", people, "paused and resumed", uncertain_max=0)


def links_of(scene, to):
    """(unsubscribe URL, its one-click header) of the mail to an address."""
    for dot, raw in scene.witness.bodies():
        if dot["rcpt"] == [to]:
            text = raw.decode().replace("=\r\n", "").replace("\r\n ", " ")
            header = re.search(r"(?i)^List-Unsubscribe:\s*(.*)$", text, re.MULTILINE).group(1)
            click = re.search(r"(?i)^List-Unsubscribe-Post:\s*(.*)$", text, re.MULTILINE).group(1)
            return re.search(r"<(http[^>]+)>", header).group(1), click.strip()
    raise RuntimeError(f"no mail to {to}")


def test_unsubscribe():
    with Scene({"a": {}}) as scene:
        scene.add_servers()
        people = scene.daemon.campaign("run", 4)
        scene.daemon.wait_finished("run", 40)
        url, click = links_of(scene, people[0])
        path = urllib.parse.urlparse(url).path
        tap.equal(click, "List-Unsubscribe=One-Click", "RFC 8058 header")
        status, kind, _ = call(scene, "GET", path)
        tap.ok(status == 200 and "text/html" in kind, "GET shows a page")
        tap.equal(scene.daemon.report("run")["unsubscribed"], 0, "and does nothing")
        status, _, text = call(scene, "POST", path, "List-Unsubscribe=One-Click",
                               kind="application/x-www-form-urlencoded")
        tap.ok(status in (200, 202, 204), "one-click POST is taken", f"{status} {text[:200]}")
        tap.equal(scene.daemon.report("run")["unsubscribed"], 1, "the report counts it")
        bad = path[:-2] + ("aa" if path[-2:] != "aa" else "bb")
        tap.ok(call(scene, "POST", bad, "x=1", kind="application/x-www-form-urlencoded")[0] in (400, 403, 404),
               "a forged token is refused")
        scene.daemon.cli("suppression", "add", people[1])
        scene.daemon.add_template("again", html=None)
        scene.daemon.cli("campaign", "create", "again", "--list", "run", "--template", "again")
        scene.daemon.run("campaign", "start", "again", "--wait")
        report = scene.daemon.report("again")
        tap.equal(report["sent"], 2, "the next campaign leaves out both")
        later = [d["rcpt"][0] for d in scene.witness.events("dot")][4:]
        tap.equal(sorted(later), sorted(people[2:]), "as the server sees it, too")


def test_suppress_in_flight():
    """An address suppressed before its dot leaves does not get the message."""
    with Scene({"a": {"delay": {"dot": 100}}}) as scene:
        scene.add_servers("--max-connections", 2)
        people = scene.daemon.campaign("run", 200, html=None)
        wait_for(lambda: scene.witness.dots() >= 20, 30, "20 dots")
        seen = {d["rcpt"][0] for d in scene.witness.events("dot")}
        chosen = [p for p in people if p not in seen][-40:]
        for to in chosen[:5]:
            scene.daemon.cli("suppression", "add", to)
        said = {to: time.monotonic() for to in chosen[:5]}
        scene.daemon.wait_finished("run", 60)
        late = [d for d in scene.witness.events("dot") if d["rcpt"][0] in said]
        tap.equal(late, [], "five suppressed on the way did not get it")
        scene.judge("run", people, "suppressed in flight", uncertain_max=0)


for test in (test_one_message, test_api, test_pause, test_unsubscribe, test_suppress_in_flight):
    tap.case(test)
tap.done()
