"""What every peer test does: a campaign of real texts through a peer, read back by Python's email."""
import email
import email.policy
import os
from pathlib import Path

import tap
from daemon import wait_for
from scene import Scene

SUBJECT = "Grüße, {{ contact.first_name }} – schön dich zu sehen, viel Neues in diesem Monat ✓"
TEXT = """Hallo {{ contact.first_name }},
.ein Punkt am Anfang
..zwei Punkte
.
Eine sehr lange Zeile: """ + "wort " * 300 + """
Größe: 5 € ≠ 5 £, 日本語
From me to you
{{ unsubscribe_url }}
"""
HTML = "<p>Hallo {{ contact.first_name }}: <b>5 € ≠ 5 £</b> " + "wort " * 300 + \
    "<a href=\"{{ unsubscribe_url }}\">weg</a></p>"
NAMES = ["Zoë Müller", "李小龍", "O'Brien \"Bob\", Jr.", "Łukasz", "plain"]


def make_list(scene, domain):
    path = Path(scene.folder, "people.csv")
    rows = [f'box{i}@{domain},"{NAMES[i % len(NAMES)].replace(chr(34), chr(34) * 2)}"'
            for i in range(20)]
    path.write_text("email,first_name\n" + "\n".join(rows) + "\n")
    scene.daemon.cli("list", "add", "people")
    scene.daemon.cli("contact", "import", "--list", "people", str(path))
    return {f"box{i}@{domain}": NAMES[i % len(NAMES)] for i in range(20)}


def run_campaign(peer, port, what, tls="none", login=None, domain="example.org", options=()):
    """20 mails through the peer; what landed is compared with what was meant."""
    with Scene(None) as scene:
        given = ["--from", "Grüße Ünïcode <news@example.com>", *options]
        if login:
            pw = Path(scene.folder, "pw")
            pw.write_text(login[1] + "\n")
            given += ["--user", login[0], "--password-file", str(pw)]
        scene.daemon.add_server("peer", port, *given, tls=tls)
        done = scene.daemon.run("server", "test", "peer", "--to", f"box0@{domain}", timeout=60)
        tap.ok(done.returncode == 0, f"{what}: server test", done.stdout + done.stderr)
        people = make_list(scene, domain)
        before = {p.name for p in peer.files()}
        scene.daemon.add_template("t", subject=SUBJECT, text=TEXT, html=HTML)
        scene.daemon.cli("campaign", "create", "c", "--list", "people", "--template", "t")
        scene.daemon.cli("campaign", "start", "c")
        report = scene.daemon.wait_finished("c", 60)
        tap.equal(report["sent"], len(people), f"{what}: all sent")
        wait_for(lambda: len(peer.files()) >= len(before) + len(people), 60, f"{what}: all landed")
        news = [p.read_bytes() for p in peer.files() if p.name not in before]
        check_landed(news, people, what)


def check_landed(mails, people, what):
    wrong, seen = [], []
    for raw in mails:
        mail = email.message_from_bytes(raw.replace(b"\r\n", b"\n"), policy=email.policy.default)
        to = mail["To"].addresses[0].addr_spec
        seen.append(to)
        wrong += [f"{to}: {x}" for x in differences(mail, to, people.get(to, ""))]
    tap.equal(sorted(seen), sorted(people), f"{what}: one mail each")
    tap.ok(not wrong, f"{what}: what landed is what was meant", "\n".join(wrong[:8]))


def differences(mail, to, name):
    if mail["Subject"] != SUBJECT.replace("{{ contact.first_name }}", name):
        yield f"subject {mail['Subject']!r}"
    if mail["From"].addresses[0].display_name != "Grüße Ünïcode":
        yield f"from {mail['From']!r}"
    if mail.defects or any(part.defects for part in mail.walk()):
        yield f"defects {mail.defects}"
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    if plain is None or html is None:
        yield "a part is missing"
        return
    text = plain.get_content().replace("\r\n", "\n")
    want = TEXT.replace("{{ contact.first_name }}", name).split("{{ unsubscribe_url }}")[0]
    if not text.startswith(want):
        at = next((i for i, (a, b) in enumerate(zip(text, want)) if a != b), len(text))
        yield f"text differs at {at}: {text[max(0, at - 20):at + 40]!r}"
    if "5 € ≠ 5 £" not in html.get_content() or "wort " * 300 not in html.get_content():
        yield "html differs"
    for header in ("Date", "Message-ID", "MIME-Version", "List-Unsubscribe"):
        if not mail[header]:
            yield f"no {header}"


def shared_certificate(peer, **kind):
    """A certificate in the peer's shared folder; paths of certificate and key."""
    import certs
    _, cert, key = certs.make_certificate(peer.share, **kind)
    os.chmod(key, 0o644)
    return cert, key
