#!/usr/bin/env python3
"""Turns data files into a C file: embed.py OUT.c SYMBOL=FILE...

For each SYMBOL the C file defines `const unsigned char SYMBOL[]`, closed by a NUL that is not
counted, and `const size_t SYMBOL_size`. Bytes are copied as they are. Called by meson only."""
import os
import sys


def rows(data):
    for at in range(0, len(data), 24):
        yield "    " + ", ".join(str(b) for b in data[at : at + 24]) + ","


def main(argv):
    if len(argv) < 3 or any("=" not in a for a in argv[2:]):
        print("usage: embed.py OUT.c SYMBOL=FILE...", file=sys.stderr)
        return 2
    out = ["#include <stddef.h>", ""]
    for pair in argv[2:]:
        symbol, path = pair.split("=", 1)
        with open(path, "rb") as f:
            data = f.read()
        out += [
            f"extern const unsigned char {symbol}[];",
            f"extern const size_t {symbol}_size;",
            f"const unsigned char {symbol}[] = {{",
            *rows(data),
            "    0,",
            "};",
            f"const size_t {symbol}_size = {len(data)};",
            "",
        ]
    with open(argv[1] + ".new", "w") as f:
        f.write("\n".join(out))
    os.replace(argv[1] + ".new", argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
