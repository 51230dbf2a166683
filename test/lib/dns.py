"""A DNS server on 127.0.0.1 that answers from a table and says of every other name that there is
none; it keeps what it was asked. The table may be changed while it runs."""
import ipaddress
import socket
import struct
import threading

A, MX, TXT, AAAA = 1, 15, 16, 28


def labels(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"


class Dns:
    def __init__(self, table):
        """table: domain to a list of (preference, host), addresses, and texts ("txt:..."; over 255
        bytes in several strings)."""
        self.table, self.asked = table, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def record(self, kind, value):
        """The data of a record, or None when it is of another kind."""
        if isinstance(value, tuple):
            return struct.pack(">H", value[0]) + labels(value[1]) if kind == MX else None
        if value.startswith("txt:"):
            text = value[4:].encode()
            parts = [text[i:i + 255] for i in range(0, len(text), 255)] or [b""]
            return b"".join(bytes([len(p)]) + p for p in parts) if kind == TXT else None
        address = ipaddress.ip_address(value)
        return address.packed if kind == (A if address.version == 4 else AAAA) else None

    def answer(self, query):
        at, parts = 12, []
        while query[at]:
            parts.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        name, question = ".".join(parts), query[12:at + 5]
        self.asked.append((name, kind))
        data = [d for d in (self.record(kind, v) for v in self.table.get(name, [])) if d is not None]
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(d)) + d for d in data)
        flags = 0x8180 if data or name in self.table else 0x8183
        return query[:2] + struct.pack(">HHHHH", flags, 1, len(data), 0, 0) + question + records

    def serve(self):
        while True:
            try:
                query, where = self.socket.recvfrom(4096)
                self.socket.sendto(self.answer(query), where)
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()
