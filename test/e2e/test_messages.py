#!/usr/bin/env python3
# timeout: 240
"""Messages by the HTTP API: templates with variables, attachments, batches with an answer for each
item, times, metadata, Idempotency-Key under fifty callers and over kill -9, moving, test keys; what
arrives is read by Python's email package."""
import base64
import concurrent.futures
import email
import email.policy
import http.client
import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402
from test_api import Api  # noqa: E402

SENDER = "Shop <shop@shop.example>"
RECEIPT = "Dear {{ name }}, order {{ order.id }} of {{ contact.email }}: {{ order.total | default: 'free' }}"


def mail(to, **more):
    return dict({"to": to, "from": SENDER, "subject": "s", "text": "t"}, **more)


def mails(scene):
    """What the witness took: events of accepted messages."""
    with open(scene.witness.log, encoding="utf-8") as f:
        events = [json.loads(line) for line in f.read().splitlines() if line.endswith("}")]
    return [e for e in events if e["kind"] == "dot" and e["code"] == 250]


def arrived_now(scene, to):
    return [m for m in mails(scene) if to in m["rcpt"]]


def arrived(scene, to, seconds=20):
    """The mail for `to`, parsed, once it has come."""
    found = wait_for(lambda: arrived_now(scene, to), seconds, f"mail for {to}")[0]
    with open(scene.witness.log + ".bodies", "rb") as f:
        f.seek(found["at"])
        return email.message_from_bytes(f.read(found["size"]), policy=email.policy.default)


def test_template(scene, api):
    ok = api.call("POST", "/v1/templates",
                  {"name": "receipt", "subject": "Order {{ order.id }}", "text": RECEIPT})[0].status
    answer, said = api.call("POST", "/v1/messages", {
        "to": "ann@shop.test", "from": SENDER, "template": "receipt",
        "variables": {"name": "Ann <b>", "order": {"id": 17}}})
    got = arrived(scene, "ann@shop.test")
    tap.ok(ok == 201 and answer.status == 202 and got["Subject"] == "Order 17"
           and got.get_content().strip() == "Dear Ann <b>, order 17 of ann@shop.test: free",
           "a template with nested variables and a default", (said, str(got)))
    for body, status, word in (
            ({"template": "nowhere"}, 404, "nowhere"),
            ({"template": "receipt"}, 400, "order.id"),
            ({"template": "receipt", "text": "x"}, 400, "template:"),
            ({"text": "x", "variables": {"a": "b"}}, 400, "variables:")):
        answer, said = api.call("POST", "/v1/messages", dict({"to": "a@b.test", "from": SENDER}, **body))
        tap.ok(answer.status == status and word in said["detail"], f"refused: {body}", said)
    api.call("PATCH", "/v1/templates/receipt", {"text": "changed {{ name }}"})
    api.call("POST", "/v1/messages", {"to": "bob@shop.test", "from": SENDER, "template": "receipt",
                                      "variables": {"name": "Bob", "order": {"id": 1}}})
    tap.ok("changed Bob" in arrived(scene, "bob@shop.test").get_content(),
           "a changed template is used at once")


def test_attachments(scene, api):
    blob = bytes(range(256)) * 40
    files = [{"filename": "Rechnung für Ann.pdf", "type": "application/pdf",
              "content": base64.b64encode(blob).decode()},
             {"filename": "logo.png", "type": "image/png", "content": "aGVsbG8=",
              "content_id": "logo@shop"},
             {"filename": "empty.bin", "content": ""}]
    answer, said = api.call("POST", "/v1/messages", mail(
        "files@shop.test", html='<p>See <img src="cid:logo@shop"></p>', attachments=files))
    got = arrived(scene, "files@shop.test")
    kinds = [p.get_content_type() for p in got.walk()]
    attached = {p.get_filename(): p for p in got.walk() if p.get_filename()}
    tap.ok(answer.status == 202 and kinds == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html",
        "image/png", "application/pdf", "application/octet-stream"],
        "mixed( alternative( text, related( html, picture ) ), files )", (said, kinds))
    tap.ok(attached["Rechnung für Ann.pdf"].get_content() == blob
           and attached["logo.png"]["Content-ID"] == "<logo@shop>"
           and attached["empty.bin"].get_payload(decode=True) == b"" and not got.defects,
           "names, bytes and the content id arrive as they were")
    for item, word in (({"filename": "a", "content": "%%"}, "base64"),
                       ({"filename": "a", "content": "aGk=", "type": "x"}, "media type"),
                       ({"filename": "a", "content": "aGk=", "type": "multipart/mixed"}, "media type"),
                       ({"content": "aGk="}, "filename"),
                       ({"filename": "a\r\nBcc: x@y.z", "content": "aGk="}, "filename"),
                       ({"filename": "a", "content": "aGk=", "content_id": "a> b"}, "content id")):
        answer, said = api.call("POST", "/v1/messages", mail("a@b.test", html="<p>", attachments=[item]))
        tap.ok(answer.status == 400 and word in said["detail"], f"an attachment refused: {word}", said)


def test_big(scene, api):
    """25 MB: as a mail as it is, byte for byte, and as an attachment in JSON."""
    head = b"From: a@shop.example\r\nTo: big@shop.test\r\nDate: Sat, 21 Nov 2026 09:30:00 +0000\r\n" \
           b"Message-ID: <big@shop.example>\r\nSubject: big\r\n\r\n"
    raw = head + b"".join(b"%s%075d\r\n" % (b"." if i % 5000 == 0 else b"x", i)
                          for i in range(25 * 1024 * 1024 // 78))
    answer, said = api.call("POST", "/v1/messages?to=big@shop.test", raw, kind="message/rfc822")
    found = wait_for(lambda: arrived_now(scene, "big@shop.test"), 40, "25 MB")[0]
    with open(scene.witness.log + ".bodies", "rb") as f:
        f.seek(found["at"])
        got = f.read(found["size"])
    tap.ok(answer.status == 202 and got == raw, "a mail of 25 MB, byte for byte", (said, len(got)))
    blob = random.Random(25).randbytes(25 * 1024 * 1024)
    answer, said = api.call("POST", "/v1/messages", mail("file@shop.test", attachments=[
        {"filename": "big.bin", "content": base64.b64encode(blob).decode()}]))
    tap.ok(answer.status == 202, "an attachment of 25 MB is taken", said)
    parts = {p.get_filename(): p for p in arrived(scene, "file@shop.test", 40).walk()}
    tap.ok(parts["big.bin"].get_payload(decode=True) == blob, "and arrives whole")


def test_batch(scene, api):
    api.call("POST", "/v1/suppressions", {"address": "gone@shop.test"})
    items = [{"to": f"b{i}@batch.test"} for i in range(500)]
    items[7] = {"to": "no address"}
    items[70] = {"to": "gone@shop.test"}
    items[71] = {"to": "b71@batch.test", "group": "nowhere"}
    answer, said = api.call("POST", "/v1/messages:batch",
                            {"defaults": {"from": SENDER, "subject": "s", "text": "t", "tags": ["b"]},
                             "messages": items})
    codes = {i: d["error"]["code"] for i, d in enumerate(said["data"]) if "error" in d}
    tap.ok(answer.status == 202 and said["accepted"] == 497 and said["rejected"] == 3
           and codes == {7: "invalid", 70: "refused", 71: "not_found"},
           "a batch of 500: each item has its own answer", codes)
    def come():
        return [m["rcpt"][0] for m in mails(scene) if "@batch.test" in m["rcpt"][0]]
    wait_for(lambda: len(come()) >= 497, 30, "497 mails")
    rcpts = come()
    tap.ok(len(rcpts) == len(set(rcpts)) == 497, "497 arrive, each once", len(rcpts))
    for body, word in (({"messages": []}, "1 to 1000"), ({"messages": [{}] * 1001}, "1 to 1000"),
                       ({"mesages": []}, "did you mean"), ([], "object"),
                       ({"messages": [{"to": "a@b.test"}], "defaults": 3}, "defaults")):
        answer, said = api.call("POST", "/v1/messages:batch", body)
        tap.ok(answer.status == 400 and word in said["detail"], f"a batch refused: {word}", said)


def test_times(scene, api):
    _, said = api.call("POST", "/v1/messages", mail("later@shop.test", send_at=int(time.time() * 1000) + 1500))
    _, shown = api.call("GET", f"/v1/messages/{said['id']}")
    early = arrived_now(scene, "later@shop.test")
    tap.ok(shown["state"] == "queued" and shown["due_at"] and not early, "send_at is waited for", shown)
    tap.ok(arrived(scene, "later@shop.test") is not None, "and then it is sent")
    api.call("POST", "/v1/pause")
    _, said = api.call("POST", "/v1/messages", mail("code@shop.test", expires_after="1s"))
    time.sleep(1.2)  # the time itself is what is tested
    api.call("POST", "/v1/resume")
    wait_for(lambda: api.call("GET", f"/v1/messages/{said['id']}")[1]["state"] == "expired", 20,
             "the code expires")
    tap.ok(not arrived_now(scene, "code@shop.test"), "a code that is worthless by then expires")
    for more, word in (({"expires_after": "1x"}, "expires_after"),
                       ({"expires_at": "2099-01-01T00:00:00Z", "expires_after": "1h"}, "expires_after"),
                       ({"send_at": "2099-01-01T00:00:00Z"}, "366 days"),
                       ({"track": True}, "track"), ({"metadata": {"a": 1}}, "metadata"),
                       ({"metadata": {"a": "x" * 5000}}, "metadata")):
        answer, said = api.call("POST", "/v1/messages", mail("a@b.test", **more))
        tap.ok(answer.status == 400 and word in said["detail"], f"refused: {more.keys()}", said)


def test_shown(api):
    _, said = api.call("POST", "/v1/messages", mail("meta@shop.test", metadata={"order": "17"}, tags=["x", "y"]))
    _, shown = api.call("GET", f"/v1/messages/{said['id']}")
    tap.ok(shown["metadata"] == {"order": "17"} and shown["tags"] == ["x", "y"],
           "metadata and tags stay with the message", shown)


def test_idempotency(scene, api):
    def post(body, key):
        return api.call("POST", "/v1/messages", body, headers={"Idempotency-Key": key})
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(mail("once@shop.test"), "k-1"), range(50)))
    ids = {said.get("id") for _, said in answers}
    replayed = sum(a.getheader("Idempotent-Replayed") == "true" for a, _ in answers)
    tap.ok({a.status for a, _ in answers} == {202} and len(ids) == 1 and replayed == 49,
           "one key fifty times at once: one message, and the same answer", (ids, replayed))
    arrived(scene, "once@shop.test")
    answer, said = post(mail("once@shop.test", text="other"), "k-1")
    tap.ok(answer.status == 422 and "Idempotency-Key" in said["detail"], "another body: 422", said)
    raw = b"From: a@shop.example\r\n\r\nhi\r\n"

    def post_raw(to):
        return api.call("POST", f"/v1/messages?to={to}", raw, kind="message/rfc822",
                        headers={"Idempotency-Key": "k-raw"})[0].status
    tap.ok([post_raw("q1@shop.test"), post_raw("q1@shop.test"), post_raw("q2@shop.test")] ==
           [202, 202, 422], "of a mail as it is, recipients count as part of the request")
    answer, _ = post(mail("gone@shop.test"), "k-2")
    api.call("DELETE", "/v1/suppressions/gone@shop.test")
    again, _ = post(mail("gone@shop.test"), "k-2")
    tap.ok((answer.status, again.status) == (422, 202), "a refusal is not kept: its cause may be mended")
    for key in ("", "a b", "x" * 256, "a\x7f"):
        answer, said = post(mail("a@b.test"), key)
        tap.ok(answer.status == 400, f"a key that is none: {key[:8]!r}", said)
    tap.ok(len(arrived_now(scene, "once@shop.test")) == 1, "it arrived once")


def test_batch_again(scene, api):
    """The same batch over and over while core is killed: each message once, one answer."""
    body = {"defaults": {"from": SENDER, "subject": "s", "text": "t"},
            "messages": [{"to": f"r{i}@again.test"} for i in range(1000)]}
    answers, log = [], Path(scene.daemon.data, "postfleet.db-wal")

    def written():
        """Size and time of the database's log."""
        found = log.stat() if log.exists() else None
        return (found.st_size, found.st_mtime_ns) if found else (0, 0)

    for _ in range(4):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            before = written()
            call = pool.submit(api.call, "POST", "/v1/messages:batch", body, None, "application/json",
                               {"Idempotency-Key": "again"})
            wait_for(lambda: written() > before or call.done(), 20, "its rows to be written", every=0.001)
            scene.daemon.kill()
            try:
                answer, said = call.result()
            except (OSError, http.client.HTTPException, ValueError):
                answer = None
        if answer and answer.status == 202:
            answers.append(json.dumps(said["data"]))
        scene.daemon.start()
    answer, said = api.call("POST", "/v1/messages:batch", body, headers={"Idempotency-Key": "again"})
    answers.append(json.dumps(said["data"]))
    tap.ok(answer.status == 202 and said["accepted"] == 1000 and len(set(answers)) == 1,
           f"a batch repeated over 4 crashes: the same ids each of {len(answers)} times", said["rejected"])
    _, found = api.call("GET", "/v1/messages?to=r500@again.test")
    tap.ok(len(found["data"]) == 1, "and no message twice", found)


def test_move(scene, api):
    api.call("POST", "/v1/groups", {"name": "idle", "strategy": "weighted"})
    _, said = api.call("POST", "/v1/messages", mail("move@shop.test", group="idle"))
    path = f"/v1/messages/{said['id']}"
    waits = not api.call("GET", path)[1]["attempts"]
    answer, moved = api.call("POST", path + "/move", {"group": "default"})
    tap.ok(waits and answer.status == 200 and moved["group"] == "default", "moved to another group", moved)
    tap.ok(arrived(scene, "move@shop.test") is not None, "a message that waits in memory goes there at once")
    wait_for(lambda: api.call("GET", path)[1]["state"] == "sent", 10, "sent")
    answer, said = api.call("POST", path + "/move", {"group": "idle"})
    tap.ok(answer.status == 409 and "sent" in said["detail"], "one that was sent is not moved", said)
    answer, said = api.call("POST", path + "/move", {"group": "nowhere"})
    tap.ok(answer.status == 404, "nor to a group that is none", said)
    ids = [api.call("POST", "/v1/messages", mail(f"cli{i}@shop.test", group="idle"))[1]["id"] for i in (1, 2)]
    lines = scene.daemon.lines("message", "move", *ids, "--group", "default")
    tap.ok([x["group"] for x in lines] == ["default"] * 2 and arrived(scene, "cli2@shop.test") is not None,
           "message move: several at once", lines)
    done = scene.daemon.run("message", "move", ids[0], "--group", "nowhere")
    tap.ok(done.returncode == 3 and scene.daemon.run("message", "move", ids[0]).returncode == 2,
           "message move says no", done.stderr)


def test_retry(scene, api):
    """What is over and was not sent goes again by the user's word; what was sent does not."""
    scene.witness.behave("one", reply={"rcpt": "550 5.7.1 not now"})
    _, said = api.call("POST", "/v1/messages", mail("retry@shop.test"))
    ident = said["id"]
    def state():
        return api.call("GET", f"/v1/messages/{ident}")[1]["state"]
    wait_for(lambda: state() in ("failed", "bounced"), 20, "its end")
    scene.witness.behave("one")
    line = scene.daemon.lines("message", "retry", ident)[0]
    tap.ok(line["state"] == "queued" and arrived(scene, "retry@shop.test") is not None, "message retry", line)
    wait_for(lambda: state() == "sent", 10, "sent")
    tap.ok(scene.daemon.run("message", "retry", ident).returncode == 1, "one that was sent is not sent again")
    _, said = api.call("POST", "/v1/messages", mail("cancel@shop.test", group="idle"))
    line = scene.daemon.lines("message", "cancel", said["id"])[0]
    tap.ok(line["state"].startswith("cancel"), "message cancel", line)
    wait_for(lambda: api.call("GET", f"/v1/messages/{said['id']}")[1]["state"] == "cancelled", 10,
             "it is cancelled")
    tap.ok(not arrived_now(scene, "cancel@shop.test"), "and it is not sent")


def test_test_key(scene, api):
    key = json.loads(scene.daemon.cli("key", "create", "trial", "--scope", "messages:send", "--test",
                                      "--json"))["key"]
    answer, said = api.call("POST", "/v1/messages:batch",
                            {"messages": [mail("t1@trial.test"), {"to": "x"}]}, key=key)
    tap.ok(answer.status == 202 and said["accepted"] == 1 and said["data"][0]["test"] is True
           and "error" in said["data"][1], "a test key: checked and built", said)
    _, found = api.call("GET", "/v1/messages?to=t1@trial.test")
    tap.ok(found["data"] == [], "and nothing is stored")


def main():
    with Scene({"one": {}}) as scene:
        scene.add_servers()
        api = Api(scene)
        tap.case(test_template, scene, api)
        tap.case(test_attachments, scene, api)
        tap.case(test_big, scene, api)
        tap.case(test_batch, scene, api)
        tap.case(test_times, scene, api)
        tap.case(test_shown, api)
        tap.case(test_idempotency, scene, api)
        tap.case(test_move, scene, api)
        tap.case(test_retry, scene, api)
        tap.case(test_test_key, scene, api)
        tap.case(test_batch_again, scene, api)
    tap.done()


if __name__ == "__main__":
    main()
