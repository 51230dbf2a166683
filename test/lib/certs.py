"""A certificate authority and a server certificate for loopback, made by the openssl command."""
import os
import subprocess


def make_certificate(folder, names=("localhost", "witness.test"), addresses=("127.0.0.1", "::1"),
                     kind=("rsa:2048",)):
    """Writes ca.pem, cert.pem, key.pem into the folder; gives back their paths. kind is what openssl
    req calls -newkey, with options of its own."""
    at = {n: os.path.join(folder, n + ".pem") for n in ("ca", "ca-key", "cert", "key", "request")}
    extra = os.path.join(folder, "san.cnf")
    with open(extra, "w", encoding="utf-8") as f:
        f.write("subjectAltName=" + ",".join([f"DNS:{n}" for n in names]
                                             + [f"IP:{a}" for a in addresses]) + "\n")
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test ca",
        "-keyout", at["ca-key"], "-out", at["ca"])
    run("req", "-newkey", *kind, "-nodes", "-subj", f"/CN={names[0]}", "-keyout", at["key"],
        "-out", at["request"])
    run("x509", "-req", "-in", at["request"], "-CA", at["ca"], "-CAkey", at["ca-key"],
        "-CAcreateserial", "-days", "30", "-extfile", extra, "-out", at["cert"])
    return at["ca"], at["cert"], at["key"]


def run(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
