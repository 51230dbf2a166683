#!/usr/bin/env python3
# timeout: 240
"""DKIM: keys made without a daemon and by one, campaigns and single messages signed on the way, raw
mail byte for byte behind the signature, servers that want none, keys that take over at once. What
arrived is verified by python3-dkim with the records that were printed."""
import json
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from scene import Scene  # noqa: E402

RAW = ("From: App <app@shop.example>\r\nTo: {to}\r\nSubject: login  code\r\nDate: Fri, 21 Nov 2025 21:38:00 +0000\r\n"
       "Message-ID: <{name}@shop.example>\r\n\r\n.a line \t with blanks  \r\n\r\nlast\r\n\r\n\r\n")
# Debian's Python has python3-dkim, the one that runs this test may be another.
VERIFY = """
import base64, dkim, json, sys
records = json.loads(sys.stdin.readline())
for line in sys.stdin:
    mail = base64.b64decode(line)
    good = []
    d = dkim.DKIM(mail)
    for i in range(mail.split(b"\\r\\n\\r\\n")[0].lower().count(b"dkim-signature:")):
        try:
            ok = d.verify(i, dnsfunc=lambda n, timeout=5: records.get(n.decode().rstrip("."), "").encode())
        except dkim.DKIMException as e:
            ok = str(e)
        good.append([ok, d.domain.decode() if d.domain else "", d.selector.decode() if d.selector else ""])
    print(json.dumps(good))
"""


def verify(records, mails):
    """For each mail a list of [ok, d=, s=], a signature each."""
    import base64
    feed = json.dumps(records) + "\n" + "".join(base64.b64encode(m).decode() + "\n" for m in mails)
    done = subprocess.run(["/usr/bin/python3", "-c", VERIFY], input=feed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def records_of(domain):
    return {k["record"]["name"]: k["record"]["value"] for k in domain["keys"]}


def mails(scene, **wanted):
    """What the witness took, as bytes, where the named fields are so."""
    bodies = Path(str(scene.witness.log) + ".bodies").read_bytes()
    return [bodies[e["at"]:e["at"] + e["size"]] for e in scene.witness.events("dot")
            if all(e.get(k) == v for k, v in wanted.items())]


def send(daemon, to, name, *options):
    ident = daemon.json("send", "-", "--to", to, *options, feed=RAW.format(to=to, name=name))["id"]
    return wait_for(lambda: (lambda m: m if m["state"] == "sent" else None)(daemon.json("message", "show", ident)),
                    30, f"{name} sent")


def offline(scene):
    """Before there is a daemon: a key, the record ready to copy, and the same one shown again."""
    key = scene.daemon.json("dkim", "keygen", "Shop.Example")
    value = key["record"]["value"]
    tap.ok(key["domain"] == "shop.example" and key["state"] == "active" and value.startswith("v=DKIM1; k=rsa; p=MII")
           and "".join(key["record"]["strings"]) == value and all(len(s) <= 255 for s in key["record"]["strings"])
           and key["record"]["name"] == f"{key['selector']}._domainkey.shop.example",
           "dkim keygen without a daemon makes a key and its record", key)
    shown = scene.daemon.json("dkim", "show", "shop.example")
    tap.ok(shown["keys"][0]["record"] == key["record"], "dkim show gives the same record", shown)
    text = scene.daemon.cli("dkim", "keygen", "shop.example", "--algorithm", "ed25519", "--selector", "ed")
    tap.ok("ed._domainkey.shop.example" in text and "k=ed25519; p=" in text and "PRIVATE" not in text,
           "for people: name, type, value and zone", text)
    bad = scene.daemon.run("dkim", "keygen", "shop.example", "--selector", "ed")
    tap.ok(bad.returncode == 1 and "in use" in bad.stderr, "a selector in use is refused", bad.stderr)


def campaign(scene):
    d = scene.daemon
    path = Path(d.folder, "p.csv")
    path.write_text("email,first_name\n" + "".join(f"p{i}@r.example,N\n" for i in range(60)))
    d.cli("list", "add", "p")
    d.cli("contact", "import", "--list", "p", path)
    d.add_template("t")
    d.cli("campaign", "create", "c", "--list", "p", "--template", "t", "--from", "News <news@mail.shop.example>")
    d.cli("campaign", "start", "c", "--wait")
    records = records_of(d.json("domain", "show", "shop.example"))
    got = mails(scene, server="a")
    found = verify(records, got)
    tap.ok(len(got) >= 20 and all(len(f) == 2 and all(x[0] is True and x[1] == "shop.example" for x in f) for f in found),
           f"{len(got)} campaign mails carry RSA and Ed25519 signatures that verify", found[:3])
    tap.ok(all(b":list-unsubscribe:list-unsubscribe:list-unsubscribe-post:list-unsubscribe-post" in
               re.sub(rb"\s", b"", m.split(b"\r\n\r\n")[0]) for m in got),
           "List-Unsubscribe is covered, and none can be added")
    tap.ok(all(b"dkim-signature" not in m.lower() for m in mails(scene, server="plain")) and mails(scene, server="plain"),
           "a server with --dkim off gets them unsigned")


def single(scene):
    d = scene.daemon
    records = records_of(d.json("domain", "show", "shop.example"))
    send(d, "x@r.example", "raw", "--group", "signed")
    mail = [m for m in mails(scene, server="a") if b"<raw@shop.example>" in m][0]
    fields, rest = re.match(rb"((?:DKIM-Signature:(?:[^\r\n]|\r\n[ \t])*\r\n)+)([^\0]*)", mail).groups()
    tap.ok(rest.decode() == RAW.format(to="x@r.example", name="raw"), "a raw mail is what was submitted, behind its signatures",
           rest[:300])
    tap.ok([x[0] for x in verify(records, [mail])[0]] == [True, True], "its signatures verify", fields)
    other = RAW.replace("shop.example", "other.example")
    d.json("send", "-", "--to", "y@r.example", "--group", "signed", feed=other.format(to="y@r.example", name="other"))
    mail = wait_for(lambda: [m for m in mails(scene) if b"<other@other.example>" in m], 30, "other sent")[0]
    tap.ok(b"DKIM-Signature" not in mail, "mail of a domain without keys stays unsigned")


def rotate(scene):
    """A second key waits; told to, it takes over on mail that leaves from then on."""
    d = scene.daemon
    new = d.json("dkim", "keygen", "shop.example", "--selector", "next")
    tap.ok(new["state"] == "waiting", "a second RSA key waits", new)
    send(d, "x@r.example", "before", "--group", "signed")
    d.cli("dkim", "activate", "shop.example", "next")
    send(d, "x@r.example", "after", "--group", "signed")
    shown = d.json("domain", "show", "shop.example")
    states = {k["selector"]: k["state"] for k in shown["keys"]}
    tap.ok(states["next"] == "active" and list(states.values()).count("retired") == 1, "the older one is retired", states)
    found = {name: verify(records_of(shown), [m for m in mails(scene, server="a") if f"<{name}@".encode() in m])[0]
             for name in ("before", "after")}
    tap.ok(all(x[0] is True for f in found.values() for x in f) and
           "next" not in [x[2] for x in found["before"]] and "next" in [x[2] for x in found["after"]],
           "mail is signed with the key of its moment", found)
    d.cli("domain", "set", "shop.example", "--expires", "14d")
    send(d, "x@r.example", "expiring", "--group", "signed")
    mail = [m for m in mails(scene, server="a") if b"<expiring@" in m][0]
    t, x = (int(re.search(rb"[ ;]" + tag + rb"=(\d+);", mail).group(1)) for tag in (b"t", b"x"))
    tap.ok(x - t == 14 * 86400, "signatures expire when told to", (t, x))
    d.cli("dkim", "remove", "shop.example", "ed", "--yes")
    d.cli("domain", "add", "two.example", "--dkim", "both")
    names = [row["name"] for row in d.lines("domain", "list")]
    tap.ok(names == ["shop.example", "two.example"], "domains are listed", names)
    d.cli("domain", "remove", "shop.example", "--yes")
    send(d, "x@r.example", "gone", "--group", "signed")
    mail = [m for m in mails(scene, server="a") if b"<gone@" in m][0]
    tap.ok(b"DKIM-Signature" not in mail, "a removed domain signs no more")
    dump = subprocess.run(["sqlite3", f"{d.folder}/postfleet.db", ".dump"], capture_output=True, text=True,
                          check=False).stdout if Path("/usr/bin/sqlite3").exists() else ""
    tap.ok("PRIVATE KEY" not in dump and "MIIEv" not in dump, "no private key lies in the database in clear")


def main():
    with Scene({"a": {}, "plain": {}}, start=False) as scene:
        offline(scene)
        scene.daemon.start()
        scene.daemon.cli("group", "add", "signed", "--strategy", "round-robin")
        scene.daemon.add_server("a", scene.witness.ports["a"])
        scene.daemon.cli("server", "set", "a", "--group", "signed")
        scene.daemon.add_server("plain", scene.witness.ports["plain"], "--dkim", "off")
        campaign(scene)
        single(scene)
        rotate(scene)
    tap.done()


main()
