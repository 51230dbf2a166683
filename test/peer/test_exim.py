#!/usr/bin/env python3
# timeout: 300
"""Exim takes a campaign over STARTTLS with AUTH, by BDAT since it offers CHUNKING, and what lands in
its maildir is what was meant."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
import peer  # noqa: E402
import postal  # noqa: E402
import tap  # noqa: E402
from daemon import free_port  # noqa: E402

SCRIPT = """
mkdir -p {share}/box && chown Debian-exim {share}/box
cp {share}/exim.conf /etc/exim4/exim4.conf
cp {share}/cert.pem {share}/key.pem /etc/exim4/
chown Debian-exim /etc/exim4/*.pem
exec exim4 -bd -d-all+acl
"""
CONFIG = """
primary_hostname = peer.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_certificate = /etc/exim4/cert.pem
tls_privatekey = /etc/exim4/key.pem
tls_advertise_hosts = *
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
host_lookup =
rfc1413_query_timeout = 0s
acl_smtp_rcpt = rcpt
log_selector = +tls_cipher +smtp_protocol_error
log_file_path = {share}/exim-%slog

begin acl
rcpt:
  accept authenticated = *
  deny

begin routers
all:
  driver = accept
  transport = box

begin transports
box:
  driver = appendfile
  directory = {share}/box
  maildir_format
  create_directory
  user = Debian-exim
  mode = 0644
  directory_mode = 0755

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{news}}}}{{eq{{$auth3}}{{pw with blank}}}}}}}}
  server_set_id = $auth2
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{news}}{{pw with blank}}fail}}
  server_set_id = $auth1
"""


def test_exim():
    port = free_port()
    with peer.Peer("exim4-daemon-light", "exec sh -e ./setup.sh") as p:
        postal.shared_certificate(p)
        Path(p.share, "exim.conf").write_text(CONFIG.format(share=p.share, port=port))
        Path(p.share, "setup.sh").write_text(SCRIPT.format(share=p.share))
        p.wait_port(port)
        tap.case(postal.run_campaign, p, port, "Exim, STARTTLS, AUTH", "starttls",
                 ("news", "pw with blank"), "example.org", ["--tls-verify", "none"])
        log = Path(p.share, "exim-mainlog").read_text(errors="replace")
        tap.ok(" K " in log, "Exim was given BDAT", log[-1500:])


reason = peer.why_not()
if reason:
    tap.skip("Exim", reason)
else:
    tap.case(test_exim)
tap.done()
