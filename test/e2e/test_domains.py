#!/usr/bin/env python3
# timeout: 240
"""domain check against a DNS server of our own: SPF with its limits, DKIM, DMARC, MX, the host of
links, the outcome for each server, the records to publish, keys that take over, changes as events."""
import json
import sqlite3
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import tap  # noqa: E402
from daemon import wait_for  # noqa: E402
from dns import Dns  # noqa: E402
from scene import Scene  # noqa: E402

NAME = "firm.test-dkim.dev"


def about(check, word):
    return [f for f in check["findings"] if f["about"] == word]


def server(check, name):
    return [s for s in check["servers"] if s["server"] == name][0]


def check(daemon, name=NAME):
    done = daemon.run("domain", "check", name, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (4 if found["state"] == "bad" else 0), (done.returncode, found["state"])
    return found


def published(record, dns):
    dns.table.setdefault(record["name"], []).append("txt:" + record["value"])


def nothing_there(d, dns):
    """A fresh domain: everything is missing, and what to publish is told."""
    d.cli("domain", "add", NAME, "--selector", "one")
    found = check(d)
    tap.ok(found["state"] == "bad" and about(found, "dkim")[0]["state"] == "bad" and
           about(found, "spf")[0]["state"] == "bad" and about(found, "dmarc")[0]["state"] == "bad" and
           about(found, "mx")[0]["state"] == "note", "nothing is published: bad", found["findings"])
    names = {r["name"]: r for r in found["publish"]}
    spf = names.get(NAME, {}).get("value", "")
    tap.ok(f"one._domainkey.{NAME}" in names and f"_dmarc.{NAME}" in names and
           spf.startswith("v=spf1 ") and " a:relay.test-dkim.dev" in spf and " include:sendgrid.net" in spf and
           spf.endswith(" ~all"), "the records to publish are told", names)
    text = d.run("domain", "check", NAME)
    tap.ok(text.returncode == 4 and "records to publish:" in text.stdout and "BAD" in text.stdout,
           "for people too, and the exit status is 4", text.stdout)
    for record in names.values():
        published(record, dns)
    dns.table[NAME].append((10, "mx.test-dkim.dev"))


def all_there(d, dns):
    """With those records, as printed, it is good, but for what only warns."""
    dns.table["bounces.test-other.dev"] = ["txt:v=spf1 a:relay.test-dkim.dev -all"]
    dns.table["sendgrid.net"] = ["txt:v=spf1 ip4:198.51.100.0/24 -all"]
    def good():
        found = check(d)
        return found if found["state"] != "bad" and about(found, "mx")[0]["state"] == "good" else None
    found = wait_for(good, 30, "the published records seen", every=1)
    own = server(found, "own")
    tap.ok(own["dkim"] == "pass" and own["d"] == NAME and own["spf"] == "pass" and own["spf_aligned"] and
           own["dmarc"] == "pass", "our own relay passes by DKIM and SPF", own)
    grid = server(found, "grid")
    tap.ok(grid["dkim"] == "by provider" and grid["spf"] == "pass" and grid["dmarc"] == "pass",
           "SendGrid signs itself and passes by SPF", grid)
    away = server(found, "away")
    tap.ok(away["return_path"] == "bounces.test-other.dev" and not away["spf_aligned"] and away["dmarc"] == "pass",
           "a return path of another domain is not aligned; DKIM carries it", away)
    tap.ok(not [s for s in found["servers"] if s["server"] == "else"], "a server that may not send it is left out")
    spf = [f for f in about(found, "spf") if f["text"].startswith(NAME)]
    tap.ok(spf and "2 of 10 lookups" in spf[0]["text"] and "~all" in spf[0]["text"], "lookups are counted", spf)
    tap.ok("mx.test-dkim.dev" in about(found, "mx")[0]["text"], "MX is told", about(found, "mx"))
    shown = d.json("domain", "show", NAME)
    tap.ok(shown["state"] == found["state"] and shown["checked_at"] and shown["check"] == found,
           "the last check is kept", shown["state"])


def keys_take_over(d, dns):
    new = d.json("dkim", "keygen", NAME, "--selector", "two")
    first = check(d)
    tap.ok(new["state"] == "waiting" and [k["state"] for k in d.json("domain", "show", NAME)["keys"]] ==
           ["active", "waiting"], "a key without a record goes on waiting", about(first, "dkim"))
    published(new["record"], dns)
    def taken():
        check(d)
        states = [k["state"] for k in d.json("domain", "show", NAME)["keys"]]
        return states if states == ["retired", "active"] else None
    wait_for(taken, 30, "the new key takes over", every=1)
    tap.ok(True, "once its record is seen the new key signs and the old one is retired")


def limits(d, dns):
    """The worst of SPF: too many lookups, void ones, loops, two records, a foreign key."""
    dns.table.update({f"n{i}.many.dev": ["txt:v=spf1 ip4:192.0.2.1 -all"] for i in range(11)})
    dns.table["many.dev"] = ["txt:v=spf1 " + " ".join(f"include:n{i}.many.dev" for i in range(11)) + " -all"]
    dns.table["ten.dev"] = ["txt:v=spf1 " + " ".join(f"include:n{i}.many.dev" for i in range(10)) + " -all"]
    dns.table["deep.dev"] = ["txt:v=spf1 include:many.dev -all"]
    dns.table["void.dev"] = ["txt:v=spf1 a:x1.dev a:x2.dev a:x3.dev -all"]
    dns.table["loop.dev"] = ["txt:v=spf1 include:loop2.dev -all"]
    dns.table["loop2.dev"] = ["txt:v=spf1 include:loop.dev -all"]
    dns.table["twice.dev"] = ["txt:v=spf1 -all", "txt:v=spf1 ~all"]
    dns.table["open.dev"] = ["txt:v=spf1 +all"]
    dns.table["typo.dev"] = ["txt:v=spf1 ipv4:192.0.2.1 -all"]
    dns.table["away.dev"] = ["txt:v=spf1 redirect=ten.dev"]
    wanted = {"many.dev": ("bad", "11 DNS lookups"), "ten.dev": ("good", "10 of 10"), "deep.dev": ("bad", "12 DNS lookups"),
              "void.dev": ("bad", "3 lookups lead nowhere"), "loop.dev": ("bad", "itself"),
              "twice.dev": ("bad", "more than one"), "open.dev": ("bad", "+all"), "typo.dev": ("bad", "unknown term"),
              "away.dev": ("bad", "11 DNS lookups")}
    wrong = {}
    for name, (state, words) in wanted.items():
        d.cli("domain", "add", name, "--dkim", "none")
        spf = [f for f in about(check(d, name), "spf") if f["text"].startswith(name)]
        if not spf or spf[0]["state"] != state or words not in spf[0]["text"]:
            wrong[name] = spf
    tap.ok(not wrong, f"{len(wanted)} records at and over the limits of SPF", wrong)
    dns.table[f"two._domainkey.{NAME}"] = ["txt:v=DKIM1; k=rsa; p=AAAA"]
    def other():
        found = check(d)
        return found if found["state"] == "bad" else None
    found = wait_for(other, 30, "the foreign key seen", every=1)
    tap.ok("another one than ours" in str(about(found, "dkim")), "a published key that is not ours is told",
           about(found, "dkim"))


def events(d):
    db = sqlite3.connect(f"file:{d.data}/postfleet.db?mode=ro", uri=True)
    found = [reason for (reason,) in db.execute("SELECT reason FROM event WHERE kind = 'domain.changed'")]
    db.close()
    tap.ok(any("signs from now on" in r for r in found) and any("another one than ours" in r for r in found),
           "changes are events", found)


def main():
    with Dns({"relay.test-dkim.dev": ["203.0.113.9", "2001:db8::9"]}) as dns:
        with Scene({"a": {}}, start=False) as scene:
            d = scene.daemon
            d.start(env={"POSTFLEET_DNS__SERVERS": dns.address})
            where = ["--port", "2525", "--tls", "none"]
            d.cli("server", "add", "own", "--host", "relay.test-dkim.dev", *where)
            d.cli("server", "add", "grid", "--host", "smtp.sendgrid.net", "--provider", "sendgrid", *where)
            d.cli("server", "add", "away", "--host", "relay.test-dkim.dev", "--return-path", "b@bounces.test-other.dev",
                  *where)
            d.cli("server", "add", "else", "--host", "relay.test-dkim.dev", "--from-domain", "else.example", *where)
            nothing_there(d, dns)
            all_there(d, dns)
            keys_take_over(d, dns)
            limits(d, dns)
            events(d)
    tap.done()


main()
