#!/usr/bin/env python3
# timeout: 400
"""swaks, msmtp, nodemailer, curl and Postfix (with us as its relayhost) each deliver over STARTTLS
with AUTH, certificate checked; what arrives is what they sent."""
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
import peer  # noqa: E402
import tap  # noqa: E402
from certs import make_certificate  # noqa: E402
from daemon import free_port, wait_for  # noqa: E402
from scene import Scene  # noqa: E402
from test_submission import Place, without_received  # noqa: E402

PACKAGES = ("swaks libnet-ssleay-perl libio-socket-ssl-perl libauthen-sasl-perl msmtp curl postfix "
            "libsasl2-modules node-nodemailer ca-certificates")
MAIL = """From: Shop <shop@shop.example>
To: <{to}>
Subject: by {to}
Date: Sat, 21 Nov 2026 09:30:00 +0000
Message-ID: <{to}.id>
MIME-Version: 1.0
Content-Type: text/plain; charset=us-ascii

Hello,
.a line with a dot
..two
the end
"""
SCRIPT = r"""
say() {{ echo "$1 $2" >> results; }}
swaks --server localhost --port {port} --tls --tls-verify --tls-ca-path {share}/ca.pem --auth PLAIN \
  --auth-user app --auth-password '{password}' --from shop@shop.example --to swaks@to.test \
  --data @swaks.eml > swaks.log 2>&1 && say swaks 0 || say swaks $?
swaks --server localhost --port {tls} --tls-on-connect --tls-verify --tls-ca-path {share}/ca.pem \
  --auth LOGIN --auth-user app --auth-password '{password}' --from shop@shop.example \
  --to swaks2@to.test --data @swaks2.eml > swaks2.log 2>&1 && say swaks2 0 || say swaks2 $?
printf '%s\n' 'defaults' 'tls on' 'tls_trust_file {share}/ca.pem' 'auth scram-sha-256' 'account a' \
  'host localhost' 'port {port}' 'from shop@shop.example' 'user app' 'password {password}' \
  'account default : a' > msmtprc
chmod 600 msmtprc
msmtp -C msmtprc msmtp@to.test < msmtp.eml > msmtp.log 2>&1 && say msmtp 0 || say msmtp $?
curl -sv --ssl-reqd --cacert {share}/ca.pem --url smtp://localhost:{port} --user 'app:{password}' \
  --mail-from shop@shop.example --mail-rcpt curl@to.test --crlf --upload-file curl.eml \
  > curl.log 2>&1 && say curl 0 || say curl $?
NODE_PATH=/usr/share/nodejs node node.cjs > node.log 2>&1 && say nodemailer 0 || say nodemailer $?
postconf -e 'relayhost = [localhost]:{port}' 'smtp_tls_security_level = verify' \
  'smtp_tls_CAfile = {share}/ca.pem' 'smtp_sasl_auth_enable = yes' 'inet_interfaces = loopback-only' \
  'smtp_sasl_password_maps = inline:{{ {{[localhost]:{port} = app:{password}}} }}' 'mydestination =' \
  'smtp_sasl_security_options = noanonymous' 'smtp_host_lookup = native' 'maillog_file = /dev/stdout' \
  'myhostname = relay.test' 'always_add_missing_headers = no'
sed -i '/^smtp .*inet/d' /etc/postfix/master.cf
postconf -F '*/*/chroot = n'
(until [ -S /var/spool/postfix/public/pickup ]; do sleep 0.1; done
 sendmail -f shop@shop.example postfix@to.test < postfix.eml && say postfix 0) &
touch done
exec postfix start-fg > postfix.log 2>&1
"""
NODE = """const mailer = require('nodemailer');
const fs = require('fs');
mailer.createTransport({host: 'localhost', port: PORT, requireTLS: true,
    tls: {ca: fs.readFileSync('ca.pem')}, auth: {user: 'app', pass: 'PASSWORD'}})
  .sendMail({envelope: {from: 'shop@shop.example', to: ['nodemailer@to.test']},
             raw: fs.readFileSync('nodemailer.eml')})
  .then((x) => console.log(x.response), (e) => { console.log(e); process.exit(1); });
"""
PEERS = ("swaks", "swaks2", "msmtp", "curl", "nodemailer", "postfix")


def behind(data, peer_name):
    """The mail as the peer got it: Postfix puts a Received of its own in front."""
    data = without_received(data)
    return without_received(data.replace(b"Received: by ", b"Received: from ", 1)) \
        if peer_name == "postfix" else data


def test_submitters():
    plain, tls = free_port(), free_port()
    options = ("--submission", f"127.0.0.1:{plain}", "--submission-tls", f"127.0.0.1:{tls}")
    with Scene({"a": {}}, start=False, options=options) as scene:
        _, cert, key = make_certificate(scene.folder)
        os.makedirs(scene.daemon.data, mode=0o700)
        Path(scene.daemon.data, "postfleet.yaml").write_text(
            f"tls:\n  cert_file: {cert}\n  key_file: {key}\n", encoding="utf-8")
        scene.daemon.start(*options)
        scene.add_servers(group="default")
        made = scene.daemon.json("credential", "create", "app", "--group", "default", "--stream",
                                 "transactional")
        place = Place(scene, plain, tls, None)
        with peer.Peer(PACKAGES, "while [ ! -e go ]; do sleep 0.2; done\nexec sh ./setup.sh") as p:
            shutil.copy(os.path.join(scene.folder, "ca.pem"), p.share)
            os.chmod(os.path.join(p.share, "ca.pem"), 0o644)
            for name in PEERS:
                text = MAIL.format(to=f"{name}@to.test")
                ends = "\n" if name in ("msmtp", "curl", "postfix", "swaks", "swaks2") else "\r\n"
                Path(p.share, name + ".eml").write_bytes(text.replace("\n", ends).encode())
            Path(p.share, "node.cjs").write_text(
                NODE.replace("PORT", str(plain)).replace("PASSWORD", made["password"]))
            Path(p.share, "setup.sh").write_text(SCRIPT.format(
                share=p.share, port=plain, tls=tls, password=made["password"]))
            Path(p.share, "go").touch()
            wait_for(lambda: Path(p.share, "done").exists() or p.process.poll() is not None, 240,
                     "the peers' part", every=0.5)
            for name in PEERS:
                tap.case(check_peer, place, p, name)


def check_peer(place, p, name):
    log = Path(p.share, {"nodemailer": "node"}.get(name, name) + ".log")
    try:
        got = behind(place.one(f"{name}@to.test"), name)
    except TimeoutError:
        said = log.read_text(errors="replace")[-1500:] if log.exists() else p.words()
        tap.ok(False, f"{name} delivers", said)
        return
    want = MAIL.format(to=f"{name}@to.test").replace("\n", "\r\n").encode()
    if name.startswith("swaks"):  # it adds a line end of its own
        got = got.rstrip(b"\r\n") + b"\r\n"
    tap.equal(got, want, f"{name}: over TLS with AUTH, as it was sent")


reason = peer.why_not()
if reason:
    tap.skip("submitters", reason)
else:
    tap.case(test_submitters)
tap.done()
