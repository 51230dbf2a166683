#!/usr/bin/env python3
# timeout: 300
"""OpenSMTPD takes a campaign, and what lands in its maildir is what was meant. In clear and without
AUTH: the 6.8.0p2 of Debian 12 cannot do a TLS handshake with OpenSSL 3 ("EVP lib", its issues 1171
and 1239), and it offers AUTH over TLS only."""
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
cp {share}/smtpd.conf /etc/smtpd.conf
echo peer.test > /etc/mailname
exec smtpd -d
"""
CONFIG = """
table boxes {{ "@" = vbox }}
smtp max-message-size 20M
listen on 127.0.0.1 port {port} hostname peer.test
action "box" maildir "{share}/box" virtual <boxes>
match from any for domain "example.org" action "box"
"""


def test_opensmtpd():
    port = free_port()
    with peer.Peer("opensmtpd", "exec sh -e ./setup.sh") as p:
        Path(p.share, "smtpd.conf").write_text(CONFIG.format(share=p.share, port=port))
        Path(p.share, "setup.sh").write_text(SCRIPT.format(share=p.share))
        p.wait_port(port)
        tap.case(postal.run_campaign, p, port, "OpenSMTPD")


reason = peer.why_not()
if reason:
    tap.skip("OpenSMTPD", reason)
else:
    tap.case(test_opensmtpd)
tap.done()
