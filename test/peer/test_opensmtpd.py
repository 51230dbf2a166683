#!/usr/bin/env python3
# timeout: 300
"""OpenSMTPD takes a campaign over STARTTLS with AUTH and one over TLS from the first byte, and what
lands in its maildir is what was meant."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import peer  # noqa: E402
import postal  # noqa: E402
import tap  # noqa: E402
from daemon import free_port  # noqa: E402

SCRIPT = """
useradd -r -m vbox 2>/dev/null || true
mkdir -p {share}/box && chown vbox {share}/box
cp {share}/cert.pem {share}/key.pem /etc/
chown root /etc/cert.pem /etc/key.pem && chmod 600 /etc/key.pem
echo "news $(smtpctl encrypt 'pw with blank')" > /etc/creds
cp {share}/smtpd.conf /etc/smtpd.conf
echo peer.test > /etc/mailname
exec smtpd -d
"""
EC_KEY = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
CONFIG = """
pki peer.test cert "/etc/cert.pem"
pki peer.test key "/etc/key.pem"
table creds file:/etc/creds
table boxes {{ "@" = vbox }}
smtp max-message-size 20M
listen on 127.0.0.1 port {port} tls-require pki peer.test auth <creds> hostname peer.test
listen on 127.0.0.1 port {tls_port} smtps pki peer.test auth <creds> hostname peer.test
action "box" maildir "{share}/box" virtual <boxes>
match auth from any for domain "example.org" action "box"
"""


def test_opensmtpd():
    port, tls_port = free_port(), free_port()
    with peer.Peer("opensmtpd", "exec sh -e ./setup.sh") as p:
        postal.shared_certificate(p, kind=EC_KEY)
        Path(p.share, "smtpd.conf").write_text(
            CONFIG.format(share=p.share, port=port, tls_port=tls_port))
        Path(p.share, "setup.sh").write_text(SCRIPT.format(share=p.share))
        p.wait_port(port)
        for what, mode, at in (("STARTTLS", "starttls", port), ("TLS", "tls", tls_port)):
            tap.case(postal.run_campaign, p, at, f"OpenSMTPD, {what}, AUTH", mode,
                     ("news", "pw with blank"), "example.org", ["--tls-verify", "none"])


reason = peer.why_not()
if reason:
    tap.skip("OpenSMTPD", reason)
else:
    tap.case(test_opensmtpd)
tap.done()
