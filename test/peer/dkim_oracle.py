"""Oracle for DKIM: python3-dkim and libopendkim verify what mail_tool signs.

Usage: dkim_oracle.py MAIL_TOOL [CASES] [SEED]. A table of canonicalisation traps and random mails by
seed, each signed with RSA-2048 and Ed25519 at once; every signature must verify by itself with both,
no changed mail may, and both must agree with us on the hash of the body. Prints TAP.
"""
import base64
import ctypes
import json
import os
import random
import re
import subprocess
import sys
import tempfile

TOOL = sys.argv[1]
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 300
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1

try:
    import dkim
    opendkim = ctypes.CDLL("libopendkim.so.11")
except (ImportError, OSError) as missing:
    print(f"1..0 # SKIP {missing}: install python3-dkim and libopendkim11")
    sys.exit(0)

HEADER = b"From: Ada <ada@sign.example>\r\nTo: b@c.example\r\nSubject: trap\r\nDate: x\r\n"
FOLDED = (b"From: Ada\r\n  <ada@sign.example>\r\nTO:\tb@c.example,\r\n\td@e.example \r\n"
          b"subject:  a   b\t\tc \r\n \r\n d\r\nMessage-ID:\r\n <x@sign.example>\r\n")
BODIES = [b"", b"\r\n", b"\r\n\r\n\r\n", b" ", b" \r\n", b"\t \r\n\r\n  \r\n", b"a", b"a \t", b"a\r\n",
          b"a\r\n\r\n\r\n", b"a\r\n \r\n\t\r\n", b" C \r\nD \t E\r\n\r\n\r\n", b"\r\n\r\na  b\r\n",
          b"a\r\n\r\n\r\nb\r\n \r\n", b".\r\n..\r\n.a\r\n", b"x" * 70000 + b"\r\n", b"ab \t" * 30000 + b"\r\n",
          "Grüße, 日本\u00a0語 \r\n".encode(), bytes(range(128, 256)) + b"\r\n", b"a\x0b\x0cb\x1f \x7f\r\n",
          b"From x\r\n>From y\r\n", b"=3D =\r\n =\r\n", b"\r\n" * 5000 + b"z", b"a" + b"\r\n" * 5000]
HEADERS = [HEADER, FOLDED,
           HEADER + b"From: second@sign.example\r\nTo: third@c.example\r\n",
           HEADER + b"List-Unsubscribe: <https://x.example/u?a=" + b"t" * 900 + b">\r\n"
                    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: a:b:c:d\r\n",
           HEADER + b"Reply-To:\r\nCc: \r\nSender:\t\r\nIn-Reply-To:   \r\n  \r\n",
           "From: Jörg <jörg@sign.example>\r\nSubject: Grüße\r\n".encode(),
           b"Received: a\r\n\tb\r\n" * 30 + b"X-A:b\r\n" + HEADER + b"Resent-From: a@b.example\r\n" * 3]


def random_mail(rng):
    def text(alphabet, most):
        return "".join(rng.choice(alphabet) for _ in range(rng.randrange(most))).encode()

    names = ["From", "FROM", "To", "Cc", "Subject", "Date", "Reply-To", "List-Unsubscribe", "Sender", "X-Any",
             "Content-Type", "References", "List-Id", "Received", "MIME-Version", "Message-Id"]
    header = b"From: r@sign.example\r\n"
    for _ in range(rng.randrange(20)):
        value = text("ab \tü:;=,", 60)
        for _ in range(rng.randrange(3)):
            value += b"\r\n" + rng.choice([b" ", b"\t", b"  "]) + text("cd \t", 40)
        header += rng.choice(names).encode() + rng.choice([b":", b": ", b":\t "]) + value + b"\r\n"
    body = b"".join(text("ab. \t=üß", 90) + rng.choice([b"\r\n", b"\r\n\r\n", b" \r\n", b""])
                    for _ in range(rng.randrange(20)))
    return header, body


# ---- keys

def make_keys(folder):
    keys = []
    for name, how in (("rsa", ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]), ("ed25519", ["ed25519"])):
        path = f"{folder}/{name}.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", *how, "-out", path], check=True, capture_output=True)
        public = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], check=True,
                                capture_output=True).stdout
        p = base64.b64encode(public if name == "rsa" else public[-32:]).decode()
        keys.append({"pem": open(path).read(), "domain": "sign.example", "selector": name,
                     "record": f"v=DKIM1; k={name}; p={p}"})
    return keys


# ---- verifiers

class Opendkim:
    """libopendkim with keys from a file, one signature at a time."""
    QUERYMETHOD, QUERYINFO, SETOPT, FILE = 6, 7, 1, 1

    def __init__(self, path):
        opendkim.dkim_init.restype = ctypes.c_void_p
        opendkim.dkim_verify.restype = ctypes.c_void_p
        self.lib = ctypes.c_void_p(opendkim.dkim_init(None, None))
        method = ctypes.c_int(self.FILE)
        assert opendkim.dkim_options(self.lib, self.SETOPT, self.QUERYMETHOD, ctypes.byref(method),
                                     ctypes.c_size_t(ctypes.sizeof(method))) == 0
        name = path.encode()
        assert opendkim.dkim_options(self.lib, self.SETOPT, self.QUERYINFO, ctypes.c_char_p(name),
                                     ctypes.c_size_t(len(name))) == 0

    def verify(self, mail):
        header, _, body = mail.partition(b"\r\n\r\n")
        status = ctypes.c_int(-1)
        handle = ctypes.c_void_p(opendkim.dkim_verify(self.lib, b"id", None, ctypes.byref(status)))
        for field in filter(None, re.split(rb"\r\n(?![ \t])", header)):
            if opendkim.dkim_header(handle, field, ctypes.c_size_t(len(field))) != 0:
                opendkim.dkim_free(handle)
                return "header"
        result = opendkim.dkim_eoh(handle)
        if result == 0 and body:
            result = opendkim.dkim_body(handle, body, ctypes.c_size_t(len(body)))
        if result == 0:
            result = opendkim.dkim_eom(handle, None)
        opendkim.dkim_free(handle)
        return result


def verify_python(mail, records):
    try:
        return dkim.verify(mail, dnsfunc=lambda name, timeout=5: records.get(name.decode().rstrip(".")))
    except dkim.DKIMException as e:
        return str(e)


def run(lines):
    text = "".join(json.dumps(x) + "\n" for x in lines)
    out = subprocess.run([TOOL, "dkim"], input=text, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def split_signatures(signed, mail):
    assert signed.endswith(mail), "the mail itself changed"
    fields = re.findall(rb"DKIM-Signature:(?:.|\r\n[ \t])*\r\n", signed[:len(signed) - len(mail)])
    assert b"".join(fields) + mail == signed and len(fields) == 2, "not two fields on top"
    assert all(len(line) <= 78 for f in fields for line in f.split(b"\r\n")), "a long line"
    return fields


def changed(rng, mail):
    """A mail that no verifier may take for this one."""
    header, _, body = mail.partition(b"\r\n\r\n")
    kind = rng.randrange(4)
    if kind == 0:
        return b"From: evil@sign.example\r\n" + mail
    if kind == 1:
        return header + b"\r\nSubject: another\r\n\r\n" + body
    if kind == 2:
        return b"Reply-To: evil@x.example\r\n" + mail
    return header + b"\r\n\r\nx" + body


class Report:
    def __init__(self):
        self.n = self.failed = 0

    def line(self, good, text):
        self.n += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.n} - {text}")


def judge(mail, answer, records, other, rng):
    """Raises what is wrong. A last line without an end has one when it arrives."""
    assert answer["ok"], answer.get("error")
    fields = split_signatures(base64.b64decode(answer["signed"]), mail)
    mail += b"" if mail.endswith(b"\r\n") else b"\r\n"
    for field in fields:
        result = verify_python(field + mail, records)
        assert result is True, f"python3-dkim: {result}: {field[:60]}"
        result = other.verify(field + mail)
        assert result == 0, f"libopendkim: {result}: {field[:60]}"
        wrong = field + changed(rng, mail)
        assert verify_python(wrong, records) is not True, "python3-dkim took a changed mail"
        assert other.verify(wrong) != 0, "libopendkim took a changed mail"


def main():
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        keys = make_keys(folder)
        names = {f"{k['selector']}._domainkey.sign.example": k.pop("record") for k in keys}
        with open(f"{folder}/records", "w") as f:
            f.writelines(f"{name} {record}\n" for name, record in names.items())
        records = {name: record.encode() for name, record in names.items()}
        other = Opendkim(f"{folder}/records")
        traps = [(h, b) for h in HEADERS for b in (BODIES if h in (HEADER, FOLDED) else BODIES[11:13])]
        rng = random.Random(SEED)
        traps += [random_mail(random.Random(SEED * 1000003 + i)) for i in range(COUNT)]
        mails = [h + b"\r\n" + b for h, b in traps]
        mails.append(HEADER)  # no empty line, no body
        answers = run([{"mail": base64.b64encode(m).decode(), "keys": keys, "time": 1700000000} for m in mails])
        wrong = []
        for i, (mail, answer) in enumerate(zip(mails, answers)):
            try:
                judge(mail, answer, records, other, rng)
            except AssertionError as e:
                wrong.append(i)
                if len(wrong) <= 10:
                    print(f"# mail {i} (seed {SEED}): {e}\n# {mail[:400]!r}")
        report.line(not wrong, f"{len(mails)} mails, RSA and Ed25519: python3-dkim and libopendkim take each "
                               f"signature and no changed mail; {len(wrong)} differ")
        bare = [HEADER.replace(b"\r\n", b"\n") + b"\nbare  lines \n\n", HEADER.replace(b"\r\n", b"\r") + b"\rx\ry"]
        fixed = [HEADER + b"\r\nbare lines\r\n", HEADER + b"\r\nx\r\ny\r\n"]
        pair = run([{"mail": base64.b64encode(m).decode(), "keys": keys, "time": 1} for m in bare + fixed])
        heads = [base64.b64decode(a["signed"])[:-len(m)] for a, m in zip(pair, bare + fixed)]
        report.line(heads[:2] == heads[2:], "bare LF and CR are line ends, as they are on the wire")
    print(f"1..{report.n}")
    return 1 if report.failed else 0


sys.exit(main())
