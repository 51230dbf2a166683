#!/usr/bin/env python3
# timeout: 180
"""People who log in: roles and what they allow, sessions that end, logins that slow down and take
as long for names that are none; and the audit log: every change, no secret, tampering found."""
import os
import sqlite3
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import tap  # noqa: E402
from scene import Scene  # noqa: E402
from test_api import Api  # noqa: E402

PASSWORD = "correct horse battery"


def login(api, name, password=PASSWORD):
    answer, said = api.call("POST", "/v1/sessions", {"name": name, "password": password}, key="none")
    return answer.status, said


def as_user(api, method, path, token, body=None):
    return api.call(method, path, body, key=token)[0].status


def test_roles(api):
    for role in ("viewer", "sender", "admin", "owner"):
        answer, said = api.call("POST", "/v1/users", {"name": role, "role": role, "password": PASSWORD})
        tap.ok(answer.status == 201 and "password" not in str(said), f"user {role} is made", said)
    tokens = {role: login(api, role)[1]["token"] for role in ("viewer", "sender", "admin", "owner")}
    group = {"name": "g", "strategy": "weighted"}
    wanted = [("GET", "/v1/servers", None, 200, 200, 200, 200),
              ("POST", "/v1/lists", {"name": "l"}, 403, 201, 409, 409),
              ("POST", "/v1/groups", group, 403, 403, 201, 409),
              ("GET", "/v1/keys", None, 403, 403, 200, 200),
              ("GET", "/v1/audit", None, 403, 403, 200, 200),
              ("GET", "/v1/users", None, 403, 403, 403, 200)]
    for method, path, body, *statuses in wanted:
        got = [as_user(api, method, path, tokens[r], body) for r in ("viewer", "sender", "admin", "owner")]
        tap.ok(got == statuses, f"{method} {path} for viewer, sender, admin, owner", got)
    return tokens


def test_sessions(api, tokens):
    status, said = login(api, "viewer")
    tap.ok(status == 201 and said["role"] == "viewer" and said["expires_at"], "a login", said)
    tap.ok(as_user(api, "DELETE", "/v1/sessions", said["token"]) == 200
           and as_user(api, "GET", "/v1/servers", said["token"]) == 401, "a logout ends it")
    api.call("PATCH", "/v1/users/sender", {"role": "viewer"})
    tap.ok(as_user(api, "GET", "/v1/servers", tokens["sender"]) == 401, "another role ends all logins")
    api.call("DELETE", "/v1/users/sender")
    tap.ok(login(api, "sender")[0] == 401, "who is revoked does not come in")
    answer, said = api.call("DELETE", "/v1/users/owner")
    tap.ok(answer.status == 422 and "last owner" in said["detail"], "the last owner stays", said)
    answer, said = api.call("PATCH", "/v1/users/owner", {"role": "admin"})
    tap.ok(answer.status == 422, "and stays an owner", said)
    for body, word in (({"name": "x", "role": "boss", "password": PASSWORD}, "role"),
                       ({"name": "x", "role": "admin", "password": "short"}, "12 characters"),
                       ({"name": "x", "role": "admin"}, "password"),
                       ({"name": "x", "role": "admin", "password_hash": "$argon2id$x"}, "password")):
        answer, said = api.call("POST", "/v1/users", body)
        tap.ok(answer.status == 400 and word in said["detail"], f"refused: {word}", said)


def test_guessing(api):
    times = {"viewer": [], "nobody": []}
    for i in range(4):
        for name in times:
            begin = time.monotonic()
            status, _ = login(api, name, f"wrong {i}")
            times[name].append(time.monotonic() - begin)
            if status != 401:
                tap.ok(False, f"a wrong password of {name} is 401", status)
    ratio = statistics.median(times["viewer"]) / statistics.median(times["nobody"])
    tap.ok(0.4 < ratio < 2.5, f"an unknown name takes as long as a wrong password ({ratio:.2f})", times)
    statuses = [login(api, "viewer", "wrong")[0] for _ in range(3)]
    answer, said = api.call("POST", "/v1/sessions", {"name": "viewer", "password": PASSWORD}, key="none")
    tap.ok(429 in statuses and answer.status == 429 and int(answer.getheader("Retry-After")) >= 1,
           "after five the right password waits too", (statuses, said))
    tap.ok(login(api, "admin")[0] == 201, "other names do not wait")


def test_command(scene):
    path = os.path.join(scene.folder, "password")
    Path(path).write_text(PASSWORD + "\n")
    scene.daemon.cli("user", "create", "ana", "--role", "admin", "--password-file", path)
    said = scene.daemon.cli("user", "test", "ana", "--password-file", path)
    tap.ok("may log in (admin)" in said, "user create, user test", said)
    listed = {u["name"]: u["role"] for u in scene.daemon.lines("user", "list")}
    tap.ok(listed["ana"] == "admin", "user list", listed)


def test_audit(scene, api):
    secret = "swordfish-in-clear"
    api.call("POST", "/v1/servers", {"name": "s", "host": "127.0.0.1", "tls": "none", "user": "u",
                                     "password": secret})
    api.call("POST", "/v1/groups", {"name": "dry", "strategy": "nonsense"})
    _, said = api.call("GET", "/v1/audit?limit=1000")
    ops = [(row["op"], row["subject"], row["actor"]) for row in said["data"]]
    tap.ok(any(op[:2] == ("server.add", "s") for op in ops) and ("list.add", "l", "login:sender") in ops
           and ("session.create", "viewer", "login:viewer") in ops, "who did what to what", ops[:5])
    tap.ok(secret not in str(said) and PASSWORD not in str(said) and "argon2" not in str(said)
           and "pf_sess_" not in str(said), "no secret stands in it")
    tap.ok(not any(op == "group.add" and subject == "dry" for op, subject, _ in ops),
           "what was refused is no change")
    tap.ok([row["seq"] for row in said["data"]] == list(range(1, len(ops) + 1)), "numbered without gaps")
    said = scene.daemon.cli("audit", "verify")
    tap.ok("whole" in said and "NOT" not in said, "audit verify: whole", said)


def test_tampering(scene):
    """Each manner on a copy of the rows, which is put back afterwards."""
    path = os.path.join(scene.daemon.data, "postfleet.db")
    manners = {"a row is changed": "UPDATE audit SET actor = 'nobody' WHERE seq = 3",
               "a row is taken out": "DELETE FROM audit WHERE seq = 4",
               "the end is cut off": "DELETE FROM audit WHERE seq > (SELECT max(seq) - 2 FROM audit)",
               "all is taken out": "DELETE FROM audit",
               "a row is put in": "INSERT INTO audit SELECT max(seq) + 1, at, actor, op, subject, "
                                  "detail, mac FROM audit"}
    with sqlite3.connect(path, timeout=20) as db:
        rows = db.execute("SELECT * FROM audit").fetchall()
    for what, statement in manners.items():
        with sqlite3.connect(path, timeout=20) as db:
            db.execute(statement)
        said = scene.daemon.cli("audit", "verify", status=1)
        tap.ok("NOT whole" in said, f"found: {what}", said)
        with sqlite3.connect(path, timeout=20) as db:
            db.execute("DELETE FROM audit")
            db.executemany("INSERT INTO audit VALUES (?,?,?,?,?,?,?)", rows)
    tap.ok("NOT" not in scene.daemon.cli("audit", "verify"), "put back as it was, it is whole")


def main():
    with Scene(None) as scene:
        api = Api(scene)
        tokens = test_roles(api)
        tap.case(test_sessions, api, tokens)
        tap.case(test_guessing, api)
        tap.case(test_command, scene)
        tap.case(test_audit, scene, api)
        tap.case(test_tampering, scene)
    tap.done()


if __name__ == "__main__":
    main()
