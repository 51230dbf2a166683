#!/usr/bin/env python3
# timeout: 400
"""Postfix takes a campaign over STARTTLS with AUTH (Cyrus SASL, each mechanism on a port of its own),
and what lands in its maildir is what was meant."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import peer  # noqa: E402
import postal  # noqa: E402
import tap  # noqa: E402
from daemon import free_port  # noqa: E402

PACKAGES = "postfix libsasl2-modules libsasl2-modules-db sasl2-bin"
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256")
SCRIPT = """
useradd -r -M vbox 2>/dev/null || true
mkdir -p {share}/box && chown vbox {share}/box
postconf -e 'inet_interfaces = 127.0.0.1' 'inet_protocols = ipv4' 'mydestination =' \\
  'myhostname = peer.test' 'maillog_file = /dev/stdout' 'smtputf8_enable = yes' \\
  'smtpd_tls_cert_file = {share}/cert.pem' 'smtpd_tls_key_file = {share}/key.pem' \\
  'smtpd_tls_security_level = may' 'smtpd_tls_auth_only = yes' 'smtpd_sasl_auth_enable = yes' \\
  'smtpd_sasl_security_options = noanonymous' \\
  'smtpd_relay_restrictions = permit_sasl_authenticated, reject' \\
  'virtual_mailbox_domains = example.org' 'virtual_mailbox_base = {share}/box' \\
  'virtual_mailbox_maps = static:all/' 'virtual_uid_maps = static:'$(id -u vbox) \\
  'virtual_gid_maps = static:'$(id -g vbox) 'smtpd_client_connection_count_limit = 0'
mkdir -p /etc/postfix/sasl
sed -i '/^smtp .*inet/d' /etc/postfix/master.cf
{services}
echo 'pw with blank' | saslpasswd2 -p -c -u peer.test news
chmod 644 /etc/sasldb2
postfix start-fg
"""
SERVICE = """
printf 'pwcheck_method: auxprop\\nauxprop_plugin: sasldb\\nmech_list: {mech}\\n' \\
  > /etc/postfix/sasl/{mech}.conf
echo '127.0.0.1:{port} inet n - n - - smtpd -o smtpd_sasl_path={mech}' >> /etc/postfix/master.cf
"""


def test_postfix():
    ports = {mech: free_port() for mech in MECHANISMS}
    with peer.Peer(PACKAGES, "exec sh -e ./setup.sh") as p:
        postal.shared_certificate(p)
        services = "".join(SERVICE.format(mech=m, port=n) for m, n in ports.items())
        Path(p.share, "setup.sh").write_text(SCRIPT.format(share=p.share, services=services))
        for mech, port in ports.items():
            p.wait_port(port)
            tap.case(postal.run_campaign, p, port, f"Postfix, STARTTLS, AUTH {mech}", "starttls",
                     ("news@peer.test", "pw with blank"), "example.org", ["--tls-verify", "none"])
            said = Path(p.log).read_text(errors="replace")
            tap.ok(f"sasl_method={mech}" in said, f"Postfix was asked by {mech}", said[-2000:])


reason = peer.why_not()
if reason:
    tap.skip("Postfix", reason)
else:
    tap.case(test_postfix)
tap.done()
