"""A wall clock that a test may set: libfaketime reads an offset from a file. Boot time stays true.
A preloaded library does not go with AddressSanitizer, so a plain build is wanted."""
import os
import shutil
import tempfile
from pathlib import Path

LIBRARIES = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
             "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"]


def library():
    return next((p for p in LIBRARIES if os.path.exists(p)), None)


def why_not():
    """Why the clock cannot be set here; None when it can."""
    if not library():
        return "no libfaketime"
    return None if os.environ.get("POSTFLEET_PLAIN_BINARY") else "no build without sanitizers"


class Clock:
    """with Clock() as c: start the daemon with env=c.env, then c.jump(3600)."""

    def __init__(self):
        self.folder, self.offset = tempfile.mkdtemp(prefix="postfleet-clock-"), 0
        self.path = str(Path(self.folder, "offset"))
        self.env = {"LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": self.path,
                    "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                    "DONT_FAKE_MONOTONIC": "1"}
        self.jump(0)

    def jump(self, seconds):
        """Sets the clock forth or back, in one step for whoever reads it."""
        self.offset += seconds
        new = self.path + ".new"
        Path(new).write_text(f"{self.offset:+d}s\n")
        os.rename(new, self.path)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        shutil.rmtree(self.folder, ignore_errors=True)
