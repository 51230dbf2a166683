#!/usr/bin/env python3
"""Plays every transcript over loopback: villain.py is the server, `talk --port` the client.
  run_villain.py TALK VILLAIN FILE...      prints the TAP of talk; fails when the villain saw anything
that is not in a transcript."""
import subprocess
import sys

talk, villain, files = sys.argv[1], sys.argv[2], sys.argv[3:]
server = subprocess.Popen([sys.executable, villain, "--port", "0", "--once", "--exact", "--speed",
                           "1000"] + files, stdout=subprocess.PIPE, text=True)
port = server.stdout.readline().split()[1]
client = subprocess.run([talk, "--port", port] + files, check=False)
try:
    outcome = server.communicate(timeout=60)[0].splitlines()
except subprocess.TimeoutExpired:
    server.kill()
    outcome = ["the villain did not end"]
odd = [line for line in outcome if not line.endswith(" played")]
for line in odd:
    print("#", line)
sys.exit(1 if odd or client.returncode or server.returncode else 0)
