"""A network namespace of the test's own, where loopback can be cut without harm to anybody."""
import os
import shutil
import subprocess
import sys

MARK = "POSTFLEET_TEST_NETNS"


def why_not():
    """Why a namespace cannot be had here; None when it can."""
    for tool in ("unshare", "ip", "nft"):
        if not shutil.which(tool):
            return f"no {tool}"
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        return "no network namespaces (not root)"
    return None


def enter():
    """Runs the calling script again inside a namespace with loopback up, and ends with its status;
    gives back when it is already inside. There the name both.test has an IPv6 and an IPv4 address."""
    if os.environ.get(MARK):
        return
    script = """ip link set lo up
hosts=$(mktemp)
printf '127.0.0.1 localhost both.test\n::1 localhost both.test\n' > "$hosts"
mount --bind "$hosts" /etc/hosts
rm -f "$hosts"
exec "$@\""""
    os.environ[MARK] = "1"
    os.execvp("unshare", ["unshare", "-n", "-m", "sh", "-c", script, "sh", sys.executable]
              + sys.argv)


def cut(ports):
    """Drops every packet to and from these TCP ports."""
    listed = ", ".join(map(str, ports))
    nft("add table inet cut")
    nft("add chain inet cut out { type filter hook output priority 0; }")
    nft(f"add rule inet cut out tcp dport {{ {listed} }} drop")
    nft(f"add rule inet cut out tcp sport {{ {listed} }} drop")


def mend():
    nft("delete table inet cut")


def nft(command):
    subprocess.run(["nft", command], check=True)
